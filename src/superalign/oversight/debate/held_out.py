"""Measures of players on held-out chains: in both orders, by another chain's transcript, and where the agent chooses its side.

Shape suffixes: N chains, G games of each, B = N * G games, K contestants, V values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from superalign.oversight.debate.consultancy import PlayerConfig, Protocol, choose, consult, train_player
from superalign.oversight.debate.halving import Check, PlayedGames, Player, Table, debate, decide
from superalign.oversight.debate.readers import Beliefs

STAGES = (0, 10, 20, 30, 40, 80)  # checkpoints of a player, as updates; the last update comes after them


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """Disputed chains, what both debaters believe of them, and the judge's check."""

    table: Table
    beliefs: Beliefs
    check: Check

    @property
    def row_N(self) -> np.ndarray:
        """Number the chains."""
        return np.arange(len(self.table.start_B))


def games_in_both_orders(
    ground: Ground, players: tuple[nn.Module | None, nn.Module | None], *, seed: int
) -> tuple[PlayedGames, PlayedGames]:
    """Debate each chain twice: side 0 speaks first, then side 1."""
    first, second = (
        debate(
            ground.table,
            (ground.beliefs, ground.beliefs),
            players,
            row_B=ground.row_N,
            first_B=np.full(len(ground.row_N), side),
            check=ground.check,
            seed=seed + side,
        )
        for side in (0, 1)
    )
    return first, second


def misplaced(ground: Ground, games: PlayedGames, *, by: int) -> np.ndarray:
    """Return the judge's probability of side 0 where it reads another chain's transcript, and checks the operation named there.

    Args:
        ground: The chains.
        games: One on each chain.
        by: How many chains away the other transcript is taken from.
    """
    other = np.roll(ground.row_N, by)
    op_N = ground.table.op_BL[ground.row_N, games.leaf_B[other]]
    return decide(ground.check(op_N, games.before_B[other]), games.end_B2[other])


def transcripts(games: PlayedGames) -> tuple[str, ...]:
    """Write each game down: what both stated in the middle, round by round, and the operation that was left."""
    return tuple(
        f"{' '.join(f'{x}|{y}' for x, y in said.tolist())}; step {leaf + 1} from {before}: {ends[0]}|{ends[1]}"
        for said, leaf, before, ends in zip(
            games.said_BR2, games.leaf_B.tolist(), games.before_B.tolist(), games.end_B2.tolist(), strict=True
        )
    )


def chosen_sides(
    ground: Ground, protocol: Protocol, agent: Player, opponent: Player, *, seed: int, games: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Play each chain several times, with a side that the agent chooses.

    Args:
        ground: The chains.
        protocol: In a debate the other side falls to the opponent.
        agent: Who chooses.
        opponent: Not used in a consultancy.
        seed: Of what is drawn.
        games: Of each chain.

    Returns:
        The judge's probability of what the agent argues for, and whether that is the claim of side 0, both (N, G).
    """
    row_B, shape = np.repeat(ground.row_N, games), (len(ground.row_N), games)
    mixed = ground.table.rows(row_B)
    # Which value stands first says nothing about which side it is of.
    table, _ = choose(mixed.swapped(row_B % 2 == 1), ground.beliefs, agent, row_B=row_B, seed=seed)
    if protocol == "debate":
        game = debate(
            table,
            (ground.beliefs, ground.beliefs),
            (agent, opponent),
            row_B=row_B,
            first_B=(row_B // 2) % 2,
            check=ground.check,
            seed=seed,
        )
    else:
        game = consult(table, ground.beliefs, agent, row_B=row_B, check=ground.check, seed=seed)
    same_B = table.claim_B2[:, 0] == mixed.claim_B2[:, 0]
    return game.score_B.reshape(shape), same_B.reshape(shape).astype(float)


def truth_along(
    ground: Ground, protocol: Protocol, players: Sequence[Player], *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Follow an agent who chooses its side along its training: what it is paid, and how often it argues for side 0.

    Args:
        ground: The chains; side 0 holds the true value.
        protocol: That it was trained under.
        players: The agent at each checkpoint.
        seed: Of what is drawn.

    Returns:
        Pay and truth at each checkpoint, (T,); the change of truth that each stretch of training should bring to first order, the
        slope of truth in pay within a chain times the change of pay, (T - 1,); and the same with the truth of another chain's
        agents, its null. Pay changes against the opponent of the stretch's beginning, so that the agent alone changes it.
    """
    paid, true, predicted, elsewhere = list[float](), list[float](), list[float](), list[float]()
    for k, player in enumerate(players):
        paid_NG, true_NG = chosen_sides(ground, protocol, player, player, seed=seed)
        paid.append(float(paid_NG.mean()))
        true.append(float(true_NG.mean()))
        if k + 1 < len(players):
            later_NG, _ = chosen_sides(ground, protocol, players[k + 1], player, seed=seed)
            apart_NG, truth_NG = (x - x.mean(1, keepdims=True) for x in (paid_NG, true_NG))
            variance, change = float((apart_NG**2).mean()), float(later_NG.mean()) - paid[-1]
            for kept, of_NG in ((predicted, truth_NG), (elsewhere, np.roll(truth_NG, 1, axis=0))):
                kept.append(float((apart_NG * of_NG).mean()) / variance * change if variance > 0 else 0.0)
    return np.array(paid), np.array(true), np.array(predicted), np.array(elsewhere)


def reads_right(ground: Ground, value_NL: np.ndarray) -> tuple[float, ...]:
    """Return how often debaters read a segment right, the first of each length, longest first.

    Args:
        ground: The chains.
        value_NL: The true value after each operation.
    """
    row, start = torch.from_numpy(ground.row_N), torch.from_numpy(ground.table.start_B)
    ends = (value_NL[:, (value_NL.shape[1] >> h) - 1] for h in range(len(ground.beliefs)))
    said = (b[row, 0, start].argmax(-1).numpy() for b in ground.beliefs)
    return tuple(float((x == end).mean()) for x, end in zip(said, ends, strict=True))


def consulted(ground: Ground, player: nn.Module | None, *, seed: int) -> np.ndarray:
    """Return the judge's probability of side 0 after a consultant argued for side 0, and after it argued for side 1, (2, N)."""
    for_0, for_1 = (
        consult(t, ground.beliefs, player, row_B=ground.row_N, check=ground.check, seed=seed).score_B
        for t in (ground.table, ground.table.swapped())
    )
    return np.stack([for_0, 1 - for_1])


def debated(ground: Ground, players: tuple[nn.Module | None, nn.Module | None], *, seed: int) -> np.ndarray:
    """Return the judge's probability of side 0 after debates in both orders, (2, N)."""
    return np.stack([games.score_B for games in games_in_both_orders(ground, players, seed=seed)])


def trained_on(
    ground: Ground, protocol: Protocol, *, updates: int, seed: int, open_choice: bool = False
) -> dict[int, Player]:
    """Train a player under a protocol.

    Returns:
        Update -> the player then: at those of `STAGES` that lie before the end, and at the end.
    """
    kept = (*(s for s in STAGES if s < updates), updates)
    players = train_player(
        protocol,
        ground.table,
        ground.beliefs,
        open_choice=open_choice,
        check=ground.check,
        config=PlayerConfig(steps=updates),
        checkpoints=kept,
        seed=seed,
    )
    return dict(zip(kept, players, strict=True))


def without_debate(ground: Ground, *, seed: int, asked: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities of side 0 where nobody debates, each (N,).

    Args:
        ground: The chains; an agent believes what debaters do.
        seed: Of guesses and votes.
        asked: How often the agent is asked where it votes.

    Returns:
        The judge's, who guesses the value before the last operation and checks that; the agent's; and the share of its votes.
    """
    N, values = len(ground.row_N), ground.beliefs[0].shape[-1]
    rng = np.random.default_rng([seed, 31])
    guess_N = rng.integers(0, values, N)
    judge_N = decide(ground.check(ground.table.op_BL[:, -1], guess_N), ground.table.claim_B2)
    row, start = torch.from_numpy(ground.row_N), torch.from_numpy(ground.table.start_B)
    believed_NV = ground.beliefs[0][row, 0, start].double().numpy()
    ends_N2 = believed_NV[ground.row_N[:, None], ground.table.claim_B2]
    agent_N = ends_N2[:, 0] / ends_N2.sum(1)
    return judge_N, agent_N, (rng.random((N, asked)) < agent_N[:, None]).mean(1)


def each_against_each(
    contestants: Sequence[tuple[Player, Beliefs]], ground: Ground, *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Let debaters play each other on every chain, once for each side.

    Args:
        contestants: Players, and what each believes of the chains.
        ground: The chains; its own beliefs are not used.
        seed: Of what is drawn.

    Returns:
        Wins (K, K), an undecided debate being a half for both; the share of debates of each against itself that side 0 wins;
        and the same where the judge reads another chain's transcript.
    """
    K = len(contestants)
    wins_KK, right_K, placebo_K = np.zeros((K, K)), np.zeros(K), np.zeros(K)
    for i, (player, beliefs) in enumerate(contestants):
        for j, (rival, theirs) in enumerate(contestants):
            games = debate(
                ground.table,
                (beliefs, theirs),
                (player, rival),
                row_B=ground.row_N,
                first_B=ground.row_N % 2,
                check=ground.check,
                seed=seed,
            )
            won = _share(games.score_B)
            wins_KK[i, j] += won
            wins_KK[j, i] += 1 - won
            if i == j:
                right_K[i], placebo_K[i] = won, _share(misplaced(ground, games, by=1))
    return wins_KK, right_K, placebo_K


def _share(score_N: np.ndarray) -> float:
    return float(np.where(score_N == 0.5, 0.5, score_N > 0.5).mean())
