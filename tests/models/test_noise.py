from __future__ import annotations

import numpy as np
from scipy.stats import kstest

from superalign.models.noise import rollout_keys, uniforms


def test_keys_depend_on_seed_prompt_and_index_only() -> None:
    keys = rollout_keys([1, 2, 3], n=4, seed=7)
    assert (rollout_keys([1, 2, 3], n=9, seed=7)[:4] == keys).all()
    others = [
        rollout_keys([1, 2, 3], n=4, seed=8),
        rollout_keys([1, 2], n=4, seed=7),
        rollout_keys([3, 2, 1], n=4, seed=7),
    ]
    assert len({int(k) for part in [keys, *others] for k in part}) == 16


def test_numbers_are_uniform_and_unrelated() -> None:
    u = uniforms(rollout_keys([5], n=400, seed=0), tokens=50)
    assert u.min() > 0
    assert u.max() < 1
    assert kstest(u.ravel(), "uniform").pvalue > 0.01
    for a, b in ((u[:, :-1], u[:, 1:]), (u[:-1], u[1:])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)
