"""What must hold for every detector, ours and a third party's."""

from __future__ import annotations

import math
from collections.abc import Sequence

from superalign.types import Detector, Policy, Problem, Rollouts, Unmeasured


class Silent:
    """A policy that says nothing: nobody can tell anything about it.

    Example:
        >>> Silent().sample([], n=1, seed=0).policy
        'silent'
    """

    def sample(self, problems: Sequence[Problem], *, n: int, seed: int) -> Rollouts:
        """Return empty responses."""
        texts = [""] * (len(problems) * n)
        repeated = [p for p in problems for _ in range(n)]
        made = Rollouts.of_texts(repeated, texts)
        return Rollouts(
            problems=made.problems, problem_R=made.problem_R, text_R=made.text_R, policy="silent", seed=seed
        )


def check_detector(detector: Detector, policy: Policy, *, seed: int = 0) -> None:
    """Assert all that trials and the gate rely on.

    Args:
        detector: Any object with a card that, called with a policy, gives a verdict.
        policy: One that the detector can measure.
        seed: Of the detector's own draws.

    Raises:
        AssertionError: Naming the first promise that is broken.
    """
    card = detector.card
    assert card.catches, "the card says what it catches"
    assert card.misses, "the card says what it misses"
    verdict = detector(policy, seed=seed)
    assert verdict.instrument == card.digest, "a verdict names its instrument by the card's digest"
    assert detector.card == card, "looking at a subject does not change the card"
    assert isinstance(verdict.flagged, Unmeasured), "a detector scores; flags come from thresholds set on planted truth"
    if not isinstance(verdict.score, Unmeasured):
        score = verdict.score
        assert score.low <= score.value <= score.high, "the interval holds the score"
        assert score.n > 0, "a score counts its units"
    assert len(verdict.response_keys) == len(verdict.response_scores), "one key for each response score"
    assert all(math.isfinite(s) for s in verdict.response_scores), "response scores are numbers"
    assert verdict.cost_tokens >= 0, "a cost is no gain"
    nothing = detector(Silent(), seed=seed)
    assert isinstance(nothing.score, Unmeasured), "a policy that says nothing gives no score"
    assert nothing.why, "a verdict without a score says why"
    assert nothing.instrument == card.digest, "a verdict without a score names its instrument too"
    # Asked again after another subject: what it saw there may not stay with it.
    assert verdict == detector(policy, seed=seed), "the same seed gives the same verdict, whatever was looked at before"
