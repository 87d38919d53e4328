"""Overseers of worked arithmetic that are made by amplification and by recursive reward modelling, and what they are granted.

They are granted the labelled training responses that the critic of the oversight study has too, and checks of single steps
on training problems, counted. Nobody here sees the answer of a problem.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from superalign.errors import BadInput
from superalign.grants.facts import VerifiedSteps
from superalign.lab.arms import Arm
from superalign.oversight.amplification.distillation import DistillConfig, distil
from superalign.oversight.amplification.games import Expressions
from superalign.oversight.amplification.judge import AmplifiedJudge, amplified_judge
from superalign.oversight.amplification.teachers import ErrorModel, amplified
from superalign.oversight.recursive.judge import RecursiveJudge, recursive_judge
from superalign.oversight.recursive.learning import LadderConfig
from superalign.oversight.recursive.reward import climb
from superalign.problems import arithmetic
from superalign.problems.family import core, parse
from superalign.stats.streams import seed_for
from superalign.types import Problem

MOST_CHECKS = 600  # of single steps, for the table that H looks up in
POOL = 4000  # responses of the base that a ladder's claims are cut from


def read_chain(prompt: str) -> tuple[int, ...]:
    """Write a chain as its first digit and a code per operation; empty where it is none.

    Example:
        >>> read_chain("5+3*2")
        (5, 3, 22)
    """
    text = core(prompt)
    digits, signs = text[::2], text[1::2]
    if len(text) < 3 or len(text) % 2 == 0 or not digits.isdecimal() or set(signs) - set(arithmetic.OPERATORS):
        return ()
    codes = (10 * arithmetic.OPERATORS.index(o) + int(d) for o, d in zip(signs, digits[1:], strict=True))
    return (int(digits[0]), *codes)


def read_response(text: str) -> tuple[tuple[int, ...], int | None] | None:
    """Read what each step of a response claims (-1: no digit), and its answer.

    Example:
        >>> read_response("5+3=8;8*2=6;#6")
        ((8, 6), 6)
    """
    if not text:
        return None
    parsed = parse(text)
    values = tuple(int(s[-1]) if s[-1].isdecimal() else -1 for s in parsed.steps)
    answer = parsed.answer or ""
    return values, int(answer) if len(answer) == 1 and answer.isdecimal() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What single steps are worth, as far as somebody checked one: (first digit, operation) -> value."""

    table: dict[tuple[int, int], int]
    labelled: int  # units that were labelled anyway
    checks: int  # of single steps beyond those

    def look_up(self, questions: Tensor) -> Tensor:
        """Look the values of known rows up."""
        return torch.tensor([self.table[int(a), int(c)] for a, c in questions.tolist()])


def _claims(
    problems: Iterable[Problem], texts: Iterable[str]
) -> Iterable[tuple[Problem, str, int, tuple[int, int], int]]:
    """Steps that do what their problem asks for there, right or wrong: problem, text, place, (before, operation), after."""
    for problem, text in zip(problems, texts, strict=True):
        chain, response = read_chain(problem.prompt), read_response(text)
        if response is None or not chain:
            continue
        before = chain[0]
        for i, (after, operation) in enumerate(zip(response[0], chain[1:], strict=False)):
            if before < 0 or after < 0:
                break
            yield problem, text, i, (before, operation), after
            before = after


def gather_facts(spec: Arm, *, most: int = MOST_CHECKS) -> Facts:
    """Collect right steps: first from the labelled responses, then by checking steps that are not known yet, one by one."""
    asked, texts, wrong = spec.labelled()
    table: dict[tuple[int, int], int] = {}
    label = {(p.digest, t): w for p, t, w in zip(asked, texts, wrong, strict=True)}
    for problem, text, i, fact, after in _claims(asked, texts):
        if not label[problem.digest, text][i]:
            table[fact] = after
    more = spec.setting.problems("train", 3 * most, seed_for(spec.seed, "labelled responses"))
    rollouts = spec.base.sample(more, n=1, seed=seed_for(spec.seed, "labelled responses"))
    checks = 0
    refuted: set[tuple[tuple[int, int], int]] = set()
    for problem, text, i, fact, after in _claims(more, rollouts.text_R):
        if checks >= most or fact in table or (fact, after) in refuted:
            continue
        checks += 1
        if spec.setting.check(problem, text, i):
            table[fact] = after
        else:
            refuted.add((fact, after))
    return Facts(table=table, labelled=sum(map(len, wrong)), checks=checks)


def amplification_overseer(
    spec: Arm,
    *,
    checks: int = 1,
    scrambled: bool = False,
    distilling: DistillConfig | None = None,
    most: int = MOST_CHECKS,
) -> AmplifiedJudge:
    """Make the overseer by amplification: X is distilled from H, who knows single steps that were checked.

    Args:
        spec: Base, seed and settings of the arm.
        checks: Of single steps, per rollout that is judged; 0 or 1.
        scrambled: The placebo.
        distilling: Settings of X; enough for six operations if not given.
        most: Checks of single steps that may be spent on H's table.

    Raises:
        BadInput: If no step was found right, so that H knows nothing.
    """
    spec, deepest = _roomy(spec), spec.setting.depth("Amplification")
    facts = gather_facts(spec, most=most)
    if not facts.table:
        raise BadInput(
            "No step of the base's responses was found right. H could look nothing up, and X would have nothing to learn. "
            "Allow more labelled responses or checks, or take another base."
        )
    game = Expressions(look_up=facts.look_up, known=tuple(sorted(facts.table)), lengths=tuple(range(1, deepest + 1)))
    settings = distilling or DistillConfig(steps=700, batch=256, lr=5e-3, gate=0.95)
    x = distil(game, amplified(game, ErrorModel()), config=settings, seed=spec.seed)
    return amplified_judge(
        x.net, read_chain=read_chain, read_response=read_response, check_step=spec.setting.check, checks=checks,
        spent=facts.checks, scrambled=scrambled,
    )  # fmt: skip


def _roomy(spec: Arm) -> Arm:
    """The base with room for the longest response."""
    return replace(spec, base=spec.setting.roomy(spec.base))


def _pool(spec: Arm, n: int) -> tuple[Tensor, Tensor]:
    """Chains of the deepest training problems, and what the base's responses to them claim after each operation."""
    depth = max(spec.setting.levels)
    asked = spec.setting.family.problems(
        split="train", n=n, seed=seed_for(spec.seed, "labelled chains"), difficulty=depth
    )
    texts = spec.base.sample(asked, n=1, seed=seed_for(spec.seed, "labelled chains")).text_R
    read = [(read_chain(p.prompt), read_response(t)) for p, t in zip(asked, texts, strict=True)]
    whole = [(c, r[0]) for c, r in read if r is not None and len(r[0]) == depth and min(r[0]) >= 0]
    if not whole:
        raise BadInput(
            f"None of {n} responses of the base works through its {depth} operations. There is nothing to label, so no reward "
            "model can be trained. Take a base that writes steps."
        )
    return torch.tensor([c for c, _ in whole]), torch.tensor([v for _, v in whole])


def recursive_overseer(
    spec: Arm,
    *,
    shuffled: bool = False,
    scrambled: bool = False,
    climbing: LadderConfig | None = None,
    pool: int = POOL,
) -> RecursiveJudge:
    """Make the overseer by recursive reward modelling: the reward model of the highest level that is asked for.

    What is labelled are beginnings of the base's own responses to training problems; half of their last values are replaced
    by any digit, so that there are wrong ones of every kind. Every label is one check of one step.

    Args:
        spec: Base, seed and settings of the arm.
        shuffled: The null: labels are shuffled at every level.
        scrambled: The placebo: it is asked about another question.
        climbing: Settings of the ladder; as many levels as the deepest problem has operations if not given.
        pool: Responses of the base that claims are cut from.

    Raises:
        BadInput: If the base writes no steps, or the ladder is too short for the problems.
    """
    spec, levels = _roomy(spec), spec.setting.depth("Recursive reward modelling")
    config = climbing or LadderConfig(levels=levels, labels=8000, steps=400, entropy=0.1)
    if config.levels < levels:
        raise BadInput(
            f"A ladder of {config.levels} levels was asked about chains of {levels} operations. Its highest reward model never "
            f"saw one that long. Give {levels} levels."
        )
    chains, values = _pool(spec, pool)
    verified = VerifiedSteps()

    def produce(n: int, operations: int, made: torch.Generator) -> tuple[Tensor, Tensor]:
        pick = torch.randint(len(chains), (n,), generator=made)
        said = values[pick, :operations].clone()
        other = torch.rand(n, generator=made) < 0.5
        said[other, -1] = torch.randint(10, (n,), generator=made)[other]
        return chains[pick, : 1 + operations], said

    ladder = climb(
        "assisted",
        produce=produce,
        verify=verified,
        config=config,
        seed=spec.seed,
        shuffled="all" if shuffled else "nothing",
    )
    return recursive_judge(
        ladder[-1].reward, read_chain=read_chain, read_response=read_response, most=config.levels,
        labels=sum(level.labels for level in ladder), spent=int(verified.used.sum()), shuffled=shuffled, scrambled=scrambled,
    )  # fmt: skip
