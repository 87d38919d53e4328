"""The same search of 1,000 submissions under three evaluators: what is claimed of it, and what is true on data never touched.

Researchers are scripts and methods are drawn, so that every method's true quality is known. A submission is which items of a
tier it gets right. Gains are shares of the gap between a weak teacher and a ceiling (PGR). Suffixes: N items, K submissions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float
from scipy.stats import multivariate_normal, norm

from superalign.kit.evidence import or_mean
from superalign.lab.oracles import Exact
from superalign.lab.research_parts import Arm
from superalign.stats import mean_interval, mean_over, share
from superalign.stats.ladder import Ladder
from superalign.stats.streams import stream
from superalign.types import Interval, Record, Unmeasured

Researcher: TypeAlias = Literal["honest search", "score prober", "seed picker", "liar", "label reader"]
Evaluator: TypeAlias = Literal["exact score, own report", "weights, exact score", "vault"]
RESEARCHERS: tuple[Researcher, ...] = get_args(Researcher)
EVALUATORS: tuple[Evaluator, ...] = get_args(Evaluator)
# Of the cached results of a published apparatus, on its chat set: items, weak teacher, ceiling, and a baseline between.
ITEMS, WEAK, CEILING, BASE = 1263, 0.528, 0.7325, 0.57
GAP, ALIKE, TRIES, LEVEL = (
    CEILING - WEAK,
    0.7,
    5,
    0.05,
)  # ALIKE: share of variance that methods have in common on an item
Parts: TypeAlias = Float[np.ndarray, " N"]
Oracle: TypeAlias = Ladder | Exact
LIE = Interval(value=0.9, low=0.8, high=1.0, n=ITEMS)  # above the ceiling, which is a gain of .79


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(Record):
    """One researcher before one evaluator."""

    researcher: Researcher
    evaluator: Evaluator
    twin: bool  # nothing is better than the baseline
    submissions: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Record):
    """What a campaign claims in the end, and what is true of it."""

    campaign: Campaign
    best: float  # gain of the best submission on the climbed items: never to be quoted
    claimed: Interval | Unmeasured  # gain over the baseline; none where nothing is claimed
    true: float  # expected gain of the claimed artefact on items that nobody touched, of the kind that is claimed
    passed: bool  # the vault's confirm tier: at most `LEVEL` of null campaigns


@dataclass
class _Sent:
    """A submission: what it gets right among the climbed items, and how good it is in truth."""

    parts_N: Parts
    quality: float
    answer: float = 0.0


def run_campaign(campaign: Campaign) -> Ended:
    """Let a researcher search before an evaluator; return the claim and the truth.

    All evaluators see the same draws. The first two claim the best exact score with a naive 95 % interval of the paired gain,
    the first by what the researcher says. The vault claims what passed the confirm tier and then, on the sealed one, excludes 0.
    """
    rng = stream(campaign.seed, campaign.researcher, str(campaign.twin))
    hard_N = rng.normal(size=ITEMS)
    base_N = _right(hard_N, BASE, rng)
    ladder = Ladder.on(base_N)
    oracle, floor = (ladder if campaign.evaluator == "vault" else Exact()), ladder.released
    sent = _search(campaign, hard_N, base_N, oracle, rng)
    best = max(sent, key=lambda s: s.parts_N.mean())
    top = float(best.parts_N.mean() - base_N.mean()) / GAP
    if campaign.evaluator == "vault":
        claimed, chosen, passed = _vault(sent, floor, stream(campaign.seed, "fresh items", campaign.researcher))
    else:
        lies = campaign.evaluator == EVALUATORS[0] and campaign.researcher == "liar"
        claimed, chosen, passed = LIE if lies else mean_interval((best.parts_N - base_N) / GAP), best, False
    if isinstance(claimed, Interval) and claimed.low <= 0:
        claimed = Unmeasured("no gain is claimed")
    return Ended(campaign=campaign, best=top, claimed=claimed, true=(chosen.quality - BASE) / GAP, passed=passed)


def campaigns(*, seeds: int, submissions: int) -> list[Campaign]:
    """List every researcher before every evaluator on impossible twins, and the honest one on real tasks too."""
    arms = [("honest search", False), *((r, True) for r in RESEARCHERS)]
    return [
        Campaign(researcher=r, evaluator=e, twin=t, submissions=submissions, seed=s)
        for r, t in arms
        for e in EVALUATORS
        for s in range(seeds)
    ]


def arm(ended: Sequence[Ended]) -> Arm:
    """Summarise the campaigns of one researcher before one evaluator."""
    first, made = ended[0].campaign, [(e.true, e.claimed) for e in ended if isinstance(e.claimed, Interval)]
    values = np.array([c.value for _, c in made])
    return Arm(
        researcher=first.researcher,
        evaluator=first.evaluator,
        twin=first.twin,
        claims=share([isinstance(e.claimed, Interval) for e in ended]),
        claimed=or_mean(mean_over(values), values) if made else Unmeasured("nothing was claimed"),
        true=float(np.mean([true for true, _ in made])) if made else Unmeasured("nothing was claimed"),
        false=share([isinstance(e.claimed, Interval) and e.true <= 0 for e in ended]),
        covered=share([c.low <= true <= c.high for true, c in made]),
        passed=share([e.passed for e in ended]),
        best=mean_over([e.best for e in ended]),
    )


def arms(ended: Sequence[Ended]) -> tuple[Arm, ...]:
    """Summarise the campaigns of each researcher before each evaluator, twins apart."""
    keys = dict.fromkeys((e.campaign.researcher, e.campaign.evaluator, e.campaign.twin) for e in ended)
    return tuple(
        arm([e for e in ended if (e.campaign.researcher, e.campaign.evaluator, e.campaign.twin) == key]) for key in keys
    )


def best_of(n: int) -> float:
    """Return the gain that the best of n methods shows though all equal the baseline: what selection alone gives."""
    rng = stream(0, "best of equals")
    agree = multivariate_normal(cov=[[1, ALIKE], [ALIKE, 1]]).cdf([norm.ppf(BASE)] * 2)  # both right on an item
    # All are compared with one baseline, whose own chance is half of the variance of a difference, and common to them.
    spread = np.sqrt((BASE - agree) / ITEMS) / GAP
    return float(spread * rng.normal(size=(2000, n)).max(axis=1).mean())


def _search(campaign: Campaign, hard_N: Parts, base_N: Parts, oracle: Oracle, rng: np.random.Generator) -> list[_Sent]:
    """Send submissions and hear answers, as the researcher's script does."""

    def ask(parts_N: Parts, quality: float) -> _Sent:
        said = oracle.answer(parts_N)
        return _Sent(parts_N, quality, 0.0 if isinstance(said, Unmeasured) else said)

    if campaign.researcher == "score prober":
        return _probe(campaign.submissions, base_N, ask, rng)
    if campaign.researcher == "label reader" and campaign.evaluator == EVALUATORS[0]:  # the only one that leaks labels
        known_N = rng.random(ITEMS) < (CEILING - BASE) / (1 - BASE)  # as many as reach the ceiling: more would be seen
        return [ask(np.where(known_N, 1.0, base_N), BASE)]
    searches = campaign.researcher == "honest search" and not campaign.twin
    gains = rng.normal(-0.02, 0.03, campaign.submissions) if searches else np.zeros(campaign.submissions)
    return [ask(_right(hard_N, float(BASE + g), rng), float(BASE + g)) for g in gains]


def _probe(n: int, base_N: Parts, ask: Callable[[Parts, float], _Sent], rng: np.random.Generator) -> list[_Sent]:
    """Send random answers and add those up that scored well; where answers never change, change the baseline's and keep gains."""
    label_N, guesses_KN = rng.random(ITEMS) < 0.5, rng.random((n - 1, ITEMS)) < 0.5
    sent = [ask((g == label_N).astype(float), 0.5) for g in guesses_KN[:100]]
    if len({s.answer for s in sent}) > 1:
        sent += [ask((g == label_N).astype(float), 0.5) for g in guesses_KN[100:]]
        weights_K = np.array([s.answer for s in sent]) - np.mean([s.answer for s in sent])
        vote_N = weights_K @ (2.0 * guesses_KN - 1.0) > 0
        return [*sent, ask((vote_N == label_N).astype(float), 0.5)]
    sent.append(best := ask(base_N, BASE))
    for _ in range(n - len(sent)):
        sent.append(tried := ask(np.where(rng.random(ITEMS) < 0.03, 1.0 - best.parts_N, best.parts_N), BASE))
        best = tried if tried.answer > best.answer else best
    return sent


def _vault(sent: Sequence[_Sent], floor: float, rng: np.random.Generator) -> tuple[Interval | Unmeasured, _Sent, bool]:
    """Confirm the last submissions that raised the ladder on fresh items, few times; open the sealed tier for one that passed."""
    told = [floor, *(s.answer for s in sent)]
    raised = [s for s, before in zip(sent, told, strict=False) if s.answer > before][::-1] or [sent[0]]

    def gain(tried: _Sent, confidence: float) -> Interval | Unmeasured:
        hard_N = rng.normal(size=ITEMS)  # items that are drawn now
        over_N = _right(hard_N, tried.quality, rng) - _right(hard_N, BASE, rng)
        return mean_interval(over_N / GAP, confidence=confidence)

    for tried in raised[:TRIES]:
        over = gain(tried, 1 - 2 * LEVEL / TRIES)
        if isinstance(over, Interval) and over.low > 0:
            return gain(tried, 0.95), tried, True
    return Unmeasured("nothing passed"), raised[0], False


def _right(hard_N: Parts, quality: float, rng: np.random.Generator) -> Parts:
    """Draw which items a method of a true quality gets right: some are hard for all methods."""
    own_N = rng.normal(size=len(hard_N))
    return (np.sqrt(ALIKE) * hard_N + np.sqrt(1 - ALIKE) * own_N < norm.ppf(quality)).astype(float)
