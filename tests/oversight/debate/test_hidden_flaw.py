"""Hidden flaws: the game is exact on hand-made cases, who knows everything never loses, training finds blind spots."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superalign.errors import ConfigError
from superalign.oversight.debate.hidden_flaw import (
    HiddenFlawConfig,
    Planter,
    Work,
    guarded,
    likelihood,
    prefers,
    step_beliefs,
    train_hidden_flaw,
    worked,
    write_flawed,
)
from superalign.oversight.debate.readers import Reader

V, O, L = 5, 4, 6
ADDS_OV = (np.arange(V)[None] + np.arange(O)[:, None]) % V  # operation o adds o
SURE = torch.from_numpy(np.eye(V)[ADDS_OV]).float()
CONFIG = HiddenFlawConfig(steps=60, items=32, games=8, lr=3e-2)


def work(n: int, seed: int) -> Work:
    rng = np.random.default_rng(seed)
    op_NL, start_N = rng.integers(0, O, (n, L)), rng.integers(0, V, n)
    return Work(op_NL=op_NL, start_N=start_N, right_NL=worked(SURE, op_NL, start_N))


def blind(operation: int) -> torch.Tensor:
    """Knows everything but one operation, of which it believes that it adds one more."""
    believed = ADDS_OV.copy()
    believed[operation] = (believed[operation] + 1) % V
    return torch.from_numpy(np.eye(V)[believed]).float()


def test_a_solution_is_worked_step_by_step() -> None:
    made = work(3, 0)
    np.testing.assert_array_equal(made.right_NL[:, -1], (made.start_N + made.op_NL.sum(1)) % V)


def test_exactly_one_value_is_planted_and_the_rest_follows_from_it() -> None:
    made = work(200, 1)
    written = write_flawed(Planter(O, V, 4, seed=0), SURE, made, seed=3)
    rows = np.arange(200)
    for t in range(L):
        before = made.start_N if t == 0 else written.stated_BL[:, t - 1]
        honest = ADDS_OV[made.op_NL[:, t], before] == written.stated_BL[:, t]
        np.testing.assert_array_equal(honest, written.step_B != t)
    # Every operation can be undone here, so that every flaw shows in the answer.
    assert (written.stated_BL[rows, -1] != made.right_NL[:, -1]).all()
    assert len(np.unique(written.step_B)) == L  # untrained, it plants anywhere
    assert float(written.entropy.detach()) == pytest.approx(np.log(L * (V - 1)), abs=1e-4)


def test_a_guard_prefers_what_it_holds_likelier_and_ties_are_halves() -> None:
    made = Work(op_NL=np.array([[1], [1]]), start_N=np.array([0, 0]), right_NL=np.array([[1], [1]]))
    wrong = np.array([[2], [3]])
    assert prefers(SURE, made, made.right_NL, wrong).tolist() == [1.0, 1.0]
    assert prefers(blind(1), made, made.right_NL, wrong).tolist() == [0.0, 0.5]
    # A flaw that leaves the answer right does no harm, whatever the guard prefers.
    assert guarded(blind(1), made, made.right_NL).tolist() == [1.0, 1.0]
    assert likelihood(SURE, made.op_NL, made.start_N, made.right_NL).tolist() == [0.0, 0.0]


def test_training_finds_what_a_guard_does_not_know_and_nothing_in_one_that_knows_all() -> None:
    pool, held = work(100, 2), work(300, 3)

    def success(guard: torch.Tensor) -> tuple[float, float]:
        made = train_hidden_flaw(SURE, guard, pool, width=8, config=CONFIG, seed=0, checkpoints=(0, CONFIG.steps))
        before, after = (guarded(guard, held, write_flawed(p, SURE, held, seed=5).stated_BL).mean() for p in made)
        return float(before), float(after)

    before, after = success(blind(2))
    assert before > 0.6
    assert after < 0.35
    assert success(SURE) == (1.0, 1.0)


def test_the_same_seed_gives_the_same_agent() -> None:
    a, b = (train_hidden_flaw(SURE, blind(2), work(20, 2), width=4, config=CONFIG, seed=1)[0](SURE) for _ in range(2))
    assert torch.equal(a, b)


def test_beliefs_about_single_operations_are_distributions() -> None:
    torch.manual_seed(0)
    beliefs = step_beliefs(Reader(O, V, 3))
    assert beliefs.shape == (O, V, V)
    torch.testing.assert_close(beliefs.sum(-1), torch.ones(O, V))


@pytest.mark.parametrize(("n", "games"), [(0, 8), (10, 1)])
def test_without_chains_or_games_to_compare_nothing_is_trained(n: int, games: int) -> None:
    with pytest.raises(ConfigError, match="at least two games"):
        train_hidden_flaw(SURE, SURE, work(n, 0), width=4, config=HiddenFlawConfig(games=games), seed=0)
