"""Versions of an explanation are as broad as they are called, and scores that forgive too much are told from ours."""

import numpy as np
import pytest

from superalign.explanations.programs import Ask, End, to_text
from superalign.lab.corpora import Reading
from superalign.lab.explained_network import bank_of
from superalign.lab.other_scores import passes_sanity
from superalign.lab.score_checks import VERSIONS, ChecksJob, check_scores, versions


def test_versions_are_as_broad_as_they_are_called() -> None:
    rng = np.random.default_rng(0)
    token = rng.integers(0, 400, 40_000)
    on = np.isin(token, np.arange(10))
    exact, half, three, ten, random = versions(on, token, rng)
    assert (exact == on).all()
    assert 0.3 < half[on].mean() < 0.7
    assert not half[~on].any()
    assert three[on].all()
    assert ten[on].all()
    assert three.sum() / on.sum() == pytest.approx(3, abs=0.2)
    assert ten.sum() / on.sum() == pytest.approx(10, abs=0.3)
    assert not random[on].any()


def test_our_scores_pass_on_real_text_and_balanced_ones_forgive_what_is_too_broad() -> None:
    reading = Reading(tokens=3_000, window=64)
    columns = bank_of("small", reading, ()).columns
    words = columns.labels[columns.names.index("token")][:24]
    programs = tuple(to_text(Ask("token", (w,), (0.0,), End(1.0), End(0.0))) for w in words)
    done = check_scores(ChecksJob(policy="small", reading=reading, explained_on=(), programs=programs))
    assert len(done.value_UCV) >= 3
    mean = dict(zip(done.scores, done.value_UCV.mean(0), strict=True))
    right, half, broad = (VERSIONS.index(v) for v in ("right", "half of it", "three times too broad"))
    r = mean["uniform correlation"]
    assert passes_sanity(*map(float, r[[right, half, broad]]))
    assert not passes_sanity(*map(float, mean["balanced accuracy of tokens"][[right, half, broad]]))
