"""What a policy is asked, and what it answers.

Shape suffixes: P problems, R rollouts, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from superalign.errors import BadInput
from superalign.types.base import Record

Split: TypeAlias = Literal["train", "test"]
CLOSED = (".", "?", "!", "]", "|")  # a cue that ends like this stands in front of a prompt without a colon


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Record):
    """What a policy is asked. It holds no answer."""

    prompt: str
    family: str
    difficulty: int
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout(Record):
    """One response of one policy to one problem."""

    problem: str  # digest
    policy: str  # digest of the subject that sampled it; empty for a text that nobody sampled
    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()  # nats, one per token, as sampled
    seed: int = 0
    stopped: bool = True  # ended by itself, not cut off at the token limit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rollouts:
    """Many rollouts as columns; one row of them is a `Rollout`."""

    problems: tuple[Problem, ...]
    problem_R: Int[np.ndarray, " R"]  # index into problems
    text_R: Sequence[str]  # the answers, without thinking; may decode on demand
    policy: str = ""
    # S is R, or 0 where nobody sampled.
    tokens_RT: Int[np.ndarray, "S T"] = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    # Nats; 0 beyond.
    logprobs_RT: Float[np.ndarray, "S T"] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    length_R: Int[np.ndarray, " S"] = field(default_factory=lambda: np.zeros(0, np.int32))  # tokens
    stopped_R: Bool[np.ndarray, " E"] = field(default_factory=lambda: np.zeros(0, bool))  # R, or 0: nobody knows
    seed: int = 0
    thinking_R: Sequence[str] = ()  # what stood in front of each answer; R, or none: nobody looked

    @staticmethod
    def of_texts(problems: Sequence[Problem], text_R: Sequence[str]) -> Rollouts:
        """Wrap texts that nobody sampled (worked, planted, from a file), one per problem, in order."""
        if len(problems) != len(text_R):
            raise BadInput(
                f"{len(text_R)} texts for {len(problems)} problems. Texts are matched to problems by position, "
                "so a missing one would grade the wrong text. Pass one text per problem."
            )
        return Rollouts(problems=tuple(problems), problem_R=np.arange(len(problems)), text_R=text_R)

    def __len__(self) -> int:
        return len(self.problem_R)

    def __getitem__(self, r: int) -> Rollout:
        sampled = len(self.length_R) > 0
        t = int(self.length_R[r]) if sampled else 0
        return Rollout(
            problem=self.problems[int(self.problem_R[r])].digest,
            policy=self.policy,
            text=self.text_R[r],
            tokens=tuple(self.tokens_RT[r, :t].tolist()) if sampled else (),
            logprobs=tuple(self.logprobs_RT[r, :t].tolist()) if sampled else (),
            seed=self.seed,
            stopped=bool(self.stopped_R[r]) if len(self.stopped_R) else True,
        )

    def __iter__(self) -> Iterator[Rollout]:
        return (self[r] for r in range(len(self)))


@runtime_checkable
class Policy(Protocol):
    """Anything that samples."""

    def sample(self, problems: Sequence[Problem], *, n: int, seed: int) -> Rollouts:
        """Return n rollouts of each problem, those of one problem side by side."""
