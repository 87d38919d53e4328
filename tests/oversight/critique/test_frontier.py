"""A frontier is the broken line between a critic's settings; between them a critic is drawn by chance."""

import numpy as np
import pytest

from superalign.oversight.critique.frontier import frontier

LEVELS = (0.05, 0.1, 0.25, 0.5, 1.0)


def test_a_frontier_by_hand() -> None:
    wrong = np.array([[True, False], [False, True], [False, False], [False, False]])
    names = np.array(
        [[True, False], [False, False], [True, False], [False, False]]
    )  # one flaw caught, one nit-pick in 4
    corners, levels = frontier([names], wrong, LEVELS)
    assert corners[0] == (0.0, 0.0)
    assert (0.25, 0.5) in corners
    assert corners[-1] == (1.5, 1.0)
    at = {level: x.tolist() for level, x in zip(LEVELS, levels, strict=True)}
    assert at[0.25] == pytest.approx([1.0, 0.0])
    assert at[0.1] == pytest.approx([0.4, 0.0])  # drawn by chance between silence and the critic
    assert at[0.5] == pytest.approx([1.0, 0.2])
