"""A toy world: a response is a row of letters, each letter is a step, y is right and n is wrong."""

import pytest

from superalign.types import Problem, Rollouts


def toy_check(problem, text, step):
    return text[step] == "y"


@pytest.fixture
def check():
    return toy_check


@pytest.fixture
def problems():
    return tuple(Problem(prompt=f"ask {i}", family="toy", difficulty=1, split="train") for i in range(4))


@pytest.fixture
def rollouts(problems):
    texts = ["yyyyn", "nyyy", "yyyy", "yyny", "yyyyyyn", "nn", "yyn", "yyyyy"]
    of = [0, 0, 1, 1, 2, 2, 3, 3]
    import numpy as np

    return Rollouts(problems=problems, problem_R=np.array(of), text_R=texts)
