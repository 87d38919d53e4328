"""The market study in small: rows and claims are what they say, the whole study runs, and bad settings are refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from superalign.errors import ConfigError
from superalign.ledger import Ledger
from superalign.oversight.market.making import board, hear
from superalign.studies import STUDIES
from superalign.studies.market import study as market
from superalign.studies.market.page import MEASURES, measured
from superalign.studies.market.study import Config, Job, market_job, plain
from superalign.studies.market.worlds import KINDS, World, draw_of, fold, human_of, in_test, questions, true_of
from superalign.types import Interval, Unmeasured

TINY = Config(
    numbers=3, seeds=2, sweep_seeds=2, held_out=24, longer=(4,), ways=False, kinds=("xor",), slips=(0.12,),
    updates=6, questions=16, proposals=3, width=8, hidden=16,
)  # fmt: skip


def run(config, folder):
    folder.mkdir(exist_ok=True)
    with Ledger(folder / "ledger") as ledger:
        return market.study(config, seed=0, workers=1, folder=folder, ledger=ledger, log=lambda line: None)


def test_the_whole_study_in_small(tmp_path: Path) -> None:
    first = run(TINY, tmp_path / "a")
    assert first == run(TINY, tmp_path / "a"), "kept work gives the same study"
    assert any("placebo" in c.name for c in first.claims)
    assert all(isinstance(c.null, Interval | Unmeasured) for c in first.claims)
    assert {p.kind for s in first.sections for p in s.plots} == {"bars", "line"}
    assert STUDIES["market"] == market.__name__
    assert market.quick(Config()).seeds >= 2


def test_an_untrained_market_is_not_told_to_work(tmp_path: Path) -> None:
    claims = {c.name: c for c in run(TINY, tmp_path / "a").claims}
    assert claims["The first price ranks true claims above false ones"].holds is not True
    assert claims["With a judge who believes 0.8 whatever she hears, the price goes there"].holds is not True


@pytest.mark.parametrize("kind", KINDS)
def test_a_judge_who_hears_the_whole_chain_knows_what_is_true(kind: str) -> None:
    world = World(kind=kind, numbers=4)
    numbers, claim, true = questions(world, 200, split="test", seed=1)
    chain = np.tile(board(4).script(3), (len(numbers), 1))
    belief = hear(board(4), numbers, claim, chain, human_of(world), np.random.default_rng(0))
    assert np.array_equal(belief, true.astype(float))
    assert 0.35 < true.mean() < 0.65
    assert np.array_equal(true, true_of(kind, fold(kind, numbers), claim))


def test_no_row_is_in_both_splits_and_rows_are_distinct() -> None:
    world = World(numbers=4)
    numbers, _, _ = questions(world, 300, split="test", seed=1)
    assert len(np.unique(numbers, axis=0)) == len(numbers) >= 250
    assert in_test(numbers).all()
    drawn, _ = draw_of(world)(500, 4, np.random.default_rng(0))
    assert not in_test(drawn).any()


def test_slips_happen_as_often_as_said_and_may_be_the_same_every_time() -> None:
    rng, a = np.random.default_rng(0), np.random.default_rng(1).integers(1, 30, (2, 4000))
    anew, same = (human_of(World(slip=0.12, same=s)) for s in (False, True))
    wrong = anew.combine(a[0], a[1], rng) != a[0] + a[1]
    assert abs(wrong.mean() - 0.12) < 0.02
    again = [same.combine(a[0], a[1], rng) for _ in range(2)]
    assert np.array_equal(*again)
    assert 0.05 < (again[0] != a[0] + a[1]).mean() < 0.2


def test_a_stable_price_on_the_wrong_side_is_counted() -> None:
    job = Job(arm="market", world=World(), training=(), held_out=4, seed=0)
    out = {"true": [True, True, False, True], "first": [0.02, 0.98, 0.5, 0.02], "last": [0.05, 0.98, 0.5, 0.9],
           "belief": [0.0, 1.0, 0.5, 1.0], "alone": [0.5] * 4, "voted": [0.5] * 4}  # fmt: skip
    found = measured([(job, out)], "stable and wrong")
    assert isinstance(found, Interval)
    assert found.value == 0.25
    wrong = MEASURES["stable and wrong"]({k: np.asarray(v, float) for k, v in out.items()})
    assert wrong.tolist() == [1, 0, 0, 0]


def test_the_same_job_gives_the_same_numbers() -> None:
    job = Job(arm="market", world=World(numbers=3), training=plain(TINY.training), held_out=20, seed=4)
    assert market_job(job) == market_job(job)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seeds": 1}, "no interval"),
        ({"held_out": 3}, "too few test rows"),
        ({"numbers": 2}, "cannot be used"),
        ({"longer": (12,)}, "cannot be used"),
        ({"kinds": ("cube",)}, "no claims of the kind 'cube'"),
    ],
)
def test_settings_that_measure_nothing_are_refused(wrong: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        run(dataclasses.replace(TINY, **wrong), tmp_path)
