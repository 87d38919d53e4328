"""Market making: the game is exact on cases worked by hand, its nulls come out null, and its overseer conforms."""

import dataclasses

import numpy as np
import pytest
import torch

from superalign.errors import ConfigError
from superalign.oversight import check_overseer
from superalign.oversight.conformance import failures
from superalign.oversight.market.making import Human, board, hear, known_at_first, market_price
from superalign.oversight.market.players import MarketConfig
from superalign.oversight.market.training import prices, settle, train_market
from superalign.types import Rollouts, Unmeasured

torch.set_num_threads(1)
FAST = MarketConfig(updates=150, questions=64, width=24, hidden=48, lr=5e-3)
ROW, RNG = np.array([[1, 2, 3]]), np.random.default_rng(0)
ADDS = Human(
    combine=lambda a, b, rng: a + b,
    believe=lambda total, claim: np.where(total < 0, 0.5, (total == claim).astype(float)),
)


def argument(on, left, right):
    """The argument that joins two stretches."""
    spans = list(on.stretches)
    joins = zip(on.left_A.tolist(), on.right_A.tolist(), strict=True)
    return list(joins).index((spans.index(left), spans.index(right)))


def said(on, *joins):
    return np.array([[argument(on, *j) for j in joins]])


def draw(count, length, rng):
    numbers = rng.integers(1, 4, (count, length))
    claim = numbers.sum(1) + rng.integers(0, 2, count) * rng.choice([-1, 1], count)
    full = np.zeros((count, 3), np.int64)
    full[:, :length] = numbers
    return full, claim


def trained(human=ADDS, **changed):
    config = dataclasses.replace(FAST, **changed)
    return train_market(board(3), draw=draw, human=human, values=4, claims=12, config=config, seed=0)


def error(game):
    numbers, claim = draw(200, 3, np.random.default_rng(9))
    return float(np.abs(prices(game, numbers, claim) - (numbers.sum(1) == claim)).mean())


def test_a_chain_of_two_additions_settles_a_row_of_three():
    on = board(3)
    chain = said(on, ((0, 1), (1, 2)), ((0, 2), (2, 3)))
    for claim, belief in ((6, 1.0), (5, 0.0)):
        assert hear(on, ROW, np.array([claim]), chain, ADDS, RNG).tolist() == [belief]


def test_an_argument_about_what_the_judge_does_not_know_is_wasted():
    on = board(3)
    wrong_order = said(on, ((0, 2), (2, 3)), ((0, 1), (1, 2)))
    assert hear(on, ROW, np.array([6]), wrong_order, ADDS, RNG).tolist() == [0.5]


def test_a_short_row_is_settled_by_its_own_length():
    on = board(3)
    assert hear(on, np.array([[1, 2, 0]]), np.array([3]), said(on, ((0, 1), (1, 2))), ADDS, RNG).tolist() == [1.0]


def test_what_she_knows_she_does_not_work_out_again():
    """Saying it again until she slips must not help."""
    on, asked = board(2), []
    sloppy = dataclasses.replace(ADDS, combine=lambda a, b, rng: (asked.append(1), a + b)[1])
    twice = said(on, ((0, 1), (1, 2)), ((0, 1), (1, 2)))
    hear(on, np.array([[1, 2]]), np.array([3]), twice, sloppy, RNG)
    assert len(asked) == 1


def test_the_script_settles_every_row():
    on = board(5)
    rows = np.array([[1, 2, 3, 4, 5], [1, 1, 1, 1, 1]])
    script = np.array([on.script(4)] * 2)
    assert hear(on, rows, np.array([15, 4]), script, ADDS, RNG).tolist() == [1.0, 0.0]
    assert known_at_first(on, rows).sum() == 10


def test_search_finds_what_moves_the_price_and_the_price_comes_to_say_what_is_true():
    game = trained()
    assert error(game) < 0.2
    numbers, claim = draw(100, 3, np.random.default_rng(8))
    arguments, price = settle(game, numbers, claim, seed=0)
    assert price.shape == (100, arguments.shape[1] + 1)
    belief = hear(game.on, numbers, claim, arguments, ADDS, RNG)
    assert (belief != 0.5).mean() > 0.9


def test_without_arguments_the_price_stays_where_the_judge_is():
    assert error(trained(search="none", updates=60)) == pytest.approx(0.5, abs=0.02)


def test_a_constant_judge_draws_the_price_to_her_constant():
    deaf = dataclasses.replace(ADDS, believe=lambda total, claim: np.full(len(total), 0.8))
    numbers, claim = draw(100, 3, np.random.default_rng(7))
    assert np.abs(prices(trained(deaf), numbers, claim) - 0.8).max() < 0.05


def test_the_same_seed_trains_the_same_market():
    numbers, claim = draw(20, 3, np.random.default_rng(3))
    first, again = (prices(trained(updates=5), numbers, claim) for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("wrong", [{"updates": 0}, {"questions": 0}, {"proposals": 0}])
def test_settings_that_train_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"leave nothing to train on.*Give 1 or more"):
        trained(**wrong)


@dataclasses.dataclass(frozen=True)
class Suspicious:
    """A market's beliefs about letters: it suspects n and, wrongly, every first letter a little."""

    def scores(self, problems, rollouts):
        told = tuple(
            np.array([0.9 if c == "n" else 0.2 if i == 0 else 0.1 for i, c in enumerate(t)]) for t in rollouts.text_R
        )
        return told, sum(map(len, rollouts.text_R))


@pytest.mark.parametrize("argue", [True, False])
def test_the_overseer_conforms(check, problems, rollouts, argue):
    check_overseer(market_price(Suspicious(), check_step=check, n_steps=len, argue=argue), problems, rollouts)


def test_an_overseer_that_does_not_count_its_checks_fails_conformance(check, problems, rollouts):
    honest = market_price(Suspicious(), check_step=check, n_steps=len)

    def silent(problems, rollouts, *, seed):
        return dataclasses.replace(honest(problems, rollouts, seed=seed), checks=0, tokens=0)

    silent.card = honest.card
    assert "cost is counted" in failures(silent, problems, rollouts)


def test_the_adversary_shows_the_likeliest_flaw_and_the_price_follows_the_check(check, problems):
    asked = problems[:1] * 3
    price = market_price(Suspicious(), check_step=check, n_steps=len)
    signal = price(asked, Rollouts.of_texts(asked, ["yyn", "yy", ""]), seed=0)
    assert signal.values[0] == 0.0
    assert signal.values[1] == pytest.approx(0.9)
    assert isinstance(signal.values[2], Unmeasured)
    assert signal.checks == 2
    before = market_price(Suspicious(), check_step=check, n_steps=len, argue=False)
    assert before(asked, Rollouts.of_texts(asked, ["yyn", "yy", ""]), seed=0).values[1] == pytest.approx(0.8 * 0.9)
