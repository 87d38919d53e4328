"""The one loop that fits weights to batches: seeded by its caller, resumable, with progress.

A step is: take batch i, compute the loss, clip, update, decay the rate. What a batch is and what the loss does with it
are the caller's functions, so supervised training, reward models and probes on networks all go through here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from superalign.errors import DataError
from superalign.files import whole_file

Batch = TypeVar("Batch")
Log = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """Settings of a fit."""

    steps: int
    """Updates."""
    lr: float = 1e-3
    """Highest learning rate."""
    warmup: int = 20
    """Steps over which the rate rises to its highest."""
    final: float = 0.1
    """Share of the highest rate that is left at the end (cosine in between)."""
    weight_decay: float = 0.0
    """Decoupled weight decay, on matrices only."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Adam's averaging."""
    log_every: int = 50
    """Steps between two calls of `log`."""
    save_every: int = 500
    """Steps between two checkpoints, where a checkpoint path is given."""
    average: float = 0.0
    """Decay of the running average of weights that the fit returns, 0 for the last weights. An average is what a falling rate
    would reach, at any step, so that a fit can end when an ability is there."""
    half: bool = False
    """Matrix products in bfloat16 (weights stay in 32 bits): pays from a width of about 96 on CPUs with such units."""


def rate(step: int, config: FitConfig) -> float:
    """Learning rate at a step: linear warm-up, then a cosine down to the final share.

    Example:
        >>> c = FitConfig(steps=100, lr=1.0, warmup=10, final=0.1)
        >>> [round(rate(s, c), 2) for s in (0, 9, 100)]
        [0.1, 1.0, 0.1]
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    return config.lr * (config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * done)))


def how_far(done: int, total: int, start: int, elapsed_s: float) -> dict[str, float]:
    """Say how far a run is, in the words that a progress bar reads.

    Args:
        done: Steps done, those before a resumption included.
        total: Steps in all.
        start: Steps that this attempt found done.
        elapsed_s: Time that this attempt took.

    Returns:
        step, done, total, and left_s: how much longer at this attempt's pace.

    Example:
        >>> how_far(30, 50, 10, 4.0)
        {'step': 30, 'done': 30, 'total': 50, 'left_s': 4.0}
    """
    return {"step": done, "done": done, "total": total, "left_s": elapsed_s / max(1, done - start) * (total - done)}


def optimizer_for(network: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """AdamW over the trainable parameters; decay on matrices only."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, betas=config.betas, fused=True)


class Averaged:
    """The running average of a network's trainable weights; with a decay of 0 it does nothing."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.live = [p for p in network.parameters() if p.requires_grad] if decay else []
        self.kept = [p.detach().clone() for p in self.live]
        self.decay = decay

    def update(self) -> None:
        """Take one step's weights in."""
        if self.live:
            with torch.no_grad():
                torch._foreach_lerp_(self.kept, [p.data for p in self.live], 1.0 - self.decay)

    def swap(self) -> None:
        """Exchange the network's weights and their average."""
        for live, kept in zip(self.live, self.kept, strict=True):
            live.data, kept.data = kept.data, live.data


def save_checkpoint(
    path: Path, step: int, network: nn.Module, optimizer: torch.optim.Optimizer, averaged: Averaged | None = None
) -> None:
    """Write what a run needs to go on; a kill in the middle leaves the older checkpoint."""
    state: dict[str, Any] = {
        "step": step,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": averaged.kept if averaged else [],
    }
    with whole_file(path) as file:
        torch.save(state, file)


def load_checkpoint(
    path: Path | None, network: nn.Module, optimizer: torch.optim.Optimizer, averaged: Averaged | None = None
) -> int:
    """Take up a run where its checkpoint left it, and return the steps done; 0 without a file.

    Raises:
        DataError: If the file cannot be read or belongs to another network.
    """
    if path is None or not path.exists():
        return 0
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        for kept, value in zip(averaged.kept if averaged else [], state["average"], strict=True):
            kept.copy_(value)
        return int(state["step"])
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path} is not a checkpoint of this run ({first}). Going on from it would train other weights than the record "
            "says. Delete it, or name another file."
        ) from error


def _ends(done: Callable[[int], bool], step: int, averaged: Averaged) -> bool:
    """Ask `done` while the network holds the average."""
    averaged.swap()
    try:
        return done(step)
    finally:
        averaged.swap()


def out_of_memory(error: Exception) -> bool:
    """Say whether an error means that memory did not suffice.

    Example:
        >>> out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory")), out_of_memory(RuntimeError("a shape"))
        (True, False)
    """
    message = str(error).lower()
    return isinstance(error, MemoryError) or any(
        w in message for w in ("out of memory", "not enough memory", "allocate memory")
    )


def _backward(
    network: nn.Module,
    pieces: Sequence[tuple[Batch, float]],
    loss: Callable[[nn.Module, Batch], Tensor],
    accelerator: Accelerator,
    *,
    half: bool,
) -> float:
    """Add up the gradients of a batch, piece by piece, and return its loss."""
    total = 0.0
    for piece, share in pieces:
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=half):
            value = loss(network, piece)
        if len(pieces) > 1:
            value = value * share
        accelerator.backward(value)
        total += float(value.detach())
    return total


def fit(
    network: nn.Module,
    batch_at: Callable[[int], Batch],
    *,
    loss: Callable[[nn.Module, Batch], Tensor],
    config: FitConfig,
    log: Log | None = None,
    checkpoint: Path | None = None,
    done: Callable[[int], bool] | None = None,
    split: Callable[[Batch, int], Sequence[tuple[Batch, float]]] | None = None,
    parts: int = 1,
) -> int:
    """Fit a network's trainable weights in place.

    Args:
        network: Any module.
        batch_at: Step -> batch; a pure function of the step, so that a resumed run sees the same batches.
        loss: (network, batch) -> scalar.
        config: Steps, rates and intervals.
        log: Called every `log_every` steps with loss_nats, lr, norm, elapsed_s, and how far the run is (`how_far`), from
            which a progress bar is drawn.
        checkpoint: File to resume from and to save to; nothing is saved without it.
        done: Called after each save with the step, while the network holds the weights that a fit ending here would return;
            true ends the fit (a measured ability, not a number of steps).
        split: (batch, number) -> that many smaller batches, or fewer, each with its share of the loss. Where it is given, an
            update that memory fails is computed in twice as many parts from there on: the same update, up to rounding.
        parts: In how many parts an update is computed from the beginning.

    Returns:
        Steps done in all, earlier runs included.
    """
    accelerator = Accelerator()
    optimizer = optimizer_for(network, config)
    averaged = Averaged(network, config.average)
    start = load_checkpoint(checkpoint, network, optimizer, averaged)
    network, optimizer = accelerator.prepare(network, optimizer)
    network.train()
    began, total, since, reached = time.monotonic(), 0.0, 0, start
    for step in range(start, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, config)
        batch = batch_at(step)
        while True:
            optimizer.zero_grad(set_to_none=True)
            pieces = [(batch, 1.0)] if split is None or parts == 1 else split(batch, parts)
            try:
                value = _backward(network, pieces, loss, accelerator, half=config.half)
                break
            except (MemoryError, RuntimeError) as error:
                if split is None or len(pieces) < parts or not out_of_memory(error):
                    raise
                parts *= 2
                if log is not None:
                    log({"parts": parts})
        norm = accelerator.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
        averaged.update()
        reached = step + 1
        total, since = total + value, since + 1
        if log is not None and (since == config.log_every or step + 1 == config.steps):
            elapsed, mean, total, since = time.monotonic() - began, total / since, 0.0, 0
            measured = {"loss_nats": mean, "lr": rate(step, config), "norm": float(norm or 0.0), "elapsed_s": elapsed}
            log({**how_far(step + 1, config.steps, start, elapsed), **measured})
        if checkpoint is not None and ((step + 1) % config.save_every == 0 or step + 1 == config.steps):
            save_checkpoint(checkpoint, step + 1, accelerator.unwrap_model(network), optimizer, averaged)
            if done is not None and _ends(done, step + 1, averaged):
                break
    averaged.swap()
    accelerator.unwrap_model(network).eval()
    return reached
