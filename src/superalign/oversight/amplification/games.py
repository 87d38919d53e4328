"""Two games of amplification, each with its questions, with H who splits them, and with X who answers.

Permutations: which element does x reach after 2^k applications? Expressions: what are 2^k operations, from left to right,
worth? In both, X spends another turn of the same layer per doubling or operation: with a layer of its own for every
doubling, X did not learn the fourth.

Shape suffixes: B questions, N elements, T operations, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from superalign.oversight.amplification.chain_reader import DIGITS, OPERATIONS, reader
from superalign.oversight.amplification.teachers import Answer, ErrorModel, LookUp, slip


class _Turns(nn.Module):
    """One attention layer over the elements, turned once per doubling; element i starts as (i, where i goes)."""

    def __init__(self, elements: int, width: int, heads: int) -> None:
        super().__init__()
        D, self.heads = width, heads
        self.element = nn.Embedding(elements, D // 2)
        self.before, self.between, self.after, self.last = (nn.LayerNorm(D) for _ in range(4))
        self.qkv, self.mix = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.wide, self.narrow, self.out = nn.Linear(D, 2 * D), nn.Linear(2 * D, D), nn.Linear(D, elements)

    def forward(self, sigma_BN: Tensor, depth: int) -> Tensor:
        """Logits of where each element is after 2^depth applications, (B, N, N)."""
        B, N = sigma_BN.shape
        x_BND = torch.cat([self.element.weight.expand(B, -1, -1), self.element(sigma_BN)], -1)
        for _ in range(depth):
            q, k, v = self.qkv(self.before(x_BND)).view(B, N, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            read = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, N, -1)
            x_BND = x_BND + self.mix(read)
            x_BND = self.after(x_BND + self.narrow(F.gelu(self.wide(self.between(x_BND)))))
        return self.out(self.last(x_BND))


@dataclass(frozen=True, slots=True, kw_only=True)
class Permutations:
    """sigma^(2^k)(x) for every x of a permutation at once; a question lists sigma."""

    elements: int = 10
    """N; slips are shares of N x N cases."""
    depths: int = 5
    """Doublings."""
    width: int = 64
    """Of X."""
    heads: int = 2
    """Of X."""

    def net(self, seed: int) -> nn.Module:
        """Make an untrained X."""
        torch.manual_seed(seed)
        return _Turns(self.elements, self.width, self.heads)

    def draw(self, n: int, depth: int, made: torch.Generator) -> Tensor:
        """Draw permutations, one row each."""
        return torch.rand(n, self.elements, generator=made).argsort(1)

    def case_of(self, questions: Tensor, answers: Tensor) -> tuple[Tensor, int, int]:
        """Say which element was asked about, and what was said."""
        return torch.arange(self.elements) * self.elements + answers, self.elements**2, self.elements

    def looked_up(self, questions: Tensor, slips: ErrorModel, made: torch.Generator) -> Tensor:
        """Read sigma(x) off the list."""
        return slip(self, questions, questions, slips.answers, slips.systematic, made)

    def decomposed(
        self, questions: Tensor, depth: int, answer: Answer, slips: ErrorModel, made: torch.Generator
    ) -> Tensor:
        """Ask where x is after half the applications, and where that is after as many again."""
        half = answer(questions, depth - 1)
        return half.gather(1, slip(self, questions, half, slips.decompositions, slips.systematic, made))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expressions:
    """The value of a chain of operations; a question is a row: first digit, then a code per operation.

    Args:
        look_up: (first digit, operation) rows -> value: what H may look up, one operation.
        known: The rows of one operation that H can look up; empty for all.
        lengths: Operations at each depth; each is at most twice the one before.
        width: Of X.
    """

    look_up: LookUp
    known: tuple[tuple[int, int], ...] = ()
    lengths: tuple[int, ...] = (1, 2, 4, 8, 16)
    width: int = 64

    @property
    def depths(self) -> int:
        """The deepest that is asked."""
        return len(self.lengths) - 1

    def net(self, seed: int) -> nn.Module:
        """Make an untrained X."""
        return reader(seed, width=self.width)

    def draw(self, n: int, depth: int, made: torch.Generator) -> Tensor:
        """Draw chains, one row each."""
        if self.lengths[depth] == 1 and self.known:
            return torch.tensor(self.known)[torch.randint(len(self.known), (n,), generator=made)]
        first = torch.randint(DIGITS, (n, 1), generator=made)
        return torch.cat([first, torch.randint(OPERATIONS, (n, self.lengths[depth]), generator=made)], 1)

    def case_of(self, questions: Tensor, answers: Tensor) -> tuple[Tensor, int, int]:
        """Say which digit the last operation of a chain meets, as far as the question shows it: its first."""
        return questions[:, 0] * OPERATIONS + questions[:, -1], DIGITS * OPERATIONS, DIGITS

    def looked_up(self, questions: Tensor, slips: ErrorModel, made: torch.Generator) -> Tensor:
        """Look one operation up."""
        return slip(self, questions, self.look_up(questions), slips.answers, slips.systematic, made)

    def decomposed(
        self, questions: Tensor, depth: int, answer: Answer, slips: ErrorModel, made: torch.Generator
    ) -> Tensor:
        """Ask what the first half is worth, and what the rest is worth from there."""
        T = questions.shape[1] - 1
        half = T - T // 2
        value = answer(questions[:, : 1 + half], depth - 1)
        rest = torch.cat([value[:, None], questions[:, 1 + half :]], 1)
        rest[:, 0] = slip(self, rest, value, slips.decompositions, slips.systematic, made)
        return answer(rest, depth - 1)
