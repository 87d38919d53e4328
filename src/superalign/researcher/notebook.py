"""The notebook that all researchers share: the plans and answers that the vault keeps. Nobody reports results of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from superalign.ledger.signing import is_signed
from superalign.researcher.programs import Program, read_program
from superalign.types import Answer, Choice, Finding, Interval, Plan, Question, Record, Tier, Unmeasured, rebuild

NOUNS: Mapping[str, type[Any]] = {n.__name__: n for n in (Answer, Choice, Finding, Interval, Plan, Question)}


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
        asked = [e for e in self.entries if (e.plan.question, e.plan.tier) == (question, tier)]
        return tuple(e for e in asked if researcher in ("", e.plan.researcher))

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


def verified(findings: Iterable[Mapping[str, Any]], key: str) -> tuple[dict[str, Finding], tuple[str, ...]]:
    """Return the findings that the vault of this public key signed, by question; and the questions of all others."""
    found = [rebuild(f, NOUNS) for f in findings]
    signed = {f.question: f for f in found if is_signed(f, key)}
    return signed, tuple(f.question for f in found if f.question not in signed)


def read_notebook(history: Mapping[str, Any]) -> Notebook:
    """Read the notebook in what the vault tells of its history."""
    answers = {a["ticket"]: rebuild(a, NOUNS) for a in history["answers"]}
    plans = [rebuild(p, NOUNS) for p in history["plans"]]
    return Notebook(entries=tuple(Entry(ticket=p.digest, plan=p, answer=answers.get(p.digest)) for p in plans))


def about(question: Question) -> str:
    """Say what a question asks, by what it is scored and what it gives."""
    arrays = "; ".join(f"{name}: {what}" for name, what in question.arrays)
    return f"{question.asks}\nMetric: {question.metric}. Arrays: {arrays}.\nBaseline to beat: {question.published}."
