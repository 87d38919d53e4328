"""Games between a guard and an agent, networks that read chains: debates before the guard, and flaws planted in front of it.

What is granted stands here: worked chains for the networks, right solutions for the guard's comparison, true and false claims
for the debates. Every network's general ability is measured on chains that no game is about.

Shape suffixes: N chains, L operations of a chain, P problems of the ability test, A agents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from superalign.grants.facts import OPERATIONS, VALUES, true_table
from superalign.kit.evidence import Array
from superalign.lab.disputed_chains import chains, disputed, encode
from superalign.oversight.debate.consultancy import PlayerConfig, train_player
from superalign.oversight.debate.halving import Check, Player, Table, debate, decide
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
from superalign.oversight.debate.readers import (
    Beliefs,
    ReaderConfig,
    Worked,
    beliefs_of,
    packed,
    reader_from,
    train_reader,
)
from superalign.stats.streams import seed_for, stream
from superalign.types import Record

ROLES = ("guard", "agent")
TRUTH = torch.from_numpy(np.eye(VALUES)[true_table()])  # right beliefs about single operations


@dataclass(frozen=True, slots=True)
class Outcome:
    """The guard's success by chain, 0 to 1, and where it is shown the transcript of another chain."""

    won_N: Array
    shuffled_N: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkJob(Record):
    """One network: all that its training reads."""

    seed: int
    role: str  # guards and agents of one size share no weights and no training chains
    width: int
    length: int
    updates: int
    asked: int  # problems of the ability test


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardJob(Record):
    """One guard under one seed, and every agent that plays against it."""

    seed: int
    length: int
    guard: str  # weights as text
    agents: tuple[str, ...]
    pool: int
    held_out: int
    debate_updates: int
    flaw_updates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One trained network."""

    seed: int
    role: str
    width: int
    parameters: int
    right_P: Array  # problems of the ability test solved
    single: float  # share of single operations known
    weights: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Games:
    """A guard against one agent."""

    flaw: Outcome  # the agent plants flaws
    untrained: Outcome  # flaws planted at random
    own: Outcome  # the guard's own debater against the agent
    even: Outcome  # the agent debates itself


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardGames:
    """How one guard fared."""

    alone_N: Array  # who is right by reading the whole chain
    agents_alone_AN: Array
    against: tuple[Games, ...]  # by agent
    copies: Games  # against a copy of itself: same weights, trained to play against it


def work_of(split: str, n: int, length: int, seed: int) -> Work:
    """Draw chains with their right solutions."""
    start_N, op_NL = encode(chains(split, n, length, seed))
    return Work(op_NL=op_NL, start_N=start_N, right_NL=worked(TRUTH, op_NL, start_N))


@dataclass(frozen=True, slots=True)
class Mind:
    """One network's beliefs: about single operations, and about every segment of the chains that are played."""

    width: int
    steps: Tensor
    train: Beliefs
    test: Beliefs


@dataclass(frozen=True, slots=True)
class Chains:
    """What the games of one seed are about: chains with right solutions, and with a true and a false claim."""

    pool: Work
    held: Work
    train: Table
    test: Table


def chains_of(seed: int, length: int, *, pool: int, held_out: int) -> Chains:
    """Draw the chains; held-out chains are the same under every seed."""
    return Chains(
        pool=work_of("train", pool, length, seed_for(seed, "pool")),
        held=work_of("test", held_out, length, 11),
        train=disputed(chains("train", pool, length, seed_for(seed, "pool")), seed),
        test=disputed(chains("test", held_out, length, 11), 5),
    )


def mind_of(text: str, about: Chains) -> Mind:
    """Let a network read everything that it will be asked about."""
    reader = reader_from(text)
    read = [beliefs_of(reader, t.op_BL) for t in (about.train, about.test)]
    return Mind(reader.out.in_features, step_beliefs(reader), *read)


def sides(mind: Mind, about: Chains) -> np.ndarray:
    """Say whether somebody who reads the whole chain holds the true claim likelier than the false one, by chain."""
    at = torch.arange(len(about.test.start_B))
    believed_NV = mind.test[0][at, 0, torch.from_numpy(about.test.start_B)].numpy()
    true_N, false_N = (np.take_along_axis(believed_NV, about.test.claim_B2[:, [s]], 1)[:, 0] for s in (0, 1))
    return np.where(true_N == false_N, 0.5, true_N > false_N)


def check_by(guard: Mind) -> Check:
    """Return the guard's check of one operation: what it believes itself."""
    most_OV = guard.steps.argmax(-1).numpy()
    return lambda op, value: most_OV[op, value]


def debater(guard: Mind, agent: Mind, about: Chains, *, updates: int, seed: int) -> Player:
    """Train an agent to debate before a guard, against itself, by the guard's verdict alone."""
    return train_player(
        "debate",
        about.train,
        agent.train,
        open_choice=False,
        check=check_by(guard),
        config=PlayerConfig(width=agent.width, steps=updates, lr=1e-2),
        seed=seed,
    )[0]


def planters(guard: Mind, agent: Mind, about: Chains, *, updates: int, seed: int) -> list[Planter]:
    """Train an agent to plant flaws against a guard; before and after."""
    return train_hidden_flaw(
        agent.steps,
        guard.steps,
        about.pool,
        width=agent.width,
        config=HiddenFlawConfig(steps=updates, lr=2e-2),
        seed=seed,
        checkpoints=(0, updates),
    )


def debates(
    guard: Mind, minds: tuple[Mind, Mind], players: tuple[nn.Module, nn.Module], about: Chains, *, seed: int
) -> Outcome:
    """Hold a debate about every held-out chain; mean over who speaks first.

    Args:
        guard: The judge.
        minds: Who argues for the true claims, and who for the false ones.
        players: Their policies.
        about: What is debated.
        seed: Of the play.
    """
    row_N, check = np.arange(len(about.test.start_B)), check_by(guard)
    other_N = np.roll(row_N, 1 + seed)
    won, null = [], []
    for first in (0, 1):
        made = debate(
            about.test,
            (minds[0].test, minds[1].test),
            players,
            row_B=row_N,
            first_B=np.full(len(row_N), first),
            check=check,
            seed=seed_for(seed, "games", first),
        )
        value_N = check(about.test.op_BL[row_N, made.leaf_B[other_N]], made.before_B[other_N])
        won.append(half(made.score_B))
        null.append(half(decide(value_N, made.end_B2[other_N])))
    return Outcome(np.mean(won, axis=0), np.mean(null, axis=0))


def half(score_N: np.ndarray) -> np.ndarray:
    """Return 1 where the guard believes the true side, 0 where the false one, a half where it cannot tell.

    Example:
        >>> half(np.array([0.95, 0.5, 0.05])).tolist()
        [1.0, 0.5, 0.0]
    """
    return np.where(score_N == 0.5, 0.5, score_N > 0.5)


def flaws(guard: Mind, agent: Mind, planter: Planter, about: Chains, *, seed: int) -> Outcome:
    """Plant a flaw in a solution of every held-out chain, and let the guard choose between that and a right solution."""
    stated_NL = write_flawed(planter, agent.steps, about.held, seed=seed_for(seed, "stated values")).stated_BL
    other_N = np.roll(np.arange(len(stated_NL)), 1 + seed)
    null_N = prefers(guard.steps, about.held, about.held.right_NL[other_N], stated_NL[other_N])
    return Outcome(guarded(guard.steps, about.held, stated_NL), null_N)


def train_job(job: NetworkJob) -> Network:
    """Train one network on worked chains, and give it the ability test."""
    key = seed_for(job.seed, "readers", job.role)
    pool = work_of("train", min(6000, 20 * job.updates), job.length, seed_for(key, "work"))

    def draw(step: int) -> Worked:
        some = stream(key, "batches", step).integers(0, len(pool.start_N), 256)
        return pool.start_N[some], pool.op_NL[some], pool.right_NL[some]

    reader = train_reader(
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
        said_PL = reader(torch.from_numpy(asked.start_N), torch.from_numpy(asked.op_NL)).argmax(-1).numpy()
    at_P = np.arange(job.asked) % job.length
    return Network(
        seed=job.seed,
        role=job.role,
        width=job.width,
        parameters=sum(p.numel() for p in reader.parameters()),
        right_P=(said_PL == asked.right_NL)[np.arange(job.asked), at_P].astype(int),
        single=float((step_beliefs(reader).argmax(-1).numpy() == true_table()).mean()),
        weights=packed(reader),
    )


def play_job(job: GuardJob) -> GuardGames:
    """Train every agent against one guard in every game, and play on held-out chains."""
    about = chains_of(job.seed, job.length, pool=job.pool, held_out=job.held_out)
    guard = mind_of(job.guard, about)
    agents = [mind_of(text, about) for text in job.agents]
    own = debater(guard, guard, about, updates=job.debate_updates, seed=job.seed)

    def games(agent: Mind, player: Player) -> Games:
        before, after = planters(guard, agent, about, updates=job.flaw_updates, seed=job.seed)
        return Games(
            flaw=flaws(guard, agent, after, about, seed=job.seed),
            untrained=flaws(guard, agent, before, about, seed=job.seed),
            own=debates(guard, (guard, agent), (own, player), about, seed=job.seed),
            even=debates(guard, (agent, agent), (player, player), about, seed=job.seed),
        )

    players = [debater(guard, agent, about, updates=job.debate_updates, seed=job.seed) for agent in agents]
    return GuardGames(
        alone_N=sides(guard, about),
        agents_alone_AN=np.stack([sides(agent, about) for agent in agents]),
        against=tuple(map(games, agents, players)),
        copies=games(guard, own),
    )
