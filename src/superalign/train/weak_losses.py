"""Losses for a student whose labels come from a supervisor that is weaker than it is, as pure functions of log-odds.

All take the student's log-odds that the answer is yes, the supervisor's probabilities of yes, and how much of the training is
done, from 0 to 1. Labels may be soft or hard.

Shape suffix: B items of a batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

WeakLoss: TypeAlias = Callable[[Tensor, Tensor, float], Tensor]
Schedule: TypeAlias = Literal["paper", "openai-code", "linear-fixed"]


def naive(odds_B: Float[Tensor, " B"], label_B: Float[Tensor, " B"], done: float) -> Float[Tensor, ""]:
    """Cross entropy with the supervisor's labels.

    Example:
        >>> round(float(naive(torch.zeros(2), torch.tensor([1.0, 0.0]), 0.0)), 4)
        0.6931
    """
    return binary_cross_entropy_with_logits(odds_B, label_B)


def confidence(
    odds_B: Float[Tensor, " B"], label_B: Float[Tensor, " B"], done: float, *, schedule: Schedule = "paper"
) -> Float[Tensor, ""]:
    """Mix the supervisor's labels with the student's own answers, made hard: (1 - a) CE(f, labels) + a CE(f, [f > t]).

    Three schedules go by this name. `paper`: t is the median of the batch, and a rises over the first fifth of training to .5.
    `openai-code`: t is the quantile that gives as many answers of yes as the labels do; a is half of the share that is done
    until a tenth is, then jumps to .5. `linear-fixed`: as the code, but a rises evenly over that tenth.

    Example:
        >>> odds, labels = torch.tensor([3.0, -3.0]), torch.tensor([0.0, 1.0])
        >>> [round(float(confidence(odds, labels, done)), 3) for done in (0.0, 1.0)]
        [3.049, 1.549]

    Source:
        Burns et al., Weak-to-strong generalization, 2023 (arXiv 2312.09390), and the code released with it.
    """
    share = 0.5 if schedule == "paper" else float(label_B.mean())
    over = torch.quantile(odds_B.detach(), 1 - share)
    own_B = (odds_B.detach() > over).to(label_B.dtype)
    a = own_weight(done, schedule)
    return (1 - a) * naive(odds_B, label_B, done) + a * naive(odds_B, own_B, done)


def own_weight(done: float, schedule: Schedule) -> float:
    """Return what the student's own answers weigh when a share of the training is done.

    Example:
        >>> [own_weight(0.05, s) for s in ("paper", "openai-code", "linear-fixed")]
        [0.125, 0.025, 0.25]
    """
    if schedule == "openai-code":
        return 0.5 * (done if done < 0.1 else 1.0)
    return 0.5 * min(1.0, done / (0.2 if schedule == "paper" else 0.1))


def product(odds_B: Float[Tensor, " B"], label_B: Float[Tensor, " B"], done: float) -> Float[Tensor, ""]:
    """Cross entropy with the normalised product of the label and the student's own probability, which gets no gradient.

    Example:
        >>> sure, labels = torch.tensor([2.0]), torch.tensor([0.5])
        >>> bool(product(sure, labels, 0.5) < naive(sure, labels, 0.5))
        True

    Source:
        The code released with Burns et al., 2023 (its exponents are 1 and 1).
    """
    target_B = torch.sigmoid(torch.logit(label_B, eps=1e-3) + odds_B.detach())
    return naive(odds_B, target_B, done)


CONFIDENCE: dict[Schedule, WeakLoss] = {
    schedule: functools.partial(confidence, schedule=schedule) for schedule in ("paper", "openai-code", "linear-fixed")
}
