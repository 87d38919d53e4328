"""Crossing: scores of who is wrong, labels of a limited judge, flags, a page that cannot be fooled, settings refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from superalign.errors import ConfigError
from superalign.lab.arm_names import CONFIDENCE, DEALT, JUDGE, OTHER, THIRD
from superalign.lab.exposed_pairs import Exposed
from superalign.lab.opposition import SCORES, differing, mean_area, tables_of
from superalign.lab.overseen_labels import ALIKE, BIASED, CARELESS, accepted, faults_found, sheets_checked, turned
from superalign.lab.pair_flags import alarms
from superalign.lab.paired_students import bias_of, features, groups_of, rule_for
from superalign.lab.weak_benches import Claims
from superalign.studies.crossing.evidence import Evidence, Pairing, Validator
from superalign.studies.crossing.page import page
from superalign.studies.crossing.study import STUDY, Config, check
from superalign.types import Interval, Unmeasured

P = 200


def at(value: float, half: float = 0.02) -> Interval:
    return Interval(value=value, low=value - half, high=value + half, n=5)


def members(seed: int, *, wrong: float) -> tuple[np.ndarray, np.ndarray]:
    """Which items are true, and the log-odds of a model that is wrong on a share of them, and does not know where."""
    rng = np.random.default_rng(seed)
    true_P = np.arange(P) % 2 == 0
    return true_P, np.where(true_P != (rng.random(P) < wrong), 1.0, -1.0) * rng.uniform(1, 2, P)


def test_another_model_with_errors_of_its_own_says_where_one_is_wrong_and_a_dealt_one_does_not() -> None:
    true_P = members(0, wrong=0.3)[0]
    own, other = ([members(s + k, wrong=0.3 - k / 100)[1] for s in range(4)] for k in (0, 20))
    found = tables_of(own, other, own, [np.zeros(P)] * 4, true_P=true_P, question_P=np.arange(P))
    areas = {name: mean_area(found[name]) for name in SCORES}
    assert all(isinstance(a, Interval) for a in areas.values())
    assert areas[OTHER].low > 0.6  # type: ignore[union-attr]
    assert areas[DEALT].low < 0.5 < areas[DEALT].high  # type: ignore[union-attr]
    assert areas[CONFIDENCE].low < 0.5 < areas[CONFIDENCE].high  # type: ignore[union-attr]
    assert areas[JUDGE].value == 0.5  # type: ignore[union-attr]
    # A third run that repeats every answer opposes none: it only says again how sure the model is.
    assert areas[THIRD] == areas[CONFIDENCE]


def test_a_model_that_hardly_errs_is_not_measured_and_disagrees_with_itself_nowhere() -> None:
    true_P, odds = members(0, wrong=0.0)
    assert tables_of([odds] * 3, [odds] * 3, [odds] * 3, [odds] * 3, true_P=true_P, question_P=np.arange(P)) == {}
    same = differing([odds] * 3, [odds] * 3, np.arange(P))
    assert isinstance(same, Interval)
    assert same.low == same.value == 0.0


def test_labels_are_wrong_less_often_the_more_is_checked() -> None:
    prompts = [f"claim {a}+{b}*2={(a + b) * 2 % 10}" for a in range(6) for b in range(6)]
    true, touched = np.ones(36, bool), np.zeros(36, bool)
    wrong = turned(CARELESS, true, touched_M=touched, author_M=true, share=0.5, seed=0)
    left = [(wrong & ~faults_found(prompts, wrong, checks=k, seed=0)).sum() for k in (1, 2, 3)]
    assert left[0] > left[1] > left[2] == 0  # three steps: two sums and one comparison
    assert not faults_found(prompts, ~true, checks=3, seed=0).any()
    assert not turned(BIASED, true, touched_M=true, author_M=true, share=0.5, seed=0).any()
    assert turned(ALIKE, true, touched_M=touched, author_M=~true, share=0.5, seed=0).all()


def test_a_rejected_sheet_says_nothing_of_what_was_not_checked() -> None:
    wrong = np.arange(40) % 8 == 0
    found, rejected = sheets_checked(wrong, checks=1, seed=0)
    assert (found <= wrong).all()
    assert rejected.sum() == 4 * found.sum()
    label = accepted(np.ones(40, bool), found, rejected)
    assert set(label[found]) <= {0.0}
    assert set(label[rejected & ~found]) <= {0.5}
    assert set(label[~rejected]) == {1.0}


def test_rules_are_of_the_size_that_is_asked_for_and_the_bias_is_no_authors() -> None:
    source = Claims(topic="programs", students=("small",), before=(), pool=120, test=60, weak=48, seed=0)
    for size in (0.08, 0.18):
        covers = features(source)[rule_for(source, size, seed=3)].mean()
        assert size < covers < 3 * size  # half of what a rule covers is false
    assert bias_of(source).startswith("holds")
    assert bias_of(source) != "holds increment"
    assert groups_of(source).shape[1] == 60


def test_false_alarms_are_counted_by_thresholds_of_other_models() -> None:
    clean = np.random.default_rng(0).random((10, 10))
    clean[4] += 2  # one model that disagrees with all
    found = alarms(clean, 0.05)
    assert found[4].all()
    assert not np.delete(found, 4, 0).any()


def evidence(**less: float) -> Evidence:
    """Make evidence of one pair, with what the other's opposition is beyond each validator."""

    def validator(of: str, name: str) -> Validator:
        area = at(0.5, 0.1) if name == DEALT else at(0.9 - less.get(name.partition(" ")[0], 0.1))
        return Validator(of=of, name=name, area=area, less=at(less.get(name.partition(" ")[0], 0.1)), dealt=at(-0.3))

    why = Unmeasured("it errs nowhere")
    none = [Validator(of="second", name=n, area=why, less=why, dealt=why) for n in SCORES]
    pair = Pairing(
        first="words", second=CARELESS, differ=at(0.2), third=at(0.1), itself=Interval(value=0.0, low=0.0, high=0.02, n=99),
        first_right=at(0.3), validators=(*(validator("first", n) for n in SCORES), *none),
    )  # fmt: skip
    exposed = [
        Exposed(first="words", second=b, score="rate of disagreement", false_alarms=at(0.05), recall=(at(0.1), at(0.8)))
        for b in (CARELESS, "same technique")
    ]
    return Evidence(
        topic="programs", seeds=5, test=99, checks=1, rate=0.05, trained=(), pairings=(pair,),
        examples=(), sizes=(0.04, 0.18), planted=(), exposed=tuple(exposed), seated=(),
    )  # fmt: skip


def holds(e: Evidence) -> dict[str, bool | Unmeasured]:
    return {c.name: c.holds for c in page(e).claims}


def test_the_headline_counts_only_what_beats_every_validator_alone() -> None:
    assert page(evidence()).headline.startswith("In 1 of 1 cases")
    beaten = evidence(third=-0.1)
    assert page(beaten).headline.startswith("In 0 of 1 cases")
    assert "in 1 one of these does" in page(beaten).headline
    more = f"words, with {CARELESS}: it tells more than the best of third run, own confidence and judge alone"
    assert holds(evidence())[more] is True
    assert holds(beaten)[more] is False


def test_a_model_that_disagrees_with_itself_breaks_a_null_control() -> None:
    assert holds(evidence())["words does not disagree with itself"] is True


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"problems": "gsm8k:x"}, "names nothing that is known to be true or false"),
        ({"topic": "cities"}, "nothing about cities"),
        ({"shipped": 0, "planted": "x"}, "shipped=0"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check(Config(**given))
    check(Config(**dict(STUDY.quick)))


def test_a_case_whose_null_tells_something_is_not_counted_as_better() -> None:
    found = evidence()
    (pair,) = found.pairings
    told = tuple(replace(v, area=at(0.6)) if v.name == DEALT else v for v in pair.validators)
    assert page(replace(found, pairings=(replace(pair, validators=told),))).headline.startswith("In 0 of 1 cases")
