"""An adviser who works the rest of a chain out itself, and says where a response first differs from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from superalign.oversight.sandwich.dialogue import Advice, Asked
from superalign.problems import core, parse
from superalign.problems.family import Parsed
from superalign.stats.streams import seed_for
from superalign.types import Policy, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Solver:
    """An adviser who works the rest of a chain out itself and says where the response first differs."""

    agent: Policy = field(repr=False)
    name: str
    front: str = ""  # put before what it is asked
    other: Mapping[str, Problem] = field(default_factory=dict, repr=False)  # prompt -> the problem it is given instead

    def __call__(self, asked: Sequence[Asked], *, seed: int) -> Advice:
        """Ask the agent for the rest of every chain, and compare."""
        rests = [rest_of(self.other.get(p.prompt, p), text, start) for p, text, start in asked]
        put = [Problem(prompt=self.front + r, family="arithmetic", difficulty=1, split="test") for r in rests if r]
        said = self.agent.sample(put, n=1, seed=seed_for(seed, "adviser")) if put else None
        texts = iter(said.text_R if said else ())
        own = [parse(next(texts)) if rest else None for rest in rests]
        units = [differs(text, start, o) for (_, text, start), o in zip(asked, own, strict=True)]
        same = [
            u is None or (o is not None and o.answer is not None and o.answer == parse(text).answer)
            for (_, text, _), o, u in zip(asked, own, units, strict=True)
        ]
        return Advice(units=tuple(units), same=tuple(same), tokens=int(said.length_R.sum()) if said else 0)


def rest_of(problem: Problem, text: str, start: int) -> str:
    """Say what is left of a chain after so many steps of a response; empty if nothing is.

    Example:
        >>> p = Problem(prompt="5+3*2-4", family="arithmetic", difficulty=3, split="train")
        >>> rest_of(p, "5+3=8;8*2=6;6-4=2;#2", 1), rest_of(p, "5+3=8;8*2=6;6-4=2;#2", 3)
        ('8*2-4', '')
    """
    chain, steps = core(problem.prompt), parse(text).steps
    if start == 0:
        return chain
    if 2 * start + 1 >= len(chain) or start > len(steps):
        return ""
    return steps[start - 1][-1] + chain[1 + 2 * start :]


def differs(text: str, start: int, own: Parsed | None) -> int | None:
    """Find the first unit from a start on where a response differs from an adviser's own work; None if nowhere.

    Example:
        >>> differs("5+3=8;8*2=7;#7", 0, parse("3+5=8;8*2=6;#6")), differs("5+3=8;#8", 1, None)
        (1, None)
    """
    response = parse(text)
    last = len(response.steps)  # the unit of the answer
    if own is None:
        value = response.steps[-1][-1:] if response.steps else ""
        return None if response.answer == value else last
    for i, step in enumerate(own.steps, start):
        if i >= last:
            return last
        if not _same(response.steps[i], step):
            return i
    if start + len(own.steps) < last:
        return start + len(own.steps)
    return None if response.answer == own.answer else last


def _same(a: str, b: str) -> bool:
    swapped = a[2:3] + a[1:2] + a[0:1] + a[3:]
    return a == b or (a[1:2] in ("+", "*") and swapped == b)
