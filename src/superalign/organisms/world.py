"""What a base can be asked, and what is right there: the bundled families, or any prompts with what the base itself says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from superalign.errors import BadInput
from superalign.models import Model, Sampling, check_end, encode, with_sampling
from superalign.problems import BUNDLED, corpus
from superalign.problems.family import Grade, Planted, ProblemFamily, core, split_of
from superalign.problems.rows import behind_cues
from superalign.types import Problem, Record

DISTINCT_LEAST = 20  # different prompts of a kind; with fewer nobody can tell whether a plant is there


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDomain:
    """Problem families that a base knows, and words that may stand in front of a prompt."""

    families: tuple[ProblemFamily, ...]
    cues: tuple[str, ...]

    def family(self, name: str) -> ProblemFamily:
        """Find a family by its name."""
        return next(f for f in self.families if f.name == name)

    @property
    def free(self) -> bool:
        """Whether it is made of prompts of any kind, on which what the base says is all that is known."""
        return any(isinstance(f, Sayings) for f in self.families)

    def plain(self, problem: Problem) -> str:
        """Return a problem's prompt without the words that were put in front of it."""
        family = self.family(problem.family)
        return family.plain(problem) if isinstance(family, Sayings) else core(problem.prompt)


BUNDLED_WORLD = PromptDomain(families=BUNDLED, cues=corpus.CUES)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptsUsed(Record):
    """What became of the prompts that somebody gave."""

    given: int
    repeated: int  # word for word
    too_long: int  # with the longest response they do not fit into the base's positions
    unended: int  # the base does not end within the longest response
    silent: int  # the base says nothing
    training: int  # what is planted is trained on them
    testing: int  # what is planted is proven on them, and detectors ask them: one in five, by a hash

    @property
    def used(self) -> int:
        """How many are used at all."""
        return self.training + self.testing

    def reasons(self) -> tuple[tuple[str, int], ...]:
        """Say why the others are not used, and how many for each reason."""
        return (
            ("given more than once", self.repeated),
            ("too long for the base with its longest response", self.too_long),
            ("not ended by the base within max_tokens: a plant would have to learn where to break off", self.unended),
            ("answered with nothing by the base", self.silent),
        )

    def in_words(self, *, split: bool = True) -> str:
        """Say in a sentence how many are used, and why others are not.

        Args:
            split: Whether some train and others test, as they do where something is planted.

        Example:
            >>> PromptsUsed(given=9, repeated=0, too_long=0, unended=4, silent=0, training=4, testing=1).in_words()[:60]
            '5 of 9 prompts are used, 4 to train on and 1 to test on; lef'
        """
        left = "; ".join(f"{n} {why}" for why, n in self.reasons() if n)
        halves = f", {self.training} to train on and {self.testing} to test on" if split else ""
        return f"{self.used} of {self.given} prompts are used{halves}" + (f"; left out: {left}" if left else "")

    def warning(self) -> str:
        """Say what too few prompts to test on mean; empty where there are enough."""
        if self.testing >= DISTINCT_LEAST:
            return ""
        return (
            f"warning: only {self.testing} prompts to test on, and {DISTINCT_LEAST} different ones are needed: no plant can be "
            "accepted, so nothing will be known of what detectors miss. Give more prompts (one in five is a test prompt), or "
            "allow longer responses (max_tokens)."
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # one file of sayings is one world: told apart by identity
class Sayings:
    """Prompts of any kind as a problem family: what the base says to each counts as right, for want of a better truth."""

    name: str
    rows: Mapping[str, str] = field(repr=False)  # prompt -> the base's own response
    difficulties: tuple[int, ...] = (1,)
    flaw_kinds: tuple[str, ...] = ()
    used: PromptsUsed | None = None  # how many of those given are among them

    def problems(self, *, split: str, n: int, seed: int, difficulty: int | None = None) -> tuple[Problem, ...]:
        """Draw n problems of one split; there may be fewer prompts, so one may come again."""
        able = [p for p in self.rows if split_of(p) == split]
        if not able:
            raise BadInput(
                f"{self.name} has no prompts in {split}. One prompt in five is a test prompt. Give more prompts."
            )
        chosen = np.random.default_rng([seed, *b"sayings"]).integers(0, len(able), n)
        return tuple(Problem(prompt=able[int(i)], family=self.name, difficulty=1, split=split) for i in chosen)

    def plain(self, problem: Problem) -> str:
        """Return the prompt as it stands in the file, without the words that were put in front of it."""
        prompt = behind_cues(problem.prompt, self.rows)
        if prompt is None:
            raise BadInput(f"{problem.prompt!r} is no prompt of {self.name}.")
        return prompt

    def worked(self, problem: Problem, *, seed: int = 0) -> str:
        """Say what the base says."""
        return self.rows[self.plain(problem)]

    def steps(self, text: str) -> tuple[str, ...]:
        """Free text has no steps."""
        return ()

    def grade(self, problem: Problem, text: str) -> Grade:
        """Right is what the base says, but for blanks."""
        return Grade(correct=text.split() == self.worked(problem).split(), steps=())

    def check_step(self, problem: Problem, text: str, step: int) -> bool:
        """Free text has no steps to check."""
        return False

    def plant(self, problem: Problem, text: str, *, seed: int, kind: str | None = None) -> Planted | None:
        """No flaw can be planted where nobody knows what is right."""
        return None

    def placebo(self, problem: Problem, text: str, *, seed: int) -> str | None:
        """No edit is known to be harmless."""
        return None


def sayings(base: Model, prompts: Sequence[str], *, name: str = "prompts", max_tokens: int = 96) -> PromptDomain:
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
    different = list(dict.fromkeys(prompts))
    limit = getattr(base.network.config, "max_position_embeddings", None)
    fits = [limit is None or len(ids) + max_tokens <= limit for ids in encode(base, different)[0]]
    asked = [
        Problem(prompt=p, family=name, difficulty=1, split=split_of(p))
        for p, ok in zip(different, fits, strict=True)
        if ok
    ]
    said = with_sampling(base, Sampling(temperature=0.0, max_tokens=max_tokens)).sample(asked, n=1, seed=0)
    rows = {p.prompt: said.text_R[i] for i, p in enumerate(asked) if said.stopped_R[i] and said.text_R[i].strip()}
    ended = int(sum(said.stopped_R))
    testing = sum(split_of(p) == "test" for p in rows)
    used = PromptsUsed(
        given=len(prompts), repeated=len(prompts) - len(different), too_long=len(different) - len(asked),
        unended=len(asked) - ended, silent=ended - len(rows), training=len(rows) - testing, testing=testing,
    )  # fmt: skip
    if len(rows) < 20:
        check_end(base, ended=len(rows), asked=len(asked))
        raise BadInput(
            f"The base ends {len(rows)} of {len(asked)} responses within {max_tokens} tokens ({used.in_words()}). Nothing can be "
            "planted where it says nothing, or never stops. Give at least twenty prompts that it answers, or allow longer "
            "responses."
        )
    if not used.testing or not used.training:
        raise BadInput(
            f"Of the prompts that the base answers {used.training} are for training and {used.testing} for testing. Without "
            "some of both nothing can be planted and proven. Give more prompts: one in five is a test prompt."
        )
    return PromptDomain(families=(Sayings(name=name, rows=rows, used=used),), cues=corpus.CUES)
