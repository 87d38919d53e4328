"""The reward model of the highest level of a ladder as an overseer of worked responses: it reads question and final answer.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from superalign.oversight.amplification.judge import ReadChain, ReadResponse, another_chain
from superalign.oversight.judges.judge import NO_STEPS
from superalign.oversight.recursive.reward import scored
from superalign.types import Instrument, Problem, Rollouts, Signal, Unmeasured

NO_CHAIN = Unmeasured("the question is no chain of operations that the reward model was trained for")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecursiveJudge:
    """Pays what the reward model believes. See `recursive_judge`."""

    card: Instrument
    reward: nn.Module = field(repr=False)
    read_chain: ReadChain = field(repr=False)
    read_response: ReadResponse = field(repr=False)
    most: int
    scrambled: bool

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Judge every rollout; `Unmeasured` for an empty one and where the question is no chain; 0 without an answer."""
        values: list[float | Unmeasured] = [0.0] * len(rollouts)
        by_length: dict[int, list[tuple[int, tuple[int, ...], int]]] = {}
        chains = [self.read_chain(p.prompt) for p in problems]
        tokens = 0
        for r, text in enumerate(rollouts.text_R):
            chain, response = chains[int(rollouts.problem_R[r])], self.read_response(text)
            if response is None or not 2 <= len(chain) <= self.most + 1:
                values[r] = NO_STEPS if response is None else NO_CHAIN
                continue
            if self.scrambled:
                chain = another_chain(seed, problems, rollouts, r, chain)
            tokens += len(chain) + 1
            if response[1] is not None:
                by_length.setdefault(len(chain), []).append((r, chain, response[1]))
        for some in by_length.values():
            rewards = scored(self.reward, torch.tensor([c for _, c, _ in some]), torch.tensor([a for _, _, a in some]))
            for (r, _, _), value in zip(some, rewards.tolist(), strict=True):
                values[r] = float(value)
        return Signal(overseer=self.card.digest, values=tuple(values), tokens=tokens)


def recursive_judge(
    reward: nn.Module,
    *,
    read_chain: ReadChain,
    read_response: ReadResponse,
    most: int,
    labels: int = 0,
    spent: int = 0,
    shuffled: bool = False,
    scrambled: bool = False,
) -> RecursiveJudge:
    """Make an overseer from a reward model.

    Args:
        reward: Chains -> logits that each digit is the right answer.
        read_chain: Prompt -> chain.
        read_response: Text -> values that its steps claim, and its answer.
        most: Operations of the longest chain that it was trained for.
        labels: How many it was trained on, at all levels together; for the card.
        spent: Distinct steps that were checked for these; for the card.
        shuffled: Whether its labels were shuffled: a null.
        scrambled: A placebo: it is asked about another question than the one that was answered.

    Catches: wrong answers to chains like those of the ladder.
    Misses: wrong steps that end in the right answer; what an agent below got wrong, which every level above inherits.

    Source:
        Leike et al., Scalable agent alignment via reward modeling, 2018 (arXiv 1811.07871).
    """
    card = Instrument(
        name="recursive reward model" + (", shuffled labels" if shuffled else "") + (", placebo" if scrambled else ""),
        version="1",
        catches="nothing: its labels or its questions are not those of the responses"
        if shuffled or scrambled
        else "wrong answers to chains like those of the ladder",
        misses="wrong steps that end in the right answer; what an agent of a lower level got wrong",
        settings=(
            ("low", 0.0),
            ("high", 1.0),
            ("levels", most),
            ("labels", labels),
            ("steps checked to make it", spent),
        ),
    )
    return RecursiveJudge(card=card, reward=reward, read_chain=read_chain, read_response=read_response, most=most,
                          scrambled=scrambled)  # fmt: skip
