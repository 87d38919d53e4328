"""Every statistic on small inputs, to eight digits: what is right is asked elsewhere, that nothing moves unnoticed is asked here.

`python tests/stats/test_pinned.py` writes the file anew, after a change that is meant to move numbers: read what it changes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign import stats
from superalign.errors import BadInput
from superalign.stats import elo, inputs, ranking, recall, resampling, scaling_curve
from superalign.types import Unmeasured, to_plain

PINNED = Path(__file__).with_name("pinned.json")
RNG = np.random.default_rng(20)
FEW, MANY, PAIR = RNG.normal(size=7), RNG.normal(size=40), RNG.normal(size=40) + 0.4
COINS, RARE = RNG.integers(0, 2, 25), (RNG.random(25) < 0.1).astype(float)
POS, NEG, TIED = RNG.normal(1, 1, 9), RNG.normal(size=31), RNG.integers(0, 4, 30) * 1.0
LABELS, TABLE = np.arange(40) // 3, RNG.normal(size=(6, 4))
WINS = RNG.integers(0, 9, (2, 3, 3)).astype(float)
GAPS = np.linspace(-400, 600, 8)
SHARES = 1 / (1 + 10 ** ((GAPS - 100) / 500)) + 0.03 * RNG.normal(size=8)
NONE = Unmeasured("not run")

CASES: dict[str, Callable[[], Any]] = {
    # means
    "mean": lambda: stats.mean_interval(FEW),
    "mean of two": lambda: stats.mean_interval([1.0, 2.0], confidence=0.9),
    "mean of one": lambda: stats.mean_interval([1.0]),
    "mean of equal": lambda: stats.mean_interval([0.1 + 0.2, 0.3, 0.3]),
    "paired": lambda: stats.paired_difference(MANY, PAIR),
    "paired, not alike": lambda: stats.paired_difference([1.0, 2.0], [1.0]),
    "ratio": lambda: stats.ratio_interval(MANY + 5, PAIR + 4),
    "ratio, apart": lambda: stats.ratio_interval(FEW + 5, PAIR + 4, paired=False, confidence=0.9),
    "ratio of two": lambda: stats.ratio_interval([1.0, 1.1], [2.0, 2.1]),
    "ratio of one": lambda: stats.ratio_interval([1.0], [2.0]),
    "ratio, proportional": lambda: stats.ratio_interval([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]),
    "ratio, constant apart": lambda: stats.ratio_interval([1.0, 1.0], [2.0, 2.0], paired=False),
    "ratio, near zero": lambda: stats.ratio_interval(MANY, PAIR - 0.3),
    # proportions
    "wilson": lambda: [stats.wilson(k, n=9) for k in (0, 1, 5, 9)],
    "wilson of none": lambda: stats.wilson(0, n=0),
    "exact": lambda: [stats.clopper_pearson(k, n=9) for k in (0, 1, 5, 8, 9)],
    "exact, one-sided": lambda: [stats.clopper_pearson(k, n=9, side=s) for k in (0, 4, 9) for s in ("low", "high")],
    "exact of none": lambda: stats.clopper_pearson(0, n=0),
    "exact, too many": lambda: stats.clopper_pearson(3, n=2),
    "needed": lambda: [
        stats.needed_positives(b, misses=m, side=s) for b in (0.05, 0.5, 0.99) for m in (0, 2) for s in ("both", "low")
    ],
    "needed, from above": lambda: stats.needed_positives(0.5, side="high"),
    "needed, no bar": lambda: stats.needed_positives(1.0),
    # comparisons
    "holm": lambda: stats.holm([0.01, NONE, 0.04, 0.03, 0.9, 0.0, 1.0]),
    "holm, none": lambda: [stats.holm([]), stats.holm([NONE])],
    "holm, no chance": lambda: stats.holm([1.01]),
    "holm, below": lambda: stats.holm([-0.01]),
    # elo
    "elo": lambda: elo.bradley_terry(np.array([[0.0, 3.0, 1.0], [1.0, 0.0, 2.0], [0.5, 1.0, 0.0]])),
    # power
    "power of proportions": lambda: [
        stats.power_two_proportions(a, b, n_first=40, n_second=70)
        for a, b in ((0.5, 0.7), (0.7, 0.5), (0.0, 1.0), (0.2, 0.2))
    ],
    "power, a level": lambda: stats.power_two_proportions(0.5, 0.7, n_first=40, n_second=70, alpha=0.01),
    "power, certain": lambda: [
        stats.power_two_proportions(a, b, n_first=3, n_second=3) for a, b in ((0.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    ],
    "power, no rate": lambda: stats.power_two_proportions(0.5, 1.1, n_first=40, n_second=70),
    "detectable": lambda: [
        stats.detectable_two_proportions(a, n_first=50, n_second=60, power=p)
        for a, p in ((0.1, 0.8), (0.5, 0.9), (0.97, 0.8), (0.3, 0.04))
    ],
    "needed in each arm": lambda: [
        stats.needed_two_proportions(a, b, power=p)
        for a, b, p in ((0.5, 0.7, 0.8), (0.1, 0.05, 0.9), (0.3, 0.3, 0.8), (0.01, 0.99, 0.8))
    ],
    "paired sd": lambda: [
        stats.paired_sd(d, difference=x) for d, x in ((0.11, 0.03), (0.1, 0.1), (0.1, -0.1), (1.0, 0.0), (0.0, 0.0))
    ],
    "paired sd, impossible": lambda: stats.paired_sd(0.1, difference=0.11),
    "paired sd, too often": lambda: stats.paired_sd(1.1, difference=0.11),
    "power of pairs": lambda: [stats.power_paired(d, sd=1.5, n=n) for d in (0.0, 0.5, -0.5) for n in (2, 30)],
    "power of pairs, no spread": lambda: stats.power_paired(0.5, sd=0.0, n=3),
    "power of a pair": lambda: stats.power_paired(0.5, sd=1.0, n=1),
    "detectable in pairs": lambda: [stats.detectable_paired(sd=0.4, n=n) for n in (2, 30, 500)],
    "detectable, no power": lambda: stats.detectable_paired(sd=0.4, n=5, power=0.05),
    "needed pairs": lambda: [
        stats.needed_pairs(d, sd=1.0, power=p) for d, p in ((0.5, 0.8), (-0.1, 0.9), (9.0, 0.8), (0.0, 0.8))
    ],
    "area, known spread": lambda: [stats.auroc_null_sd(6, 36), stats.auroc_null_sd(1, 1)],
    "area, planned": lambda: [stats.auroc_planning_se(a, n_positives=6, n_negatives=36) for a in (0.5, 0.8, 0.99)],
    "area, planned, none": lambda: stats.auroc_planning_se(1.2, n_positives=6, n_negatives=36),
    # ranking
    "area": lambda: [stats.auroc(POS, negatives=NEG), stats.auroc(TIED[:9], negatives=TIED[9:])],
    "area of one class": lambda: [stats.auroc([], negatives=NEG), stats.auroc_delong(POS, negatives=[])],
    "delong": lambda: [stats.auroc_delong(POS, negatives=NEG), stats.auroc_delong(NEG, negatives=POS, confidence=0.9)],
    "delong, tied": lambda: [
        stats.auroc_delong(TIED[:9], negatives=TIED[9:]),
        stats.delong_variance(TIED[:9], negatives=TIED[9:]),
    ],
    "delong, apart": lambda: [
        stats.auroc_delong(a, negatives=b) for a, b in (([3, 4, 5], [1, 2]), ([1, 2], [3, 4, 5]), ([1, 1, 1], [1, 1]))
    ],
    "delong of one": lambda: [stats.auroc_delong([1.0], negatives=NEG), stats.auroc_delong(POS, negatives=[1.0])],
    "delong of two": lambda: stats.auroc_delong([1.0, 3.0], negatives=[2.0, 0.0]),
    "area, resampled": lambda: stats.auroc_bootstrap(POS, negatives=NEG, seed=1, draws=200),
    "area, clusters": lambda: stats.auroc_bootstrap(
        POS, negatives=NEG, clusters=(np.arange(9) // 2, np.arange(31) // 2), seed=1, draws=200
    ),
    "area, clusters apart": lambda: stats.auroc_bootstrap(
        POS, negatives=NEG, clusters=(np.arange(9) // 2, 50 + np.arange(31) // 2), seed=1, draws=200
    ),
    "area, resampled apart": lambda: [
        stats.auroc_bootstrap(a, negatives=b, seed=0, draws=100)
        for a, b in (([3, 4, 5], [1, 2]), ([1, 1], [1, 1, 1]), ([1, 2], [3, 4]))
    ],
    "area, one cluster": lambda: stats.auroc_bootstrap(
        POS, negatives=NEG, clusters=(np.zeros(9), np.arange(31)), seed=1, draws=200
    ),
    "area, one pair": lambda: stats.auroc_bootstrap(
        [3, 4], negatives=[1, 2], clusters=(["a", "b"], ["a", "b"]), seed=1, draws=200
    ),
    "area, classes go missing": lambda: stats.auroc_bootstrap(
        [3.0, 1.5], negatives=[1, 2], clusters=(["a", "b"], ["c", "a"]), seed=1, draws=200
    ),
    "area, few draws": lambda: stats.auroc_bootstrap(POS, negatives=NEG, seed=1, draws=99),
    "codes": lambda: [
        x.tolist() if hasattr(x, "tolist") else x
        for x in ranking.joint_codes(2, 3, clusters=(["b", "a"], ["c", "a", "b"]))
    ],
    # recall
    "lowest rate": lambda: [
        stats.lowest_rate(n, sides=s, assurance=a)
        for n in (0, 1, 2, 19)
        for s in ("high", "low", "both")
        for a in (None, 0.9)
    ],
    "thresholds": lambda: [
        stats.choose_thresholds(NEG, rate=r, sides=s) for r in (0.05, 0.1, 0.2) for s in ("high", "low", "both")
    ],
    "thresholds at an edge": lambda: [stats.choose_thresholds(range(99), rate=r) for r in (0.01, 0.0099, 0.29, 0.995)],
    "thresholds, sure": lambda: [
        stats.choose_thresholds(range(99), rate=r, assurance=0.95, sides=s)
        for r in (0.05, 0.1)
        for s in ("high", "both")
    ],
    "thresholds or the lowest": lambda: [
        stats.choose_thresholds(NEG[:4], rate=0.01, sides=s, or_lowest=True) for s in ("high", "low", "both")
    ],
    "thresholds of none": lambda: [stats.choose_thresholds(NEG[:n], rate=0.5, sides="both") for n in (0, 1, 2, 3)],
    "thresholds, no rate": lambda: stats.choose_thresholds(NEG, rate=1.0),
    "flags": lambda: [
        stats.flags([0, 5, 9, 90, 94, 95], thresholds=stats.choose_thresholds(range(99), rate=0.1, sides=s)).tolist()
        for s in ("high", "low", "both")
    ],
    "flagged": lambda: stats.flagged_fraction(POS, thresholds=stats.choose_thresholds(NEG, rate=0.1)),
    "recall": lambda: [
        stats.recall_at_rate(POS, negatives=NEG, rate=r, sides=s)
        for r in (0.01, 0.1, 0.3)
        for s in ("high", "low", "both")
    ],
    "recall, resampled": lambda: [
        stats.recall_bootstrap(POS, negatives=NEG, rate=0.2, sides=s, seed=2, draws=200)
        for s in ("high", "low", "both")
    ],
    "recall, lowest": lambda: stats.recall_bootstrap(
        POS, negatives=NEG[:5], rate=0.01, or_lowest=True, seed=2, draws=200
    ),
    "recall, clusters": lambda: stats.recall_bootstrap(
        POS, negatives=NEG, rate=0.2, clusters=(np.arange(9) // 2, np.arange(31) // 4), seed=2, draws=200
    ),
    "recall of none": lambda: [
        stats.recall_bootstrap([], negatives=NEG, rate=0.2, seed=2),
        stats.recall_bootstrap(POS, negatives=NEG[:2], rate=0.2, seed=2),
    ],
    "recall, one cluster": lambda: stats.recall_bootstrap(
        POS, negatives=NEG, rate=0.2, clusters=(np.zeros(9), np.arange(31)), seed=2
    ),
    "recall, all": lambda: stats.recall_bootstrap(POS + 9, negatives=NEG, rate=0.2, seed=2, draws=200),
    "recall, weighted": lambda: recall._weighted_recall(
        POS, np.sort(NEG), np.arange(27).reshape(3, 9) % 3, np.arange(93).reshape(3, 31) % 4, rate=0.1, sides="both"
    ).tolist(),
    # resampling
    "from draws": lambda: [
        stats.interval_from_draws(MANY, value=0.1, n=n, confidence=c) for n in (2, 9, 10, 11, 40) for c in (0.95, 0.8)
    ],
    "from skewed draws": lambda: stats.interval_from_draws(np.exp(3 * MANY), value=1.0, n=12),
    "paired, resampled": lambda: [
        stats.paired_bootstrap(MANY[:n], PAIR[:n], seed=3, draws=200) for n in (1, 2, 9, 10, 40)
    ],
    "yes or no, resampled": lambda: [
        stats.paired_bootstrap(COINS, RARE, seed=3, draws=200),
        stats.paired_bootstrap(RARE, 0 * RARE, seed=3, draws=200),
    ],
    "clusters, resampled": lambda: stats.cluster_bootstrap(MANY, clusters=LABELS, seed=3, draws=200, confidence=0.9),
    "clusters alike": lambda: stats.cluster_bootstrap(MANY[:39], clusters=LABELS[:39], seed=3, draws=200),
    "one cluster": lambda: stats.cluster_bootstrap(MANY, clusters=np.zeros(40), seed=3),
    "clusters of one mean": lambda: stats.cluster_bootstrap([1.0, 3.0, 2.0], clusters=["a", "a", "b"], seed=3),
    "clusters, few draws": lambda: stats.cluster_bootstrap(MANY, clusters=LABELS, seed=3, draws=99),
    "crossed": lambda: [
        stats.crossed_mean(TABLE),
        stats.crossed_mean(TABLE[:2, :2], confidence=0.9),
        stats.crossed_mean(np.add.outer([0.0, 1.0, 5.0], [0.0, 2.0])),
    ],
    "crossed, one of either": lambda: [
        stats.crossed_mean(TABLE[:1]),
        stats.crossed_mean(TABLE[:, :1]),
        stats.crossed_mean(np.ones((2, 3))),
    ],
    "crossed, no table": lambda: stats.crossed_mean(MANY),
    "classes": lambda: [
        w.tolist()
        for w in resampling.resample_classes(
            np.random.default_rng(0), draws=2, positive_codes=np.array([0, 1, 1]), negative_codes=np.array([2, 3])
        )
    ],
    "classes, shared": lambda: [
        w.tolist()
        for w in resampling.resample_classes(
            np.random.default_rng(0), draws=2, positive_codes=np.array([0, 1, 1]), negative_codes=np.array([1, 2])
        )
    ],
    "parts": lambda: [resampling.chunk_sizes(5, w) for w in (1, 1_000_000, 2_000_000, 2_000_001)],
    # sequential
    "evidence": lambda: [
        stats.log_e_values([0, 3, 7], n=[1, 5, 9], p0=0.3, side=s).tolist() for s in ("greater", "less", "different")
    ],
    "evidence, a prior": lambda: stats.log_e_values([0, 3, 7], n=[1, 5, 9], p0=0.3, prior=(2.0, 3.0)).tolist(),
    "in turn": lambda: [
        stats.sequential_test(COINS, p0=p, side=s) for p in (0.1, 0.5, 0.9) for s in ("greater", "less", "different")
    ],
    "in turn, at once": lambda: stats.sequential_test(np.ones(12), p0=0.2, alpha=0.05),
    "in turn, none": lambda: stats.sequential_test([], p0=0.2),
    "in turn, no coins": lambda: stats.sequential_test([0.5], p0=0.2),
    "any time": lambda: [stats.anytime_interval(k, n=9) for k in (0, 4, 9)],
    "any time, none": lambda: stats.anytime_interval(0, n=0),
    "any time, too many": lambda: stats.anytime_interval(10, n=9),
    "bounds": lambda: [b.tolist() for b in stats.confidence_sequence(COINS[:6], confidence=0.9)],
    "no prior": lambda: [stats.log_e_values([1], n=[2], p0=0.3, prior=(0.0, 1.0))],
    # curves
    "strengths": lambda: scaling_curve.ratings(WINS).round(6).tolist(),
    "strengths, a prior": lambda: scaling_curve.ratings(WINS, prior=2.0).round(6).tolist(),
    "strengths, never met": lambda: (
        scaling_curve.ratings(np.array([[[0.0, 0, 5], [0, 0, 0], [2, 0, 0]]])).round(6).tolist()
    ),
    "strengths, below zero": lambda: scaling_curve.ratings(-WINS),
    "between": lambda: [
        x.round(6).tolist() for x in scaling_curve.between(WINS[:, :2], np.array([[9, 9, 9], [9, 0, 9]]))
    ],
    "head to head": lambda: (
        scaling_curve.head_to_head(np.array([[1.0, 1, 0, 1], [0, 1, 0, 0]]), np.array([[1.0, 2, 1, 0], [1, 1, 1, 1]]))
        .round(6)
        .tolist()
    ),
    "curve": lambda: scaling_curve.fit_curve(GAPS[None], SHARES[None]).round(6).tolist(),
    "curve, all won": lambda: scaling_curve.fit_curve(GAPS[None], np.ones((1, 8))).round(3).tolist(),
    "apart": lambda: (
        scaling_curve.fit_apart(GAPS[None, ::-1] / 3, GAPS[None] ** 2 / 900, SHARES[None]).round(6).tolist()
    ),
    "plateaus": lambda: [
        scaling_curve.fit_plateaus(GAPS, y) for y in (SHARES, np.clip(GAPS, 0, 300), GAPS, np.ones(8))
    ],
    "plateaus, one place": lambda: scaling_curve.fit_plateaus(np.ones(5), FEW[:5]),
    "plateaus, too few": lambda: scaling_curve.fit_plateaus([1, 2, 3], [1, 2, 3]),
    "crossed draws": lambda: [x.tolist() for x in scaling_curve.crossed_draws(3, 4, draws=3, seed=1)],
    "crossed draws, one": lambda: scaling_curve.crossed_draws(3, 4, draws=1, seed=1),
    "from the data first": lambda: [scaling_curve.from_draws(v, n=n) for v in (MANY, np.ones(3)) for n in (1, 2, 12)],
    "held out": lambda: [
        scaling_curve.held_out_errors(
            np.stack([GAPS, GAPS + 9]), np.stack([SHARES, SHARES]), np.arange(8) // 2, held_out=h
        ).tolist()
        for h in (None, 3)
    ],
    "nested": lambda: [
        scaling_curve.nested(np.array([lead, slope]), 800.0, most=m)
        for lead, slope, m in ((800.0, 1.0, 20), (0.0, 1.0, 20), (100.0, 0.5, 3))
    ],
    # inputs
    "a column": lambda: inputs.column([True, 2], name="x").tolist(),
    "no column": lambda: inputs.column([[1.0]], name="x"),
    "not finite": lambda: inputs.column([1.0, float("inf")], name="x"),
    "no number": lambda: inputs.column([1.0, NONE], name="x"),
    "no fraction": lambda: inputs.fraction(0.0, name="alpha"),
    "no fraction either": lambda: inputs.fraction(1.0, name="alpha"),
    "counted": lambda: [inputs.counted(1, name="n"), inputs.counted(0, name="n", least=0)],
    "not enough": lambda: inputs.counted(0, name="n"),
    "a flag": lambda: inputs.counted(True, name="n"),
    "tails": lambda: [inputs.two_tail(0.95), inputs.two_tail(0.8), inputs.t_quantile(0.9, df=3)],
    "spread": lambda: [
        inputs.spread_is_zero(np.array(x))
        for x in ([1.0], [0.1 + 0.2, 0.3], [1.0, 1.0 + 1e-12], [0.0, 0.0], [1e-300, 0.0])
    ],
    "labels": lambda: inputs.cluster_labels([1, 2], n=3, name="bases"),
    "codes of labels": lambda: [
        inputs.cluster_codes(["b", "a", "b"], n=3, name="x")[0].tolist(),
        inputs.cluster_codes([3, 3], n=2, name="x")[1],
    ],
}


def said(case: Callable[[], Any]) -> Any:
    """What a case comes to, in eight digits; what is refused, by its message."""
    try:
        made = case()
        return short(made.tolist() if isinstance(made, np.ndarray) else to_plain(made))
    except BadInput as refused:
        return f"refused: {refused}"


def short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, list | tuple):
        return [short(v) for v in value]
    return {k: short(v) for k, v in value.items() if k != "noun"} if isinstance(value, dict) else value


def close(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) or isinstance(got, float):
        return got == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    if isinstance(wanted, list):
        return len(got) == len(wanted) and all(map(close, got, wanted))
    if isinstance(wanted, dict):
        return got.keys() == wanted.keys() and all(close(got[k], wanted[k]) for k in wanted)
    return bool(got == wanted)


@pytest.mark.parametrize("name", CASES)
def test_no_number_moves_unnoticed(name: str) -> None:
    got, wanted = said(CASES[name]), json.loads(PINNED.read_text())[name]
    assert close(got, wanted), (got, wanted)


def test_every_case_is_pinned() -> None:
    assert list(json.loads(PINNED.read_text())) == list(CASES)


if __name__ == "__main__":
    lines = [f"{json.dumps(n)}: {json.dumps(said(c))}" for n, c in CASES.items()]
    PINNED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
