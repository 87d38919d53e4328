"""The trial's judge checks one step, and its arms differ only in which."""

import numpy as np

from superalign.grants.checks import check_grounds
from superalign.problems.gsm8k_text import read_solution
from superalign.trials.one_check import (
    ARITHMETIC,
    CEILING,
    CRITIC,
    PLACEBO,
    RULE,
    RULES,
    TrialSolution,
    judged,
    pointers,
)

QUESTION = "Ann has 12 apples and buys 30 more. Half of them are red. How many are red?"
FLAWED = "She has <<12+30=42>>42 apples.\nOf them <<42/3=14>>14 are red.\nShe is glad of <<14+47=61>>61.\n#### 61"


def item(step: int) -> TrialSolution:
    return TrialSolution(
        question=QUESTION, solution=read_solution(FLAWED), edited=None, kind="operator", step=step, edited_step=-1
    )


def test_the_judge_sees_arithmetic_and_provenance_but_not_relevance() -> None:
    items = [item(1), item(2), item(1)]
    came = judged(items, np.array([1, 2, 2]), check=check_grounds, edited=False)
    # step 1 divides by the wrong but nearby 3: nowhere in the question; step 2 adds 47 out of nowhere
    assert came.called_N.tolist() == [True, True, True]
    assert came.found_N.tolist() == [True, True, False], "calling another step flawed is not finding the flaw"
    assert not judged(items, np.array([0, 0, 0]), check=check_grounds, edited=False).called_N.any()


def test_arms_differ_only_in_where_they_point() -> None:
    items = [item(2) for _ in range(40)]
    told = [k % 3 for k in range(40)]
    arms = pointers(items, critic=told, edited=False, seed=0)
    assert arms[CRITIC].tolist() == told
    assert sorted(arms[PLACEBO].tolist()) == sorted(told), "the placebo points where the critic points as often"
    assert arms[PLACEBO].tolist() != told
    assert set(arms[RULE].tolist()) == {1}
    assert set(arms[ARITHMETIC].tolist()) <= {0, 1, 2}
    assert set(arms[RULES].tolist()) == {1}
    assert arms[CEILING].tolist() == [2] * 40
