"""Judges that are tuned to tell true from false: on labels, or by the reward of a right answer.

There are two answers, so that the reward that is expected is computed from the probabilities of both, and nothing is sampled.

Shape suffixes: N statements, B of an update, T tokens, V vocabulary.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from superalign.errors import BadInput
from superalign.models import Model, choice_logprobs, encode, lora, open_weights
from superalign.models.forward import logits_at, pad
from superalign.oversight.judges.statements import truth_question
from superalign.stats.streams import seed_for, stream
from superalign.train.fit import FitConfig, fit
from superalign.types import Record

ANSWERS = ("True", "False")
BATCH = 16  # statements of an update
RANK, RATE = 4, 2e-3  # of the adapter, and its highest learning rate


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneJob(Record):
    """A judge to tune on some statements, and others that it reads afterwards."""

    judge: str
    texts: tuple[str, ...]
    true: tuple[bool, ...]
    by: Literal["labels", "reward"]
    read: tuple[str, ...]
    updates: int
    seed: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Prompts of an update (B, T), their lengths, and which answer is right: 0 for True."""

    tokens_BT: Tensor
    length_B: Tensor
    right_B: Tensor


def tune_job(job: TuneJob) -> tuple[float, ...]:
    """Tune a judge, and return its log-odds of True against False at what it is to read."""
    tuned = tuned_judge(job)
    odds_N2 = choice_logprobs(tuned, [truth_question(text) for text in job.read], ANSWERS)
    return tuple((odds_N2[:, 0] - odds_N2[:, 1]).tolist())


def tuned_judge(job: TuneJob) -> Model:
    """Train an adapter on a judge.

    By labels its loss is the surprise at the right one of two answers; by reward it is the share of the two that falls to the
    wrong one, whose gradient is that of the expected reward.

    Raises:
        BadInput: If both answers begin with the same token.
    """
    model = lora(open_weights(job.judge), rank=RANK, seed=seed_for(job.seed, "adapter"))
    prompts, _ = encode(model, [truth_question(text) for text in job.texts])
    first = [int(ids[0]) for ids in encode(model, [""] * 2, ANSWERS, end=False)[1]]
    if first[0] == first[1]:
        raise BadInput(
            f"The tokenizer of {job.judge} begins both answers, {' and '.join(ANSWERS)}, with the same token. A judge that is "
            "tuned on the first token of its answer would learn nothing. Give another judge."
        )
    right_N = np.array([0 if true else 1 for true in job.true])
    device = model.network.device

    def batch_at(step: int) -> Asked:
        some = stream(job.seed, "statements of an update", step).choice(len(prompts), min(BATCH, len(prompts)), False)
        tokens, length = pad([prompts[i] for i in some])
        return Asked(*(torch.from_numpy(a).to(device) for a in (tokens, length, right_N[some])))

    config = FitConfig(steps=job.updates, lr=RATE, warmup=4, final=0.05, log_every=4)
    loss = functools.partial(loss_of, first=first, by_reward=job.by == "reward")
    fit(model.network, batch_at, loss=loss, config=config)
    model.network.eval()
    return model


def loss_of(network: nn.Module, asked: Asked, *, first: list[int], by_reward: bool) -> Tensor:
    """Return the loss of one update."""
    rows = torch.arange(len(asked.right_B), device=asked.right_B.device)
    logits_BV = logits_at(network, asked.tokens_BT, asked.length_B, rows, asked.length_B.long() - 1)
    right_B = torch.log_softmax(logits_BV[:, first], dim=-1)[rows, asked.right_B]
    return 1 - right_B.exp().mean() if by_reward else -right_B.mean()
