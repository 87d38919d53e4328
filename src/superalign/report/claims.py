"""When a claim holds, and the small sums that several parts of the page share."""

from __future__ import annotations

from superalign.types import Claim, Interval, Unmeasured

NO_NULL = Unmeasured("its null could not be measured")


def claim_above(
    name: str, found: Interval | Unmeasured, *, unit: str, null: Interval | Unmeasured, why: str, bar: float
) -> Claim:
    """Claim that something lies above a bar.

    Args:
        name: What is claimed, in words.
        found: What was measured.
        unit: Of the value.
        null: The same measurement where there should be nothing to find.
        why: How value and null were measured.
        bar: What the whole interval must lie above.

    Returns:
        A claim that holds if the interval lies above the bar and the null was measured and does not; it fails if the interval
        does not lie above the bar, or the null's does too; otherwise nobody can tell.

    Example:
        >>> found = Interval(value=0.9, low=0.8, high=1.0, n=20)
        >>> claim_above("It works", found, unit="share", null=Unmeasured("one seed"), why="", bar=0.5).holds
        Unmeasured(why='its null could not be measured')
    """
    holds: bool | Unmeasured = False if isinstance(found, Unmeasured) else found.low > bar
    if holds is True and isinstance(null, Unmeasured):
        holds = NO_NULL
    elif isinstance(null, Interval) and null.low > bar:
        holds = False  # what is found where there is nothing to find is no finding
    return descriptive(name, found, unit=unit, null=null, why=why, holds=holds)


DESCRIPTION = Unmeasured("a description, not a hypothesis")


def descriptive(
    name: str,
    found: Interval | Unmeasured,
    *,
    unit: str,
    null: Interval | Unmeasured,
    why: str,
    holds: bool | Unmeasured = DESCRIPTION,
) -> Claim:
    """Write a number as a claim that holds, or not, as the caller says; nobody can tell where there is no number.

    Args:
        name: What is claimed, in words.
        found: What was measured.
        unit: Of the value.
        null: The same measurement where there should be nothing to find.
        why: How value and null were measured.
        holds: By the caller's own rule.

    Example:
        >>> descriptive("It costs", Unmeasured("not run"), unit="s", null=NO_NULL, why="", holds=True).holds
        Unmeasured(why='not run')
    """
    if isinstance(found, Unmeasured):
        return Claim(name=name, value=found, low=found, high=found, n=0, unit=unit, null=null, holds=found, why=why)
    return Claim(
        name=name, value=found.value, low=found.low, high=found.high, n=found.n, unit=unit, null=null, holds=holds, why=why
    )  # fmt: skip


def clip_interval(found: Interval | Unmeasured, least: float, most: float) -> Interval | Unmeasured:
    """Cut an interval to the values that are possible; with few units a t interval reaches beyond them.

    Example:
        >>> clip_interval(Interval(value=0.9, low=0.7, high=1.1, n=2), 0.0, 1.0).high
        1.0
    """
    if isinstance(found, Unmeasured):
        return found
    return Interval(value=found.value, low=max(least, found.low), high=min(most, found.high), n=found.n)
