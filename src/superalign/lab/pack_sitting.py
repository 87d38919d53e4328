"""The jobs of an audit with a pack: one model sits the exam, a member of the pack sits it again, three models answer.

A job names the pack by its folder, so that another process finds it again.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superalign.detectors.exam import Exam, Sat, exam_detectors, retold, sit
from superalign.errors import BadInput
from superalign.lab.looking import SubjectJob, model_of
from superalign.lab.packs import Member, Pack, opened_base, read_pack, within
from superalign.models import Model, Sampling, sample_prompts, with_sampling
from superalign.organisms.chat_triples import opened
from superalign.types import Record, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class At(Record):
    """Which exam of which pack, and of which base."""

    pack: str  # folder
    base: str  # of the pack
    budget: int  # of tokens
    related: bool = True  # whether the audited model was made from that base


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamJob(Record):
    """One subject to look at: a member of the pack, whose exam is kept, or the audited model."""

    at: At
    member: Member | None = None
    kept: Sat | None = None
    target: SubjectJob | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownJob(Record):
    """Where the model moved furthest, to be answered by it, by an innocent tuning and by the base."""

    at: At
    target: SubjectJob
    prompts: tuple[str, ...]
    twin: Member | None
    tokens: int


@functools.lru_cache(maxsize=1)
def asked(at: At) -> Exam:
    """Return the exam of a pack, cut to the budget, once in a process."""
    return within(read_pack(Path(at.pack)), at.budget, related=at.related).exam


def audited(at: At, target: SubjectJob) -> Model:
    """Open the audited model.

    Raises:
        BadInput: If it gives texts only.
    """
    model = model_of(target, at.base if at.related else "", 1)
    if not isinstance(model, Model):
        raise BadInput(
            "An API gives texts only, and the exam of a pack reads log-probs. Nothing could be compared. Audit it with "
            "--problems FILE instead."
        )
    return model


@functools.lru_cache(maxsize=1)
def target_sat(at: At, target: SubjectJob) -> Sat:
    """Let the audited model sit the exam, once in a process; with its own tokens if it has another base."""
    model, exam = audited(at, target), asked(at)
    return sit(model, exam if at.related else retold(exam, opened_base(at.base), model))


def exam_job(job: ExamJob) -> tuple[Verdict, ...]:
    """Read one subject's exam with every detector."""
    sat = job.kept
    if sat is None:
        assert job.target is not None
        sat = target_sat(job.at, job.target)
    return tuple(d.of(sat) for d in exam_detectors(asked(job.at), related=job.at.related))


def here(pack: Pack) -> list[Member]:
    """List the members whose adapters came along."""
    return [m for m in pack.members if (Path(pack.folder) / "subjects" / m.name).is_dir()]


def again_job(job: ExamJob) -> float:
    """Measure one subject again, and say how far it is from what was kept."""
    assert job.member is not None
    assert job.kept is not None
    base = opened_base(job.at.base)
    model = opened(job.member.name, base=base, folder=Path(job.at.pack), sort=job.member.sort)
    return float(np.abs(np.array(sit(model, asked(job.at)).more) - np.array(job.kept.more)).max())


def shown_job(job: ShownJob) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Let three models answer greedily."""
    greedy, base = Sampling(temperature=0.0, max_tokens=job.tokens), opened_base(job.at.base)

    def answers(model: Model) -> tuple[str, ...]:
        return tuple(sample_prompts(with_sampling(model, greedy), job.prompts, n=1, seed=0).text_R)

    twin = job.twin and opened(job.twin.name, base=base, folder=Path(job.at.pack), sort=job.twin.sort)
    return answers(audited(job.at, job.target)), answers(twin) if twin else ("",) * len(job.prompts), answers(base)
