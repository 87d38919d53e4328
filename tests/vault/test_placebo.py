"""Labels are what is given of public items alone; they are dealt together, turned over, and nothing else changes."""

from dataclasses import replace

import numpy as np

from superalign.stats import clopper_pearson
from superalign.vault.placebo import labels, redrawn
from superalign.vault.scoring import Scale, gain


def test_labels_are_dealt_together_and_the_rest_stays(toys):
    bench = toys.make_bench(labels=True)
    held = np.arange(200) % 3 == 0
    bench = replace(
        bench, public={**bench.public, "dev_x": np.ones((9, 4)), "dev_true": np.arange(9) > 4, "also": held}
    )
    assert labels(bench) == {"weak", "dev_true", "also"}
    dealt, turned = redrawn(bench, np.random.default_rng(0))
    for name in ("x", "dev_x"):
        assert dealt[name] is bench.public[name] is turned[name]
    pairs = sorted(zip(bench.public["weak"], held, strict=True))
    assert sorted(zip(dealt["weak"], dealt["also"], strict=True)) == pairs  # of one length they move alike
    assert not np.array_equal(dealt["weak"], bench.public["weak"])
    np.testing.assert_array_equal(turned["weak"], 1 - dealt["weak"])
    np.testing.assert_array_equal(turned["dev_true"], ~dealt["dev_true"])
    assert turned["dev_true"].dtype == bool


def test_without_labels_there_is_nothing_to_draw(toys):
    assert redrawn(toys.make_bench(), np.random.default_rng(0)) == ()


def test_one_draw_alone_would_flag_honest_fits_and_two_never_do(toys):
    """Few labels point somewhere, whatever they are; of a draw and its reverse one points away from the truth."""
    bench, hits, single = toys.make_bench(labels=True), 0, 0
    scale, inputs = Scale(metric="area", part=bench.parts["confirm"]), bench.parts["confirm"].inputs["x"]
    for draw in range(60):
        drawn = redrawn(bench, np.random.default_rng(draw))
        scores = [inputs @ p["x"].T @ (2 * p["weak"] - 1) for p in drawn]
        base = np.zeros((1, len(inputs)))
        lows = [gain(scale, s[None], base, confidence=0.99).low for s in scores]
        hits, single = hits + (min(lows) > 0), single + (lows[0] > 0)
    assert hits == 0
    assert clopper_pearson(single, n=60).low > 0.05
