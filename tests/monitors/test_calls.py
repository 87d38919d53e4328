"""Labels are what is given of public items alone; they are dealt together, turned over, and nothing else changes."""

from dataclasses import replace

import numpy as np

from superalign.monitors.calls import NUDGE, PROBE, changed, labels, probe, redrawn
from superalign.runner.calls import Job


def job(**public: np.ndarray) -> Job:
    rng = np.random.default_rng(0)
    x_ND = rng.normal(size=(300, 4))
    given = {"x": rng.normal(size=(200, 4)), **public}
    return Job(public=given, inputs={"x": x_ND, "budget": np.arange(300)}, seed=3, shape=(300, 2))


WEAK = (np.random.default_rng(1).random(200) < 0.5).astype(float)


def test_labels_are_dealt_together_and_the_rest_stays():
    held = np.arange(200) % 3 == 0
    call = job(weak=WEAK, also=held, dev_x=np.ones((9, 4)), dev_true=np.arange(9) > 4)
    assert labels(call) == {"weak", "dev_true", "also"}
    dealt, turned = (drawn.public for drawn in redrawn(call, np.random.default_rng(0)))
    for name in ("x", "dev_x"):
        assert dealt[name] is call.public[name] is turned[name]
    pairs = sorted(zip(WEAK, held, strict=True))
    assert sorted(zip(dealt["weak"], dealt["also"], strict=True)) == pairs  # of one length they move alike
    assert not np.array_equal(dealt["weak"], WEAK)
    np.testing.assert_array_equal(turned["weak"], 1 - dealt["weak"])
    np.testing.assert_array_equal(turned["dev_true"], ~dealt["dev_true"])
    assert turned["dev_true"].dtype == bool


def test_redrawn_calls_are_of_the_same_items_and_seed():
    call = job(weak=WEAK)
    for drawn in redrawn(call, np.random.default_rng(0)):
        assert replace(drawn, public=call.public) == call


def test_without_labels_there_is_nothing_to_draw():
    assert redrawn(job(), np.random.default_rng(0)) == ()


def test_a_probe_is_the_first_items():
    asked = probe(job())
    assert asked.shape == (PROBE, 2)
    np.testing.assert_array_equal(asked.inputs["x"], job().inputs["x"][:PROBE])


def test_one_thing_changes_at_a_time():
    call = job(weak=WEAK)
    calls = changed(call, np.random.default_rng(0))
    assert set(calls) == {"moved", "permuted"}
    assert calls["permuted"].inputs is call.inputs
    assert calls["moved"].public is call.public
    permuted = calls["permuted"].public["weak"]
    assert sorted(permuted) == sorted(WEAK)
    assert not np.array_equal(permuted, WEAK)
    gone = calls["moved"].inputs["x"] - call.inputs["x"]
    assert 0.5 * NUDGE < gone.std() < 2 * NUDGE
    np.testing.assert_array_equal(calls["moved"].inputs["budget"], call.inputs["budget"])  # whole numbers stay


def test_without_imperfect_labels_none_are_permuted():
    assert set(changed(job(), np.random.default_rng(0))) == {"moved"}
