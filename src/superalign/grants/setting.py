"""What a study is about: problems, who answers them, and what one check of a response may see.

`chains:4-6` are chains of arithmetic of four to six operations, as many of each; `gsm8k:PATH` is a folder of GSM8K, and
`jsonl:FILE` a file of one's own with worked steps. The policy is any that `models.open` opens.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from superalign import problems
from superalign.errors import BadInput, ConfigError
from superalign.grants.checks import check_chain, check_equation, check_line, check_solution
from superalign.models import Model, Sampling, open_weights, with_sampling
from superalign.problems import ProblemFamily, arithmetic
from superalign.problems.family import parse, split_of
from superalign.problems.gsm8k import Gsm8k
from superalign.problems.gsm8k_text import read_solution
from superalign.problems.jsonl import Jsonl, parts
from superalign.problems.spans import chain_spans, line_spans, solution_spans
from superalign.types import Problem

Check: TypeAlias = Callable[[Problem, str, int], bool]
Spans: TypeAlias = Callable[[str], tuple[tuple[int, int], ...]]
CHAINS = "chains:"
LONGEST_TEXT = 400  # tokens of a response in words; worked solutions of GSM8K stay below 300
_LEVELS = re.compile(r"(\d+)-(\d+)|\d+(?:,\d+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a study is about. A unit is what one check looks at: a step of a response, or last its final answer."""

    name: str
    policy: str  # a name that `models.open` opens
    family: ProblemFamily = field(repr=False)
    levels: tuple[int, ...] = ()  # difficulties, as many problems of each; empty for problems as they come
    check: Check = field(repr=False)  # (problem, response, unit) -> is it right?
    check_alone: Check | None = field(repr=False)  # the same of a judge who does not know what was asked
    spans: Spans = field(repr=False)  # response -> where each unit stands
    final: Callable[[str], str] = field(repr=False)  # response -> its final answer, empty if there is none
    longest: int  # tokens of a response
    stock: Mapping[str, int] = field(default_factory=dict, repr=False)  # problems of a split, where they come to an end

    def units(self, text: str) -> int:
        """Count what can be checked of a response: its steps and its answer; nothing of an empty one."""
        return len(self.spans(text))

    def problems(self, split: str, n: int, seed: int) -> tuple[Problem, ...]:
        """Draw problems of one split, as many of each level."""
        if not self.levels:
            return self.family.problems(split=split, n=n, seed=seed)
        each = [
            self.family.problems(split=split, n=n // len(self.levels), seed=seed, difficulty=d) for d in self.levels
        ]
        return tuple(p for some in each for p in some)

    def pool(self, n: int, seed: int) -> tuple[Problem, ...]:
        """Draw training problems to draw from again: n, or as many as there are."""
        return self.problems("train", min(n, self.stock.get("train", n)), seed)

    def answered(self, problem: Problem, text: str) -> bool:
        """Grade the final answer."""
        return self.family.grade(problem, text).correct

    def wrong_units(self, asked: Sequence[Problem], texts: Sequence[str]) -> list[list[bool]]:
        """Check every unit of every response: which are wrong."""
        return [[not self.check(p, t, i) for i in range(self.units(t))] for p, t in zip(asked, texts, strict=True)]

    def labelled(self, base: Model, *, n: int, seed: int) -> tuple[list[Problem], list[str], list[list[bool]]]:
        """Label a base's responses to n training problems: problems, responses, and of each which units are wrong."""
        asked = self.problems("train", n, 10_000 + seed)
        texts = list(base.sample(asked, n=1, seed=10_000 + seed).text_R)
        return list(asked), texts, self.wrong_units(asked, texts)

    def model(self, *, temperature: float = 1.0) -> Model:
        """Open the policy, with room for the longest response."""
        return self.roomy(open_weights(self.policy), temperature=temperature)

    def roomy(self, model: Model, *, temperature: float = 1.0) -> Model:
        """Give a model room for the longest response."""
        return with_sampling(model, Sampling(temperature=temperature, max_tokens=self.longest))

    def depth(self, who: str) -> int:
        """Return the operations of the longest chain.

        Raises:
            ConfigError: If the problems are no chains, which whoever asks works through.
        """
        if not self.name.startswith(CHAINS):
            raise ConfigError(
                f"{who} works through chains of arithmetic, and {self.name} has none. It could read no step. Take "
                "setting=chains:4-6, or leave it out."
            )
        return max(self.levels)


@functools.lru_cache(maxsize=8)
def setting(name: str, policy: str = "small") -> Setting:
    """Find a setting by name, with a policy by its name.

    Raises:
        BadInput: If there is no such setting, or its file cannot be read or has no steps.

    Example:
        >>> setting("chains:4-6").levels, setting("chains:2,5").levels, setting("chains:3").longest
        ((4, 5, 6), (2, 5), 26)
    """
    if name.startswith(CHAINS):
        found = _LEVELS.fullmatch(name.removeprefix(CHAINS))
        if found is None:
            raise ConfigError(
                f"{name!r} does not say how long the chains are. Nothing could be drawn. Write chains:6 or chains:4-6."
            )
        if found[1]:
            return chains(range(int(found[1]), int(found[2]) + 1), policy)
        return chains([int(d) for d in found[0].split(",")], policy)
    if not name.startswith(("gsm8k:", "jsonl:")):
        raise ConfigError(
            f"There is no setting {name!r}. A study needs problems, and to know what one check of a response may see. Choose "
            "chains:4-6, gsm8k:PATH or jsonl:FILE."
        )
    family = problems.named(name)
    if isinstance(family, Gsm8k):
        return Setting(
            name=name,
            policy=policy,
            family=family,
            check=check_solution,
            check_alone=None,
            spans=solution_spans,
            final=lambda text: read_solution(text).answer,
            longest=LONGEST_TEXT,
            stock={split: len(rows) for split, rows in family.answers.items()},
        )
    assert isinstance(family, Jsonl)
    if not all(row.steps for row in family.rows.values()):
        raise BadInput(
            f"Not every problem of {family.path} has steps. A check of a step is a comparison with them. Write `steps` into each "
            "line, as a list of texts."
        )
    return Setting(
        name=name,
        policy=policy,
        family=family,
        check=functools.partial(check_line, family=family),
        check_alone=None,
        spans=line_spans,
        final=lambda text: parts(text)[1],
        longest=LONGEST_TEXT,
        stock=Counter(split_of(prompt) for prompt in family.rows),
    )


def chains(levels: Sequence[int] = (4, 5, 6), policy: str = "small") -> Setting:
    """Make the setting of arithmetic chains of some lengths.

    Raises:
        BadInput: For a length that the family does not have.

    Example:
        >>> chains().name, chains((2, 5)).name, chains((3,)).name
        ('chains:4-6', 'chains:2,5', 'chains:3')
    """
    family, levels = arithmetic.FAMILY, tuple(levels)
    if not levels or not set(levels) <= set(family.difficulties):
        raise BadInput(
            f"There are no chains of {', '.join(map(str, levels)) or 'no'} operations. Chains have {family.difficulties[0]} to "
            f"{family.difficulties[-1]}. Choose among these."
        )
    run = len(levels) > 1 and levels == tuple(range(levels[0], levels[-1] + 1))
    return Setting(
        name=CHAINS + (f"{levels[0]}-{levels[-1]}" if run else ",".join(map(str, levels))),
        policy=policy,
        family=family,
        levels=levels,
        check=check_chain,
        check_alone=check_equation,
        spans=chain_spans,
        final=lambda text: parse(text).answer or "",
        longest=6 * max(levels) + 8,
    )
