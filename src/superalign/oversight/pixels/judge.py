"""A judge who sees a few pixels of an image: a small network trained on random non-blank pixels.

Its first layer adds one part for each pixel shown, so what it sees is a set; a search can add a pixel without reading the
others again. Trained on one to eight pixels at once, so that it can also say something half-way through a debate.

Shape suffixes: P images, N sets of pixels, X pixels (64), H hidden units, C labels (10).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn

from superalign.errors import BadInput

INK_MOST = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelJudgeConfig:
    """Settings of a sparse judge's training; chosen on 297 training images left out."""

    hidden: int = 64
    """Units in each of two layers."""
    steps: int = 3000
    """Updates."""
    batch: int = 256
    """Images an update, pixels drawn anew."""
    lr: float = 5e-3
    """Highest learning rate."""
    weight_decay: float = 0.03
    """Decoupled weight decay; there are few images."""
    most: int = 8
    """Pixels shown: from one to this many."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelJudge:
    """Weights of a judge; reads sets of pixels and says which label it believes. See `train_pixel_judge`."""

    ink_XH: Float[np.ndarray, "X H"]  # per unit of ink (1 is the darkest)
    seen_XH: Float[np.ndarray, "X H"]
    bias_H: Float[np.ndarray, " H"]
    second_HH: Float[np.ndarray, "H H"]
    second_bias_H: Float[np.ndarray, " H"]
    label_HC: Float[np.ndarray, "H C"]
    label_bias_C: Float[np.ndarray, " C"]

    def parts(self, ink_X: Float[np.ndarray, " X"]) -> Float[np.ndarray, "X H"]:
        """Say what each pixel of an image adds to the first layer once it is shown."""
        return ink_X[:, None] * self.ink_XH + self.seen_XH

    def first(self, ink_NX: Float[np.ndarray, "N X"], shown_NX: Bool[np.ndarray, "N X"]) -> Float[np.ndarray, "N H"]:
        """Return the first layer, before its bend, with these pixels shown."""
        shown = shown_NX.astype(np.float32)
        return (ink_NX * shown) @ self.ink_XH + shown @ self.seen_XH + self.bias_H

    def rest(self, first_NH: Float[np.ndarray, "N H"]) -> Float[np.ndarray, "N C"]:
        """Log-odds of the labels from the first layer."""
        second_NH = np.maximum(np.maximum(first_NH, 0) @ self.second_HH + self.second_bias_H, 0)
        return second_NH @ self.label_HC + self.label_bias_C

    def logits(self, ink_NX: Float[np.ndarray, "N X"], shown_NX: Bool[np.ndarray, "N X"]) -> Float[np.ndarray, "N C"]:
        """Log-odds of the labels after these pixels."""
        return self.rest(self.first(ink_NX, shown_NX))

    def packed(self) -> str:
        """Write the weights as text.

        Example:
            >>> some = np.eye(64, dtype=int)[:20]
            >>> judge = train_pixel_judge(some, np.arange(20) % 10, config=PixelJudgeConfig(steps=2), seed=0)
            >>> judge_from(judge.packed()).packed() == judge.packed()
            True
        """
        return " ".join(
            "x".join(map(str, a.shape)) + ":" + base64.b64encode(a.astype(np.float32).tobytes()).decode()
            for a in (getattr(self, f.name) for f in fields(self))
        )


def judge_from(text: str) -> PixelJudge:
    """Read weights that `packed` wrote."""
    arrays = []
    for one in text.split(" "):
        shape, _, data = one.partition(":")
        flat = np.frombuffer(base64.b64decode(data), np.float32)
        arrays.append(flat.reshape([int(d) for d in shape.split("x")]))
    return PixelJudge(**dict(zip((f.name for f in fields(PixelJudge)), arrays, strict=True)))


def ink_of(ink_PX: Int[np.ndarray, "P X"]) -> Float[np.ndarray, "P X"]:
    """Ink from 0 to 1, as a judge reads it."""
    return (np.asarray(ink_PX) / INK_MOST).astype(np.float32)


def train_pixel_judge(
    ink_PX: Int[np.ndarray, "P X"], label_P: Int[np.ndarray, " P"], *, config: PixelJudgeConfig, seed: int
) -> PixelJudge:
    """Train a judge on random non-blank pixels of labelled images.

    Args:
        ink_PX: Images, 0 (blank) to 16.
        label_P: What they show, 0 to 9; a privilege that the study grants.
        config: See `PixelJudgeConfig`.
        seed: Of its weights and of the pixels drawn.

    Raises:
        BadInput: If there is no image, or one is blank.

    Source:
        Irving, Christiano and Amodei, AI safety via debate, 2018 (arXiv 1805.00899), section 3.2.
    """
    if len(ink_PX) == 0 or not (np.asarray(ink_PX) > 0).any(1).all():
        raise BadInput(
            "There is no image to train a judge on, or one of them is blank. A judge sees non-blank pixels only. Pass "
            "images with some ink."
        )
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x_PX, y_P = torch.from_numpy(ink_of(ink_PX)), torch.from_numpy(np.asarray(label_P)).long()
    X, H = x_PX.shape[1], config.hidden
    layers = nn.Linear(2 * X, H), nn.Linear(H, H), nn.Linear(H, 10)
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=config.steps)
    for _ in range(config.steps):
        drawn = torch.randint(len(x_PX), (config.batch,), generator=rng)
        count = torch.randint(1, config.most + 1, (config.batch, 1), generator=rng)
        x_BX = x_PX[drawn]
        order_BX = torch.rand(x_BX.shape, generator=rng) + 2.0 * (x_BX == 0)
        last_B1 = order_BX.topk(config.most, largest=False).values.gather(1, count - 1)
        shown_BX = ((order_BX <= last_B1) & (x_BX > 0)).float()
        loss = nn.functional.cross_entropy(net(torch.cat([x_BX * shown_BX, shown_BX], 1)), y_P[drawn])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    (first_XH, a), (second_HH, b), (label_HC, c) = (
        (layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy()) for layer in layers
    )
    return PixelJudge(
        ink_XH=first_XH[:X],
        seen_XH=first_XH[X:],
        bias_H=a,
        second_HH=second_HH,
        second_bias_H=b,
        label_HC=label_HC,
        label_bias_C=c,
    )
