"""The game halves as it says, the judge checks once, swapping sides swaps the verdict, and training learns from the verdict."""

import numpy as np
import pytest
import torch
from torch import nn

from superalign.errors import ConfigError
from superalign.grants.facts import VALUES, true_table
from superalign.lab.disputed_chains import chains, check_of, disputed, encode
from superalign.oversight.debate.consultancy import PlayerConfig, choose, consult, group_centred, train_player
from superalign.oversight.debate.halving import (
    FEATURES,
    SURE,
    Candid,
    Check,
    PlayedGames,
    Player,
    Table,
    debate,
    decide,
)
from superalign.oversight.debate.readers import Beliefs, ReaderConfig, beliefs_of, halvings, train_reader

FACTS = true_table()


class Says(nn.Module):
    """States one value, whatever is disputed."""

    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value

    def forward(self, features_BVF: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(features_BVF.shape[:2])
        logits[:, self.value] = 100.0
        return logits


def knowing(op_NL: np.ndarray) -> Beliefs:
    """Beliefs of a reader that is never wrong."""
    out = []
    N, L = op_NL.shape
    for h in range(halvings(L) + 1):
        parts = op_NL.reshape(N, 1 << h, L >> h)
        end = np.broadcast_to(np.arange(VALUES), (N, 1 << h, VALUES))
        for t in range(L >> h):
            end = FACTS[parts[:, :, t, None], end]
        out.append(nn.functional.one_hot(torch.from_numpy(end.copy()), VALUES).float())
    return tuple(out)


def counted() -> tuple[list[int], Check]:
    asked: list[int] = []

    def check(op: np.ndarray, before: np.ndarray) -> np.ndarray:
        asked.append(len(op))
        return FACTS[op, before]

    return asked, check


def table(n: int = 60, length: int = 8, split: str = "train") -> Table:
    return disputed(chains(split, n, length, 5), 0)


def played(
    t: Table, beliefs: Beliefs, players: tuple[nn.Module | None, nn.Module | None], first: int = 0
) -> PlayedGames:
    n, check = len(t.start_B), check_of(1.0, 0)
    first_B = np.full(n, first)
    return debate(t, (beliefs, beliefs), players, row_B=np.arange(n), first_B=first_B, check=check, seed=0)


def test_a_game_by_hand() -> None:
    # 1+1+1+1+1: values 2, 3, 4, 5; the true side says 5, the other 9.
    start, op = encode(["1+1+1+1+1"])
    t = Table(op_BL=op, start_B=start, claim_B2=np.array([[5, 9]]))
    asked, check = counted()
    # Both say 3 in the middle: agreed, so the second half is disputed from 3 on. There 4 against 3: the third operation it is.
    game = debate(
        t, (knowing(op),) * 2, (Candid(), Says(3)), row_B=np.array([0]), first_B=np.array([0]), check=check, seed=0
    )
    assert game.said_BR2.tolist() == [[[3, 3], [4, 3]]]
    assert (game.leaf_B[0], game.before_B[0], game.end_B2[0].tolist()) == (2, 3, [4, 3])
    assert game.score_B[0] == SURE
    assert asked == [1]  # one check a game
    # Against one who says 7 they part at once, and again: the first operation is checked.
    game = debate(
        t, (knowing(op),) * 2, (Candid(), Says(7)), row_B=np.array([0]), first_B=np.array([1]), check=check, seed=0
    )  # type: ignore[arg-type]
    assert (game.leaf_B[0], game.before_B[0], game.end_B2[0].tolist()) == (0, 1, [2, 7])
    assert game.score_B[0] == SURE


def test_who_knows_every_value_and_says_it_wins_against_anybody() -> None:
    t = table()
    for other in (None, Says(0), Says(5), Candid(), Player(seed=1)):
        for first in (0, 1):
            assert (played(t, knowing(t.op_BL), (Candid(), other), first).score_B == SURE).all()


def test_swapping_the_sides_swaps_the_verdict_exactly() -> None:
    t, player = table(), Player(seed=2)
    nn.init.normal_(player.layers[4].weight)  # type: ignore[arg-type]
    sides = played(t, knowing(t.op_BL), (player, Says(3)), 0)
    back = played(t.swapped(), knowing(t.op_BL), (Says(3), player), 1)
    assert np.allclose(sides.score_B, 1 - back.score_B)
    honest, lying = np.log(sides.score_B), np.log(1 - sides.score_B)
    flipped = np.log(1 - back.score_B) - np.log(back.score_B)
    assert np.allclose(honest - lying, flipped)  # the score difference with its labels swapped is its own negative
    assert np.allclose((honest - lying).mean(), -(lying - honest).mean())


def test_random_midpoints_tell_the_judge_nothing() -> None:
    t = table(1500)
    right = played(t, knowing(t.op_BL), (None, None)).score_B
    told = np.where(right == 0.5, 0.5, right > 0.5)
    assert abs(told.mean() - 0.5) < 4 * told.std() / len(told) ** 0.5


def test_another_items_transcript_tells_the_judge_nothing_and_its_own_does() -> None:
    t = table(800)
    game, other = played(t, knowing(t.op_BL), (Candid(), None)), np.roll(np.arange(800), 1)
    value = FACTS[t.op_BL[np.arange(800), game.leaf_B[other]], game.before_B[other]]
    # Sides are dealt out anew, as the claims of a study are, so that "side 0" says nothing.
    dealt = np.arange(800) % 2 == 0
    ends = np.where(dealt[other][:, None], game.end_B2[other], game.end_B2[other][:, ::-1])
    found = decide(value, ends)
    right = np.where(found == 0.5, 0.5, (found > 0.5) == dealt)
    assert abs(right.mean() - 0.5) < 4 * right.std() / 800**0.5
    assert (game.score_B == SURE).all()


def test_a_consultant_is_checked_once_and_caught_where_it_slips() -> None:
    t = table(400)
    asked, check = counted()
    truth = consult(t, knowing(t.op_BL), Candid(), row_B=np.arange(400), check=check, seed=0)  # type: ignore[arg-type]
    lie = consult(t.swapped(), knowing(t.op_BL), Candid(), row_B=np.arange(400), check=check, seed=0)  # type: ignore[arg-type]
    assert asked == [400, 400]
    assert (truth.score_B == SURE).all()
    # A candid consultant for a false value is wrong in its last operation alone, which one look in eight finds.
    assert 0.05 < (lie.score_B < 0.5).mean() < 0.2


def test_choosing_sides_keeps_both_values_and_follows_the_player() -> None:
    t = table(50)

    class Follows(nn.Module):
        def forward(self, features_BVF: torch.Tensor) -> torch.Tensor:
            assert features_BVF.shape[-1] == FEATURES
            return 100 * features_BVF[..., 0]

    mixed = t.swapped()
    chosen, _ = choose(mixed, knowing(t.op_BL), Follows(), row_B=np.arange(50), seed=0)
    assert (chosen.claim_B2[:, 0] == t.claim_B2[:, 0]).all()
    assert (np.sort(chosen.claim_B2) == np.sort(mixed.claim_B2)).all()


def test_each_game_is_held_against_the_others_of_its_item() -> None:
    found = group_centred(np.array([1.0, 0.0, 0.0, 3.0, 3.0, 3.0]), 3)
    assert found.tolist() == pytest.approx([1.0, -0.5, -0.5, 0.0, 0.0, 0.0])


def test_a_debater_learns_from_the_verdict_and_not_from_a_coin() -> None:
    t, held = table(300), disputed(chains("test", 200, 8, 6), 1)
    known, test = knowing(t.op_BL), knowing(held.op_BL)
    config = PlayerConfig(steps=60, items=32, games=8, lr=1e-2)
    rng = np.random.default_rng(0)
    made = {}
    for name, check in (("verdict", check_of(1.0, 0)), ("coin", lambda op, before: rng.integers(0, VALUES, len(op)))):
        (player,) = train_player("debate", t, known, open_choice=False, check=check, config=config, seed=0)
        made[name] = float((played(held, test, (player, None)).score_B == SURE).mean())
    assert made["verdict"] > 0.9 > 0.6 > made["coin"]


def test_a_reader_learns_and_is_worse_at_longer_segments() -> None:
    prompts = chains("train", 2000, 4, 8)
    start, op = encode(prompts)

    def draw(step: int):  # type: ignore[no-untyped-def]
        some = np.random.default_rng(step).integers(0, 2000, 128)
        values, before = [], start[some]
        for i in range(4):
            before = FACTS[op[some, i], before]
            values.append(before)
        return start[some], op[some], np.stack(values, 1)

    early, late = train_reader(draw, operations=30, values=VALUES, checkpoints=(0, 120), config=ReaderConfig(), seed=0)
    true = knowing(op[:300])
    share = [
        [
            float((b.argmax(-1) == v.argmax(-1)).float().mean())
            for b, v in zip(beliefs_of(r, op[:300]), true, strict=True)
        ]
        for r in (early, late)
    ]
    assert max(share[0]) < 0.3
    assert share[1][-1] > 0.7 > share[1][0] > share[0][0]


def test_a_fallible_judge_is_wrong_about_its_share_of_facts_for_good() -> None:
    op, before = (x.flatten() for x in np.meshgrid(np.arange(30), np.arange(10), indexing="ij"))
    check = check_of(0.8, 0)
    assert 0.1 < (check(op, before) != FACTS[op, before]).mean() < 0.3
    assert (check(op, before) == check(op, before)).all()
    assert (check_of(1.0, 0)(op, before) == FACTS[op, before]).all()


@pytest.mark.parametrize("length", [0, 1, 6, 12])
def test_a_chain_that_cannot_be_halved_is_refused(length: int) -> None:
    with pytest.raises(ConfigError, match="Choose 2, 4, 8 or 16"):
        halvings(length)


def test_players_without_rivals_are_refused() -> None:
    t = table(4)
    with pytest.raises(ConfigError, match="at least two games"):
        train_player(
            "debate", t, knowing(t.op_BL), open_choice=False, check=check_of(1, 0), config=PlayerConfig(games=1), seed=0
        )
    with pytest.raises(ConfigError, match="do not rise"):
        train_reader(lambda step: (), operations=30, values=10, checkpoints=(5, 5), config=ReaderConfig(), seed=0)  # type: ignore[arg-type, return-value]
