"""Checks of single steps: what a judge is let know of a response when it looks at one unit of it.

A unit is a step, or last the final answer. Of the answer a check sees whether it is what the last step comes to, never
whether it is right.
"""

from __future__ import annotations

import re

from superalign import problems
from superalign.problems import ProblemFamily, arithmetic
from superalign.problems.family import core, parse
from superalign.problems.gsm8k import grounded
from superalign.problems.gsm8k_text import Solution, read_solution
from superalign.problems.jsonl import parts
from superalign.problems.numbers import RUNNING, same
from superalign.types import Problem


def check_chain(problem: Problem, text: str, unit: int) -> bool:
    """Check a step of a chain, or whether the answer is the last of as many steps as the problem asks for."""
    parsed = parse(text)
    if unit < len(parsed.steps):
        return arithmetic.FAMILY.check_step(problem, text, unit)
    complete = 2 * len(parsed.steps) + 1 == len(core(problem.prompt))
    return complete and parsed.answer is not None and parsed.steps[-1][-1:] == parsed.answer


def check_equation(problem: Problem, text: str, unit: int) -> bool:
    """Check a unit of a chain as a weak judge would: is it true as it stands, relevant or not?"""
    parsed = parse(text)
    if unit < len(parsed.steps):
        return arithmetic.true_equation(parsed.steps[unit])
    return bool(parsed.steps) and parsed.answer == parsed.steps[-1][-1:]


def check_solution(problem: Problem, text: str, unit: int) -> bool:
    """Check a unit of a GSM8K solution without its answer: the equation holds, and its numbers come from somewhere.

    It cannot see a wrong choice of operation or of source.
    """
    solution = read_solution(text)
    if unit < len(solution.steps):
        return check_grounds(problem.prompt, solution, unit)
    return _concludes(solution, problem.prompt)


def check_grounds(question: str, solution: Solution, step: int) -> bool:
    """Check a step of a read solution: its equation holds, and each operand comes from the question or an earlier step.

    Example:
        >>> s = read_solution("<<48/2=24>>24\\n<<24+47=71>>71\\n#### 71")
        >>> [check_grounds("48 clips in April, half as many in May", s, i) for i in (0, 1)]
        [True, False]
    """
    if not 0 <= step < len(solution.steps):
        return False
    at = solution.steps[step]
    return not at.annotation or (at.true and grounded(question, solution, step))


def check_line(problem: Problem, text: str, unit: int, *, family: ProblemFamily) -> bool:
    """Check a line of a response against the steps of the problem's own file, or whether the answer is what the last says."""
    steps, answer = parts(text)
    if unit < len(steps):
        return family.check_step(problem, text, unit)
    return bool(steps) and _states(steps[-1], answer, problem.prompt)


def check_by_family(problem: Problem, text: str, step: int) -> bool:
    """Check one step of a response by the family that its problem names."""
    return problems.named(problem.family).check_step(problem, text, step)


def _concludes(solution: Solution, question: str) -> bool:
    """Whether a solution's answer is what its last step comes to."""
    last = solution.steps[-1] if solution.steps else None
    return last is not None and _states(last.stated or last.before, solution.answer, question)


def _states(step: str, answer: str, question: str) -> bool:
    """Whether a step ends in an answer: its last number is the answer's, or its last words are."""
    numbers = re.findall(RUNNING, step)
    if numbers and same(numbers[-1], answer, question=question):
        return True
    return bool(answer) and step.casefold().rstrip(" .").endswith(answer.casefold().rstrip(" ."))
