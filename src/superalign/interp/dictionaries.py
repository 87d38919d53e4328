"""Sparse dictionaries of activations: train one, and read its latents like any other unit.

f = act(W_e (x - c) + b), y = W_d f + d. A transcoder is the same with another target: what a module returns, read from what it
was given. Reconstruction is not the goal: the tests match latents with directions that were planted.

Shape suffixes: N items, D width read, E width written (D unless it is a transcoder), K latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from superalign.errors import BadInput

Activation: TypeAlias = Literal["top-k", "batch top-k", "relu"]
IDLE = 2_000  # items without firing after which a latent is dead and learns from what the others leave
REVIVED, REVIVAL = 32, 1 / 32  # dead latents that learn from an item, and the weight of their loss
COOLING = 0.3  # last share of the steps, over which the rate falls to nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class DictionaryConfig:
    """How a dictionary is trained."""

    latents: int
    """Latents, more than the width for a dictionary that is overcomplete."""
    k: int = 8
    """Latents that fire for an item; on average over a batch for batch top-k; not used for relu."""
    activation: Activation = "top-k"
    """What keeps codes sparse."""
    penalty: float = 2.0
    """Weight of the sum of codes in the loss; relu alone, whose codes it shrinks."""
    steps: int = 2_000
    """Updates."""
    batch: int = 256
    """Items of an update."""
    lr: float = 3e-3
    """Highest learning rate."""
    seed: int = 0
    """Of the first weights and of the batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dictionary:
    """A trained dictionary. A threshold of 0 leaves a plain ReLU; one above 0 silences what does not reach it."""

    centre_D: Float[np.ndarray, " D"]
    encode_DK: Float[np.ndarray, "D K"]
    bias_K: Float[np.ndarray, " K"]
    decode_KE: Float[np.ndarray, "K E"]
    offset_E: Float[np.ndarray, " E"]
    threshold_K: Float[np.ndarray, " K"]
    k: int = 0  # latents that fire for an item at most; 0 for any number

    def encode(self, x_ND: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N K"]:
        """Read how strongly each latent fires.

        Raises:
            BadInput: If the activations are of another width.
        """
        if x_ND.shape[1] != len(self.centre_D):
            raise BadInput(
                f"Activations of width {x_ND.shape[1]} do not fit a dictionary of width {len(self.centre_D)}. Its latents would "
                "mean nothing. Read them at the site that it was trained on."
            )
        f_NK = (x_ND - self.centre_D) @ self.encode_DK + self.bias_K
        f_NK = np.where(f_NK > self.threshold_K, f_NK, 0.0).clip(min=0.0)
        if self.k:
            least_N1 = np.partition(f_NK, -self.k, axis=1)[:, -self.k][:, None]
            f_NK = np.where(f_NK >= least_N1, f_NK, 0.0)
        return f_NK.astype(np.float32)

    def decode(self, f_NK: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "N E"]:
        """Put activations together from codes."""
        return f_NK @ self.decode_KE + self.offset_E


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How well a dictionary puts activations together; none of it says that a latent means anything."""

    fire: float  # latents that fire for an item, on average
    explained: float  # share of the variance
    dead: float  # share of latents that fire for no item


def train_dictionary(
    x_ND: Float[np.ndarray, "N D"], config: DictionaryConfig, *, target_NE: Float[np.ndarray, "N E"] | None = None
) -> Dictionary:
    """Train a dictionary on activations, or a transcoder from activations to what a module made of them.

    Args:
        x_ND: What is read.
        config: Size, sparsity and updates.
        target_NE: What is to be put together; x itself if it is not given.

    Returns:
        The dictionary in the units of the activations; decoder rows have length 1. The same seed gives the same weights.

    Raises:
        BadInput: If there are too few items, latents or dimensions for it, or a value is not finite.

    Example:
        >>> x = np.eye(4, dtype=np.float32)[np.arange(400) % 4]
        >>> found = train_dictionary(x, DictionaryConfig(latents=6, k=1, steps=200, batch=64))
        >>> quality(found, x).fire
        1.0

    Source:
        Gao et al., Scaling and evaluating sparse autoencoders, 2024 (arXiv 2406.04093): top-k and what revives dead latents;
        Bussmann et al., BatchTopK sparse autoencoders, 2024 (arXiv 2412.06410); Dunefsky et al., Transcoders, 2024
        (arXiv 2406.11944).
    """
    y_NE = x_ND if target_NE is None else target_NE
    _check(x_ND, y_NE, config)
    x, centre_D, scale = _standard(x_ND)
    y, offset_E, written = (x, centre_D, scale) if target_NE is None else _standard(y_NE)
    generator = torch.Generator().manual_seed(config.seed)
    weights = _first_weights(x.shape[1], config.latents, y.shape[1], generator, tied=target_NE is None)
    optimizer = torch.optim.Adam(weights, lr=config.lr)
    idle_K, threshold = torch.zeros(config.latents), 0.0
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * min(1.0, (1 - step / config.steps) / COOLING)
        rows = torch.randint(len(x), (config.batch,), generator=generator)
        loss, fired_K, least = _loss(weights, x[rows], y[rows], idle_K > IDLE, config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            weights[2] /= weights[2].norm(dim=1, keepdim=True)
        idle_K = torch.where(fired_K, 0.0, idle_K + config.batch)
        threshold = least if not step else 0.98 * threshold + 0.02 * least
    encode, bias, decode, offset = (w.detach().numpy() for w in weights)
    return Dictionary(
        centre_D=centre_D,
        encode_DK=encode * np.float32(written / scale),  # what fires then stands in the units of what is written
        bias_K=bias * np.float32(written),
        decode_KE=decode.copy(),
        offset_E=offset_E + np.float32(written) * offset,
        threshold_K=np.full(config.latents, threshold * written, np.float32),
        k=config.k if config.activation == "top-k" else 0,
    )


def _first_weights(D: int, K: int, E: int, generator: torch.Generator, *, tied: bool) -> list[Tensor]:
    """Draw the first weights: of an autoencoder what is read is what is written."""
    decode_KE = torch.randn(K, E, generator=generator)
    decode_KE = decode_KE / decode_KE.norm(dim=1, keepdim=True)
    encode_DK = torch.randn(D, K, generator=generator) / D**0.5
    weights = [decode_KE.T.clone() if tied else encode_DK, torch.zeros(K), decode_KE, torch.zeros(E)]
    return [w.requires_grad_() for w in weights]


def _check(x_ND: np.ndarray, y_NE: np.ndarray, config: DictionaryConfig) -> None:
    if len(x_ND) != len(y_NE) or len(x_ND) < 2 or not 1 <= config.k <= config.latents:
        raise BadInput(
            f"{len(x_ND)} items, {len(y_NE)} targets and {config.k} of {config.latents} latents make no dictionary. Each item "
            "needs its target, and no more latents can fire than there are. Give as many of both, and a smaller k."
        )
    if not (np.isfinite(x_ND).all() and np.isfinite(y_NE).all()):
        raise BadInput("An activation is not finite. Every weight would become NaN. Leave such items out.")


def _standard(x_ND: np.ndarray) -> tuple[Tensor, np.ndarray, float]:
    """Centre items and scale them to a mean squared length of their width: settings then fit any site."""
    centre_D = x_ND.mean(0).astype(np.float32)
    scale = float(np.sqrt(((x_ND - centre_D) ** 2).mean())) + 1e-12
    return torch.from_numpy(((x_ND - centre_D) / scale).astype(np.float32)), centre_D, scale


def _loss(
    weights: list[Tensor], x_BD: Tensor, y_BE: Tensor, dead_K: Tensor, config: DictionaryConfig
) -> tuple[Tensor, Tensor, float]:
    """Error of the reconstruction, which latents fired, and the least code that did."""
    encode, bias, decode, offset = weights
    before_BK = x_BD @ encode + bias
    f_BK = before_BK.relu()
    if config.activation == "top-k":
        f_BK = _largest(f_BK, config.k)
    elif config.activation == "batch top-k":
        f_BK = _largest(f_BK.flatten()[None], config.k * len(f_BK)).view_as(f_BK)
    error_BE = y_BE - f_BK @ decode - offset
    loss = error_BE.square().sum(1).mean()
    if config.activation == "relu":
        loss = loss + config.penalty * f_BK.sum(1).mean()
    if bool(dead_K.any()):  # what is dead learns to write what the others leave
        some_BK = _largest(torch.where(dead_K, before_BK.relu(), 0.0), min(REVIVED, int(dead_K.sum())))
        loss = loss + REVIVAL * (error_BE.detach() - some_BK @ decode).square().sum(1).mean()
    on_BK = f_BK.detach() > 0
    batch = config.activation == "batch top-k" and bool(on_BK.any())
    return loss, on_BK.any(0), float(f_BK.detach()[on_BK].min()) if batch else 0.0


def _largest(f_BK: Tensor, k: int) -> Tensor:
    """Keep the k largest of each row."""
    found = f_BK.topk(k, dim=1, sorted=False)
    return torch.zeros_like(f_BK).scatter(1, found.indices, found.values)


def quality(
    found: Dictionary, x_ND: Float[np.ndarray, "N D"], *, target_NE: Float[np.ndarray, "N E"] | None = None
) -> Quality:
    """Measure a dictionary on activations, best on others than those that it was trained on."""
    y_NE, f_NK = x_ND if target_NE is None else target_NE, found.encode(x_ND)
    left, there = ((y_NE - found.decode(f_NK)) ** 2).sum(), ((y_NE - y_NE.mean(0)) ** 2).sum()
    fired_NK = f_NK > 0
    return Quality(
        fire=float(fired_NK.sum(1).mean()),
        explained=float(1 - left / max(float(there), 1e-12)),
        dead=float(1 - fired_NK.any(0).mean()),
    )
