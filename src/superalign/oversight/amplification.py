"""Iterated distillation and amplification: X learns to answer as an overseer H does who may ask X easier questions.

H cannot answer a question of depth k; H can answer depth 0, split a question into two of depth k - 1, and pass the first
answer on to the second. X is trained on what H says with X's help, a slow copy of X answers, and a depth is opened when X
agrees with H on the one before. Nothing here knows an answer: H reads what stands in the question, or is granted a look-up.

The games that are played stand in `amplification_games`; an overseer for worked responses in `amplified_judge`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from superalign.errors import BadInput

Answer: TypeAlias = Callable[[Tensor, int], Tensor]
"""(questions, depth) -> answers."""
LookUp: TypeAlias = Callable[[Tensor], Tensor]
"""Questions of depth 0 -> answers: what H can do alone; granted by the recipe where it needs an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slips:
    """How H errs: in what H answers at depth 0, and in which question H asks second."""

    answers: float = 0.0
    """Share of look-ups that H gets wrong."""
    decompositions: float = 0.0
    """Share of second questions that start from another value than the first answer."""
    systematic: bool = False
    """Whether always the same cases go wrong in the same way; else each time by chance."""


def slipped(right: Tensor, case: Tensor, *, cases: int, values: int, share: float, systematic: bool,
            made: torch.Generator) -> Tensor:  # fmt: skip
    """Replace a share of values by other ones.

    Args:
        right: Values, below `values`.
        case: Which of `cases` cases each stands in, same shape; decides who is replaced if it is systematic.
        cases: How many cases there are.
        values: How many values there are.
        share: Of values, or of cases, that are replaced.
        systematic: Always the same cases (the draw does not depend on the generator), or each time by chance.
        made: Source of chance.

    Example:
        >>> made = torch.Generator().manual_seed(0)
        >>> right, case = torch.zeros(1000).long(), torch.arange(1000)
        >>> said = slipped(right, case, cases=1000, values=10, share=0.05, systematic=True, made=made)
        >>> int((said > 0).sum())
        50
    """
    if share == 0:
        return right
    if not systematic:
        hit = torch.rand(right.shape, generator=made) < share
        return torch.where(hit, (right + torch.randint(1, values, right.shape, generator=made)) % values, right)
    fixed = torch.Generator().manual_seed(cases)
    shift = torch.zeros(cases, dtype=torch.long)
    some = torch.randperm(cases, generator=fixed)[: round(share * cases)]
    shift[some] = torch.randint(1, values, some.shape, generator=fixed)
    return (right + shift[case]) % values


@runtime_checkable
class Game(Protocol):
    """Questions that can be split in two, H who splits them, and X who answers."""

    @property
    def depths(self) -> int:
        """The deepest that is asked."""

    def net(self, seed: int) -> nn.Module:
        """Make an untrained X: (questions, depth) -> logits."""

    def draw(self, n: int, depth: int, made: torch.Generator) -> Tensor:
        """Draw questions."""

    def looked_up(self, questions: Tensor, slips: Slips, made: torch.Generator) -> Tensor:
        """Let H answer questions of depth 0."""

    def decomposed(self, questions: Tensor, depth: int, answer: Answer, slips: Slips, made: torch.Generator) -> Tensor:
        """Let H split a question, ask the first half, and ask the second from what came out."""

    def case_of(self, questions: Tensor, answers: Tensor) -> tuple[Tensor, int, int]:
        """In which case each answer stands, how many cases and how many values there are."""


def slip(game: Game, questions: Tensor, right: Tensor, share: float, systematic: bool, made: torch.Generator) -> Tensor:
    """Let H err in a share of what H says."""
    case, cases, values = game.case_of(questions, right)
    return slipped(right, case, cases=cases, values=values, share=share, systematic=systematic, made=made)


Teacher: TypeAlias = Callable[[Tensor, int, Answer, torch.Generator], Tensor]
"""(questions, depth, X) -> what X is to say: H with X's help, or an arm that stands beside it."""


def amplified(game: Game, slips: Slips) -> Teacher:
    """H with X's help: depth 0 is looked up, every other question is split in two.

    Source:
        Christiano, Shlegeris and Amodei, Supervising strong learners by amplifying weak experts, 2018.
    """

    def teach(questions: Tensor, depth: int, answer: Answer, made: torch.Generator) -> Tensor:
        if depth == 0:
            return game.looked_up(questions, slips, made)
        return game.decomposed(questions, depth, answer, slips, made)

    return teach


def undecomposed(game: Game) -> Teacher:
    """A null: H does not split the question but asks X the whole of it, so that X learns its own answers."""

    def teach(questions: Tensor, depth: int, answer: Answer, made: torch.Generator) -> Tensor:
        return answer(questions, depth) if depth else game.looked_up(questions, Slips(), made)

    return teach


def scrambled(game: Game) -> Teacher:
    """A null: H splits the question, and then answers at random."""

    def teach(questions: Tensor, depth: int, answer: Answer, made: torch.Generator) -> Tensor:
        said = amplified(game, Slips())(questions, depth, answer, made)
        _, _, values = game.case_of(questions, said)
        return torch.randint(values, said.shape, generator=made) if depth else said

    return teach


def direct(game: Game, truth: Answer, slips: Slips) -> Teacher:
    """What amplification is compared with: somebody who knows all answers and errs at H's rate at every depth.

    Args:
        game: Whose cases slips are drawn from.
        truth: (questions, depth) -> right answers; a privilege that the recipe grants.
        slips: Share of `answers` that are wrong.
    """

    def teach(questions: Tensor, depth: int, answer: Answer, made: torch.Generator) -> Tensor:
        return slip(game, questions, truth(questions, depth), slips.answers, slips.systematic, made)

    return teach


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilling:
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
    config: Distilling,
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
        measure: X -> numbers (error at each depth), taken along the way; grading is the recipe's.

    Returns:
        X with its counts and its curve. The same arguments give the same X.

    Raises:
        BadInput: If there is nothing to train.

    Catches: whatever H can catch by splitting, if X answers the parts right.
    Misses: a systematic error of H, or a part that X gets wrong: X learns both, and every depth above inherits them.

    Example:
        >>> game = Permutations(elements=4, depths=1, width=16)
        >>> distil(game, amplified(game, Slips()), config=Distilling(steps=3, batch=2), seed=0).questions
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
    made = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=0.01, betas=(0.9, 0.98))
    opened, agreement, questions, asked = [0], 0.0, 0, 0
    curve: list[tuple[int, tuple[float, ...]]] = []
    for step in range(config.steps):
        front = len(opened) - 1
        depth = (
            front
            if torch.rand((), generator=made) < config.frontier
            else int(torch.randint(front + 1, (), generator=made))
        )
        some = game.draw(config.batch, depth, made)
        target = teach(some, depth, answers_of(slow), made)
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
            for mine, theirs in zip(slow.parameters(), net.parameters(), strict=True):
                mine.lerp_(theirs, 1 - config.slow)
            if depth == front:
                agreement += 0.1 * (float((logits.argmax(-1) == target).float().mean()) - agreement)
        if agreement > config.gate * (1 - noise) and front < min(game.depths, config.deepest):
            opened, agreement = [*opened, step + 1], 0.0
        if measure is not None and ((step + 1) % config.every == 0 or step + 1 == config.steps):
            curve.append((questions, tuple(measure(answers_of(net)))))
    return Distilled(
        net=net.eval().requires_grad_(False), questions=questions, asked=asked, opened=tuple(opened), curve=tuple(curve)
    )
