"""Debate by halving: two players state the value in the middle of what they dispute, until a judge can check one operation.

The chain and its start value are common ground; each side says another value for its end. In every round both state the value
in the middle of the disputed segment. If they agree there, the second half is disputed from that value on; if not, the first
half. At a single operation the judge works it out, once, and decides for whoever's value it is.

A player is a small network that scores each value it could state by its own beliefs about the segment (`readers`). It is not
told which side is true. Both sides share one player, which learns by policy gradient from the judge's verdict alone.

Shape suffixes: N chains, G games of one item, B = N * G games, V values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from superalign.oversight.debate.readers import Beliefs

Check: TypeAlias = Callable[
    [np.ndarray, np.ndarray], np.ndarray
]  # (operation, value before it) -> value after: one check each

SURE = 0.95  # what a judge who saw one side be right gives it; the other side gets the rest, and 1/2 where neither was right
FEATURES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The common ground of B games: chains, start values, and what is disputed."""

    op_BL: np.ndarray
    start_B: np.ndarray
    claim_B2: np.ndarray  # the value that each side says the chain ends in

    def rows(self, keep_B: np.ndarray) -> Table:
        """Return the games of these rows."""
        return Table(op_BL=self.op_BL[keep_B], start_B=self.start_B[keep_B], claim_B2=self.claim_B2[keep_B])

    def swapped(self, which_B: np.ndarray | None = None) -> Table:
        """Swap the two claims, everywhere or in some of the games."""
        swaps = np.ones(len(self.start_B), bool) if which_B is None else which_B
        claim_B2 = np.where(swaps[:, None], self.claim_B2[:, ::-1], self.claim_B2)
        return Table(op_BL=self.op_BL, start_B=self.start_B, claim_B2=claim_B2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlayedGames:
    """How B games went."""

    score_B: np.ndarray  # the judge's probability for side 0
    leaf_B: np.ndarray  # which operation was checked
    before_B: np.ndarray  # the value before it that both had agreed to
    end_B2: np.ndarray  # what each said came after it
    said_BR2: np.ndarray  # the value that each stated in the middle, by round
    logprob_B2: Tensor  # of all that each side stated, nats
    entropy: Tensor  # mean over statements, nats


class Player(nn.Module):
    """Scores every value that could be stated from what a debater believes about it; values are all treated alike."""

    def __init__(self, width: int = 48, *, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.Sequential(
            nn.Linear(FEATURES, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        for layer, fan_in in ((self.layers[0], FEATURES), (self.layers[2], width)):
            nn.init.normal_(layer.weight, std=fan_in**-0.5, generator=generator)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[4].weight)  # type: ignore[arg-type]  # untrained, it states any value as likely as another
        nn.init.zeros_(self.layers[4].bias)  # type: ignore[arg-type]

    def forward(self, features_BVF: Tensor) -> Tensor:
        """Logits over the values, (B, V)."""
        logits: Tensor = self.layers(features_BVF).squeeze(-1)
        return logits


def features(
    beliefs: Beliefs,
    h: int,
    *,
    row_B: Tensor,
    part_B: Tensor,
    start_B: Tensor,
    mine_B: Tensor,
    theirs_B: Tensor,
    heard_B: Tensor | None,
) -> Tensor:
    """Say what a player knows about each value it could state in the middle of a segment, (B, V, FEATURES).

    Args:
        beliefs: Its own.
        h: Halvings so far.
        row_B: Which chain of the beliefs each game is about.
        part_B: Which segment is disputed.
        start_B: The value before it, agreed.
        mine_B: The value that it says comes after it.
        theirs_B: What the other side says.
        heard_B: What the other side has just stated, for who speaks second.
    """
    whole_BV = beliefs[h][row_B, part_B, start_B]
    left_BV = beliefs[h + 1][row_B, 2 * part_B, start_B]
    right_BVV = beliefs[h + 1][row_B, 2 * part_B + 1]
    B, V = left_BV.shape
    at = torch.arange(B)
    own_BV, theirs_BV = right_BVV[at, :, mine_B], right_BVV[at, :, theirs_B]
    known = [left_BV, own_BV, theirs_BV]
    common = [whole_BV[at, mine_B], whole_BV[at, theirs_B], torch.full((B,), h / len(beliefs))]
    if heard_B is None:
        said_BV, common = torch.zeros(B, V), common + [torch.zeros(B)] * 4
    else:
        said_BV = nn.functional.one_hot(heard_B, V).float()
        common += [torch.ones(B), left_BV[at, heard_B], own_BV[at, heard_B], theirs_BV[at, heard_B]]
    spread = [c[:, None].expand(B, V) for c in common]
    return torch.stack([*known, said_BV, *spread, torch.zeros(B, V)], dim=-1)


def choice_features(beliefs: Beliefs, *, row_B: Tensor, start_B: Tensor, claim_B2: Tensor) -> Tensor:
    """Say what a player knows about the two values that it could argue for, (B, 2, FEATURES)."""
    believed_B2 = beliefs[0][row_B, 0, start_B].gather(1, claim_B2)
    out = torch.zeros(*believed_B2.shape, FEATURES)
    out[..., 0], out[..., 1], out[..., -1] = believed_B2, believed_B2.flip(1), 1.0
    return out


def draw(logits_BV: Tensor, *, made: torch.Generator, best: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one value a row: the values, their log-probabilities, and the mean entropy."""
    logp_BV = logits_BV.log_softmax(-1)
    p_BV = logp_BV.detach().exp()
    taken_B = logits_BV.detach().argmax(-1) if best else torch.multinomial(p_BV, 1, generator=made)[:, 0]
    return taken_B, logp_BV.gather(1, taken_B[:, None])[:, 0], -(logp_BV.exp() * logp_BV).sum(-1).mean()


class Candid(nn.Module):
    """Not trained: states the value that it holds most likely, whatever it argues for."""

    def forward(self, features_BVF: Tensor) -> Tensor:
        """Logits over the values, (B, V)."""
        return 100.0 * features_BVF[..., 0]


def decide(value_B: np.ndarray, end_B2: np.ndarray) -> np.ndarray:
    """Return the judge's probability for side 0, after one check gave a value.

    Example:
        >>> decide(np.array([3, 3, 3]), np.array([[3, 4], [4, 3], [4, 5]])).round(2).tolist()
        [0.95, 0.05, 0.5]
    """
    right_B2 = value_B[:, None] == end_B2
    return np.where(right_B2[:, 0] == right_B2[:, 1], 0.5, np.where(right_B2[:, 0], SURE, 1 - SURE))


def debate(
    table: Table,
    beliefs: tuple[Beliefs, Beliefs],
    players: tuple[nn.Module | None, nn.Module | None],
    *,
    row_B: np.ndarray,
    first_B: np.ndarray,
    check: Check,
    seed: int,
) -> PlayedGames:
    """Play B games to the end.

    Args:
        table: What is disputed.
        beliefs: Of side 0 and of side 1.
        players: Side 0 and side 1; None states random values.
        row_B: Which chain of the beliefs each game is about.
        first_B: The side that states its value first, 0 or 1.
        check: Works out one operation; a privilege that the study grants, used once a game.
        seed: Of what the players draw.

    Returns:
        How the games went; log-probabilities carry gradients.

    Source:
        Irving et al., AI safety via debate, 2018; Brown-Cohen et al., Scalable AI safety via doubly-efficient debate, 2023.
    """
    generator = torch.Generator().manual_seed(seed)
    B, V = len(row_B), beliefs[0][0].shape[-1]
    row, part, start = torch.from_numpy(row_B), torch.zeros(B, dtype=torch.long), torch.from_numpy(table.start_B)
    end, first = torch.from_numpy(table.claim_B2).clone(), torch.from_numpy(first_B)
    logprob, entropies, rounds = torch.zeros(B, 2), list[Tensor](), list[Tensor]()
    at, everyone = torch.arange(B), torch.ones(B, dtype=torch.bool)
    alike = players[0] is players[1] and beliefs[0] is beliefs[1]  # then both sides are asked in one batch
    for h in range(len(beliefs[0]) - 1):
        said = torch.zeros(B, 2, dtype=torch.long)
        for turn in (0, 1):
            speaks = first if turn == 0 else 1 - first
            for side in (0,) if alike else (0, 1):
                now = at[everyone if alike else speaks == side]
                who, player = speaks[now], players[side]
                if player is None or len(now) == 0:
                    said[now, who] = torch.randint(V, (len(now),), generator=generator)
                    continue
                known = features(
                    beliefs[side],
                    h,
                    row_B=row[now],
                    part_B=part[now],
                    start_B=start[now],
                    mine_B=end[now, who],
                    theirs_B=end[now, 1 - who],
                    heard_B=said[now, 1 - who] if turn else None,
                )
                said[now, who], logp, entropy = draw(player(known), made=generator)
                logprob = logprob.index_put((now, who), logp, accumulate=True)
                entropies.append(entropy)
        agreed = said[:, 0] == said[:, 1]
        part = 2 * part + agreed.long()
        start = torch.where(agreed, said[:, 0], start)
        end = torch.where(agreed[:, None], end, said)
        rounds.append(said)
    leaf_B, before_B, end_B2 = part.numpy(), start.numpy(), end.numpy()
    value_B = check(table.op_BL[np.arange(B), leaf_B], before_B)
    return PlayedGames(
        score_B=decide(value_B, end_B2),
        leaf_B=leaf_B,
        before_B=before_B,
        end_B2=end_B2,
        said_BR2=torch.stack(rounds, dim=1).numpy(),
        logprob_B2=logprob,
        entropy=torch.stack(entropies).mean() if entropies else torch.zeros(()),
    )
