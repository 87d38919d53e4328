"""Consultancy: one player argues before the judge of `halving`, who may check one operation and hears no other side.

The consultant states the value in the middle; nobody disputes it, so the judge looks into either half by a coin, and at the end
checks one of the operations that the consultant has committed to. Also here: how players are trained, alone or against
themselves, with their side assigned or chosen.

Shape suffixes: N chains, G games of one item, B = N * G games, V values.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from superalign.errors import ConfigError
from superalign.oversight.debate.halving import (
    SURE,
    Check,
    PlayedGames,
    Player,
    Table,
    choice_features,
    debate,
    draw,
    features,
)
from superalign.oversight.debate.readers import Beliefs

Protocol: TypeAlias = Literal["debate", "consultancy"]
Log: TypeAlias = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerConfig:
    """How players are trained against the judge."""

    width: int = 48
    """Hidden units."""
    steps: int = 200
    """Updates."""
    items: int = 96
    """Chains per update."""
    games: int = 8
    """Games of each; their mean is the baseline."""
    lr: float = 3e-3
    """Learning rate."""
    entropy: float = 0.01
    """Weight of the entropy bonus."""


def consult(
    table: Table, beliefs: Beliefs, player: nn.Module | None, *, row_B: np.ndarray, check: Check, seed: int
) -> PlayedGames:
    """Let one player argue for side 0 of each table before a judge who checks one operation.

    Args:
        table: What is claimed (side 0), and the other value.
        beliefs: The consultant's.
        player: None states random values.
        row_B: Which chain of the beliefs each game is about.
        check: Works out one operation; used once a game.
        seed: Of what the player draws, and of the judge's coin.

    Returns:
        How it went. The judge approves of side 0 if the operation gives what was said.

    Source:
        Michael et al., Debate helps supervise unreliable experts, 2023; Khan et al., 2024.
    """
    generator, looks = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)
    B, V = len(row_B), beliefs[0].shape[-1]
    row, part, start = torch.from_numpy(row_B), torch.zeros(B, dtype=torch.long), torch.from_numpy(table.start_B)
    end, other = torch.from_numpy(table.claim_B2[:, 0]).clone(), torch.from_numpy(table.claim_B2[:, 1])
    logprob, entropies, rounds = torch.zeros(B), list[Tensor](), list[Tensor]()
    for h in range(len(beliefs) - 1):
        if player is None:
            said = torch.randint(V, (B,), generator=generator)
        else:
            known = features(
                beliefs, h, row_B=row, part_B=part, start_B=start, mine_B=end, theirs_B=other, heard_B=None
            )
            said, logp, entropy = draw(player(known), made=generator)
            logprob, entropies = logprob + logp, [*entropies, entropy]
        second = torch.randint(2, (B,), generator=looks).bool()
        part = 2 * part + second.long()
        start, end = torch.where(second, said, start), torch.where(second, end, said)
        rounds.append(said)
    leaf_B, before_B, end_B = part.numpy(), start.numpy(), end.numpy()
    holds_B = check(table.op_BL[np.arange(B), leaf_B], before_B) == end_B
    return PlayedGames(
        score_B=np.where(holds_B, SURE, 1 - SURE),
        leaf_B=leaf_B,
        before_B=before_B,
        end_B2=np.stack([end_B, other.numpy()], 1),
        said_BR2=torch.stack(rounds, 1)[..., None].repeat(1, 1, 2).numpy(),
        logprob_B2=torch.stack([logprob, torch.zeros(B)], 1),
        entropy=torch.stack(entropies).mean() if entropies else torch.zeros(()),
    )


def choose(table: Table, beliefs: Beliefs, player: nn.Module, *, row_B: np.ndarray, seed: int) -> tuple[Table, Tensor]:
    """Let a player choose which side to argue; the table with its choice as side 0, and the choice's log-probability."""
    row, start, claim = (torch.from_numpy(x) for x in (row_B, table.start_B, table.claim_B2))
    known = choice_features(beliefs, row_B=row, start_B=start, claim_B2=claim)
    taken, logp, _ = draw(player(known), made=torch.Generator().manual_seed(seed))
    return table.swapped(taken.numpy().astype(bool)), logp


def group_centred(score_B: np.ndarray, games: int) -> Tensor:
    """Each game's score minus the mean of the other games of its item (RLOO).

    Example:
        >>> group_centred(np.array([1.0, 0.0]), 2).tolist()
        [1.0, -1.0]
    """
    score_NG = torch.from_numpy(score_B.astype(np.float32)).reshape(-1, games)
    return ((score_NG - score_NG.mean(1, keepdim=True)) * games / (games - 1)).flatten()


def train_player(
    protocol: Protocol,
    table: Table,
    beliefs: Beliefs,
    *,
    open_choice: bool,
    check: Check,
    config: PlayerConfig,
    checkpoints: Sequence[int] = (),
    seed: int,
    log: Log | None = None,
) -> list[Player]:
    """Train a player against the judge: alone, or against itself.

    Args:
        protocol: Which game.
        table: One row per chain of the pool; with assigned sides, the player argues each side as often.
        beliefs: Of the pool's chains.
        open_choice: Whether it chooses the side that it argues for; in a debate the other side falls to its opponent.
        check: The judge's one check.
        config: Settings.
        checkpoints: Updates after which to keep a copy, rising; only the last if none are given.
        seed: Of everything drawn.
        log: Called every update with the judge's mean score and the entropy.

    Returns:
        One player per checkpoint.

    Raises:
        ConfigError: If items have fewer than two games, or the pool is empty.

    Source:
        Arnesen et al., Training language models to win debates with self-play improves judge accuracy, 2024.
    """
    if config.games < 2 or len(table.start_B) == 0:
        raise ConfigError(
            f"{config.games} games of each of {len(table.start_B)} items cannot train a player. Each game is held against the "
            "others of its item. Give at least two games and one item."
        )
    rng, player = np.random.default_rng([seed, 7]), Player(config.width, seed=seed)
    optimizer = torch.optim.Adam(player.parameters(), lr=config.lr)
    checkpoints, kept = tuple(checkpoints) or (config.steps,), []
    for step in range(checkpoints[-1] + 1):
        if step in checkpoints:
            kept.append(copy.deepcopy(player).eval().requires_grad_(False))
        if step == checkpoints[-1]:
            break
        row_B = np.repeat(rng.integers(0, len(table.start_B), config.items), config.games)
        swap_B = np.repeat(rng.random(config.items) < 0.5, config.games)
        now, chosen, key = table.rows(row_B).swapped(swap_B), torch.zeros(1), int(rng.integers(2**31))
        if open_choice:
            now, chosen = choose(now, beliefs, player, row_B=row_B, seed=key + 1)
        if protocol == "debate":
            # Who speaks first is the same in all games of an item, so that the baseline knows it.
            first_B = np.repeat(rng.integers(0, 2, config.items), config.games)
            game = debate(
                now, (beliefs, beliefs), (player, player), row_B=row_B, first_B=first_B, check=check, seed=key
            )
            better = group_centred(game.score_B, config.games)
            gained = better * (game.logprob_B2[:, 0] + chosen - game.logprob_B2[:, 1])
        else:
            game = consult(now, beliefs, player, row_B=row_B, check=check, seed=key)
            gained = group_centred(game.score_B, config.games) * (game.logprob_B2[:, 0] + chosen)
        loss = -gained.mean() - config.entropy * game.entropy
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if log is not None:
            log(
                {"step": float(step), "score": float(game.score_B.mean()), "entropy_nats": float(game.entropy.detach())}
            )
    return kept
