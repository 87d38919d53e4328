"""Clean models of other sorts: still right, and other than the base where they should be."""

import numpy as np

from superalign import problems
from superalign.models import Model, Sampling, base, with_sampling
from superalign.organisms import PlantingConfig
from superalign.organisms.harmless import trained_further
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
