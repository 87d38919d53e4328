"""A patch along one direction that acts through a dormant path is flagged, and one along the feature is not."""

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.interp.subspace import SubspacePatch, subspace_patch


def patch(seed: int, *, dormant: bool, D: int = 16) -> SubspacePatch:
    """A component with one direction that carries the feature and one that does not; the read-out sees only one of them."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(D, D)))[0]
    carries, still = basis[0], basis[1]
    seen = still if dormant else carries
    read_OD = np.stack([seen, *basis[2:6]])  # of what it reads else nothing differs between clean and corrupt
    noise_ND = rng.normal(size=(40, D)) * 0.1
    clean_ND, corrupt_ND = noise_ND + carries, noise_ND - carries + 0.02 * rng.normal(size=(40, D))
    along = (carries + still) / np.sqrt(2) if dormant else carries + 0.1 * rng.normal(size=D)
    weights_O = np.array([1.0, *0.1 * rng.normal(size=4)])
    return subspace_patch(
        clean_ND, corrupt_ND, along, metric=lambda a: np.tanh(a @ read_OD.T) @ weights_O, read_OD=read_OD
    )


def test_dormant_paths_are_flagged_and_active_ones_are_not() -> None:
    illusions, controls = ([patch(s, dormant=d) for s in range(50)] for d in (True, False))
    assert all(abs(p.along) > 0.3 for p in illusions)  # the patch does move the output
    assert np.mean([p.flagged for p in illusions]) >= 0.95
    assert np.mean([p.flagged for p in controls]) <= 0.05


def test_a_patch_that_does_nothing_is_no_illusion() -> None:
    same = np.ones((5, 4))
    found = subspace_patch(same, same, np.ones(4), metric=lambda a: a.sum(1), read_OD=np.eye(4))
    assert (found.along, found.flagged) == (0.0, False)


def test_a_direction_without_length_is_refused() -> None:
    with pytest.raises(BadInput, match="direction is zero"):
        subspace_patch(np.ones((2, 4)), np.ones((2, 4)), np.zeros(4), metric=lambda a: a.sum(1), read_OD=np.eye(4))
