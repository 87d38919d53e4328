"""The domain of the debate study, and its jobs: each trains its players at one seed and plays on held-out chains.

What an oversight protocol is granted stands here: worked chains for the readers, and one check of one operation for the judge.

Shape suffixes: N chains, L operations of a chain, G games of one item, K contestants.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from superalign.errors import ConfigError
from superalign.grants.facts import OPERATIONS, VALUES, true_table
from superalign.lab.disputed_chains import chains, disputed, encode
from superalign.oversight.debate.consultancy import PlayerConfig, Protocol, choose, consult, train_player
from superalign.oversight.debate.halving import Candid, Check, Player, Table, debate, decide
from superalign.oversight.debate.readers import (
    Beliefs,
    Reader,
    ReaderConfig,
    Worked,
    beliefs_of,
    halvings,
    train_reader,
)
from superalign.types import Record

STAGES = (0, 10, 20, 30, 40, 80)  # checkpoints of a player, as updates; the last update comes after them


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Record):
    """One job at one seed: all that it reads."""

    what: str
    seed: int
    length: int
    held_out: int
    pool: int
    updates: int
    ability: float
    judge: float = 1.0  # share of elementary facts that the judge gets right


def check_of(accuracy: float, seed: int) -> Check:
    """A judge's check of one operation, wrong for good about a share of all elementary facts."""
    facts, rng = true_table(), np.random.default_rng([seed, 17])
    wrong = rng.random(facts.shape) >= accuracy
    believed = np.where(wrong, (facts + rng.integers(1, VALUES, facts.shape)) % VALUES, facts)
    return lambda op, before: believed[op, before]


def swapped(table: Table) -> Table:
    """The same chains with the false value on side 0."""
    return Table(op_BL=table.op_BL, start_B=table.start_B, claim_B2=table.claim_B2[:, ::-1].copy())


def _worked(length: int, seed: int, size: int = 256) -> Any:
    prompts, facts = chains("train", 8000, length, 1_000 + seed), true_table()
    start_N, op_NL = encode(prompts)

    def draw(step: int) -> Worked:
        some = np.random.default_rng([seed, step, 29]).integers(0, len(prompts), size)
        before, values = start_N[some], []
        for t in range(length):
            before = facts[op_NL[some, t], before]
            values.append(before)
        return start_N[some], op_NL[some], np.stack(values, 1)

    return draw


@functools.lru_cache(maxsize=4)
def readers(length: int, seed: int) -> tuple[tuple[Reader, float], ...]:
    """One reader at many stages of its training, with the share of whole training chains that each reads right."""
    last = 128 + 24 * length  # by then every seed tried reads whole chains almost without error
    stages = tuple(range(0, last + 1, 10))
    made = train_reader(
        _worked(length, seed),
        operations=OPERATIONS,
        values=VALUES,
        checkpoints=stages,
        config=ReaderConfig(),
        seed=seed,
    )
    table = disputed(chains("train", 1000, length, 2_000 + seed), seed)
    start, op = torch.from_numpy(table.start_B), torch.from_numpy(table.op_BL)
    true_N = table.claim_B2[:, 0]
    return tuple((r, float((r(start, op)[:, -1].argmax(-1).numpy() == true_N).mean())) for r in made)


def reader_of(length: int, seed: int, ability: float) -> Reader:
    """The stage of a seed's reader whose share of whole chains read right is closest to an ability."""
    return min(readers(length, seed), key=lambda stage: abs(stage[1] - ability))[0]


@dataclass(frozen=True, slots=True)
class Bench:
    """What the jobs of one seed share: chains to train on and to be held against, and what the agents believe of them."""

    train: Table
    test: Table
    prompts: list[str]
    train_beliefs: Beliefs
    beliefs: Beliefs
    check: Check
    row_N: np.ndarray


def bench(job: Job) -> Bench:
    """Draw the chains and let the reader read them; held-out chains are the same under every seed of training."""
    halvings(job.length)
    if job.held_out < 2 or job.pool < 1:
        raise ConfigError(
            f"A pool of {job.pool} chains and {job.held_out} held out leave nothing to play for. A player is trained "
            "on some chains and judged on others. Give at least 1 and 2."
        )
    prompts = chains("test", job.held_out, job.length, 11)
    train, test = disputed(chains("train", job.pool, job.length, 4_000 + job.seed), job.seed), disputed(prompts, 5)
    reader = reader_of(job.length, job.seed, job.ability)
    read = [beliefs_of(reader, t.op_BL) for t in (train, test)]
    return Bench(train, test, prompts, read[0], read[1], check_of(job.judge, job.seed), np.arange(job.held_out))


def trained(job: Job, b: Bench, protocol: Protocol, *, open_choice: bool = False) -> dict[int, Player]:
    """Train a player under a protocol; update -> player."""
    stages = (*(s for s in STAGES if s < job.updates), job.updates)
    made = train_player(
        protocol,
        b.train,
        b.train_beliefs,
        open_choice=open_choice,
        check=b.check,
        config=PlayerConfig(steps=job.updates),
        checkpoints=stages,
        seed=job.seed,
    )
    return dict(zip(stages, made, strict=True))


def _half(scores: np.ndarray) -> np.ndarray:
    """1 where a score is above a half, 0 below, a half at it."""
    return np.where(scores == 0.5, 0.5, scores > 0.5)


def both_sides(b: Bench, players: tuple[nn.Module | None, nn.Module | None], *, check: Check, seed: int) -> np.ndarray:
    """The judge's probability of the true side, (first speaker honest or lying, N)."""
    return np.stack(
        [
            debate(
                b.test,
                (b.beliefs, b.beliefs),
                players,
                row_B=b.row_N,
                first_B=np.full(len(b.row_N), first),
                check=check,
                seed=seed + first,
            ).score_B
            for first in (0, 1)
        ]
    )


def run_job(job: Job) -> dict[str, Any]:
    """Do one job.

    Raises:
        ConfigError: If there is no such job.
    """
    if job.what not in JOBS:
        raise ConfigError(f"There is no job {job.what!r}. A study is made of jobs. Choose from {', '.join(JOBS)}.")
    return {
        "what": job.what,
        "seed": job.seed,
        "judge_knows": job.judge,
        "ability": job.ability,
        **JOBS[job.what](job, bench(job)),
    }


def _debates(job: Job, b: Bench) -> dict[str, Any]:
    """Play the main setting: a debater trained against itself, its stages, its nulls, and who stands beside it in the panel."""
    players = trained(job, b, "debate")
    last, seed = players[job.updates], 50 + job.seed
    out: dict[str, Any] = {"prompts": b.prompts, "claims": b.test.claim_B2.tolist()}
    out["stages"] = {str(s): both_sides(b, (p, p), check=b.check, seed=seed).tolist() for s, p in players.items()}
    pairs: dict[str, tuple[nn.Module | None, nn.Module | None]] = {
        "debate": (last, last),
        "random midpoints": (None, None),
        "candid debaters": (Candid(), Candid()),
        "trained against candid": (last, Candid()),
        "candid against trained": (Candid(), last),
    }
    out["arms"] = {name: both_sides(b, pair, check=b.check, seed=seed).tolist() for name, pair in pairs.items()}
    both = (b.beliefs, b.beliefs)
    made = [
        debate(
            b.test, both, (last, last), row_B=b.row_N, first_B=np.full(len(b.row_N), f), check=b.check, seed=seed + f
        )
        for f in (0, 1)
    ]
    out["transcripts"] = [[_told(m, i) for i in range(len(b.row_N))] for m in made]
    # Placebo: the judge reads another item's transcript and checks the operation that it names here.
    other = np.roll(b.row_N, 1 + job.seed)
    out["placebo"] = [
        decide(b.check(b.test.op_BL[b.row_N, m.leaf_B[other]], m.before_B[other]), m.end_B2[other]).tolist()
        for m in made
    ]
    return {**out, **_alone(job, b)}


def _told(m: Any, i: int) -> str:
    said = " ".join(f"{int(x)}|{int(y)}" for x, y in m.said_BR2[i])
    return f"{said}; step {int(m.leaf_B[i]) + 1} from {int(m.before_B[i])}: {int(m.end_B2[i, 0])}|{int(m.end_B2[i, 1])}"


def _alone(job: Job, b: Bench) -> dict[str, Any]:
    """Who decides without a debate: the judge with its one check, the agent, and the agent asked several times."""
    rng, N = np.random.default_rng([job.seed, 31]), len(b.row_N)
    guess_N = rng.integers(0, VALUES, N)
    judge_N = decide(b.check(b.test.op_BL[:, -1], guess_N), b.test.claim_B2)
    believed_NV = b.beliefs[0][torch.from_numpy(b.row_N), 0, torch.from_numpy(b.test.start_B)].double().numpy()
    ends_N2 = believed_NV[b.row_N[:, None], b.test.claim_B2]
    agent_N = ends_N2[:, 0] / ends_N2.sum(1)
    asked = 2 * halvings(job.length)
    votes_N = (rng.random((N, asked)) < agent_N[:, None]).mean(1)
    accuracies = []
    for h in range(len(b.beliefs)):  # of the first segment of each length
        end_N, facts = b.test.start_B, true_table()
        for t in range(job.length >> h):
            end_N = facts[b.test.op_BL[:, t], end_N]
        said_N = b.beliefs[h][torch.from_numpy(b.row_N), 0, torch.from_numpy(b.test.start_B)].argmax(-1).numpy()
        accuracies.append(float((said_N == end_N).mean()))
    return {"judge": judge_N.tolist(), "agent": agent_N.tolist(), "voting": votes_N.tolist(), "by_length": accuracies}


def _consultancies(job: Job, b: Bench) -> dict[str, Any]:
    """A consultant with its side assigned: what the judge thinks of the truth and of the lie, at each stage."""
    out, seed = {}, 60 + job.seed
    for stage, player in trained(job, b, "consultancy").items():
        sides = [
            consult(t, b.beliefs, player, row_B=b.row_N, check=b.check, seed=seed) for t in (b.test, swapped(b.test))
        ]
        out[str(stage)] = [s.score_B.tolist() for s in sides]
    return {"stages": out}


def _open(job: Job, b: Bench, protocol: Protocol) -> dict[str, Any]:
    """Let an agent choose which side to argue: what it is paid, and whether what it argues is true, along its training."""
    players = trained(job, b, protocol, open_choice=True)
    stages = sorted(players)
    # Side by side: the agent of each stage, and the next one against the same opponent.
    moments, after = [], []
    for i, stage in enumerate(stages):
        paid_NG, true_NG = _choices(b, protocol, players[stage], players[stage], seed=70 + job.seed)
        centred = [x - x.mean(1, keepdims=True) for x in (paid_NG, true_NG)]
        cov, var = float((centred[0] * centred[1]).mean()), float((centred[0] ** 2).mean())
        apart = float((centred[0] * np.roll(centred[1], 1, axis=0)).mean())  # null: the truth of another chain's agents
        moments.append(
            {"paid": float(paid_NG.mean()), "true": float(true_NG.mean()), "cov": cov, "apart": apart, "var": var}
        )
        if i + 1 < len(stages):
            paid, true = _choices(b, protocol, players[stages[i + 1]], players[stage], seed=70 + job.seed)
            after.append({"paid": float(paid.mean()), "true": float(true.mean())})
    paid_NG, true_NG = _choices(b, protocol, players[job.updates], players[job.updates], seed=80 + job.seed, games=1)
    return {
        "stages": stages,
        "moments": moments,
        "after": after,
        "paid": paid_NG[:, 0].tolist(),
        "true": true_NG[:, 0].tolist(),
    }


def _choices(
    b: Bench, protocol: Protocol, agent: Player, opponent: Player, *, seed: int, games: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Play each chain several times: the judge's probability for what the agent argues, and whether that is true, (N, G)."""
    row_B, N = np.repeat(b.row_N, games), len(b.row_N)
    order_B = (row_B % 2).astype(bool)  # which value stands first says nothing about which is true
    mixed = b.test.rows(row_B)
    claim_B2 = np.where(order_B[:, None], mixed.claim_B2[:, ::-1], mixed.claim_B2)
    table, _ = choose(
        Table(op_BL=mixed.op_BL, start_B=mixed.start_B, claim_B2=claim_B2), b.beliefs, agent, row_B=row_B, seed=seed
    )
    if protocol == "debate":
        first_B = (row_B // 2) % 2
        made = debate(
            table, (b.beliefs, b.beliefs), (agent, opponent), row_B=row_B, first_B=first_B, check=b.check, seed=seed
        )
    else:
        made = consult(table, b.beliefs, agent, row_B=row_B, check=b.check, seed=seed)
    true_B = table.claim_B2[:, 0] == mixed.claim_B2[:, 0]
    return made.score_B.reshape(N, games), true_B.reshape(N, games).astype(float)


def _elo(job: Job, b: Bench) -> dict[str, Any]:
    """Let debaters of several abilities and stages play each other.

    Return who wins, and what the judge gets right if each plays itself.
    """
    players = trained(job, b, "debate")
    shown = sorted({s for s in (10, 20, 30) if s < job.updates} | {job.updates})
    abilities = sorted({0.3, 0.45, job.ability, 0.8})
    read = {a: beliefs_of(reader_of(job.length, job.seed, a), b.test.op_BL) for a in abilities}
    who = [(a, s) for a in abilities for s in shown]
    wins_KK, right, placebo = np.zeros((len(who), len(who))), [], []
    for i, (a, s) in enumerate(who):
        for j, (c, t) in enumerate(who):
            made = debate(
                b.test,
                (read[a], read[c]),
                (players[s], players[t]),
                row_B=b.row_N,
                first_B=b.row_N % 2,
                check=b.check,
                seed=90 + job.seed,
            )
            won = float(_half(made.score_B).mean())  # i honest, j lying
            wins_KK[i, j] += won
            wins_KK[j, i] += 1 - won
            if i == j:
                other = np.roll(b.row_N, 1)
                found = decide(
                    b.check(b.test.op_BL[b.row_N, made.leaf_B[other]], made.before_B[other]), made.end_B2[other]
                )
                right.append(won)
                placebo.append(float(_half(found).mean()))
    return {"who": who, "wins": wins_KK.tolist(), "right": right, "placebo": placebo}


def _cell(job: Job, b: Bench) -> dict[str, Any]:
    """Measure one judge and one critic: the debate, the judge alone working the whole chain in its head, the agent alone."""
    last, seed = trained(job, b, "debate")[job.updates], 50 + job.seed
    end_N = b.test.start_B
    for t in range(job.length):
        end_N = b.check(b.test.op_BL[:, t], end_N)
    scores = both_sides(b, (last, last), check=b.check, seed=seed)
    at_random = both_sides(b, (None, None), check=b.check, seed=seed)
    return {
        "debate": _half(scores).mean(0).tolist(),
        "random midpoints": _half(at_random).mean(0).tolist(),
        "judge": _half(decide(end_N, b.test.claim_B2)).tolist(),
        "agent": _half(np.array(_alone(job, b)["agent"])).tolist(),
    }


JOBS: Mapping[str, Any] = {
    "debates": _debates,
    "consultancies": _consultancies,
    "open debate": functools.partial(_open, protocol="debate"),
    "open consultancy": functools.partial(_open, protocol="consultancy"),
    "elo": _elo,
    "cell": _cell,
}
