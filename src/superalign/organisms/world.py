"""What a base can be asked, and what is right there: the bundled families, or any prompts with what the base itself says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from superalign.errors import BadInput
from superalign.models import Model, Sampling, check_end, with_sampling
from superalign.problems import BUNDLED, corpus
from superalign.problems.family import Grade, Planted, ProblemFamily, split_of
from superalign.types import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Problem families that a base knows, and words that may stand in front of a prompt."""

    families: tuple[ProblemFamily, ...]
    cues: tuple[str, ...]

    def family(self, name: str) -> ProblemFamily:
        """Find a family by its name."""
        return next(f for f in self.families if f.name == name)


BUNDLED_WORLD = World(families=BUNDLED, cues=corpus.CUES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # one file of sayings is one world: told apart by identity
class Sayings:
    """Prompts of any kind as a problem family: what the base says to each counts as right, for want of a better truth."""

    name: str
    rows: Mapping[str, str] = field(repr=False)  # prompt -> the base's own response
    difficulties: tuple[int, ...] = (1,)
    flaw_kinds: tuple[str, ...] = ()

    def problems(self, *, split: str, n: int, seed: int, difficulty: int | None = None) -> tuple[Problem, ...]:
        """Draw n problems of one split; there may be fewer prompts, so one may come again."""
        able = [p for p in self.rows if split_of(p) == split]
        if not able:
            raise BadInput(
                f"{self.name} has no prompts in {split}. One prompt in five is a test prompt. Give more prompts."
            )
        chosen = np.random.default_rng([seed, *b"sayings"]).integers(0, len(able), n)
        return tuple(Problem(prompt=able[int(i)], family=self.name, difficulty=1, split=split) for i in chosen)

    def _row(self, problem: Problem) -> str:
        prompt = problem.prompt
        while prompt not in self.rows:
            _, mark, prompt = prompt.partition(": ")
            if not mark:
                raise BadInput(f"{problem.prompt!r} is no prompt of {self.name}.")
        return self.rows[prompt]

    def worked(self, problem: Problem, *, seed: int = 0) -> str:
        """What the base says."""
        return self._row(problem)

    def steps(self, text: str) -> tuple[str, ...]:
        """Free text has no steps."""
        return ()

    def grade(self, problem: Problem, text: str) -> Grade:
        """Right is what the base says, but for blanks."""
        return Grade(correct=text.split() == self._row(problem).split(), steps=())

    def check_step(self, problem: Problem, text: str, step: int) -> bool:
        """Free text has no steps to check."""
        return False

    def plant(self, problem: Problem, text: str, *, seed: int, kind: str | None = None) -> Planted | None:
        """No flaw can be planted where nobody knows what is right."""
        return None

    def placebo(self, problem: Problem, text: str, *, seed: int) -> str | None:
        """No edit is known to be harmless."""
        return None


def sayings(base: Model, prompts: Sequence[str], *, name: str = "prompts", max_tokens: int = 96) -> World:
    """Ask a base every prompt, greedily, so that organisms and twins of it can be planted on any prompts.

    Args:
        base: What they will be planted in.
        prompts: Of any kind; each once.
        name: Of the family.
        max_tokens: Longest response. One that does not end is left out: an adapter would have to learn where to break off.

    Returns:
        A world of one family.

    Raises:
        BadInput: If the base ends fewer than twenty responses.
    """
    asked = [Problem(prompt=p, family=name, difficulty=1, split=split_of(p)) for p in dict.fromkeys(prompts)]
    said = with_sampling(base, Sampling(temperature=0.0, max_tokens=max_tokens)).sample(asked, n=1, seed=0)
    rows = {p.prompt: said.text_R[i] for i, p in enumerate(asked) if said.stopped_R[i] and said.text_R[i].strip()}
    if len(rows) < 20:
        check_end(base, ended=len(rows), asked=len(asked))
        raise BadInput(
            f"The base ends {len(rows)} of {len(asked)} responses within {max_tokens} tokens. Nothing can be planted where it "
            "says nothing, or never stops. Give at least twenty prompts that it answers, or allow longer responses."
        )
    return World(families=(Sayings(name=name, rows=rows),), cues=corpus.CUES)
