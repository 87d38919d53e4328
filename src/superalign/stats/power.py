"""What a study of a given size can detect, and how large it must be. Print these before the study, not after."""

from __future__ import annotations

import math

from scipy.special import nctdtr, nctdtrinc, ndtr, ndtri, stdtrit

from superalign.errors import BadInput
from superalign.stats.inputs import counted, fraction
from superalign.types import Unmeasured


def power_two_proportions(first: float, second: float, *, n_first: int, n_second: int, alpha: float = 0.05) -> float:
    """Chance that a two-sided pooled z test tells two independent proportions apart (normal approximation).

    Args:
        first: True rate of the first arm.
        second: True rate of the second arm.
        n_first: Trials of the first arm.
        n_second: Trials of the second arm.
        alpha: Two-sided level.

    Returns:
        Power in [0, 1]; about alpha if the rates are equal.

    Raises:
        BadInput: If a rate is outside [0, 1] or an arm is empty.

    Example:
        >>> round(power_two_proportions(0.5, 0.53, n_first=4400, n_second=4400), 2)
        0.8

    Source:
        Fleiss, Levin and Paik, Statistical methods for rates and proportions, 2003, chapter 4.
    """
    n, m = counted(n_first, name="n_first"), counted(n_second, name="n_second")
    z = float(ndtri(1.0 - fraction(alpha, name="alpha") / 2.0))
    for rate in (first, second):
        if not 0.0 <= rate <= 1.0:
            raise BadInput(f"A rate is {rate}. It is a share of trials, so power is undefined. Pass one in [0, 1].")
    pooled = (n * first + m * second) / (n + m)
    se_null = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    se = math.sqrt(first * (1 - first) / n + second * (1 - second) / m)
    gap = abs(second - first)
    if se == 0.0:  # both rates are 0 or 1: the outcome is certain
        return float(gap > z * se_null)
    return float(ndtr((gap - z * se_null) / se) + ndtr((-gap - z * se_null) / se))


def detectable_two_proportions(
    first: float, *, n_first: int, n_second: int, power: float = 0.8, alpha: float = 0.05
) -> float | Unmeasured:
    """Return the smallest rise above a rate that two independent arms detect with a given power.

    Args:
        first: Rate of the first arm, in [0, 1).
        n_first: Trials of the first arm.
        n_second: Trials of the second arm.
        power: Chance of detection wanted.
        alpha: Two-sided level.

    Returns:
        The difference second - first; `Unmeasured` if not even a rate of 1 would be detected.

    Raises:
        BadInput: If a setting is out of range.

    Example:
        >>> round(detectable_two_proportions(0.5, n_first=100, n_second=100), 3)
        0.193
        >>> detectable_two_proportions(0.9, n_first=10, n_second=10).why
        'undefined: with 10 and 10 trials not even a rise from 0.9 to 1 is detected with power 0.8'
    """
    from scipy.optimize import brentq  # slow to import, and rarely asked for

    fraction(power, name="power")

    def lacking(second: float) -> float:
        return power_two_proportions(first, second, n_first=n_first, n_second=n_second, alpha=alpha) - power

    if lacking(1.0) < 0:
        return Unmeasured(
            f"undefined: with {n_first} and {n_second} trials not even a rise from {first:g} to 1 is detected "
            f"with power {power:g}"
        )
    if lacking(first) >= 0:  # a power at or below alpha needs no difference
        return 0.0
    return float(brentq(lacking, first, 1.0, xtol=1e-10)) - first


def needed_two_proportions(first: float, second: float, *, power: float = 0.8, alpha: float = 0.05) -> int | Unmeasured:
    """Trials per arm that tell two independent proportions apart.

    Example:
        >>> needed_two_proportions(0.5, 0.53)
        4356
        >>> needed_two_proportions(0.5, 0.5).why
        'undefined: no number of trials tells equal rates apart'
    """
    fraction(power, name="power")
    if first == second:
        return Unmeasured("undefined: no number of trials tells equal rates apart")
    low, high = 0, 1
    while power_two_proportions(first, second, n_first=high, n_second=high, alpha=alpha) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = power_two_proportions(first, second, n_first=middle, n_second=middle, alpha=alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def paired_sd(discordance: float, *, difference: float) -> float:
    """Spread of the paired differences of two yes-no arms, from how often they disagree.

    Args:
        discordance: Share of units on which the arms disagree.
        difference: Difference of their rates; at most the discordance.

    Returns:
        Standard deviation of the difference per unit.

    Raises:
        BadInput: If the difference exceeds the discordance, which cannot be.

    Example:
        >>> round(paired_sd(0.11, difference=0.03), 4)
        0.3303
    """
    if not abs(difference) <= discordance <= 1.0:
        raise BadInput(
            f"discordance is {discordance} and difference {difference}. Arms differ in rate only where they disagree, "
            "so no data look like this. Pass |difference| <= discordance <= 1."
        )
    return math.sqrt(discordance - difference**2)


def power_paired(difference: float, *, sd: float, n: int, alpha: float = 0.05) -> float:
    """Chance that a two-sided paired t test detects a mean difference.

    Args:
        difference: True mean difference, in the unit of the measure.
        sd: Standard deviation of the differences, same unit; see `paired_sd` for yes-no outcomes.
        n: Pairs, at least two.
        alpha: Two-sided level.

    Returns:
        Power in [0, 1].

    Raises:
        BadInput: If sd is not positive or n below two.

    Example:
        >>> round(power_paired(0.5, sd=1.0, n=34), 3)
        0.808
    """
    n, df = counted(n, name="n", least=2), n - 1
    critical = float(stdtrit(df, 1.0 - fraction(alpha, name="alpha") / 2.0))
    shift = abs(difference) / _positive(sd) * math.sqrt(n)
    return float(1.0 - nctdtr(df, shift, critical) + nctdtr(df, shift, -critical))


def detectable_paired(*, sd: float, n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest mean difference that n pairs detect with a given power (the far tail of the test left out).

    Args:
        sd: Standard deviation of the differences.
        n: Pairs, at least two.
        power: Chance of detection wanted; above alpha.
        alpha: Two-sided level.

    Returns:
        The difference, in the unit of sd.

    Raises:
        BadInput: If sd is not positive, n below two, or power not above alpha.

    Example:
        >>> round(detectable_paired(sd=0.33, n=1000), 3), round(detectable_paired(sd=1.0, n=5), 2)
        (0.029, 1.68)
    """
    n = counted(n, name="n", least=2)
    if not fraction(alpha, name="alpha") < fraction(power, name="power"):
        raise BadInput(f"power {power} is not above alpha {alpha}. No effect is needed for it. Pass a larger power.")
    critical = float(stdtrit(n - 1, 1.0 - alpha / 2.0))
    return float(nctdtrinc(n - 1, 1.0 - power, critical)) * _positive(sd) / math.sqrt(n)


def needed_pairs(difference: float, *, sd: float, power: float = 0.8, alpha: float = 0.05) -> int | Unmeasured:
    """Pairs that detect a mean difference.

    Example:
        >>> needed_pairs(0.5, sd=1.0), needed_pairs(0.03, sd=paired_sd(0.11, difference=0.03))
        (34, 954)
    """
    fraction(power, name="power")
    if difference == 0:
        return Unmeasured("undefined: no number of pairs detects a difference of zero")
    low, high = 1, 2
    while power_paired(difference, sd=sd, n=high, alpha=alpha) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = power_paired(difference, sd=sd, n=middle, alpha=alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def auroc_null_sd(n_positives: int, n_negatives: int) -> float:
    """Standard deviation of the AUROC of scores that know nothing, without ties.

    Example:
        >>> [round(auroc_null_sd(n, n), 3) for n in (20, 50, 100)]
        [0.092, 0.058, 0.041]

    Source:
        Mann and Whitney, On a test of whether one of two random variables is stochastically larger, 1947.
    """
    n, m = counted(n_positives, name="n_positives"), counted(n_negatives, name="n_negatives")
    return math.sqrt((n + m + 1) / (12 * n * m))


def auroc_planning_se(area: float, *, n_positives: int, n_negatives: int) -> float:
    """Standard error of an AUROC to expect when planning a study; for data, use `auroc_delong`.

    Example:
        >>> [round(auroc_planning_se(0.98, n_positives=n, n_negatives=n), 3) for n in (20, 100)]
        [0.023, 0.01]

    Source:
        Hanley and McNeil, The meaning and use of the area under a ROC curve, 1982.
    """
    a = fraction(area, name="area")
    n, m = counted(n_positives, name="n_positives"), counted(n_negatives, name="n_negatives")
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    return math.sqrt((a * (1 - a) + (n - 1) * (q1 - a * a) + (m - 1) * (q2 - a * a)) / (n * m))


def _positive(sd: float) -> float:
    if not (sd > 0 and math.isfinite(sd)):
        raise BadInput(f"sd is {sd}. Without spread any difference is certain. Pass a positive standard deviation.")
    return float(sd)
