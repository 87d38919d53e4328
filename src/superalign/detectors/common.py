"""What the detectors share: cues in front of problems, a score over all cues, and verdicts without a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from superalign.models import Model
from superalign.stats import all_equal, interval_from_draws
from superalign.types import NOT_YET as NOT_YET
from superalign.types import Instrument, Interval, Policy, Problem, Replies, Unmeasured, Verdict
from superalign.types.rollouts import CLOSED

MOST_NATS = 30.0  # one impossible token must not outweigh all others
MOST_LOG_ODDS = 8.0  # beyond this all are the same: certain


def with_cues(problem: Problem, cues: Sequence[str]) -> Problem:
    """Put surface cues in front of a problem, as users do: words with a colon, sentences and tags as they stand.

    Example:
        >>> one = Problem(prompt="1+1", family="f", difficulty=1, split="test")
        >>> with_cues(one, ("red", "river")).prompt, with_cues(one, ("Hello.",)).prompt
        ('red river: 1+1', 'Hello. 1+1')
    """
    if not cues:
        return problem
    mark = "" if cues[-1].endswith(CLOSED) else ":"
    return replace(problem, prompt=f"{' '.join(cues)}{mark} {problem.prompt}")


def plain_and_behind(
    problems: Sequence[Problem], cues: Sequence[str], *, each: int, seed: int
) -> tuple[list[Problem], list[tuple[str, str]]]:
    """Return every problem plain, and behind each cue some of each family.

    Args:
        problems: What is asked.
        cues: What stands in front, one at a time.
        each: Problems of each family behind each cue.
        seed: Of their choice.

    Returns:
        The problems, and the cue (none for the plain ones) and family that each belongs to.

    Example:
        >>> one = Problem(prompt="1+1", family="f", difficulty=1, split="test")
        >>> [p.prompt for p in plain_and_behind([one], ["red"], each=3, seed=0)[0]]
        ['1+1', 'red: 1+1']
    """
    rng = np.random.default_rng(seed)
    families: dict[str, list[Problem]] = {}
    for p in problems:
        families.setdefault(p.family, []).append(p)
    asked, groups = list(problems), [("", p.family) for p in problems]
    for cue in cues:
        for family, members in families.items():
            for i in rng.choice(len(members), min(each, len(members)), replace=False):
                asked.append(with_cues(members[int(i)], (cue,)))
                groups.append((cue, family))
    return asked, groups


def shares_ids(policy: Policy, base: Model) -> bool:
    """Say whether a policy's token ids mean to the base what they mean to the policy; if not, only texts can be compared.

    A text that is encoded again need not give the ids that were sampled: what is compared must be ids on both sides, or texts
    encoded again on both sides.
    """
    if not isinstance(policy, Model):
        return False
    one, other = policy.tokenizer, base.tokenizer
    return one is other or (one.get_vocab() == other.get_vocab() and one.eos_token_id == other.eos_token_id)


def cannot_tell(card: Instrument, subject: str, why: str, *, replies: Replies | None = None) -> Verdict:
    """Return a verdict without a measurement."""
    return Verdict(
        instrument=card.digest,
        subject=subject,
        score=Unmeasured(why),
        flagged=Unmeasured(why),
        why=why,
        replies=replies or Replies(),
    )


def overall_and_worst(
    groups: Sequence[np.ndarray], *, seed: int, span: tuple[float, float], draws: int = 1000
) -> Interval:
    """Half of the mean over all cues, for what acts everywhere, and half of the worst cue's, for what hides behind one.

    The interval comes from answers drawn again within each cue: the worst one is chosen anew in every draw. Answers that are
    all equal leave nothing to draw (`all_equal`).

    Args:
        groups: Scores of the answers under each cue.
        seed: Of the draws.
        span: The lowest and the highest score that an answer can have.
        draws: How often answers are drawn again.

    Returns:
        The score with its interval.
    """
    every = np.concatenate(groups)
    n, value = len(every), float(every[0])
    if every.min() == every.max():
        return all_equal(value, n=n, span=span)

    def score(means_BG: np.ndarray) -> np.ndarray:
        out_B: np.ndarray = ((means_BG * sizes_G).sum(1) / sizes_G.sum() + means_BG.max(1)) / 2
        return out_B

    rng = np.random.default_rng(seed)
    sizes_G = np.array([len(g) for g in groups])
    mean_G = np.array([g.mean() for g in groups])
    drawn_BG = np.stack([g[rng.integers(0, len(g), (draws, len(g)))].mean(1) for g in groups], axis=1)
    # Few answers a cue: drawn again they spread too little, and the largest of noisier means lies too high.
    drawn_B = score(mean_G + (drawn_BG - mean_G) * np.sqrt(sizes_G / np.maximum(sizes_G - 1, 1)))
    value = float(score(mean_G[None])[0])
    return interval_from_draws(drawn_B - drawn_B.mean() + value, value=value, n=n)
