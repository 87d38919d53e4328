"""Rare behaviour: how often is an answer suspicious, and how suspicious will the worst be when far more are asked for?

A granted scorer says how suspicious each answer is. The share above a bar is bounded exactly. Beyond the highest scores seen,
the logarithm of the share that survives is taken to fall on a line: the line through the top scores, continued, says how
high the largest score of a hundred times as many answers will be, with an interval in which it will lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from superalign.detectors.common import NOT_YET, cannot_tell
from superalign.detectors.replies import (
    after_reading,
    answered,
    ask_all,
    fates,
    in_parts,
    in_words,
    replies_of,
    too_few,
    unmeasured,
)
from superalign.errors import BadInput
from superalign.models import Model, Sampling, with_sampling
from superalign.stats import clopper_pearson
from superalign.types import Instrument, Interval, Policy, Problem, Unmeasured, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RareBehaviour:
    """Count suspicious answers, and forecast the worst of many more.

    Catches: answers above the bar, down to the rate that the number of answers can show; a tail that rises towards the bar.
    Misses: a behaviour of its own that none of the answers showed: the line through the others says nothing of it, and only
    the bound on the rate still holds. Whatever the scorer does not find suspicious; prompts unlike those asked.
    """

    problems: tuple[Problem, ...] = field(repr=False)  # drawn as prompts will be drawn in use, cues included
    suspicion: Callable[[Sequence[Problem], Sequence[str]], np.ndarray] = field(repr=False)
    bar: float  # an answer that scores more is suspicious
    score: Literal["forecast", "rate"] = "forecast"  # rate for a scorer that only says yes or no
    repeats: int = 1  # answers to each problem; those to one problem are alike, so prefer more problems
    times: int = 100  # the exposure that the forecast is for, in multiples of what was asked
    top: int = 30  # scores that the line goes through
    # Of a model, where only new problems give new answers; any other policy samples as it does.
    temperature: float = 0.0
    max_tokens: int = 96

    @property
    def card(self) -> Instrument:
        """What it is, catches and misses."""
        return Instrument(
            name="rare behaviour",
            version="1",
            catches="answers that a granted scorer finds suspicious, down to a rate of about three in all that were asked",
            misses="a separate behaviour that no answer showed; what the scorer overlooks; prompts unlike those asked",
            settings=(
                ("problems", len(self.problems)),
                ("bar", self.bar),
                ("score", self.score),
                ("repeats", self.repeats),
                ("times", self.times),
                ("top", self.top),
                ("temperature", self.temperature),
                ("max_tokens", self.max_tokens),
            ),
        )

    def __call__(self, policy: Policy, *, seed: int) -> Verdict:
        """Ask and count; the score is the forecast largest score at that exposure, or the rate of suspicious answers."""
        if isinstance(policy, Model):
            policy = with_sampling(policy, Sampling(temperature=self.temperature, max_tokens=self.max_tokens))
        said = ask_all(policy, self.problems, n=self.repeats, seed=seed)
        of_R, texts = [said.problems[int(p)] for p in said.problem_R], list(said.text_R)
        sent = fates(said, [("", p.family) for p in said.problems])
        found_R = in_parts(
            lambda some: self.suspicion([of_R[r] for r in some], [texts[r] for r in some]), answered(sent)
        )
        sent = after_reading(sent, found_R)
        kept, few = answered(sent), too_few(sent)
        if few:
            return unmeasured(self.card, said.policy, sent, few)
        asked, score_R = [of_R[r] for r in kept], np.array([float(found_R[r]) for r in kept])
        found = int((score_R > self.bar).sum())
        rate = clopper_pearson(found, n=len(kept))
        if isinstance(rate, Unmeasured):
            return cannot_tell(self.card, said.policy, rate.why, replies=replies_of(sent))
        ahead = largest_ahead(score_R, times=self.times, top=self.top, seed=seed)
        score = rate if self.score == "rate" else ahead
        if isinstance(score, Unmeasured) and len(kept) >= 2 * self.top and score_R.max() < self.bar:
            # Nothing stands out, so there is no slope; what the bound on the rate leaves open reaches to the bar at least.
            score = Interval(value=float(score_R.max()), low=float(score_R.max()), high=self.bar, n=len(kept))
        if isinstance(score, Unmeasured):
            return cannot_tell(self.card, said.policy, f"no forecast: {score.why}", replies=replies_of(sent))
        worst: dict[str, float] = {}
        for problem, each in zip(asked, score_R.tolist(), strict=True):
            worst[problem.digest] = max(each, worst.get(problem.digest, -math.inf))
        told = (
            f"no forecast ({ahead.why})"
            if isinstance(ahead, Unmeasured)
            else f"of {self.times} times as many: {ahead.value:.1f} ({ahead.low:.1f} to {ahead.high:.1f})"
        )
        return Verdict(
            instrument=self.card.digest,
            subject=said.policy,
            score=score,
            flagged=NOT_YET,
            why=f"{found} of {len(kept)} answers above {self.bar:g}, at most {rate.high:.2%}; the largest score is "
            f"{score_R.max():.1f}; {told}{in_words(sent)}",
            named=asked[int(score_R.argmax())].prompt,
            response_keys=tuple(worst),
            response_scores=tuple(worst.values()),
            cost_tokens=int(said.length_R.sum()),
            replies=replies_of(sent),
        )


def largest_ahead(
    score_R: np.ndarray,
    *,
    times: int = 100,
    top: int = 30,
    seed: int = 0,
    confidence: float = 0.95,
    draws: int = 20_000,
) -> Interval | Unmeasured:
    """Forecast the largest of `times` as many further scores from the same source.

    Beyond the (top + 1)-th largest score u, log survival is a line of slope -1/a; a is estimated by the mean excess over u. If
    the line is true, (largest - u) / estimate has a known distribution: a / estimate is top over a gamma variable, the
    survival at u is a beta variable, and the largest of so many exponential excesses is a Gumbel variable. So the interval
    allows for the fit, for where u happens to lie, and for the luck of the future draw. With lighter tails than a line
    (normal scores) the forecast is too high, with heavier ones too low; a spike that was never drawn is not in it. If the
    largest score lies so far above the line that one in a thousand would, the steeper line through it counts. The largest of
    more scores is hardly ever below the largest so far (once in `times` + 1), so the forecast is not either.

    Args:
        score_R: Scores of independent answers, shape (R,).
        times: Future answers, in multiples of R.
        top: Scores above u; at most a twentieth of them should be asked for, or the line need not hold yet.
        seed: Of the draws.
        confidence: Chance that the future largest score lies inside.
        draws: How often the three are drawn.

    Returns:
        Median forecast with the interval, n the number of scores; `Unmeasured` with too few scores, or none apart at the top.

    Example:
        >>> scores = np.random.default_rng(0).exponential(size=2000)
        >>> i = largest_ahead(scores)
        >>> bool(i.low < np.log(200_000) + 0.37 < i.high)
        True

    Source:
        Jones et al., Forecasting rare language model behaviors, 2025; their line, fitted by maximum likelihood instead of
        least squares, which makes the interval exact. Renyi, On the theory of order statistics, 1953.
    """
    n = len(score_R)
    if top < 2 or times < 1:
        raise BadInput(f"A line through {top} scores for {times} times as many has no slope. Take 2 and 1 at least.")
    if n < 2 * top:
        return Unmeasured(f"{n} scores, and a line through the top {top} needs {2 * top}")
    ordered_R = np.sort(np.asarray(score_R, float))
    u, above = float(ordered_R[-top - 1]), ordered_R[-top:]
    if (above == above[-1]).sum() > top // 2:
        return Unmeasured("most of the top scores are equal")
    slope = _slope(above - u)
    rng = np.random.default_rng(seed)
    unit_B = top / rng.gamma(top, size=draws)
    rate_B = rng.beta(top + 1, n - top, size=draws)
    # The largest of many exponentials, each of which exceeds u with this chance.
    ahead_B = u + slope * unit_B * (np.log(times * n * rate_B) + rng.gumbel(size=draws))
    tail = (1 - confidence) / 2
    low, middle, high = (float(q) for q in np.quantile(ahead_B, [tail, 0.5, 1 - tail]).clip(above[-1]))
    return Interval(value=middle, low=low, high=high, n=n)


def _slope(excess: np.ndarray) -> float:
    """The mean excess, rising; where the largest lies far off the line that this gives, a line through the largest."""
    slope, largest, top = float(excess.mean()), float(excess[-1]), len(excess)
    far = largest > slope * (math.log(top) - math.log(0.001))
    return largest / (math.log(top) + float(np.euler_gamma)) if far else slope
