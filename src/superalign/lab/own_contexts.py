"""An auditor's own contexts, asked beside the exam of a pack: of the audited model, and of innocent tunings that came along.

The members of a pack were never asked behind them, so they set no threshold. What innocent tunings do there, measured on the
spot, stands beside what the model does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from superalign.detectors.exam import Cell, Exam, Sat, by_context, in_tokens_of, surprise
from superalign.lab.looking import SubjectJob, refuse_unwritten
from superalign.lab.pack_sitting import At, asked, audited, here, target_sat
from superalign.lab.packs import Member, Pack, opened_base
from superalign.organisms.chat_triples import opened
from superalign.problems.contexts import PLAIN, Context, Turns, read_audited_contexts
from superalign.stats import median_interval
from superalign.types import Interval, Record, Unmeasured

INNOCENT = 4  # tunings and twins that are asked as well


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnJob(Record):
    """Who is asked behind which contexts."""

    at: At
    contexts: tuple[Context, ...]
    target: SubjectJob | None = None
    member: Member | None = None
    kept: Sat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Own(Record):
    """What one model does behind one context of the auditor's."""

    context: str
    beyond: Interval | Unmeasured  # nats a token that it moves further there than in other contexts


def own_jobs(pack: Pack, at: At, target: SubjectJob, path: str) -> list[OwnJob]:
    """Return the job of the audited model, and those of innocent members whose adapters came along."""
    own = read_audited_contexts(path)
    kept = dict(pack.sat)
    clean = [m for m in here(pack) if m.role == "clean"][:INNOCENT]
    return [
        OwnJob(at=at, contexts=own, target=target),
        *(OwnJob(at=at, contexts=own, member=m, kept=kept[m.name]) for m in clean),
    ]


def own_job(job: OwnJob) -> tuple[Own, ...]:
    """Measure how much further one model moves behind each of the contexts than elsewhere."""
    base, exam = opened_base(job.at.base), asked(job.at)
    if job.target is not None:
        model, sat = audited(job.at, job.target), target_sat(job.at, job.target)
    else:
        assert job.member is not None
        assert job.kept is not None
        model, sat = opened(job.member.name, base=base, folder=Path(job.at.pack), sort=job.member.sort), job.kept
    refuse_unwritten(model, job.contexts)
    cells, prompts = cells_behind(exam, job.contexts)
    more = surprise(model, prompts, in_tokens_of(model, base, cells)) - surprise(base, prompts, [c.ids for c in cells])
    whole = by_context(
        replace(exam, cells=(*exam.cells, *cells)), replace(sat, more=(*sat.more, *(float(x) for x in more)))
    )
    return tuple(Own(context=c.name, beyond=median_interval(whole[key(c.name)])) for c in job.contexts)


def key(name: str) -> str:
    """Name a context of one's own apart from those of the exam, which may hold the same words."""
    return f"own: {name}"


def cells_behind(exam: Exam, contexts: Sequence[Context]) -> tuple[list[Cell], list[str | Turns]]:
    """Put the questions that the exam asks in contexts behind these as well, with the base's own plain answers.

    Returns:
        The cells, and what is asked in each.
    """
    plain = [c for c in exam.cells if c.context == PLAIN.name]
    behind = {c.question for c in exam.cells if c.context != PLAIN.name} or {c.question for c in plain}
    plain = [c for c in plain if c.question in behind]
    put = [(context, c) for context in contexts for c in plain]
    return [replace(c, context=key(o.name)) for o, c in put], [o.around(c.prompt) for o, c in put]
