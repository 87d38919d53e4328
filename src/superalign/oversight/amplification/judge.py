"""A judge of worked responses who splits the question, has X answer the halves, and may check one step.

The halves are put together over all values that the first may have, so what the judge pays is a probability. Where X and
the response disagree, the judge checks the first step at which they part; if that step is right, it was X who erred, and X
is asked again for the rest from there.

Shape suffixes: R rollouts, B chains, T operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from superalign.oversight.amplification.chain_reader import DIGITS, OPERATIONS
from superalign.oversight.judges.judge import NO_STEPS, CheckStep, content, key_of
from superalign.types import Instrument, Problem, Rollouts, Signal, Unmeasured

ReadChain: TypeAlias = Callable[[str], tuple[int, ...]]
"""Prompt -> first digit, then a code per operation; empty where it is no chain."""
ReadResponse: TypeAlias = Callable[[str], tuple[tuple[int, ...], int | None] | None]
"""Text -> the value that each step claims (-1 where it claims none), and the final answer; None for an empty text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmplifiedJudge:
    """Pays the probability that a response's answer is right. See `amplified_judge`."""

    card: Instrument
    net: nn.Module = field(repr=False)
    read_chain: ReadChain = field(repr=False)
    read_response: ReadResponse = field(repr=False)
    check_step: CheckStep = field(repr=False)
    checks: int
    scrambled: bool

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Judge every rollout; `Unmeasured` for an empty one and where the question is no chain."""
        chains = [self.read_chain(p.prompt) for p in problems]
        of_R = [chains[int(p)] for p in rollouts.problem_R]
        if self.scrambled:
            of_R = [another_chain(seed, problems, rollouts, r, chain) for r, chain in enumerate(of_R)]
        prefixes = {c[:n] for c in set(of_R) for n in range(2, len(c) + 1)}
        asked = prefixes | {(v, *c[1 + half(c) :]) for c in set(of_R) if len(c) > 2 for v in range(DIGITS)}
        table = _answers(self.net, asked)
        values: list[float | Unmeasured] = []
        said, checks = [], 0
        tokens = sum(len(c) + (10 * (len(c) - half(c)) if len(c) > 2 else 0) for c in of_R)
        for r, chain in enumerate(of_R):
            response = self.read_response(rollouts.text_R[r])
            if response is None or len(chain) < 2:
                values.append(NO_STEPS if response is None else Unmeasured("the question is no chain of operations"))
                said.append("")
                continue
            steps, answer = response
            value, words = (0.0, "no answer") if answer is None else (_put_together(table, chain)[answer], "X agrees")
            if answer is not None and value < 0.5:
                words = "X says otherwise"
                parted = [i for i, v in enumerate(steps[: len(chain) - 1]) if int(table[chain[: i + 2]].argmax()) != v]
                if parted and self.checks:
                    checks += 1
                    at = parted[0]
                    right = self.check_step(problems[int(rollouts.problem_R[r])], rollouts.text_R[r], at)
                    words += f"; step {at + 1} is {'right' if right else 'wrong'}"
                    rest = (steps[at], *chain[at + 2 :])
                    if right and len(rest) > 1:
                        value = float(_answers(self.net, {rest})[rest][answer])
                        tokens += len(rest)
                    elif right:
                        value = float(answer == steps[at])
            values.append(float(value))
            said.append(words)
        return Signal(overseer=self.card.digest, values=tuple(values), said=tuple(said), checks=checks, tokens=tokens)


def another_chain(
    seed: int, problems: Sequence[Problem], rollouts: Rollouts, r: int, chain: tuple[int, ...]
) -> tuple[int, ...]:
    """Draw another question of the same length, by seed and content: what a placebo asks about instead."""
    rng = np.random.default_rng(list(key_of(seed, content(problems, rollouts, r))))
    return (
        (int(rng.integers(DIGITS)), *(int(c) for c in rng.integers(OPERATIONS, size=len(chain) - 1))) if chain else ()
    )


def half(chain: Sequence[int]) -> int:
    """Return how many operations stand in the first half of a chain.

    Example:
        >>> half((5, 3, 12, 24))
        2
    """
    T = len(chain) - 1
    return T - T // 2


def _answers(net: nn.Module, chains: set[tuple[int, ...]]) -> dict[tuple[int, ...], np.ndarray]:
    """X's probability of each digit, for every chain; each is asked once."""
    out: dict[tuple[int, ...], np.ndarray] = {}
    for n in sorted({len(c) for c in chains if len(c) > 1}):
        some = sorted(c for c in chains if len(c) == n)
        with torch.no_grad():
            logits: Tensor = net(torch.tensor(some), n - 2)
            table = torch.softmax(logits.double(), -1).numpy()
        out.update(zip(some, table, strict=True))
    return out


def _put_together(table: dict[tuple[int, ...], np.ndarray], chain: tuple[int, ...]) -> np.ndarray:
    """Probability of each answer: that of each value of the first half, times that of the answer from there."""
    if len(chain) == 2:
        return table[chain]
    cut = 1 + half(chain)
    rest = np.stack([table[(v, *chain[cut:])] for v in range(DIGITS)])
    return np.asarray(table[chain[:cut]] @ rest)


def amplified_judge(
    net: nn.Module,
    *,
    read_chain: ReadChain,
    read_response: ReadResponse,
    check_step: CheckStep,
    checks: int = 1,
    spent: int = 0,
    scrambled: bool = False,
) -> AmplifiedJudge:
    """Make an overseer from a distilled X.

    Args:
        net: X, (chains, depth) -> logits of each digit.
        read_chain: Prompt -> chain.
        read_response: Text -> values that its steps claim, and its answer.
        check_step: (problem, text, step) -> is it right? A privilege that the study grants.
        checks: At most how many of these per rollout; 0 or 1.
        spent: Checks of single steps that went into X, for the card.
        scrambled: A placebo: X is asked another question than the one that was answered.

    Catches: wrong answers, as far as X answers the halves of the question right.
    Misses: wrong steps that end in the right answer; questions of which X learned a half wrong.

    Source:
        Christiano, Shlegeris and Amodei, Supervising strong learners by amplifying weak experts, 2018.
    """
    name = f"amplification, {checks} check{'' if checks == 1 else 's'}" + (", placebo" if scrambled else "")
    card = Instrument(
        name=name,
        version="1",
        catches="nothing: it asks about another question" if scrambled else "wrong answers, as far as X answers the halves right",
        misses="wrong steps that end in the right answer; what X learned wrong",
        settings=(("low", 0.0), ("high", 1.0), ("checks", checks), ("steps checked to make it", spent)),
    )  # fmt: skip
    return AmplifiedJudge(card=card, net=net, read_chain=read_chain, read_response=read_response,
                          check_step=check_step, checks=checks, scrambled=scrambled)  # fmt: skip
