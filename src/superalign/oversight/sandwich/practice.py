"""What practice with answers is worth: after each outcome of a dialogue, how often the response was right.

A judge practises on responses whose truth he is told. What he comes to in the test he believes as far as it was right in
practice. The same is done with votes of the adviser, and with both together, which needs no oversight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from superalign.oversight.judges.judge import CheckStep, CountSteps
from superalign.oversight.sandwich.dialogue import UNKNOWN, Dialogue, concluded, looks, practised
from superalign.types import Problem, Unmeasured

By: TypeAlias = Literal["judge", "protocol", "agent", "voting", "combined"]
EMPTY = Unmeasured("the response is empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """The adviser's own answers to each problem, several times."""

    same: tuple[tuple[int, ...], ...]  # 1 where an answer is the response's
    texts: tuple[str, ...]  # the first of each
    right: float  # share of all that are right
    tokens: float  # of all votes on one problem

    @property
    def each(self) -> int:
        """How many to a problem."""
        return len(self.same[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Responses to some problems, whether they are right, and what an adviser said of each."""

    problems: tuple[Problem, ...]
    texts: tuple[str, ...]
    right: tuple[bool, ...]
    dialogues: tuple[Dialogue, ...]
    tokens: float  # of the adviser, on one response
    votes: Votes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """What an adviser said in practice and in the test."""

    practice: Heard
    test: Heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """What one arm makes of every response of the test."""

    values: tuple[float | Unmeasured, ...]  # probability that it is right
    checks: tuple[int, ...]
    words: tuple[str, ...]  # what the judge came to


@dataclass(frozen=True, slots=True, kw_only=True)
class PractisedJudge:
    """A judge with k checks, whose random looks the seed decides."""

    check: CheckStep = field(repr=False)
    count: CountSteps = field(repr=False)
    k: int
    seed: int

    def outcomes(self, heard: Heard, told: Sequence[Dialogue]) -> list[tuple[str, int]]:
        """Say what he comes to on every response after these dialogues, and his checks."""
        return [
            concluded(dialogue, k=self.k, look=looks(p, text, check=self.check, count=self.count, seed=self.seed))
            for p, text, dialogue in zip(heard.problems, heard.texts, told, strict=True)
        ]

    def words(self, own: Heard, heard: Heard, by: By) -> list[tuple[str, int]]:
        """Say what an arm comes to on every response, in words that practice can be counted by, and its checks.

        Args:
            own: The responses, with the agent's votes.
            heard: The same responses, with the dialogues that are heard.
            by: judge (alone), protocol (after the dialogues), agent (its first answer), voting, or combined (judge alone, and
                votes).
        """
        if by == "protocol":
            return self.outcomes(own, heard.dialogues)
        same = own.votes.same if own.votes else ()
        if by == "agent":
            return [("the same answer" if row[0] else "another answer", 0) for row in same]
        votes = [f"{sum(row[: self.k + 1])} of {self.k + 1} the same" for row in same]
        if by == "voting":
            return [(v, 0) for v in votes]
        alone = self.outcomes(own, [((None, True, True),) if text else () for text in own.texts])  # he asks nobody
        return alone if by == "judge" else [(f"{w}; {v}", c) for (w, c), v in zip(alone, votes, strict=True)]

    def believes(
        self, own: Advised, by: By, *, trusted: Advised | None = None, heard: Advised | None = None
    ) -> Believed:
        """Believe in the test what practice showed.

        Args:
            own: The responses, with the agent's dialogues and votes.
            by: Which arm, see `words`.
            trusted: Whose dialogues are heard in practice; the agent's if not given.
            heard: Whose are heard in the test; those of practice if not given.
        """
        trusted = trusted or own
        trust = practised([w for w, _ in self.words(own.practice, trusted.practice, by)], own.practice.right)
        words, checks = zip(*self.words(own.test, (heard or trusted).test, by), strict=True)
        values = tuple(trust.get(w, UNKNOWN) if t else EMPTY for w, t in zip(words, own.test.texts, strict=True))
        return Believed(values=values, checks=checks, words=words)
