"""Oversight scaling: guards of several sizes against agents of several sizes, and the curve of success against the Elo gap.

Sizes are real: networks of five widths that were trained alike. Agents are trained against the guard that they meet. What a
network can do in general is measured apart from the games, on a test with answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from superalign import jobs
from superalign.errors import ConfigError
from superalign.lab.memo import memo
from superalign.ledger import Ledger
from superalign.oversight.debate.readers import halvings
from superalign.report import Findings
from superalign.studies.oversight_scaling import page as scaling_page
from superalign.studies.oversight_scaling.play import ROLES, Match, Training, play_job, train_job

DESCRIPTION = "Oversight scaling: guards of five sizes against agents of five sizes, their Elo, and the fitted curve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on other chains and seeds."""

    widths: tuple[int, ...] = (4, 7, 9, 11, 16)
    """Sizes of guards and of agents: units of their state, rising."""
    seeds: int = 5
    """Of training; every seed has its own guards and agents."""
    length: int = 8
    """Operations of a chain; a power of two."""
    reader_updates: int = 500
    """Updates of each network before it plays."""
    asked: int = 400
    """Problems of the ability test that general Elo comes from."""
    held_out: int = 200
    """Test chains that every pair plays on."""
    pool: int = 500
    """Training chains of the games."""
    debate_updates: int = 80
    """Policy-gradient updates of a debater against its guard."""
    flaw_updates: int = 200
    """Policy-gradient updates of an agent that plants flaws."""
    draws: int = 400
    """Resamples of seeds and problems."""


def quick(config: Config) -> Config:
    """Three sizes and three seeds, shorter training."""
    return replace(
        config,
        widths=(4, 9, 16),
        seeds=3,  # of two, an interval would say nothing
        reader_updates=400,
        asked=200,
        held_out=100,
        pool=200,
        debate_updates=30,
        flaw_updates=60,
        draws=200,
    )


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Train the networks, let every agent play every guard, and fit the curves."""
    _check(config)
    log({"stage": f"training {2 * len(config.widths) * config.seeds} networks"})
    seeds = [100 * seed + i for i in range(config.seeds)]
    trainings = [
        Training(seed=s, role=role, width=w, length=config.length, updates=config.reader_updates, asked=config.asked)
        for s in seeds
        for role in ROLES
        for w in config.widths
    ]
    made = jobs.run(train_job, trainings, workers=workers, memo=memo(folder, "networks"), progress="networks")
    matches = []
    for s in seeds:
        guards, agents = ([m["weights"] for m in made if (m["seed"], m["role"]) == (s, role)] for role in ROLES)
        matches += [
            Match(
                seed=s,
                length=config.length,
                guard=guard,
                agents=tuple(agents),
                pool=config.pool,
                held_out=config.held_out,
                debate_updates=config.debate_updates,
                flaw_updates=config.flaw_updates,
            )
            for guard in guards
        ]
    log({"stage": f"{len(matches)} guards, each against {len(config.widths)} agents in three games"})
    played = jobs.run(play_job, matches, workers=workers, memo=memo(folder, "games"), progress="games")
    return scaling_page.page(made, played, widths=config.widths, draws=config.draws, seed=seed)


def _check(config: Config) -> None:
    halvings(config.length)
    if config.seeds < 2 or len(config.widths) < 3:
        raise ConfigError(
            f"{config.seeds} seeds and {len(config.widths)} sizes do not show how oversight scales. A curve needs sizes, and its "
            "interval needs seeds. Use at least two seeds and three sizes."
        )
    if list(config.widths) != sorted(set(config.widths)) or config.widths[0] < 1:
        raise ConfigError(
            f"The sizes {config.widths} do not rise from 1 or more. The largest agent would not be the one left out. Name each "
            "size once, smallest first."
        )
    least = min(config.reader_updates, config.debate_updates, config.flaw_updates, config.pool)
    if config.held_out < 8 or config.asked < 8 or least < 1:
        raise ConfigError(
            f"{config.held_out} held-out chains, {config.asked} problems of the ability test, and a smallest pool or training of "
            f"{least} leave nothing to measure. Elo comes from games and tests. Use at least 8, 8 and 1."
        )
    if config.draws < 50:
        raise ConfigError(
            f"{config.draws} resamples give no interval worth its name. Its ends are quantiles of them. Use at least 50."
        )
