"""How much researchers add: ideas, uplift over chance, and rungs of the ladder an hour, of a person's or of a program's.

Hours are told by whoever spent them, and taken as told. A person's hour is time between a question being shown and a submission,
breaks included; a program's is what its proposals cost it, without the vault's part.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from superalign import stats
from superalign.kit.evidence import Estimate
from superalign.kit.parts import table
from superalign.lab.hours import seconds_of
from superalign.report import Table
from superalign.researcher.notebook import Notebook
from superalign.types import Interval, Record, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace(Record):
    """How fast one researcher climbed, on the real questions or on their impossible twins."""

    researcher: str
    twins: bool  # the null: nothing can be climbed there but by luck
    questions: int
    submissions: int
    rungs: int
    hours: float | Unmeasured
    by_hour: Estimate  # rungs an hour, over questions
    uplift: Estimate  # over another researcher's rungs an hour, on the same questions


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


def paces(
    notebook: Notebook, spent: Mapping[str, float], twins: Mapping[str, bool], *, over: str = "random"
) -> tuple[Pace, ...]:
    """Return the pace of every researcher, on real questions and on twins.

    Args:
        notebook: Of the campaign.
        spent: Seconds of one proposal, for researchers that are programs.
        twins: Which questions are impossible, known once the vault is closed.
        over: Whose pace others are compared with.
    """
    climbs = [e for e in notebook.entries if e.plan.tier == "climb" and e.answer]
    found = []
    for who, twin in ((w, t) for w in dict.fromkeys(e.plan.researcher for e in climbs) for t in (False, True)):
        asked = [name for name, is_twin in twins.items() if is_twin == twin]
        mine, other = ({q: c for q in asked if (c := _climbed(notebook, q, name, spent))} for name in (who, over))
        rates, others = ({q: c[1] / c[2] for q, c in m.items() if c[2]} for m in (mine, other))
        whole = len(rates) == len(mine)
        none = Unmeasured("it is the same" if who == over else "its hours were not told")
        found.append(
            Pace(
                researcher=who,
                twins=twin,
                questions=len(mine),
                submissions=sum(c[0] for c in mine.values()),
                rungs=sum(c[1] for c in mine.values()),
                hours=sum(c[2] for c in mine.values()) if whole else none,
                by_hour=stats.mean_interval(list(rates.values())) if whole else none,
                uplift=none
                if who == over or not whole
                else stats.mean_interval([rates[q] - others[q] for q in rates if q in others]),
            )
        )
    return tuple(found)


def pace_table(found: Iterable[Pace]) -> Table:
    """Show paces, a researcher in a row."""
    columns = (
        "researcher",
        "questions",
        "of them",
        "submissions",
        "rungs",
        "hours",
        "rungs an hour",
        "more than random",
    )
    which = {False: "real", True: "impossible"}
    return table(
        "Rungs an hour: a person's at the terminal, a program's of processor time",
        columns,
        [
            (p.researcher, which[p.twins], p.questions, p.submissions, p.rungs, p.hours, p.by_hour, p.uplift)
            for p in found
        ],
    )


def _climbed(notebook: Notebook, question: str, who: str, spent: Mapping[str, float]) -> tuple[int, int, float] | None:
    """Return somebody's submissions to a question, rungs and hours (0: not told); None where there is no submission."""
    mine = [e for e in notebook.about(question, researcher=who) if e.answer]
    seconds = [spent.get(who, seconds_of(e.plan.hypothesis) or 0.0) for e in mine]
    rungs = sum(e.answer is not None and e.answer.word == "better" for e in mine)
    return (len(mine), rungs, sum(seconds) / 3600 if all(seconds) else 0.0) if mine else None
