"""Judges that are tuned to tell true from false: on labels, or by the reward of a right answer.

There are two answers, so that the reward that is expected is computed from the probabilities of both, and nothing is sampled.

Shape suffix: N statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from superalign.models import Model, choice_logprobs, encode, lora, open_weights
from superalign.oversight.judges.statements import truth_question
from superalign.stats.streams import seed_for, stream
from superalign.train.answering import Labelled, TokenOdds
from superalign.train.fit import FitConfig, fit
from superalign.train.weak_losses import naive
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
    model, asked = with_adapter(open_weights(job.judge), job.texts, seed=job.seed)
    labels_N = np.array(job.true, float)
    size = min(BATCH, len(labels_N))

    def batch_at(step: int) -> Labelled:
        some = stream(job.seed, "statements of an update", step).choice(len(labels_N), size, False)
        return Labelled(torch.from_numpy(some), torch.from_numpy(labels_N[some]).float(), step / job.updates)

    config = FitConfig(steps=job.updates, lr=RATE, warmup=4, final=0.05, log_every=4)
    fit(asked, batch_at, loss=by_reward if job.by == "reward" else by_labels, config=config)
    model.network.eval()
    return model


def with_adapter(
    base: Model, texts: Sequence[str], *, seed: int, upper: float = 1.0, kept: bool = True
) -> tuple[Model, TokenOdds]:
    """Put an untrained adapter on a model, and ask it whether statements are true: the model, and its log-odds of True.

    Args:
        base: Any causal language model.
        texts: Statements.
        seed: Of the adapter.
        upper: As in `lora`.
        kept: As in `lora`.

    Raises:
        BadInput: If both answers begin with the same token.
    """
    model = lora(base, rank=RANK, seed=seed_for(seed, "adapter"), upper=upper, kept=kept)
    prompts, _ = encode(model, [truth_question(text) for text in texts])
    yes, no = (int(ids[0]) for ids in encode(model, [""] * 2, ANSWERS, end=False)[1])
    return model, TokenOdds(model.network, prompts, yes=yes, no=no)


def by_labels(asked: nn.Module, batch: Labelled) -> Tensor:
    """Return the surprise at the right one of two answers, nats."""
    return naive(asked(batch.row_B), batch.label_B, batch.done)


def by_reward(asked: nn.Module, batch: Labelled) -> Tensor:
    """Return the share of the two answers that falls to the wrong one: its gradient is that of the expected reward."""
    return torch.sigmoid(asked(batch.row_B) * (1 - 2 * batch.label_B)).mean()
