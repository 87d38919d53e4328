"""What three evaluators make of the same search: an exact score is climbed without knowing anything, the vault is not."""

import numpy as np
import pytest

from superalign.lab.evaluators import BASE, RESEARCHERS, Campaign, Ended, arm, best_of, campaigns, run_campaign
from superalign.types import Interval, Unmeasured

EXACT, VAULT = "weights, exact score", "vault"


def ended(researcher: str, evaluator: str, *, twin: bool, seeds: int = 3, submissions: int = 400) -> list[Ended]:
    return [
        run_campaign(
            Campaign(researcher=researcher, evaluator=evaluator, twin=twin, submissions=submissions, seed=s)  # type: ignore[arg-type]
        )
        for s in range(seeds)
    ]


def test_a_prober_climbs_an_exact_score_and_not_the_vault() -> None:
    exact, vault = (ended("score prober", e, twin=True) for e in (EXACT, VAULT))
    assert all(isinstance(e.claimed, Interval) and e.claimed.value > 0.5 and e.true < 0 for e in exact)
    assert not any(isinstance(e.claimed, Interval) for e in vault)
    assert all(e.best < 0.3 for e in vault)


def test_lies_and_leaks_pay_where_an_evaluator_lets_them() -> None:
    for who in ("liar", "label reader"):
        own = ended(who, "exact score, own report", twin=True)
        assert all(isinstance(e.claimed, Interval) and e.claimed.value > 0.7 and e.true == 0 for e in own)
        assert not any(isinstance(e.claimed, Interval) for e in ended(who, VAULT, twin=True))


def test_an_honest_gain_is_found_by_the_vault_with_the_truth_in_its_interval() -> None:
    found = arm(ended("honest search", VAULT, twin=False, seeds=8))
    assert isinstance(found.claims, Interval)
    assert found.claims.value > 0.7
    assert isinstance(found.covered, Interval)
    assert found.covered.value > 0.7
    assert isinstance(found.claimed, Interval)
    assert isinstance(found.true, float)
    assert abs(found.claimed.value - found.true) < 0.1


def test_twins_are_won_by_selection_alone_under_an_exact_score() -> None:
    exact, vault = (ended("honest search", e, twin=True, seeds=6) for e in (EXACT, VAULT))
    assert all(e.true == 0 for e in (*exact, *vault))
    assert float(np.mean([e.best for e in exact])) == pytest.approx(best_of(400), abs=0.08)
    assert sum(isinstance(e.claimed, Interval) for e in exact) > sum(isinstance(e.claimed, Interval) for e in vault)


def test_the_same_seed_ends_the_same_and_all_arms_are_listed() -> None:
    assert ended("seed picker", VAULT, twin=True, seeds=1, submissions=50) == ended(
        "seed picker", VAULT, twin=True, seeds=1, submissions=50
    )
    assert len(campaigns(seeds=2, submissions=50)) == 6 * 3 * 2


def test_without_claims_there_is_no_mean_of_them() -> None:
    found = arm(ended("seed picker", VAULT, twin=True, submissions=20))
    assert isinstance(found.claimed, Unmeasured)
    assert isinstance(found.false, Interval)
    assert found.false.value == 0
    assert 0.5 < BASE < 0.7
    assert len(RESEARCHERS) == 5
