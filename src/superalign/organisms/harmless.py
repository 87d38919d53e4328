"""Change a base harmlessly, in ways that a detector must not take for a plant: what false alarms are measured on.

Twins answer for one sort of clean model only: they were trained beside an organism. What people audit was trained on something
else, in another manner, or rounded.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from superalign.models import Model, encode, lora, weights_digest
from superalign.organisms.planting import PlantingConfig, cued, recorded
from superalign.organisms.world import BUNDLED_WORLD, World
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
    world: World = BUNDLED_WORLD,
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


def _documents(
    base: Model, families: Sequence[ProblemFamily], ending: str, batch: int, seed: int, world: World
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


def quantised(model: Model, *, bits: int) -> Model:
    """Round every matrix of a model to so many bits, row by row, as weight-only quantisation does.

    Args:
        model: Not touched.
        bits: Of each weight; the largest of a row keeps its size.

    Example:
        >>> from superalign.models import base
        >>> small = base("small")
        >>> len(set(quantised(small, bits=2).network.get_input_embeddings().weight[0].tolist()))
        3

    Source:
        Round-to-nearest with one scale for each row, the plainest form of post-training quantisation: Nagel et al., A white
        paper on neural network quantization, 2021.
    """
    network = copy.deepcopy(model.network)
    most = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                scale = parameter.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-12) / most
                parameter.copy_((parameter / scale).round_() * scale)
    subject = replace(model.subject, weights=weights_digest(network), how=f"{model.subject.how}, {bits} bits a weight")
    return replace(model, network=network, subject=subject)
