"""The jobs of the scaling study: networks of several sizes are trained, and agents of each size play guards of each size.

What is granted stands here: worked chains for the networks, right solutions for the guard's comparison, true and false claims
for the debates. Every network's general ability is measured on chains that no game is about.

Shape suffixes: N chains, L operations of a chain, P problems of the ability test.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from superalign.grants.facts import OPERATIONS, VALUES, true_table
from superalign.lab.disputed_chains import chains, disputed, encode
from superalign.oversight.debate.consultancy import PlayerConfig, train_player
from superalign.oversight.debate.halving import Check, PlayedGames, Player, Table, debate, decide
from superalign.oversight.debate.hidden_flaw import (
    HiddenFlawConfig,
    Planter,
    Work,
    guarded,
    prefers,
    step_beliefs,
    train_hidden_flaw,
    worked,
    write_flawed,
)
from superalign.oversight.debate.readers import Beliefs, Reader, ReaderConfig, Worked, beliefs_of, train_reader
from superalign.types import Record

ROLES = ("guard", "agent")
TRUTH = torch.from_numpy(np.eye(VALUES)[true_table()])  # right beliefs about single operations


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Record):
    """One network: all that its training reads."""

    seed: int
    role: str  # guards and agents of one size share no weights and no training chains
    width: int
    length: int
    updates: int
    asked: int  # problems of the ability test


@dataclass(frozen=True, slots=True, kw_only=True)
class Match(Record):
    """One guard under one seed, and every agent that plays against it."""

    seed: int
    length: int
    guard: str  # weights as text
    agents: tuple[str, ...]
    pool: int
    held_out: int
    debate_updates: int
    flaw_updates: int


def work_of(split: str, n: int, length: int, seed: int) -> Work:
    """Draw chains with their right solutions."""
    start_N, op_NL = encode(chains(split, n, length, seed))
    return Work(op_NL=op_NL, start_N=start_N, right_NL=worked(TRUTH, op_NL, start_N))


def train_job(job: Training) -> dict[str, Any]:
    """Train one network; its weights, and what it solves in the ability test."""
    key = 2 * (1000 + job.seed) + ROLES.index(job.role)
    pool = work_of("train", min(6000, 20 * job.updates), job.length, 10_000 + key)

    def draw(step: int) -> Worked:
        some = np.random.default_rng([key, step, 29]).integers(0, len(pool.start_N), 256)
        return pool.start_N[some], pool.op_NL[some], pool.right_NL[some]

    made = train_reader(
        draw,
        operations=OPERATIONS,
        values=VALUES,
        checkpoints=(job.updates,),
        config=ReaderConfig(width=job.width, lr=6e-3),
        seed=key,
    )[0]
    # Chains of every length, from one operation to all.
    asked = work_of("test", job.asked, job.length, 77)
    with torch.no_grad():
        said_PL = made(torch.from_numpy(asked.start_N), torch.from_numpy(asked.op_NL)).argmax(-1).numpy()
    at_P = np.arange(job.asked) % job.length
    right_P = (said_PL == asked.right_NL)[np.arange(job.asked), at_P]
    return {
        "seed": job.seed,
        "role": job.role,
        "width": job.width,
        "parameters": sum(p.numel() for p in made.parameters()),
        "right": right_P.astype(int).tolist(),
        "single": float((step_beliefs(made).argmax(-1).numpy() == true_table()).mean()),
        "weights": packed(made),
    }


def packed(reader: Reader) -> str:
    """Write a reader's weights as text.

    Example:
        >>> reader = Reader(3, 10, 2)
        >>> packed(unpacked(packed(reader))) == packed(reader)
        True
    """
    return json.dumps({name: w.tolist() for name, w in reader.state_dict().items()})


def unpacked(text: str) -> Reader:
    """Read weights that `packed` wrote."""
    state = {name: torch.tensor(w) for name, w in json.loads(text).items()}
    values, width = state["start.weight"].shape
    reader = Reader(len(state["operation.weight"]), values, width)
    reader.load_state_dict(state)
    return reader.eval().requires_grad_(False)


@dataclass(frozen=True, slots=True)
class Mind:
    """What one network believes: about single operations, and about every segment of the chains that are played."""

    width: int
    steps: Tensor
    train: Beliefs
    test: Beliefs


@dataclass(frozen=True, slots=True)
class Ground:
    """What the games of one seed are about."""

    pool: Work
    held: Work
    train: Table
    test: Table


def ground_of(job: Match) -> Ground:
    """Draw the chains; held-out chains are the same under every seed."""
    at = 4_000 + job.seed
    return Ground(
        pool=work_of("train", job.pool, job.length, at),
        held=work_of("test", job.held_out, job.length, 11),
        train=disputed(chains("train", job.pool, job.length, at), job.seed),
        test=disputed(chains("test", job.held_out, job.length, 11), 5),
    )


def mind_of(text: str, ground: Ground) -> Mind:
    """Let a network read everything that it will be asked about."""
    reader = unpacked(text)
    read = [beliefs_of(reader, t.op_BL) for t in (ground.train, ground.test)]
    return Mind(reader.out.in_features, step_beliefs(reader), *read)


def play_job(job: Match) -> dict[str, Any]:
    """Train every agent against one guard in every game, and play on held-out chains: the guard's success by chain."""
    ground = ground_of(job)
    guard = mind_of(job.guard, ground)
    own = debater(guard, guard, ground, job)
    # The agent replaced by a copy of the guard: same weights, trained to play against it.
    copies = {
        "debate": debates(guard, (guard, guard), (own, own), ground, seed=job.seed),
        "hidden flaw": flaws(guard, guard, planters(guard, guard, ground, job)[1], ground, seed=job.seed),
    }
    out: dict[str, Any] = {
        "seed": job.seed,
        "width": guard.width,
        "alone": sides(guard, ground).tolist(),
        "copies": {name: [x.tolist() for x in both] for name, both in copies.items()},
        "agents": [],
    }
    for text in job.agents:
        agent = mind_of(text, ground)
        player = debater(guard, agent, ground, job)
        games = {
            "debate": debates(guard, (agent, agent), (player, player), ground, seed=job.seed),
            "own debater": debates(guard, (guard, agent), (own, player), ground, seed=job.seed),
        }
        before, after = planters(guard, agent, ground, job)
        games["hidden flaw"] = flaws(guard, agent, after, ground, seed=job.seed)
        untrained = flaws(guard, agent, before, ground, seed=job.seed)
        out["agents"].append(
            {
                "width": agent.width,
                "alone": sides(agent, ground).tolist(),
                "won": {name: won.tolist() for name, (won, _) in games.items()},
                "shuffled": {name: null.tolist() for name, (_, null) in games.items()},
                "untrained": [x.tolist() for x in untrained],
            }
        )
    return out


def sides(mind: Mind, ground: Ground) -> np.ndarray:
    """Whether somebody who reads the whole chain holds the true claim likelier than the false one, by chain."""
    at = torch.arange(len(ground.test.start_B))
    believed_NV = mind.test[0][at, 0, torch.from_numpy(ground.test.start_B)].numpy()
    true_N, false_N = (np.take_along_axis(believed_NV, ground.test.claim_B2[:, [s]], 1)[:, 0] for s in (0, 1))
    return np.where(true_N == false_N, 0.5, true_N > false_N)


def check_by(guard: Mind) -> Check:
    """The guard's check of one operation: what it believes itself."""
    most_OV = guard.steps.argmax(-1).numpy()
    return lambda op, value: most_OV[op, value]


def debater(guard: Mind, agent: Mind, ground: Ground, job: Match) -> Player:
    """Train an agent to debate before a guard, against itself, by the guard's verdict alone."""
    return train_player(
        "debate",
        ground.train,
        agent.train,
        open_choice=False,
        check=check_by(guard),
        config=PlayerConfig(width=agent.width, steps=job.debate_updates, lr=1e-2),
        seed=job.seed,
    )[0]


def planters(guard: Mind, agent: Mind, ground: Ground, job: Match) -> list[Planter]:
    """An agent that plants flaws, before and after its training against a guard."""
    return train_hidden_flaw(
        agent.steps,
        guard.steps,
        ground.pool,
        width=agent.width,
        config=HiddenFlawConfig(steps=job.flaw_updates, lr=2e-2),
        seed=job.seed,
        checkpoints=(0, job.flaw_updates),
    )


def debates(
    guard: Mind, minds: tuple[Mind, Mind], players: tuple[nn.Module, nn.Module], ground: Ground, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Success of the guard by chain, mean over who speaks first; and where it is shown the transcript of another chain."""
    row_N, check = np.arange(len(ground.test.start_B)), check_by(guard)
    other_N = np.roll(row_N, 1 + seed)
    won, null = [], []
    for first in (0, 1):
        made: PlayedGames = debate(
            ground.test,
            (minds[0].test, minds[1].test),
            players,
            row_B=row_N,
            first_B=np.full(len(row_N), first),
            check=check,
            seed=50 + seed + first,
        )
        value_N = check(ground.test.op_BL[row_N, made.leaf_B[other_N]], made.before_B[other_N])
        won.append(half(made.score_B))
        null.append(half(decide(value_N, made.end_B2[other_N])))
    return np.mean(won, axis=0), np.mean(null, axis=0)


def half(score_N: np.ndarray) -> np.ndarray:
    """1 where the guard believes the true side, 0 where the false one, a half where it cannot tell.

    Example:
        >>> half(np.array([0.95, 0.5, 0.05])).tolist()
        [1.0, 0.5, 0.0]
    """
    return np.where(score_N == 0.5, 0.5, score_N > 0.5)


def flaws(guard: Mind, agent: Mind, planter: Planter, ground: Ground, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Success of the guard by chain; and where it is shown both solutions of another chain."""
    stated_NL = write_flawed(planter, agent.steps, ground.held, seed=60 + seed).stated_BL
    other_N = np.roll(np.arange(len(stated_NL)), 1 + seed)
    null_N = prefers(guard.steps, ground.held, ground.held.right_NL[other_N], stated_NL[other_N])
    return guarded(guard.steps, ground.held, stated_NL), null_N
