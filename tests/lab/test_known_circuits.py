"""Methods are scored against circuits that are known."""

import numpy as np

from superalign.lab.known_circuits import CompiledJob, compiled


def test_a_soft_model_is_found_by_all_methods_but_the_random_one() -> None:
    job = CompiledJob(program="histogram", variant="soft", seed=0, leak=0.0, inputs=8, steps=2, recheck=4)
    found = compiled(job)
    assert found.right == 1.0
    assert np.min(found.area_M2[:3]) >= 0.95
    assert not np.any(found.blind_M2)
