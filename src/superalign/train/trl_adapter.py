"""Any overseer as a reward function of TRL's GRPOTrainer, for models that outgrow the loop in `policy_gradient`.

TRL (1.16 and later) leaves a completion whose reward is None out of its group's baseline and gives it no advantage, which
is what `Unmeasured` asks for. Earlier versions count None as 0.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from superalign.errors import BadInput
from superalign.models.thinking import thinking_and_answer
from superalign.train.advantages import columns
from superalign.types import Overseer, Problem, Rollouts

if TYPE_CHECKING:
    import datasets

Message: TypeAlias = dict[str, Any]
Turns: TypeAlias = str | Sequence[Message] | None
RewardFunction: TypeAlias = Callable[..., list[float | None]]


def _text(content: Any) -> str:
    """The text of a message's content: a text, a part or a list of parts whose texts are joined, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = [content] if isinstance(content, dict) else content
    return "".join(p if isinstance(p, str) else (p.get("text") or "") for p in parts)


def _turns(said: Turns, role: str) -> list[str]:
    """The texts that one role has in a prompt or completion; a plain text is one turn."""
    if said is None or isinstance(said, str):
        return [said or ""]
    return [_text(m.get("content")) for m in said if m.get("role") == role]


def _asked(prompt: Turns) -> str:
    """What was asked: the last message of the user, whatever stands behind it (a turn that was begun for the policy)."""
    return next(reversed(_turns(prompt, "user")), "")


def _written(completion: Turns) -> str:
    """What the policy wrote: its own turns, one to a line, and nothing that a tool or a user said."""
    return "\n".join(filter(None, _turns(completion, "assistant")))


def _by_prompt(problems: Sequence[Problem]) -> dict[str, Problem]:
    """Find problems by their prompts.

    Raises:
        BadInput: If two problems have the same prompt.
    """
    found: dict[str, Problem] = {}
    for problem in problems:
        other = found.setdefault(problem.prompt, problem)
        if other != problem:
            raise BadInput(
                f"Two problems have the prompt {problem.prompt[:60]!r}: {other.family} of difficulty {other.difficulty} in "
                f"{other.split}, and {problem.family} of difficulty {problem.difficulty} in {problem.split}. A trainer passes "
                "prompts alone, so nobody could say which of the two was asked. Leave one of them out."
            )
    return found


def _stopped(completion_ids: Sequence[Sequence[int]] | None, end_ids: Sequence[int], R: int) -> np.ndarray:
    """Whether each completion ended by itself; empty where nobody knows, since no token that ends one was named.

    Raises:
        BadInput: If there are not as many lists of tokens as completions.
    """
    if not end_ids:
        return np.zeros(0, bool)
    if completion_ids is None or len(completion_ids) != R:
        raise BadInput(
            f"end_ids were given, and the trainer passed tokens of {len(completion_ids or ())} of {R} completions. Without "
            "them nobody can say which were cut off. Leave end_ids out, or use a version of TRL that passes completion_ids."
        )
    ends = {int(i) for i in end_ids}
    return np.array([not len(ids) or int(ids[-1]) in ends for ids in completion_ids], bool)


def reward_function(
    overseer: Overseer, *, problems: Sequence[Problem], seed: int = 0, end_ids: Sequence[int] = ()
) -> RewardFunction:
    """Wrap an overseer as a reward function for TRL.

    The overseer reads what the policy wrote: its own turns, never a tool's output. Content may be a text, a list of parts or
    None. A prompt is known by the last message of the user.

    Args:
        overseer: Any.
        problems: All problems whose prompts the trainer's dataset holds; see `dataset`.
        seed: Joined with the trainer's step, so that the overseer's chance is fresh at each step and repeats in a rerun.
        end_ids: Tokens that end a completion (the tokenizer's eos and pad, and those of the generation config), so that
            the overseer knows which were cut off; without them that is unknown to it.

    Returns:
        A function to pass to `GRPOTrainer(reward_funcs=...)`; it returns None where the overseer cannot tell.

    Raises:
        BadInput: If two different problems have one prompt. When called: with a prompt that none of the problems has, if
            the overseer returns too few values, or if `end_ids` are given and the trainer passes no tokens.

    Example:
        >>> from superalign.types import Signal
        >>> asked = Problem(prompt="1+1", family="toy", difficulty=1, split="train")
        >>> def length(problems, rollouts, *, seed):
        ...     return Signal(overseer="", values=tuple(float(len(t)) for t in rollouts.text_R))
        >>> reward_function(length, problems=[asked])(prompts=["1+1"], completions=["#2"])
        [2.0]
    """
    by_prompt = _by_prompt(problems)

    def reward(
        prompts: Sequence[Turns],
        completions: Sequence[Turns],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **unused: Any,
    ) -> list[float | None]:
        asked = [_asked(p) for p in prompts]
        if not asked:
            return []
        _refuse_strange(asked, by_prompt)
        distinct = {prompt: place for place, prompt in enumerate(dict.fromkeys(asked))}
        parted = [thinking_and_answer(_written(c)) for c in completions]
        rollouts = Rollouts(
            problems=tuple(by_prompt[p] for p in distinct),
            problem_R=np.array([distinct[p] for p in asked]),
            text_R=[answer for _, answer in parted],
            thinking_R=[thinking for thinking, _ in parted],
            stopped_R=_stopped(completion_ids, end_ids, len(asked)),
            seed=seed,
        )
        step = int(getattr(unused.get("trainer_state"), "global_step", 0))
        fresh = int(np.random.default_rng([seed, step]).integers(0, 2**31))
        values_R, measured_R = columns(overseer(rollouts.problems, rollouts, seed=fresh), rollouts=len(rollouts))
        return [float(v) if m else None for v, m in zip(values_R, measured_R, strict=True)]

    card = getattr(overseer, "card", None)
    reward.__name__ = getattr(card, "name", type(overseer).__name__).replace(" ", "_")  # TRL names its metrics by this
    return reward


def _refuse_strange(asked: Sequence[str], by_prompt: Mapping[str, Problem]) -> None:
    strange = [p for p in asked if p not in by_prompt]
    if strange:
        raise BadInput(
            f"The trainer asked about {strange[0]!r}, which is the prompt of no problem given. The overseer could not be "
            "told what was asked. Build the trainer's dataset from the same problems (`dataset`)."
        )


def dataset(problems: Sequence[Problem]) -> datasets.Dataset:
    """Make the dataset that GRPOTrainer draws from: each problem as one user message."""
    import datasets

    return datasets.Dataset.from_list([{"prompt": [{"role": "user", "content": p.prompt}]} for p in problems])
