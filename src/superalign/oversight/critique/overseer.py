"""An overseer from a critic that writes: a judge who may check k steps looks at what the critique highlights.

Shape suffixes: R rollouts, S steps, K symbols of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from superalign.oversight.critique.written import ABSENT, STOP, CriticPolicy, write
from superalign.oversight.judges.judge import CheckStep, CountSteps, Judge, Pointed, RandomSteps, judge
from superalign.types import Problem, Rollouts

Read: TypeAlias = Callable[[Problem, str], np.ndarray]
"""(problem, text) -> (S, K) symbols of each step and of what the problem has there; no answer is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingCritic:
    """Points a judge to what a written critique highlights. Where it highlights nothing, the judge looks where it likes."""

    policy: CriticPolicy = field(repr=False)
    read: Read = field(repr=False)
    name: str = "written critique"
    stop_bias: float = 0.0

    def tables(self, problems: Sequence[Problem], rollouts: Rollouts) -> Tensor:
        """Symbols of all steps of all rollouts, filled up with ABSENT."""
        pairs = zip(rollouts.problem_R, rollouts.text_R, strict=True)
        each = [self.read(problems[int(p)], text) for p, text in pairs]
        out = np.full((len(each), max([1, *map(len, each)]), self.policy.reader.places), ABSENT)
        for r, x_SK in enumerate(each):
            out[r, : len(x_SK)] = x_SK
        return torch.from_numpy(out)

    def __call__(
        self, problems: Sequence[Problem], rollouts: Rollouts, *, counts: Sequence[int], k: int, seed: int
    ) -> Pointed:
        """The first k highlights of the most likely critique, then steps by chance up to k."""
        x_RSK = self.tables(problems, rollouts)
        written = write(self.policy, x_RSK, generator=None, stop_bias=self.stop_bias)
        others = RandomSteps()(problems, rollouts, counts=counts, k=max([1, *counts]), seed=seed)
        steps, said = [], []
        for row, rest, n in zip(written.order_BT.tolist(), others.steps, counts, strict=True):
            named = [s for s in row if s != STOP and s < n]
            steps.append(tuple(dict.fromkeys([*named, *rest]))[:k])
            said.append(
                "looks wrong: step " + ", ".join(str(s + 1) for s in named) if named else "nothing to criticise"
            )
        return Pointed(steps=tuple(steps), said=tuple(said), tokens=int((x_RSK[..., 0] != ABSENT).sum()))


def critique_overseer(*, check_step: CheckStep, n_steps: CountSteps, critic: WritingCritic, k: int = 1) -> Judge:
    """Make an overseer: a judge that may check k steps, where a written critique says.

    Args:
        check_step: (problem, text, step) -> is this step right? One check; a privilege that the study grants.
        n_steps: text -> how many steps there are to check.
        critic: Who writes.
        k: Checks per rollout.

    Catches: a wrong step that the critic highlights among its first k.
    Misses: flaws that the critic was not trained on or that somebody planted to be missed by it; what is wrong apart from a step
        (a missing step, an answer that is not the last value), unless the study counts that among the steps.

    Source:
        McAleese et al., LLM critics help catch LLM bugs, 2024.
    """
    return judge(check_step=check_step, n_steps=n_steps, k=k, pointer=critic)
