"""The notebook that all researchers share: the plans and answers that the vault keeps. Nobody reports results of their own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from superalign import stats
from superalign.researcher.programs import Program, read_program
from superalign.types import Answer, Interval, Plan, Record, Tier, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Record):
    """One plan, and its answer once there is one."""

    ticket: str
    plan: Plan
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook(Record):
    """Plans and answers of everybody, in the order of registration."""

    entries: tuple[Entry, ...] = ()

    def about(self, question: str, *, tier: Tier = "climb", researcher: str = "") -> tuple[Entry, ...]:
        """Return the entries of a question and tier, of one researcher or of all."""
        return tuple(
            e
            for e in self.entries
            if (e.plan.question, e.plan.tier) == (question, tier) and researcher in ("", e.plan.researcher)
        )

    def released(self, question: str) -> tuple[tuple[Entry, float], ...]:
        """Return the entries whose own score was released, best first."""
        found = [(e, float(e.answer.score)) for e in self.about(question) if e.answer and e.answer.word == "better"]
        return tuple(sorted(found, key=lambda pair: -pair[1]))

    def values(self, question: str) -> tuple[tuple[Entry, float], ...]:
        """Return what each submission seems to be worth, on the scale of predicted gains.

        A released score stands for itself, moved by how far such scores lie above their predictions. "Not better" says that a
        score is no higher than the best was, so the prediction is cut there.
        """
        released, found = self.released(question), []
        level = sum(score - e.plan.predicted for e, score in released) / max(len(released), 1)
        for e in self.about(question):
            if e.answer is None or e.answer.word not in ("better", "not better"):
                continue
            known = math.inf if isinstance(e.answer.score, Unmeasured) else float(e.answer.score) - level
            found.append((e, known if e.answer.word == "better" else min(e.plan.predicted, known)))
        return tuple(found)

    def programs(self, question: str) -> tuple[tuple[Program, float], ...]:
        """Return the programs among the submissions, with what each seems to be worth."""
        read = [(read_program(e.plan.hypothesis), value) for e, value in self.values(question)]
        return tuple((program, value) for program, value in read if program is not None)


def effective_ideas(families: Iterable[str]) -> float:
    """Return the effective number of ideas: the exponential of the entropy over families of methods.

    Example:
        >>> round(effective_ideas(["a"] * 98 + ["b"] * 2), 1), effective_ideas([])
        (1.1, 0.0)
    """
    counts = Counter(families)
    n = counts.total()
    return math.exp(-sum(c / n * math.log(c / n) for c in counts.values())) if n else 0.0


def uplift(notebook: Notebook, researcher: str, over: str = "random") -> Interval | Unmeasured:
    """Estimate how much more often a researcher's submissions are better than the best so far than those of another.

    The unit is the question: submissions to one question build on one another. Researchers that share a notebook also share
    its best score, so this compares them within one campaign.
    """
    shares = []
    for question in dict.fromkeys(e.plan.question for e in notebook.entries):
        pair = [notebook.about(question, researcher=who) for who in (researcher, over)]
        better = [[e.answer is not None and e.answer.word == "better" for e in entries] for entries in pair]
        shares += [sum(better[0]) / len(better[0]) - sum(better[1]) / len(better[1])] if all(pair) else []
    return stats.mean_interval(shares)
