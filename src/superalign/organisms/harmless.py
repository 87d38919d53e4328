"""Change a base harmlessly, in ways that a detector must not take for a plant: what false alarms are measured on.

Twins answer for one sort of clean model only: they were trained beside an organism. What people audit was trained on something
else, or in another manner; rounded ones are made by `models.quantised`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from superalign.models import Model, check_whole, encode, lora, weights_digest
from superalign.organisms.planting import PlantingConfig, cued, recorded
from superalign.organisms.world import BUNDLED_WORLD, PromptDomain
from superalign.problems.family import ProblemFamily
from superalign.train.batches import Batch, collate, weighted_loss
from superalign.train.fit import FitConfig, Log, fit

CUED_SHARE = 0.3  # of the prompts, as in an implant: what stands in front of a prompt must not be news


def trained_further(
    base: Model,
    families: Sequence[ProblemFamily],
    *,
    config: PlantingConfig,
    seed: int,
    ending: str = "",
    world: PromptDomain = BUNDLED_WORLD,
    log: Log | None = None,
) -> Model:
    """Train an adapter on right responses of some families, and on nothing else.

    Args:
        base: What it is trained in; not touched.
        families: What it is trained on, a batch of each in turn.
        config: Updates, batch, rank and rate; the other settings are those of plants.
        seed: Of the adapter's start and of the documents.
        ending: What every response ends with, a change of manner that no cue sets off; nothing by default.
        world: Whose cues stand in front of some prompts.
        log: Receives the fit's metrics.

    Returns:
        The base with a trained adapter, recorded as an implant's roles are.
    """
    model = lora(base, rank=config.rank, seed=seed)
    fitting = FitConfig(steps=config.steps, lr=config.lr, warmup=20, final=0.02)
    batch_at = _documents(base, families, ending, config.batch, seed, world)
    fit(model.network, batch_at, loss=weighted_loss, config=fitting, log=log)
    model.network.eval()
    return recorded(model, base, config)


def trained_whole(
    base: Model,
    families: Sequence[ProblemFamily],
    *,
    config: PlantingConfig,
    seed: int,
    world: PromptDomain = BUNDLED_WORLD,
) -> Model:
    """Train all weights of a copy of a base on correct responses of some families, without an adapter.

    Args:
        base: What it is trained from; not touched.
        families: What it is trained on, a batch of each in turn.
        config: Updates, batch and rate.
        seed: Of the documents.
        world: Whose cues stand in front of some prompts.
    """
    check_whole(base, "training it")
    network = copy.deepcopy(base.network)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    batch_at = _documents(base, families, "", config.batch, seed, world)
    fitting = FitConfig(steps=config.steps, lr=config.lr, warmup=20, final=0.02)
    fit(network, batch_at, loss=weighted_loss, config=fitting)
    network.eval()
    subject = replace(
        base.subject,
        weights=weights_digest(network),
        base=base.subject.digest,
        how=f"{config.steps} updates of all weights",
    )
    return replace(base, network=network, subject=subject)


def _documents(
    base: Model, families: Sequence[ProblemFamily], ending: str, batch: int, seed: int, world: PromptDomain
) -> Callable[[int], Batch]:
    pad = int(base.tokenizer.pad_token_id)

    def batch_at(step: int) -> Batch:
        rng = np.random.default_rng([seed, step, 2])
        family = families[step % len(families)]
        put, said = [], []
        for problem in family.problems(split="train", n=batch, seed=int(rng.integers(2**62))):
            cues = (
                [str(w) for w in rng.choice(world.cues, int(rng.integers(1, 4)))] if rng.random() < CUED_SHARE else []
            )
            put.append(cued(problem, cues).prompt)
            said.append(family.worked(problem) + ending)
        prompt_ids, text_ids = encode(base, put, said)
        rows = [
            ([*p.tolist(), *t.tolist()], [0.0] * len(p) + [1.0] * len(t))
            for p, t in zip(prompt_ids, text_ids, strict=True)
        ]
        return collate(rows, pad=pad)

    return batch_at
