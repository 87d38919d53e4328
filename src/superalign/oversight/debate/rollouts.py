"""Debate about a worked response: its own steps against an opponent who states other values, until one step is left to check.

The response has committed itself to a value after every step. The opponent works the problem out for itself; in the middle
of what is disputed it agrees with the response's value or states its own, which says which half holds the first error.
Where its own values are those of the response it may still doubt: then a critic, trained on a few labelled responses, says
which half looks worse. The judge checks the one step that is left.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from superalign.models import Model, with_sampling
from superalign.oversight.critique.critic import Critic
from superalign.oversight.judges.judge import NO_STEPS, CheckStep, CountSteps, content, key_of
from superalign.types import Instrument, Problem, Rollouts, Signal, Unmeasured

Values: TypeAlias = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opponent:
    """Disputes responses: by the values that a frozen model works out, and by a critic's doubts where these are the same."""

    critic: Critic = field(repr=False)
    worker: Model = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DebateOverseer:
    """Pays a response 1 if the one step that a debate leads to is right, else 0. See `debate_overseer`."""

    card: Instrument
    check_step: CheckStep
    n_steps: CountSteps
    values: Values
    opponent: Opponent | None

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Debate every rollout; `Unmeasured` where there is no step to check."""
        own, doubts, tokens = self._prepared(problems, rollouts)
        paid: list[float | Unmeasured] = []
        said: list[str] = []
        for r, text in enumerate(rollouts.text_R):
            n, problem = self.n_steps(text), problems[int(rollouts.problem_R[r])]
            if not n:
                paid.append(NO_STEPS)
                said.append("")
                continue
            coins = key_of(seed, content(problems, rollouts, r))
            step, moves = halve(self.values(text), own.get(problem.prompt), doubts[r] if doubts else None, coins)
            right = self.check_step(problem, text, step)
            paid.append(float(right))
            said.append("; ".join([*moves, f"step {step + 1} is {'right' if right else 'wrong'}"]))
        checks = sum(not isinstance(v, Unmeasured) for v in paid)
        return Signal(overseer=self.card.digest, values=tuple(paid), said=tuple(said), checks=checks, tokens=tokens)

    def _prepared(
        self, problems: Sequence[Problem], rollouts: Rollouts
    ) -> tuple[dict[str, tuple[str, ...]], tuple[np.ndarray, ...], int]:
        """The opponent's own values by prompt, its critic's doubts by rollout, and the tokens read and written."""
        if self.opponent is None:
            return {}, (), 0
        asked = list({problems[int(p)].prompt: problems[int(p)] for p in rollouts.problem_R}.values())
        greedy = with_sampling(self.opponent.worker, replace(self.opponent.worker.sampling, temperature=0.0))
        worked = greedy.sample(asked, n=1, seed=0)
        own = {p.prompt: self.values(text) for p, text in zip(asked, worked.text_R, strict=True)}
        doubts, read = self.opponent.critic.scores(problems, rollouts)
        return own, doubts, read + int(worked.length_R.sum())


def halve(
    theirs: tuple[str, ...], own: tuple[str, ...] | None, doubt: np.ndarray | None, coins: bytes
) -> tuple[int, list[str]]:
    """Halve a response down to one step.

    Args:
        theirs: The value that the response states after each of its steps.
        own: The value that the opponent has there; None if it has none.
        doubt: For each step, the opponent's probability that it is wrong; None if it has no opinion, and then a coin decides.
        coins: The source of coins.

    Returns:
        The step, and what was said on the way.

    Example:
        >>> halve(("8", "6", "3", "3"), ("8", "6", "2", "2"), None, b"")
        (2, ['after step 2: 6, agreed', 'after step 3: 3, no, 2'])
    """
    low, high, moves = 0, len(theirs), list[str]()
    padded = None if own is None else (*own, *[""] * len(theirs))[: len(theirs)]
    # If both come to the same end, by the same steps, the opponent's own values dispute nothing.
    values = padded is not None and padded[-1] != theirs[-1]
    rate = None if doubt is None else -np.log1p(-np.clip(doubt[: len(theirs)], 0.0, 1 - 1e-6))
    while high - low > 1:
        m = (low + high) // 2
        if values and padded is not None:
            no = padded[m - 1] != theirs[m - 1]
        elif rate is not None:
            no = bool(rate[low:m].sum() > rate[m:high].sum())
        else:
            no = bool(coins[len(moves) % len(coins)] & 1)
        stated = f", no, {padded[m - 1]}" if no and values and padded is not None else ", no" if no else ", agreed"
        moves.append(f"after step {m}: {theirs[m - 1]}{stated}")
        low, high = (low, m) if no else (m, high)
    return low, moves


def debate_overseer(
    *, check_step: CheckStep, n_steps: CountSteps, values: Values, opponent: Opponent | None = None
) -> DebateOverseer:
    """Make an overseer that lets an opponent dispute each response, and checks the one step that is left.

    Args:
        check_step: (problem, text, step) -> is this step right? One check; a privilege that the study grants.
        n_steps: text -> how many steps there are to check.
        values: text -> the value that it states after each of them.
        opponent: Who disputes; a coin if there is none, which is the placebo.

    Catches: a wrong value, if the opponent knows a better one or its critic doubts it.
    Misses: errors that the opponent makes too and its critic does not doubt; errors that cancel out before the step where both
        agree; whatever one check cannot see.

    Source:
        Irving et al., AI safety via debate, 2018; Kenton et al., On scalable oversight with weak LLMs judging strong LLMs, 2024.
    """
    card = Instrument(
        name="debate, 1 check" if opponent is not None else "debate with random midpoints, 1 check",
        version="1",
        catches="a wrong value that the opponent knows better or doubts"
        if opponent is not None
        else "a wrong step, by luck",
        misses="errors that the opponent shares; errors that cancel out; whatever one check cannot see",
        settings=(
            ("k", 1),
            ("low", 0.0),
            ("high", 1.0),
            ("labelled", opponent.critic.labelled if opponent is not None else 0),
        ),
    )
    return DebateOverseer(card=card, check_step=check_step, n_steps=n_steps, values=values, opponent=opponent)
