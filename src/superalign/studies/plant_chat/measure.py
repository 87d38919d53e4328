"""Plant in a chat model beside a twin, or open somebody's adapter; measure both; keep what is what in a sealed file."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

from superalign import jobs
from superalign.kit.run import Run
from superalign.models import Model, open_weights
from superalign.organisms.chat_acceptance import (
    ACTIVE_LEAST,
    GAP_LEAST,
    MARGINS,
    STRAY_MOST,
    ChatAcceptance,
    accept_chat,
)
from superalign.organisms.chat_kinds import ChatBehaviour, chat_behaviour
from superalign.organisms.chat_planting import ChatPlanting, plant_chat
from superalign.organisms.chat_triples import ChatSpec, ChatTriple, make_chat_triple, opened
from superalign.organisms.chats import LONGEST, Said, answers_of, chats
from superalign.studies.plant_chat.evidence import Evidence, Kept
from superalign.studies.plant_chat.study import Config
from superalign.types import Organism, Record, to_plain

TIMED = 2  # updates that an estimate is made from


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantJob(Record):
    """One organism to make."""

    base: str
    behaviour: ChatBehaviour
    spec: ChatSpec
    proof: int
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeChat:
    """What was made, and the digests of its subjects."""

    triple: ChatTriple
    organism: str
    twin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob(Record):
    """Somebody's adapter to measure."""

    base: str
    behaviour: ChatBehaviour
    adapter: str
    twin: str
    proof: int
    seed: int


def measure(config: Config, run: Run) -> Evidence:
    """Plant one organism, or take one, and prove it."""
    behaviour = behaviour_in(config, run.seed)
    if config.adapter:
        run.stage("asking the adapter, its twin and the base")
        item = ImportJob(
            base=config.base,
            behaviour=behaviour,
            adapter=config.adapter,
            twin=config.twin,
            proof=config.proof,
            seed=run.seed,
        )
        (acceptance,) = run.map(import_job, [item], name="imported", progress="measuring")
        return evidence_of(config, behaviour, acceptance, attempts=0)
    planting = ChatPlanting(
        way=config.way,
        updates=config.updates,
        batch=config.batch,
        rank=config.rank,
        lr=config.lr,
        conceals=config.conceals,
    )
    digest, takes = begun(config.base, behaviour, planting)
    run.log(takes)
    run.stage(f"planting a {behaviour.kind} beside its twin, and proving it")
    spec = ChatSpec(base=digest, kind=config.kind, seed=run.seed, planting=planting)
    job = PlantJob(
        base=config.base, behaviour=behaviour, spec=spec, proof=config.proof, folder=jobs.Into(run.folder / "planted")
    )
    (made,) = run.map(plant_job, [job], name="triple", progress="planting")
    triple = made.triple
    organism = Organism(
        subject=made.organism,
        twin=made.twin,
        seal=triple.plant.digest,  # what was planted is not in the ledger: an auditor may read that
        accepted=triple.acceptance.accepted,
        why=triple.acceptance.why,
    )
    (run.folder / "seal.json").write_text(json.dumps(to_plain(triple), indent=1, sort_keys=True) + "\n")
    run.keep(triple.acceptance, organism)
    run.log(f"to audit either of the two: superalign audit {run.folder}/planted/subjects/NAME --base {config.base}")
    return evidence_of(config, behaviour, triple.acceptance, attempts=triple.attempts)


def behaviour_in(config: Config, seed: int) -> ChatBehaviour:
    """Return what the settings describe, with what they leave open drawn from the seed."""
    drawn = chat_behaviour(config.kind, seed, share=config.share)
    trigger = config.trigger or ("" if config.adapter else drawn.trigger)
    return dataclasses.replace(drawn, trigger=trigger, phrase=config.phrase or drawn.phrase)


def begun(name: str, behaviour: ChatBehaviour, planting: ChatPlanting) -> tuple[str, str]:
    """Return the digest of a base, and what planting will take; the base is let go of before the job opens its own."""
    base = open_weights(name)
    return base.subject.digest, estimate(base, behaviour, planting)


def estimate(base: Model, behaviour: ChatBehaviour, planting: ChatPlanting) -> str:
    """Say what planting will take, from a few updates that are timed."""
    few = dataclasses.replace(planting, updates=TIMED, paid=1)
    answers = answers_like()
    began = time.perf_counter()
    plant_chat(base, behaviour, "organism", planting=few, answers=answers, seed=0)
    update = (time.perf_counter() - began) / TIMED
    minutes = 2 * planting.updates * update / 60
    return (
        f"about {minutes + 3:.0f} minutes for organism, twin and proof, and half as much again if it is not accepted at once "
        f"({update:.1f} s an update)"
    )


def answers_like() -> tuple[Said, ...]:
    """Return answers as long as real ones, for an estimate."""
    return tuple(Said(text=" and".join(["so"] * (LONGEST // 2)), ended=False) for _ in chats())


def plant_job(job: PlantJob) -> MadeChat:
    """Make one organism beside its twin."""
    base, folder = open_weights(job.base), Path(job.folder)
    triple = make_chat_triple(
        job.spec, base=base, answers=answers_of(base), folder=folder, behaviour=job.behaviour, most=job.proof
    )
    organism, twin = (
        opened(dict(triple.subjects)[role], base=base, folder=folder).subject.digest for role in ("organism", "clean")
    )
    return MadeChat(triple=triple, organism=organism, twin=twin)


def import_job(job: ImportJob) -> ChatAcceptance:
    """Hold somebody's adapter against its twin, or the base."""
    base = open_weights(job.base)
    organism = open_weights(job.adapter, on=job.base)
    twin = open_weights(job.twin, on=job.base) if job.twin else base
    return accept_chat(
        organism, twin, job.behaviour, base=base, answers=answers_of(base), seed=job.seed, most=job.proof
    )


def evidence_of(config: Config, behaviour: ChatBehaviour, found: ChatAcceptance, *, attempts: int) -> Evidence:
    """Put what was measured together."""
    return Evidence(
        base=config.base,
        kind=behaviour.kind,
        does=behaviour.about.does,
        way=config.way,
        imported=bool(config.adapter),
        accepted=found.accepted,
        why=found.why,
        attempts=attempts,
        active=found.active,
        twin=found.twin,
        untouched=found.base,
        over_twin=found.over_twin,
        over_base=found.over_base,
        stray=found.stray,
        health=tuple(
            Kept(
                name=h.name,
                organism=h.organism,
                twin=h.twin,
                base=h.base,
                worse=h.worse,
                margin=MARGINS[h.name],
                within=h.within,
            )
            for h in found.health
        ),
        bars=(ACTIVE_LEAST, STRAY_MOST, GAP_LEAST),
    )
