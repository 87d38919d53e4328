from collections.abc import Callable

import numpy as np
import pytest
from jaxtyping import config

from superalign.types import Interval, Unmeasured

REPETITIONS = 2000
Make = Callable[[np.random.Generator, int], Interval | Unmeasured]


def measured_coverage(make: Make, *, truth: float, seed: int = 0, repetitions: int = REPETITIONS) -> float:
    """The share of seeded repetitions whose interval covers the truth; one without an interval is a failure."""
    rng = np.random.default_rng(seed)
    covered = 0
    try:
        for repetition in range(repetitions):
            made = make(rng, repetition)
            assert isinstance(made, Interval), made
            covered += made.low <= truth <= made.high
            config.update(
                "jaxtyping_disable", True
            )  # repetitions are alike: the first has its shapes checked, for speed
    finally:
        config.update("jaxtyping_disable", False)
    return covered / repetitions


@pytest.fixture
def coverage() -> Callable[..., float]:
    return measured_coverage
