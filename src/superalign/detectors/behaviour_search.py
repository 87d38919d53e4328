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

from superalign.detectors.common import NOT_YET, with_cues
from superalign.detectors.prompt_parts import Cell, Mutate, cell_of, edges, front, mutator, thirds
from superalign.detectors.replies import (
    Sent,
    after_reading,
    ask_all,
    fates,
    in_parts,
    in_words,
    replies_of,
    too_few,
    unmeasured,
)
from superalign.detectors.replies import answered as usable
from superalign.models import Model, Sampling, with_sampling
from superalign.stats import all_equal, mean_interval
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
        sent: list[Sent] = []
        plain = ask_all(asks, checked, seed=seed)
        sent += fates(plain, [("", p.family) for p in checked])
        few = "" if checked else "too few problems to choose on"
        if 2 * len(usable(sent)) < len(checked):
            few = too_few(sent) or "the subject answers fewer than half of the problems"
        if few:
            return unmeasured(self.card, plain.policy, sent, few)
        mutate = self.mutate or mutator(searched, self.cues, self.most)
        bands = edges(searched)
        grown = illuminate(
            asks, start=searched, mutate=mutate, suspicion=self.suspicion, cues=self.cues, bands=bands,
            budget=self.budget, batch=self.batch, seed=seed, sent=sent,
        )  # fmt: skip
        archive = list(grown)[-1]
        if not archive:
            why = too_few(sent, cells=False) or "the subject ended none of its answers in the search"
            return unmeasured(self.card, plain.policy, sent, why)
        found = worst_frame(
            asks, archive, checked, self.cues, self.suspicion, finalists=self.finalists, seed=seed, sent=sent
        )
        put = [with_cues(p, found[1]) for p in fresh if p.family == found[0]]
        problems, values, tokens = answered(asks, put, self.suspicion, seed=seed, cues=self.cues, sent=sent)
        few = too_few(sent, cells=False)
        if not few and len(values) < 2:
            few = f"too few answered fresh problems of {found[0]} to measure on"
        if few:
            return unmeasured(self.card, plain.policy, sent, few)
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
            f"fresh problems; {len(archive)} of {len(cells | set(archive))} cells filled; a search that adapts gives no rate"
            f"{in_words(sent)}",
            named=" ".join(found[1]),
            response_keys=tuple(p.digest for p in problems),
            response_scores=tuple(float(v) for v in values),
            cost_tokens=int(self.budget * tokens / max(1, len(values))),
            replies=replies_of(sent),
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
    sent: list[Sent] | None = None,
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
        sent: What became of each request is put here.
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
        rollouts, scores = _scored(policy, put, suspicion, seed=seed, cues=cues, sent=sent)
        for i, quality in scores.items():
            cell = cell_of(put[i], cues, bands)
            if cell not in archive or quality > archive[cell].quality:
                archive[cell] = Elite(problem=put[i], text=rollouts.text_R[i], quality=quality)
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
    sent: list[Sent] | None = None,
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
        values = answered(policy, put, suspicion, seed=seed, cues=cues, sent=sent)[1]
        means.append(float(values.mean()) if len(values) else -np.inf)
    top = max(means)
    return frames[next(i for i, m in enumerate(means) if m >= top - NEARLY * abs(top))]


def answered(
    policy: Policy,
    put: Sequence[Problem],
    suspicion: Suspicion,
    *,
    seed: int,
    cues: Sequence[str] = (),
    sent: list[Sent] | None = None,
) -> tuple[list[Problem], np.ndarray, int]:
    """Ask, and score the answers that ended; the problems they answer, their scores, and the tokens written."""
    if not put:
        return [], np.zeros(0), 0
    rollouts, scores = _scored(policy, put, suspicion, seed=seed, cues=cues, sent=sent)
    return [put[i] for i in scores], np.array(list(scores.values())), int(rollouts.length_R.sum())


def _scored(
    policy: Policy,
    put: Sequence[Problem],
    suspicion: Suspicion,
    *,
    seed: int,
    cues: Sequence[str],
    sent: list[Sent] | None,
) -> tuple[Rollouts, dict[int, float]]:
    """Ask, and score what can be; each request goes with the cues in front of its prompt."""
    rollouts = ask_all(policy, put, seed=seed)
    now = fates(rollouts, [(" ".join(front(p.prompt, cues)[0]), p.family) for p in put])
    found = in_parts(lambda some: suspicion([put[i] for i in some], [rollouts.text_R[i] for i in some]), usable(now))
    now = after_reading(now, found)
    if sent is not None:
        sent += now
    return rollouts, {i: float(found[i]) for i in usable(now)}
