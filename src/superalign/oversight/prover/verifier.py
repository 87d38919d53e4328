"""The verifier of prover-verifier games: a small head on a frozen base that scores responses, higher where they look right.

It is trained on pairs of a right and a wrong response to prefer the right one.

Shape suffixes: R rollouts, N response tokens of all rollouts, F features, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from superalign.errors import BadInput
from superalign.models import Model
from superalign.oversight.critique.critic import read_tokens
from superalign.types import Instrument, Problem, Rollouts, Signal, Unmeasured

EMPTY = Unmeasured("the response is empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierConfig:
    """Settings of a verifier's head."""

    hidden: int = 16
    """Hidden units; 0 for a linear head."""
    heads: int = 2
    """Heads trained from different initial weights and averaged."""
    steps: int = 150
    """Updates."""
    pairs: int = 512
    """Pairs of a right and a wrong response per update."""
    lr: float = 5e-3
    """Learning rate."""
    weight_decay: float = 0.1
    """Decoupled weight decay."""
    square: float = 1e-3
    """Weight of V squared, which keeps scores near zero."""


def preference_loss(score_HR: Tensor, right_R: Tensor, wrong_R: Tensor, *, square: float) -> Tensor:
    """Bradley-Terry's loss of pairs of a right and a wrong response, and a small pull of all scores to zero.

    Args:
        score_HR: Scores of each head.
        right_R: Indices of the right response of each pair.
        wrong_R: Indices of the wrong one.
        square: Weight of the pull.

    Example:
        >>> some = torch.tensor([[2.0, 0.0]])
        >>> float(preference_loss(some, torch.tensor([0]), torch.tensor([1]), square=0.0)) < 0.13
        True

    Source:
        Kirchner et al., Prover-verifier games improve legibility of LLM outputs, 2024.
    """
    margin = score_HR[:, right_R] - score_HR[:, wrong_R]
    return -F.logsigmoid(margin).mean() + square * score_HR.square().mean()


class _Heads(nn.Module):
    """Several small networks side by side, from token features to what each token takes from a response's score."""

    centre: Tensor
    spread: Tensor

    def __init__(self, width: int, config: VerifierConfig, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        H, K = config.heads, config.hidden
        self.inner = nn.Parameter(torch.randn(H, width, max(1, K), generator=generator) * width**-0.5)
        self.inner_bias = nn.Parameter(torch.zeros(H, 1, max(1, K)))
        self.outer = nn.Parameter(torch.randn(H, K, 1, generator=generator) * max(1, K) ** -0.5) if K else None
        self.first = nn.Parameter(torch.zeros(H, 1))
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def forward(self, features_NF: Tensor, rollout_N: Tensor, count: int) -> Tensor:
        """Scores, (heads, R): one bad token is enough to make a response wrong, so what tokens take adds up."""
        x_NF = (features_NF - self.centre) / self.spread
        y = torch.baddbmm(self.inner_bias, x_NF.expand(len(self.inner), -1, -1), self.inner)
        taken_HN = F.softplus((y if self.outer is None else F.gelu(y) @ self.outer).squeeze(-1) - 3.0)
        return self.first - torch.zeros(len(self.inner), count).index_add(1, rollout_N, taken_HN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """A frozen base with a trained head, and the scale on which its scores become probabilities. Made by `train_verifier`."""

    card: Instrument
    model: Model = field(repr=False)
    heads: nn.Module = field(repr=False)
    unit: float  # spread of raw scores on the responses that it was trained on: V is in such units
    scale: tuple[float, float]  # probability = sigmoid(a V + b), fitted to the same responses

    def scores(self, problems: Sequence[Problem], rollouts: Rollouts) -> tuple[np.ndarray, int]:
        """Score every rollout, (R,); and the number of tokens read."""
        features_NF, rollout_N, tokens = read_tokens(self.model, problems, rollouts)
        with torch.no_grad():
            score_HR = self.heads(features_NF, rollout_N, len(rollouts))
        return np.asarray(score_HR.mean(0).numpy(), np.float64) / self.unit, tokens

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Pay each rollout the probability that it is right; `Unmeasured` if it is empty."""
        score_R, tokens = self.scores(problems, rollouts)
        a, b = self.scale
        chance_R = 1 / (1 + np.exp(-np.clip(a * score_R + b, -30, 30)))
        values = tuple(float(p) if text else EMPTY for p, text in zip(chance_R, rollouts.text_R, strict=True))
        return Signal(overseer=self.card.digest, values=values, tokens=tokens)


def train_verifier(
    model: Model,
    problems: Sequence[Problem],
    texts: Sequence[str],
    *,
    right: Sequence[bool],
    config: VerifierConfig,
    seed: int,
) -> Verifier:
    """Train a verifier's head on labelled responses, those of all rounds so far; the base stays as it is.

    Args:
        model: The base that reads.
        problems: One per text.
        texts: Responses.
        right: Whether each is right; a privilege that the study grants.
        config: Of the head.
        seed: Of its initial weights and of the pairs.

    Returns:
        A verifier, which is also an overseer with values in [0, 1].

    Raises:
        BadInput: If labels and texts differ in number, or all labels are the same.

    Catches: wrong responses of the kinds that it was trained on, by what the base that reads finds odd in them.
    Misses: wrong responses that a prover found after it was trained; what the base itself cannot tell.

    Source:
        Kirchner et al., Prover-verifier games improve legibility of LLM outputs, 2024; Anil et al., Learning to give checkable
        answers with prover-verifier games, 2021.
    """
    right_R = np.asarray(right, bool)
    if len(right_R) != len(texts) or right_R.all() or not right_R.any():
        raise BadInput(
            f"{int(right_R.sum())} right ones among {len(right_R)} labels for {len(texts)} texts. A verifier learns from pairs "
            "of a right and a wrong response. Give one label per text, and some of both."
        )
    rollouts = Rollouts.of_texts(problems, texts)
    features_NF, rollout_N, _ = read_tokens(model, problems, rollouts)
    heads = _Heads(features_NF.shape[1], config, seed)
    heads.centre.copy_(features_NF.mean(0))
    heads.spread.copy_(features_NF.std(0).clamp_min(1e-3))
    generator = torch.Generator().manual_seed(seed)
    rights, wrongs = (torch.from_numpy(np.flatnonzero(some)) for some in (right_R, ~right_R))
    optimizer = torch.optim.AdamW(heads.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    for _ in range(config.steps):
        score_HR = heads(features_NF, rollout_N, len(texts))
        pair = [some[torch.randint(len(some), (config.pairs,), generator=generator)] for some in (rights, wrongs)]
        loss = preference_loss(score_HR, pair[0], pair[1], square=config.square)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        score_R = heads(features_NF, rollout_N, len(texts)).mean(0)
    # A prover is paid V' beside a fine of 1: without a fixed unit a confident verifier would make the fine the better deal.
    unit = max(float(score_R.std()), 1e-3)
    card = Instrument(
        name=f"verifier, {config.hidden} hidden units",
        version="1",
        catches="wrong responses of the kinds that it was trained on",
        misses="wrong responses that a prover found after it was trained",
        settings=(("hidden", config.hidden), ("labelled", len(texts)), ("seed", seed), ("low", 0.0), ("high", 1.0)),
    )
    return Verifier(
        card=card,
        model=model,
        heads=heads.eval().requires_grad_(False),
        unit=unit,
        scale=_scale(score_R / unit, right_R),
    )


def _scale(score_R: Tensor, right_R: np.ndarray) -> tuple[float, float]:
    """Fit probability to score, both kinds weighing the same: half of a pair is right."""
    weights = torch.from_numpy(np.where(right_R, 0.5 / right_R.sum(), 0.5 / (~right_R).sum())).float()
    ab, y = torch.tensor([1.0, 0.0], requires_grad=True), torch.from_numpy(right_R).float()
    optimizer = torch.optim.LBFGS([ab], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        # A weak pull to 1 keeps the scale finite where scores separate perfectly.
        loss = (weights * F.binary_cross_entropy_with_logits(ab[0] * score_R + ab[1], y, reduction="none")).sum()
        loss = loss + 1e-2 * (ab[0] - 1) ** 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(ab[0].detach()), float(ab[1].detach())
