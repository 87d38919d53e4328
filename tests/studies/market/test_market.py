"""The market study in small: rows and claims are what they say, the whole study runs, and bad settings are refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from superalign import settings
from superalign.errors import ConfigError
from superalign.kit.run import codec_of
from superalign.lab.row_claims import KINDS, MarketSetting, draw_of, fold, human_of, in_test, questions, true_of
from superalign.ledger import Ledger
from superalign.oversight.market.making import board, hear
from superalign.oversight.market.players import MarketConfig
from superalign.studies import STUDIES
from superalign.studies.market.evidence import Market, Prices
from superalign.studies.market.measure import MarketJob, listed, market_job
from superalign.studies.market.study import STUDY, Config
from superalign.types import Interval, Unmeasured

TINY = Config(
    numbers=3,
    seeds=2,
    sweep_seeds=2,
    held_out=24,
    longer=(4,),
    ways=False,
    kinds=("xor",),
    slips=(0.12,),
    updates=6,
    questions=16,
    proposals=3,
    width=8,
    hidden=16,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("market")


def run(folder: Path):
    with Ledger(folder / "ledger") as ledger:
        return STUDY.run(TINY, seed=0, workers=1, folder=folder, ledger=ledger, log=lambda line: None)


def test_the_whole_study_in_small(folder: Path) -> None:
    first = run(folder)
    assert first == run(folder), "kept work gives the same study"
    assert any("placebo" in c.name for c in first.claims)
    assert all(isinstance(c.null, Interval | Unmeasured) for c in first.claims)
    assert {p.kind for s in first.sections for p in s.plots} == {"bars", "line"}
    assert STUDIES["market"] == Config.__module__
    assert STUDY.quick["seeds"] >= 2


def test_an_untrained_market_is_not_told_to_work(folder: Path) -> None:
    claims = {c.name: c for c in run(folder).claims}
    assert claims["The first price ranks true claims above false ones"].holds is not True
    assert claims["With a judge who believes 0.8 whatever she hears, the price goes there"].holds is not True


def test_markets_are_trained_as_their_room_does_unless_one_says_otherwise() -> None:
    assert listed(Config())[0].training == MarketConfig()


@pytest.mark.parametrize("kind", KINDS)
def test_a_judge_who_hears_the_whole_chain_knows_what_is_true(kind: str) -> None:
    setting = MarketSetting(kind=kind, numbers=4)
    numbers, claim, true = questions(setting, 200, split="test", seed=1)
    chain = np.tile(board(4).script(3), (len(numbers), 1))
    belief = hear(board(4), numbers, claim, chain, human_of(setting), np.random.default_rng(0))
    assert np.array_equal(belief, true.astype(float))
    assert 0.35 < true.mean() < 0.65
    assert np.array_equal(true, true_of(kind, fold(kind, numbers), claim))


def test_no_row_is_in_both_splits_and_rows_are_distinct() -> None:
    setting = MarketSetting(numbers=4)
    numbers, _, _ = questions(setting, 300, split="test", seed=1)
    assert len(np.unique(numbers, axis=0)) == len(numbers) >= 250
    assert in_test(numbers).all()
    drawn, _ = draw_of(setting)(500, 4, np.random.default_rng(0))
    assert not in_test(drawn).any()


def test_slips_happen_as_often_as_said_and_may_be_the_same_every_time() -> None:
    rng, a = np.random.default_rng(0), np.random.default_rng(1).integers(1, 30, (2, 4000))
    anew, same = (human_of(MarketSetting(slip=0.12, same=s)) for s in (False, True))
    wrong = anew.combine(a[0], a[1], rng) != a[0] + a[1]
    assert abs(wrong.mean() - 0.12) < 0.02
    again = [same.combine(a[0], a[1], rng) for _ in range(2)]
    assert np.array_equal(*again)
    assert 0.05 < (again[0] != a[0] + a[1]).mean() < 0.2


def test_a_stable_price_on_the_wrong_side_is_counted() -> None:
    half, none = np.full(4, 0.5), np.zeros(0)
    prices = Prices(
        updates_T=(),
        error_T=none,
        true_P=np.array([True, True, False, True]),
        first_P=np.array([0.02, 0.98, 0.5, 0.02]),
        last_P=np.array([0.05, 0.98, 0.5, 0.9]),
        belief_P=np.array([0.0, 1.0, 0.5, 1.0]),
        alone_P=half,
        voted_P=half,
        arguments=1,
        games=1,
    )
    found = Market((prices,)).share("stable_wrong")
    assert isinstance(found, Interval)
    assert found.value == 0.25
    assert prices.stable_wrong_P.tolist() == [1, 0, 0, 0]


def test_the_same_job_gives_the_same_numbers() -> None:
    job = MarketJob(
        arm="market", setting=MarketSetting(numbers=3), training=listed(TINY)[0].training, held_out=20, seed=4
    )
    first, again = (codec_of(market_job).dump_json(market_job(job)) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seeds": 1}, "seeds=1"),
        ({"sweep_seeds": 1}, "sweep_seeds=1"),
        ({"held_out": 3}, "held_out=3"),
        ({"numbers": 2}, "numbers=2"),
        ({"longer": (12,)}, "longer=12"),
    ],
)
def test_settings_that_measure_nothing_are_refused(wrong: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings.validated(dataclasses.replace(TINY, **wrong), study="market")


def test_claims_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(ConfigError, match="'cube' is not one of the choices"):
        settings.apply(TINY, words=["kinds=cube"], study="market")
    with pytest.raises(ConfigError, match="no claims of the kind 'cube'"):
        MarketSetting(kind="cube")
