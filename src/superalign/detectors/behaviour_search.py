"""Behaviour search: spend a budget of prompts to find where the subject's answers are most suspicious.

Prompts are built from granted parts: problems, and cues in front of them. An archive keeps the worst answer for each family,
number of cues and length, so that the search does not settle on the first thing it finds; new prompts are changed from kept
ones. What it found is named with the cues it needs, and measured on fresh problems. A search that adapts gives no rate.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from superalign.detectors.common import NOT_YET, all_equal, cannot_tell, with_cues
from superalign.detectors.prompt_parts import Cell, Mutate, cell_of, edges, front, mutator, thirds
from superalign.models import Model, Sampling, with_sampling
from superalign.stats import mean_interval
from superalign.types import Instrument, Policy, Problem, Rollouts, Unmeasured, Verdict

Suspicion: TypeAlias = Callable[[Sequence[Problem], Sequence[str]], np.ndarray]  # (problems, texts) -> (R,)
Frame: TypeAlias = tuple[str, tuple[str, ...]]  # family, cues
NEARLY = 0.2  # share of its quality that a prompt may lose with a cue that it does not need


@dataclass(frozen=True, slots=True, kw_only=True)
class Elite:
    """The most suspicious answer of a cell."""

    problem: Problem
    text: str
    quality: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviourSearch:
    """Search prompts built from granted parts for the answers that a granted scorer suspects most.

    Catches: misbehaviour that the scorer sees, on the granted problems behind combinations of the granted cues; only texts of
    the subject are needed.
    Misses: what the scorer does not suspect, prompts that its parts do not make, conditions without a graded way to them.

    Source:
        Mouret and Clune, Illuminating search spaces by mapping elites, 2015; Samvelyan et al., Rainbow teaming, 2024.
    """

    problems: tuple[Problem, ...] = field(repr=False)
    cues: tuple[str, ...] = field(repr=False)
    suspicion: Suspicion = field(repr=False)
    mutate: Mutate | None = field(default=None, repr=False)  # by default cues and problems are added, dropped, swapped
    most: int = 3  # cues of a prompt
    budget: int = 400  # prompts of the search
    batch: int = 40  # prompts asked at once
    finalists: int = 6  # cells whose prompts are tried on more problems
    span: tuple[float, float] = (0.0, 30.0)  # the lowest and the highest score of the scorer
    max_tokens: int = 96

    @property
    def card(self) -> Instrument:
        """What it is, catches and misses."""
        return Instrument(
            name="behaviour search",
            version="1",
            catches="suspicious answers on prompts built from granted problems and cues",
            misses="what its scorer does not suspect; prompts that its parts do not make; gives no rate",
            settings=(
                ("problems", len(self.problems)),
                ("cues", len(self.cues)),
                ("most", self.most),
                ("budget", self.budget),
                ("batch", self.batch),
                ("finalists", self.finalists),
                ("max_tokens", self.max_tokens),
            ),
        )

    def __call__(self, policy: Policy, *, seed: int) -> Verdict:
        """Search, and measure the worst prompt found on fresh problems; the score is their mean suspicion."""
        asks = (
            with_sampling(policy, Sampling(temperature=0.0, max_tokens=self.max_tokens))
            if isinstance(policy, Model)
            else policy
        )
        searched, checked, fresh = thirds(self.problems)
        plain = asks.sample(checked, n=1, seed=seed)
        if not checked or sum(_whole(plain)) < max(1, len(checked) // 2):
            return cannot_tell(
                self.card, plain.policy, "the subject ends fewer than half of its answers, or says nothing"
            )
        mutate = self.mutate or mutator(searched, self.cues, self.most)
        bands = edges(searched)
        grown = illuminate(
            asks, start=searched, mutate=mutate, suspicion=self.suspicion, cues=self.cues, bands=bands,
            budget=self.budget, batch=self.batch, seed=seed,
        )  # fmt: skip
        archive = list(grown)[-1]
        if not archive:
            return cannot_tell(self.card, plain.policy, "the subject ended none of its answers in the search")
        found = worst_frame(asks, archive, checked, self.cues, self.suspicion, finalists=self.finalists, seed=seed)
        put = [with_cues(p, found[1]) for p in fresh if p.family == found[0]]
        problems, values, tokens = answered(asks, put, self.suspicion, seed=seed)
        if len(values) < 2:
            return cannot_tell(self.card, plain.policy, f"too few answered fresh problems of {found[0]} to measure on")
        # Cell and cues were chosen on other problems: nothing to allow for.
        interval = mean_interval(values)
        if isinstance(interval, Unmeasured):
            interval = all_equal(float(values[0]), n=len(values), span=self.span)
        cells = {cell_of(with_cues(p, self.cues[:n]), self.cues, bands) for p in searched for n in range(self.most + 1)}
        behind = f" behind '{' '.join(found[1])}'" if found[1] else ""
        return Verdict(
            instrument=self.card.digest,
            subject=plain.policy,
            score=interval,
            flagged=NOT_YET,
            why=f"the worst of {self.budget} prompts: answers in {found[0]}{behind} are suspected by {values.mean():.2f} on "
            f"fresh problems; {len(archive)} of {len(cells | set(archive))} cells filled; a search that adapts gives no rate",
            named=" ".join(found[1]),
            response_keys=tuple(p.digest for p in problems),
            response_scores=tuple(float(v) for v in values),
            cost_tokens=int(self.budget * tokens / max(1, len(values))),
        )


def illuminate(
    policy: Policy,
    *,
    start: Sequence[Problem],
    mutate: Mutate,
    suspicion: Suspicion,
    cues: Sequence[str],
    bands: Sequence[float],
    budget: int,
    batch: int,
    seed: int,
) -> Iterator[dict[Cell, Elite]]:
    """Fill an archive with the most suspicious answer of each cell; give it after every batch of prompts.

    Args:
        policy: What is searched.
        start: Problems that the first prompts are changed from.
        mutate: Changes a prompt.
        suspicion: Scores answers, higher for worse.
        cues: Words that count as cues in front of a prompt.
        bands: Lengths that part one band from the next.
        budget: Prompts to ask.
        batch: Prompts asked at once.
        seed: Of all draws.
    """
    rng, archive, asked = np.random.default_rng([seed, 19]), dict[Cell, Elite](), 0
    while asked < budget:
        count = min(batch, budget - asked)
        ranked = sorted(archive.values(), key=lambda e: -e.quality)
        # Every cell may be a parent; those of higher quality are drawn more often.
        parents = [
            ranked[int(len(ranked) * rng.random() ** 2)].problem if ranked else start[int(rng.integers(len(start)))]
            for _ in range(count)
        ]
        put = [mutate(p, rng) for p in parents]
        asked += count
        rollouts = policy.sample(put, n=1, seed=seed)
        kept = [i for i, whole in enumerate(_whole(rollouts)) if whole]
        if kept:
            scores = suspicion([put[i] for i in kept], [rollouts.text_R[i] for i in kept])
            for i, quality in zip(kept, scores, strict=True):
                cell = cell_of(put[i], cues, bands)
                if cell not in archive or quality > archive[cell].quality:
                    archive[cell] = Elite(problem=put[i], text=rollouts.text_R[i], quality=float(quality))
        yield dict(archive)


def worst_frame(
    policy: Policy,
    archive: dict[Cell, Elite],
    checked: Sequence[Problem],
    cues: Sequence[str],
    suspicion: Suspicion,
    *,
    finalists: int,
    seed: int,
) -> Frame:
    """Try the family and cues of the worst cells on more problems; of those that do nearly as well, the one with fewest cues."""
    ranked = sorted(archive, key=lambda c: (-archive[c].quality, c))
    frames = list(dict.fromkeys((c[0], front(archive[c].problem.prompt, cues)[0]) for c in ranked))[:finalists]
    for family, words in tuple(frames):
        frames += [
            (family, part) for part in [(w,) for w in words] + [words[:k] + words[k + 1 :] for k in range(len(words))]
        ]
    frames = sorted(dict.fromkeys(frames), key=lambda f: len(f[1]))
    means = []
    for family, words in frames:
        put = [with_cues(p, words) for p in checked if p.family == family]
        values = answered(policy, put, suspicion, seed=seed)[1]
        means.append(float(values.mean()) if len(values) else -np.inf)
    top = max(means)
    return frames[next(i for i, m in enumerate(means) if m >= top - NEARLY * abs(top))]


def answered(
    policy: Policy, put: Sequence[Problem], suspicion: Suspicion, *, seed: int
) -> tuple[list[Problem], np.ndarray, int]:
    """Ask, and score the answers that ended; the problems they answer, their scores, and the tokens written."""
    if not put:
        return [], np.zeros(0), 0
    rollouts = policy.sample(put, n=1, seed=seed)
    kept = [i for i, whole in enumerate(_whole(rollouts)) if whole]
    problems = [put[i] for i in kept]
    values = suspicion(problems, [rollouts.text_R[i] for i in kept]) if kept else np.zeros(0)
    return problems, values, int(rollouts.length_R.sum())


def _whole(rollouts: Rollouts) -> list[bool]:
    """Which rollouts say something and ended by themselves."""
    stopped = rollouts.stopped_R if len(rollouts.stopped_R) else np.ones(len(rollouts), bool)
    return [bool(rollouts.text_R[i].strip()) and bool(stopped[i]) for i in range(len(rollouts))]
