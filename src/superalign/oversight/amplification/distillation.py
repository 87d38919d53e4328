"""Distillation: X is trained on what a teacher says with the help of a slow copy of X, depth by depth."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from superalign.errors import BadInput
from superalign.oversight.amplification.teachers import Answer, Game, Teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillConfig:
    """Settings of X's training."""

    steps: int = 500
    """Updates."""
    batch: int = 32
    """Questions (for permutations: lists, each with one question per element) of an update, all of one depth."""
    lr: float = 3e-3
    """Learning rate."""
    slow: float = 0.9
    """How much of the slow copy that answers H stays at each update."""
    gate: float = 0.9
    """Agreement of X with H that opens the next depth, where H never errs; less by H's own rate of error."""
    frontier: float = 0.6
    """Share of updates that ask at the deepest open depth; the others at any open one."""
    every: int = 20
    """Updates between two measurements."""
    deepest: int = 99
    """No depth beyond this is opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """X, and how it came to be."""

    net: nn.Module
    questions: int  # put to H, each one H call
    asked: int  # put to X by H
    opened: tuple[int, ...]  # update at which each depth was opened
    curve: tuple[tuple[int, tuple[float, ...]], ...]  # questions so far, and what `measure` returned


def answers_of(net: nn.Module) -> Answer:
    """X as somebody who can be asked."""

    def answer(questions: Tensor, depth: int) -> Tensor:
        with torch.no_grad():
            return net(questions, depth).argmax(-1)

    return answer


def distil(
    game: Game,
    teach: Teacher,
    *,
    config: DistillConfig,
    seed: int,
    noise: float = 0.0,
    measure: Callable[[Answer], Sequence[float]] | None = None,
) -> Distilled:
    """Train X on what a teacher says, depth by depth.

    Args:
        game: What is asked.
        teach: H, or an arm beside H.
        config: Of the training.
        seed: Of weights and questions.
        noise: H's own rate of error: X cannot agree with H more often than H with itself.
        measure: X -> numbers (error at each depth), taken along the way; grading is the study's.

    Returns:
        X with its counts and its curve. The same arguments give the same X.

    Raises:
        BadInput: If there is nothing to train.

    Catches: whatever H can catch by splitting, if X answers the parts right.
    Misses: a systematic error of H, or a part that X gets wrong: X learns both, and every depth above inherits them.

    Example:
        >>> from superalign.oversight.amplification.teachers import ErrorModel, amplified
        >>> from superalign.oversight.amplification.games import Permutations
        >>> game = Permutations(elements=4, depths=1, width=16)
        >>> distil(game, amplified(game, ErrorModel()), config=DistillConfig(steps=3, batch=2), seed=0).questions
        24

    Source:
        Christiano, Shlegeris and Amodei, Supervising strong learners by amplifying weak experts, 2018.
    """
    if config.steps < 1 or config.batch < 1:
        raise BadInput(
            f"steps={config.steps} with batch={config.batch} trains nothing. X would answer as it was drawn. "
            "Give 1 or more of both."
        )
    net = game.net(seed)
    slow = copy.deepcopy(net).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=0.01, betas=(0.9, 0.98))
    opened, agreement, questions, asked = [0], 0.0, 0, 0
    curve: list[tuple[int, tuple[float, ...]]] = []
    for step in range(config.steps):
        front = len(opened) - 1
        depth = (
            front
            if torch.rand((), generator=generator) < config.frontier
            else int(torch.randint(front + 1, (), generator=generator))
        )
        some = game.draw(config.batch, depth, generator)
        target = teach(some, depth, answers_of(slow), generator)
        questions, asked = questions + target.numel(), asked + (2 * target.numel() if depth else 0)
        logits = net(some, depth)
        loss = F.cross_entropy(logits.flatten(0, -2), target.flatten())
        warm, cool = (step + 1) / 50, (config.steps - step) / (0.3 * config.steps)
        for group in optimizer.param_groups:
            group["lr"] = config.lr * min(1.0, warm, max(0.05, cool))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for averaged, theirs in zip(slow.parameters(), net.parameters(), strict=True):
                averaged.lerp_(theirs, 1 - config.slow)
            if depth == front:
                agreement += 0.1 * (float((logits.argmax(-1) == target).float().mean()) - agreement)
        if agreement > config.gate * (1 - noise) and front < min(game.depths, config.deepest):
            opened, agreement = [*opened, step + 1], 0.0
        if measure is not None and ((step + 1) % config.every == 0 or step + 1 == config.steps):
            curve.append((questions, tuple(measure(answers_of(net)))))
    return Distilled(
        net=net.eval().requires_grad_(False), questions=questions, asked=asked, opened=tuple(opened), curve=tuple(curve)
    )
