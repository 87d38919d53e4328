"""Bets on sealed items keep what gains, nothing of what does not; and twins are held against the questions of their problem."""

import numpy as np
import pytest

from superalign.control.identities import make_users
from superalign.control.sandbox import check_walls
from superalign.errors import BadInput
from superalign.lab.campaigns import opened, unsealed
from superalign.lab.claims_kept import beyond_twins, e_value, kept_claims, sealed_units
from superalign.monitors.approval import allow_unflagged
from superalign.stats import auroc
from superalign.types import Interval, Unmeasured
from superalign.vault import Part
from superalign.vault.scoring import Scale
from tests.vault.conftest import GOOD, make_bench, send

try:
    check_walls()
    MISSING = ""
except BadInput as error:
    MISSING = str(error)


def drawn(rng, metric, gain, *, n=600, runs=5):
    """Return a scale, and scores of an artefact and of a baseline: the artefact sees more of the truth by a gain."""
    truth_N = (rng.random(n) < 0.35).astype(int)
    noise = rng.normal(size=(2, runs, n)) * 0.3 + rng.normal(size=(2, 1, n))
    own, base = ((g * (2 * truth_N - 1) + e) for g, e in zip((0.4 + gain, 0.4), noise, strict=True))
    return Scale(metric=metric, part=Part(inputs={}, truth_NS=truth_N)), own, base


@pytest.mark.parametrize("metric", ["area", "share"])
def test_units_have_the_gain_as_their_mean_and_no_item_is_in_two(metric):
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        scale, own, base = drawn(rng, metric, 0.3)
        units = sealed_units(scale, own, base, rng)
        assert abs(units).max() <= 1
        found.append(
            units.mean()
            - np.mean([scale.parts(o).mean() - scale.parts(b).mean() for o, b in zip(own, base, strict=True)])
        )
    assert abs(np.mean(found)) < 0.01


def test_an_area_is_split_into_disjoint_groups():
    truth = np.array([1, 1, 0, 0, 0, 0])
    scale = Scale(metric="area", part=Part(inputs={}, truth_NS=truth))
    own, base = truth[None] * 1.0, 1.0 - truth[None]
    assert sealed_units(scale, own, base, np.random.default_rng(0)).tolist() == [1.0, 1.0]
    assert auroc(own[0][truth > 0], negatives=own[0][truth == 0]) == 1.0


def test_bets_on_what_gains_nothing_hold_no_more_than_they_cost():
    e = [e_value(*drawn(np.random.default_rng(s), "area" if s % 2 else "share", 0.0)) for s in range(150)]
    assert np.mean(e) < 1 + 4 * np.std(e) / np.sqrt(len(e))
    assert np.mean(np.array(e) >= 20) <= 0.05
    assert e_value(*drawn(np.random.default_rng(0), "area", 0.6)) > 1000


def test_recall_has_no_independent_units():
    assert isinstance(e_value(*drawn(np.random.default_rng(0), "recall", 0.5)), Unmeasured)


def test_real_questions_are_held_against_their_twins_within_problems():
    rng = np.random.default_rng(0)
    won = [(kind, twin, not twin and kind in "ab") for kind in "abcdef" for twin in (False, True) for _ in range(3)]
    beyond = beyond_twins(won, rng)
    assert beyond.found.value == pytest.approx(1 / 3)
    assert beyond.p < 0.01
    assert beyond.shuffled.high < beyond.found.value
    alike = beyond_twins([(k, t, k in "ab") for k, t, _ in won], rng)
    assert alike.found.value == 0
    assert alike.p > 0.5
    assert isinstance(beyond_twins([("a", True, False)], rng).found, Unmeasured)
    one_each = beyond_twins([(k, t, not t) for k in "abcdef" for t in (False, True)], rng)
    assert one_each.p == pytest.approx(2**-6, rel=0.5)
    assert isinstance(one_each.found, Interval)


@pytest.mark.skipif(bool(MISSING), reason=MISSING or "-")
def test_what_was_opened_is_run_again_and_repeats(tmp_path):
    make_users()
    real, other = make_bench(), make_bench("toy-b", seed=1)
    with opened(tmp_path / "vault", [real, other], allow=allow_unflagged, grid_s=0.02, watched=False) as vault:
        words = [send(vault.socket, GOOD, tier, n).get("word") for n, tier in enumerate(("climb", "confirm", "sealed"))]
        done = unsealed(vault)
    assert words[:2] == ["better", "passed"]
    kept = kept_claims([real, other], done, tmp_path)
    assert kept["toy-a"].repeats is True
    assert kept["toy-a"].e > 1000
    assert kept["toy-a"].kept
    assert not kept["toy-b"].kept
    assert isinstance(kept["toy-b"].e, Unmeasured)
    assert not (tmp_path / "again").exists()
