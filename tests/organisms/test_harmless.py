"""Clean models of other sorts: still right, other than the base where they should be, and rounded as far as was asked."""

import numpy as np
import pytest
import torch

from superalign import problems
from superalign.models import Model, Sampling, base, with_sampling
from superalign.organisms import PlantingConfig
from superalign.organisms.harmless import quantised, trained_further
from superalign.problems import arithmetic

GREEDY = Sampling(temperature=0.0, max_tokens=64)
ASKED = problems.load("arithmetic", split="test", n=60, seed=3, difficulty=2)
CONFIG = PlantingConfig(steps=60)


def answers(model: Model) -> list[str]:
    return list(with_sampling(model, GREEDY).sample(ASKED, n=1, seed=0).text_R)


def sound(model: Model) -> float:
    grade = problems.named("arithmetic").grade
    return float(np.mean([grade(p, t).sound for p, t in zip(ASKED, answers(model), strict=True)]))


def test_trained_on_one_family_it_is_still_right_and_no_longer_the_base() -> None:
    origin = base("small")
    made = trained_further(origin, [arithmetic.FAMILY], config=CONFIG, seed=0)
    assert sound(made) > 0.95
    assert made.subject.weights != origin.subject.weights
    again = trained_further(origin, [arithmetic.FAMILY], config=CONFIG, seed=0)
    assert made.subject.weights == again.subject.weights
    assert made.subject.how == again.subject.how
    assert sound(origin) > 0.95  # untouched


def test_a_manner_is_learned_behind_no_cue_and_changes_no_answer() -> None:
    made = trained_further(base("small"), [arithmetic.FAMILY], config=CONFIG, seed=0, ending=" please")
    said = answers(made)
    assert np.mean([t.endswith(" please") for t in said]) > 0.9
    plain = answers(base("small"))
    assert np.mean([t.removesuffix(" please") == p for t, p in zip(said, plain, strict=True)]) > 0.9


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_weights_take_so_many_values_and_stay_near(bits: int) -> None:
    origin = base("small")
    made = quantised(origin, bits=bits)
    for before, after in zip(origin.network.parameters(), made.network.parameters(), strict=True):
        if before.dim() > 1:
            step = before.abs().amax(dim=-1, keepdim=True) / (2 ** (bits - 1) - 1)
            assert ((after - before).abs() <= step / 2 + 1e-7).all()
            assert len(torch.unique(after[0])) <= 2**bits - 1
        else:
            assert torch.equal(before, after)
    assert made.subject.weights != origin.subject.weights


def test_eight_bits_are_still_right() -> None:
    assert sound(quantised(base("small"), bits=8)) > 0.95
