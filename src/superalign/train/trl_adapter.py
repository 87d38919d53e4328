"""Any overseer as a reward function of TRL's GRPOTrainer, for models that outgrow the loop in `policy_gradient`.

TRL (1.16 and later) leaves a completion whose reward is None out of its group's baseline and gives it no advantage, which
is what `Unmeasured` asks for. Earlier versions count None as 0.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from superalign.errors import BadInput
from superalign.train.advantages import columns
from superalign.types import Overseer, Problem, Rollouts

if TYPE_CHECKING:
    import datasets

Message: TypeAlias = dict[str, str]
RewardFunction: TypeAlias = Callable[..., list[float | None]]


def _last(said: str | list[Message]) -> str:
    """The text of a prompt or completion, plain or as messages."""
    return said if isinstance(said, str) else said[-1]["content"]


def reward_function(overseer: Overseer, *, problems: Sequence[Problem], seed: int = 0) -> RewardFunction:
    """Wrap an overseer as a reward function for TRL.

    Args:
        overseer: Any.
        problems: All problems whose prompts the trainer's dataset holds; see `dataset`.
        seed: Joined with the trainer's step, so that the overseer's chance is fresh at each step and repeats in a rerun.

    Returns:
        A function to pass to `GRPOTrainer(reward_funcs=...)`; it returns None where the overseer cannot tell.

    Raises:
        BadInput: When called with a prompt that none of the problems has, or if the overseer returns too few values.

    Example:
        >>> from superalign.types import Signal
        >>> asked = Problem(prompt="1+1", family="toy", difficulty=1, split="train")
        >>> def length(problems, rollouts, *, seed):
        ...     return Signal(overseer="", values=tuple(float(len(t)) for t in rollouts.text_R))
        >>> reward_function(length, problems=[asked])(prompts=["1+1"], completions=["#2"])
        [2.0]
    """
    by_prompt = {p.prompt: p for p in problems}

    def reward(
        prompts: Sequence[str | list[Message]], completions: Sequence[str | list[Message]], **unused: Any
    ) -> list[float | None]:
        asked = [_last(p) for p in prompts]
        strange = [p for p in asked if p not in by_prompt]
        if strange:
            raise BadInput(
                f"The trainer asked about {strange[0]!r}, which is the prompt of no problem given. The overseer could not be "
                "told what was asked. Build the trainer's dataset from the same problems (`dataset`)."
            )
        distinct = {prompt: place for place, prompt in enumerate(dict.fromkeys(asked))}
        rollouts = Rollouts(
            problems=tuple(by_prompt[p] for p in distinct),
            problem_R=np.array([distinct[p] for p in asked]),
            text_R=[_last(c) for c in completions],
            seed=seed,
        )
        step = int(getattr(unused.get("trainer_state"), "global_step", 0))
        fresh = int(np.random.default_rng([seed, step]).integers(0, 2**31))
        values_R, measured_R = columns(overseer(rollouts.problems, rollouts, seed=fresh), rollouts=len(rollouts))
        return [float(v) if m else None for v, m in zip(values_R, measured_R, strict=True)]

    card = getattr(overseer, "card", None)
    reward.__name__ = getattr(card, "name", type(overseer).__name__).replace(" ", "_")  # TRL names its metrics by this
    return reward


def dataset(problems: Sequence[Problem]) -> datasets.Dataset:
    """Make the dataset that GRPOTrainer draws from: each problem as one user message."""
    import datasets

    return datasets.Dataset.from_list([{"prompt": [{"role": "user", "content": p.prompt}]} for p in problems])
