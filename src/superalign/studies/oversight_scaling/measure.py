"""Train networks of several sizes, let agents of each size play guards of each size, and fit the curves.

Shape suffixes: S seeds, R roles, K sizes, G guards, A agents, N held-out chains, P problems of the ability test.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from superalign.kit.run import Run
from superalign.lab.guard_games import ROLES, GuardJob, NetworkJob, Outcome, play_job, train_job
from superalign.stats.scaling_fit import game_of, ratings_of
from superalign.studies.oversight_scaling.evidence import EVEN, FLAW, OWN, Evidence
from superalign.studies.oversight_scaling.study import Config


def measure(config: Config, run: Run) -> Evidence:
    """Train the networks, let every agent play every guard, and fit the curves."""
    S, R, K = config.seeds, len(ROLES), len(config.widths)
    run.stage(f"training {S * R * K} networks")
    trainings = [
        NetworkJob(seed=s, role=role, width=w, length=config.length, updates=config.reader_updates, asked=config.asked)
        for s in range(100 * run.seed, 100 * run.seed + S)
        for role in ROLES
        for w in config.widths
    ]
    networks = run.map(train_job, trainings, name="networks")
    jobs = [
        GuardJob(
            seed=guard.seed,
            length=config.length,
            guard=guard.weights,
            agents=tuple(n.weights for n in networks if (n.seed, n.role) == (guard.seed, "agent")),
            pool=config.pool,
            held_out=config.held_out,
            debate_updates=config.debate_updates,
            flaw_updates=config.flaw_updates,
        )
        for guard in networks
        if guard.role == "guard"
    ]
    run.stage(f"{len(jobs)} guards, each against {K} agents in three games")
    played = run.map(play_job, jobs, name="games")
    right_SRKP = np.array([n.right_P for n in networks]).reshape(S, R, K, -1)
    ratings = ratings_of(right_SRKP, config.held_out, draws=config.draws, seed=run.seed)
    won = {
        FLAW: success([[games.flaw for games in p.against] for p in played], S),
        OWN: success([[games.own for games in p.against] for p in played], S),
        EVEN: success([[games.even for games in p.against] for p in played], S),
    }
    return Evidence(
        widths=config.widths,
        parameters=tuple(n.parameters for n in networks[:K]),
        single_KM=np.array([n.single for n in networks]).reshape(S * R, K).T,
        solved_KM=right_SRKP.mean(-1).reshape(S * R, K).T,
        ratings=ratings,
        games={name: game_of(*both, ratings) for name, both in won.items()},
        untrained=success([[games.untrained for games in p.against] for p in played], S),
        copies={
            FLAW: success([[p.copies.flaw] for p in played], S),
            EVEN: success([[p.copies.even] for p in played], S),
        },
        guard_alone_SGN=np.array([p.alone_N for p in played]).reshape(S, K, -1),
        agent_alone_SGAN=np.array([p.agents_alone_AN for p in played]).reshape(S, K, K, -1),
    )


def success(rows: Sequence[Sequence[Outcome]], seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Put outcomes together, agents by guard by seed: success of guards, and its null, (S, G, A, N) each."""
    won, null = (np.array([[getattr(o, of) for o in row] for row in rows]) for of in ("won_N", "shuffled_N"))
    return won.reshape(seeds, -1, *won.shape[1:]), null.reshape(seeds, -1, *null.shape[1:])
