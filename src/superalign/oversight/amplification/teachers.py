"""Iterated distillation and amplification: X learns to answer as an overseer H does who may ask X easier questions.

H cannot answer a question of depth k; H can answer depth 0, split a question into two of depth k - 1, and pass the first
answer on to the second. X is trained on what H says with X's help, a slow copy of X answers, and a depth is opened when X
agrees with H on the one before. Nothing here knows an answer: H reads what stands in the question, or is granted a look-up.

The games that are played stand in `games`; an overseer for worked responses in `judge`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

Answer: TypeAlias = Callable[[Tensor, int], Tensor]
"""(questions, depth) -> answers."""
LookUp: TypeAlias = Callable[[Tensor], Tensor]
"""Questions of depth 0 -> answers: what H can do alone; granted by the study where it needs an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorModel:
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

    def looked_up(self, questions: Tensor, slips: ErrorModel, made: torch.Generator) -> Tensor:
        """Let H answer questions of depth 0."""

    def decomposed(
        self, questions: Tensor, depth: int, answer: Answer, slips: ErrorModel, made: torch.Generator
    ) -> Tensor:
        """Let H split a question, ask the first half, and ask the second from what came out."""

    def case_of(self, questions: Tensor, answers: Tensor) -> tuple[Tensor, int, int]:
        """In which case each answer stands, how many cases and how many values there are."""


def slip(game: Game, questions: Tensor, right: Tensor, share: float, systematic: bool, made: torch.Generator) -> Tensor:
    """Let H err in a share of what H says."""
    case, cases, values = game.case_of(questions, right)
    return slipped(right, case, cases=cases, values=values, share=share, systematic=systematic, made=made)


Teacher: TypeAlias = Callable[[Tensor, int, Answer, torch.Generator], Tensor]
"""(questions, depth, X) -> what X is to say: H with X's help, or an arm that stands beside it."""


def amplified(game: Game, slips: ErrorModel) -> Teacher:
    """H with X's help: depth 0 is looked up, every other question is split in two.

    Source:
        Christiano, Shlegeris and Amodei, Supervising strong learners by amplifying weak experts, 2018.
    """

    def teach(questions: Tensor, depth: int, answer: Answer, generator: torch.Generator) -> Tensor:
        if depth == 0:
            return game.looked_up(questions, slips, generator)
        return game.decomposed(questions, depth, answer, slips, generator)

    return teach


def undecomposed(game: Game) -> Teacher:
    """A null: H does not split the question but asks X the whole of it, so that X learns its own answers."""

    def teach(questions: Tensor, depth: int, answer: Answer, generator: torch.Generator) -> Tensor:
        return answer(questions, depth) if depth else game.looked_up(questions, ErrorModel(), generator)

    return teach


def scrambled(game: Game) -> Teacher:
    """A null: H splits the question, and then answers at random."""

    def teach(questions: Tensor, depth: int, answer: Answer, generator: torch.Generator) -> Tensor:
        said = amplified(game, ErrorModel())(questions, depth, answer, generator)
        _, _, values = game.case_of(questions, said)
        return torch.randint(values, said.shape, generator=generator) if depth else said

    return teach


def direct(game: Game, truth: Answer, slips: ErrorModel) -> Teacher:
    """Say what amplification is compared with: somebody who knows all answers and errs at H's rate at every depth.

    Args:
        game: Whose cases slips are drawn from.
        truth: (questions, depth) -> right answers; a privilege that the study grants.
        slips: Share of `answers` that are wrong.
    """

    def teach(questions: Tensor, depth: int, answer: Answer, generator: torch.Generator) -> Tensor:
        return slip(game, questions, truth(questions, depth), slips.answers, slips.systematic, generator)

    return teach
