"""A base has not changed, an organism has, and what organisms of other kinds share is only found where they share it."""

import numpy as np
import pytest

from superalign.detectors.common import NOT_YET
from superalign.detectors.latent_change import LatentChange, learned
from superalign.errors import BadInput
from superalign.lab.shared_changes import (
    Changed,
    change_of,
    latent_change,
    look_inside,
    rates_of,
    shipped_subjects,
    unseen_kinds,
)
from superalign.models import open_weights
from superalign.organisms.triples import shipped
from superalign.trials.calibration import Scored
from superalign.types import Interval, Unmeasured, Verdict


@pytest.fixture(scope="module")
def detect() -> LatentChange:
    return latent_change(open_weights("small"), "residual.1", n=12, steps=60)


def test_a_base_scores_0_and_an_organism_more_than_its_twin(detect: LatentChange) -> None:
    (triple, *_), where = shipped(1)
    names = dict(triple.subjects)
    itself = detect(open_weights("small"), seed=0)
    assert isinstance(itself.score, Interval)
    assert itself.score.value == 0.0
    organism, twin = (detect(open_weights(where / names[role]), seed=0).score for role in ("organism", "clean"))
    assert isinstance(organism, Interval)
    assert isinstance(twin, Interval)
    assert organism.value > twin.value > 0


def test_a_subject_of_another_width_cannot_be_told(detect: LatentChange) -> None:
    assert isinstance(detect(open_weights("middle"), seed=0).score, Unmeasured)


def test_the_change_of_latents_is_what_the_verdict_measures(detect: LatentChange) -> None:
    changed = change_of(detect, open_weights("small"))
    assert changed.size == 0.0
    assert not changed.change_L.any()


def subjects(shared: bool, seed: int) -> tuple[list[Changed], list[str], np.ndarray]:
    """Three kinds of eight organisms and eight twins, with a latent that all organisms share, or one for each kind."""
    rng = np.random.default_rng(seed)
    out, kinds, organism = [], [], []
    for k, kind in enumerate("abc"):
        for i in range(16):
            change_L = rng.normal(size=30)
            change_L[0 if shared else k] += 6.0 * (i < 8)
            out.append(Changed(change_L, float(np.linalg.norm(change_L))))
            kinds.append(kind)
            organism.append(i < 8)
    return out, kinds, np.array(organism)


def test_a_shared_latent_tells_an_unseen_kind_and_one_of_each_kind_does_not() -> None:
    for found in unseen_kinds(*subjects(True, 0), shuffles=40):
        assert isinstance(found.area, Interval)
        assert found.area.value > max(0.9, found.shuffled.value)
    areas = [
        f.area.value
        for s in range(5)
        for f in unseen_kinds(*subjects(False, s), shuffles=2)
        if isinstance(f.area, Interval)
    ]
    assert np.mean(areas) < 0.65


def test_too_few_subjects_teach_nothing() -> None:
    with pytest.raises(BadInput, match="too few to learn"):
        learned(np.ones((5, 3)), np.array([True, True, False, False, False]))


def test_thresholds_come_from_clean_models_of_other_kinds_and_nothing_is_flagged_by_chance() -> None:
    rng, out = np.random.default_rng(0), []
    for kind, level in (("a", 6.0), ("b", 6.0), ("c", 0.0)):
        for i in range(24):
            role = "organism" if i < 8 else "clean"
            value = float(rng.normal() + level * (i < 8))
            score = Interval(value=value, low=value, high=value, n=9)
            verdict = Verdict(instrument="x", subject=f"{kind}{i}", score=score, flagged=NOT_YET, why="")
            out.append(Scored(subject=f"{kind}{i}", kind=kind, role=role, seed=i, verdict=verdict))
    found, null = rates_of(out, seed=0)
    recall = {c.held_out: c.recall.value for c in found if isinstance(c.recall, Interval)}
    assert min(recall["a"], recall["b"]) >= 0.75
    assert recall["c"] <= 0.25
    assert isinstance(null, Interval)
    assert null.low < 0.5 < null.high
    assert isinstance(found[-1].false_alarms, Interval)
    assert found[-1].false_alarms.low <= found[-1].false_positive_rate


def test_every_subject_that_ships_is_looked_at_once() -> None:
    some = shipped_subjects(1)
    assert len({s.name for s in some}) == len(some)
    assert {s.role for s in some} >= {"organism", "clean"}
    scored = look_inside(next(s for s in some if s.role == "organism"), seed=0)
    assert scored.score is not None
    assert scored.score > 0.0
