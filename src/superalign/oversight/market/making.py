"""AI safety via market making: a market foresees a judge's belief, an adversary argues whatever moves its price most.

The judge can put two numbers together, no more. A question is a row of numbers and a claim about all of them folded into
one. An argument names two neighbouring stretches of the row; if the judge knows what both come to, she puts the two
together and knows the longer stretch. She believes nothing about the claim (one half) until she knows what the whole row
comes to. The market M sees the question and the arguments so far and prices the belief that she will end with; the adversary
is rewarded with how far the price moves. Nobody here is told whether a claim is true: `Human` is granted by the study.
`training` trains both.

`market_price` is the same idea before written responses: the market prices "this response is right", the adversary shows the
judge the one step whose check moves the price most, and the price after it is the value.

Shape suffixes: B questions, N numbers, S stretches, A arguments, T arguments of one game, R rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from superalign.oversight.judges.judge import NO_STEPS, CheckStep, CountSteps
from superalign.types import Instrument, Problem, Rollouts, Signal, Unmeasured

NOTHING = 0  # in a row: no number stands here


@dataclass(frozen=True, slots=True, kw_only=True)
class Human:
    """The judge's two abilities, as the study grants them."""

    combine: Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]  # what two known stretches come to
    believe: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (what the row comes to or -1, claim) -> belief in [0, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Stretches of a row of at most N numbers, and the arguments that join two of them."""

    numbers: int
    stretches: tuple[tuple[int, int], ...]  # [start, end); the first N are the numbers themselves
    left_A: np.ndarray
    right_A: np.ndarray
    whole_A: np.ndarray

    def row(self, length: int) -> int:
        """Return the stretch that a row of this length is."""
        return self.stretches.index((0, length))

    def script(self, arguments: int) -> list[int]:
        """Arguments that join one number after another, the last one over and over; they settle every question.

        Example:
            >>> board(3).script(3)
            [0, 3, 3]
        """
        steps = [(self.row(k), k, self.row(k + 1)) for k in range(1, self.numbers)]
        joins = list(zip(self.left_A.tolist(), self.right_A.tolist(), self.whole_A.tolist(), strict=True))
        joining = [joins.index(step) for step in steps]
        return (joining + joining[-1:] * arguments)[:arguments]


def board(numbers: int) -> Board:
    """Lay out the game for rows of up to so many numbers.

    Example:
        >>> made = board(3)
        >>> made.stretches, len(made.whole_A)
        (((0, 1), (1, 2), (2, 3), (0, 2), (1, 3), (0, 3)), 4)
    """
    spans = tuple((i, i + size) for size in range(1, numbers + 1) for i in range(numbers + 1 - size))
    of = {span: s for s, span in enumerate(spans)}
    joins = [(of[i, j], of[j, k], of[i, k]) for i, k in spans for j in range(i + 1, k)]
    left_A, right_A, whole_A = np.array(joins, np.int64).reshape(-1, 3).T
    return Board(numbers=numbers, stretches=spans, left_A=left_A, right_A=right_A, whole_A=whole_A)


def known_at_first(on: Board, numbers_BN: np.ndarray) -> np.ndarray:
    """Say which stretches the judge knows before any argument: the numbers themselves, (B, S)."""
    known_BS = np.zeros((len(numbers_BN), len(on.stretches)), bool)
    known_BS[:, : on.numbers] = numbers_BN != NOTHING
    return known_BS


def hear(
    on: Board, numbers_BN: np.ndarray, claim_B: np.ndarray, said_BT: np.ndarray, human: Human, rng: np.random.Generator
) -> np.ndarray:
    """Let the judge hear a game's arguments.

    Args:
        on: The board.
        numbers_BN: Rows, `NOTHING` beyond their ends.
        claim_B: What is claimed of each row.
        said_BT: Arguments in their order.
        human: The judge.
        rng: Of her slips, if she makes any.

    Returns:
        Her final beliefs, (B,). An argument about stretches that she does not know, or to one that she knows, is wasted.
    """
    B, rows = len(numbers_BN), np.arange(len(numbers_BN))
    value_BS = np.full((B, len(on.stretches)), -1, np.int64)
    value_BS[:, : on.numbers] = np.where(numbers_BN == NOTHING, -1, numbers_BN)
    for said_B in said_BT.T:
        left_B, right_B = value_BS[rows, on.left_A[said_B]], value_BS[rows, on.right_A[said_B]]
        whole_B = on.whole_A[said_B]
        new_B = (left_B >= 0) & (right_B >= 0) & (value_BS[rows, whole_B] < 0)
        if new_B.any():
            value_BS[rows[new_B], whole_B[new_B]] = human.combine(left_B[new_B], right_B[new_B], rng)
    whole_B = np.array([on.row(int(n)) for n in (numbers_BN != NOTHING).sum(1)])
    return human.believe(value_BS[rows, whole_B], claim_B)


@runtime_checkable
class StepPrices(Protocol):
    """What a market was trained to believe of every step of a rollout: the probability that it is wrong."""

    def scores(self, problems: Sequence[Problem], rollouts: Rollouts) -> tuple[tuple[np.ndarray, ...], int]:
        """Return one array per rollout, and the number of tokens read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketPrice:
    """The market's price of "this response is right". See `market_price`."""

    card: Instrument
    market: StepPrices = field(repr=False)
    check_step: CheckStep
    n_steps: CountSteps
    argue: bool

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Price every rollout; `Unmeasured` where there is no step."""
        wrong, tokens = self.market.scores(problems, rollouts)
        values: list[float | Unmeasured] = []
        said: list[str] = []
        checks = 0
        for r, text in enumerate(rollouts.text_R):
            right_S = 1 - np.asarray(wrong[r][: self.n_steps(text)], np.float64)
            if not len(right_S):
                values.append(NO_STEPS)
                said.append("")
                continue
            first = float(right_S.prod())
            if not self.argue:
                values.append(first)
                said.append(f"price {first:.2f}")
                continue
            # A check of step s moves the price p to 0 or to p / r_s: by 2 p (1 - r_s) on average, most at the likeliest flaw.
            shown = int(right_S.argmin())
            holds = self.check_step(problems[int(rollouts.problem_R[r])], text, shown)
            checks += 1
            values.append(float(np.delete(right_S, shown).prod()) if holds else 0.0)
            said.append(f"price {first:.2f}; shown step {shown + 1}, which is {'right' if holds else 'wrong'}")
        return Signal(overseer=self.card.digest, values=tuple(values), said=tuple(said), checks=checks, tokens=tokens)


def market_price(market: StepPrices, *, check_step: CheckStep, n_steps: CountSteps, argue: bool = True) -> MarketPrice:
    """Make an overseer that pays a market's price of "this response is right".

    Args:
        market: Trained on labelled steps to foresee what a judge finds who looks at them.
        check_step: (problem, text, step) -> is it right? One check; a privilege that the study grants.
        n_steps: text -> how many steps there are.
        argue: Whether the adversary shows the judge one step; without, the price at t = 0, which costs no check.

    Returns:
        An overseer with values in [0, 1].

    Catches: a wrong step that the market suspects most, for certain; others as far as the market foresees them.
    Misses: flaws that the market does not suspect: nobody is shown them.

    Source:
        Hubinger, AI safety via market making, 2020.
    """
    card = Instrument(
        name="market's price after one argument" if argue else "market's price before any argument",
        version="1",
        catches="wrong steps that the market suspects; the one that it suspects most is checked" if argue else
        "wrong steps that the market suspects",
        misses="flaws that the market does not suspect: nobody is shown them",
        settings=(("k", int(argue)), ("low", 0.0), ("high", 1.0)),
    )  # fmt: skip
    return MarketPrice(card=card, market=market, check_step=check_step, n_steps=n_steps, argue=argue)
