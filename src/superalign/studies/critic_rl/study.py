"""A critic that writes highlights, trained by RL on a judge's comparisons, against flaws by hand and by a trained planter.

The judge can check one step and is wrong about some facts. The planter is trained to plant flaws that the critic misses. What is
wrong is found by executing steps; neither judge nor critic executes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from superalign import jobs
from superalign.errors import ConfigError
from superalign.lab.memo import memo
from superalign.ledger import Ledger
from superalign.report import Findings
from superalign.studies.critic_rl import page as critics_page
from superalign.studies.critic_rl.play import Job
from superalign.studies.critic_rl.trial import run_job

DESCRIPTION = (
    "A critic trained by RL, its frontier of flaws found against nit-picks, and a planter trained to be missed by it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on training problems."""

    seeds: int = 5
    """Of critics, judges' errors and planters."""
    labelled: int = 300
    """Solutions with labelled steps that the supervised critic is trained on."""
    compared: int = 12000
    """Pairs of critiques that the judge compares, one check each critique."""
    reward_updates: int = 600
    """Updates of the reward model."""
    updates: int = 400
    """Policy-gradient updates of the critic."""
    kl: float = 0.02
    """Reward taken away for each nat of leaving the supervised critic."""
    judge: float = 0.95
    """Share of elementary facts that the judge gets right."""
    judges: tuple[float, ...] = (0.85, 1.0)
    """The same for other judges that critics are trained against."""
    trust: float = 0.5
    """What an unchecked highlight is worth to a judge who trusts; the judge of the main setting gives it nothing."""
    sweep_seeds: int = 3
    """Seeds of the other judges."""
    held_out: int = 600
    """Test solutions."""
    rounds: int = 3
    """How often the critic is retrained on flaws of a fresh planter."""
    planted: int = 400
    """Flaws that it is retrained on in each round."""
    planter_updates: int = 200
    """Policy-gradient updates of each planter."""
    entropy: float = 0.2
    """What a planter earns for each nat of variety; a flaw that is missed earns 1."""
    nitpicks: float = 0.1
    """Nit-picks a solution at which critics are set in the race and the trial."""


def quick(config: Config) -> Config:
    """Three seeds, fewer comparisons, updates and rounds, one other judge."""
    return replace(
        config, seeds=3, compared=5000, reward_updates=250, updates=150, judges=(1.0,), sweep_seeds=1, held_out=240,
        rounds=1, planter_updates=80,
    )  # fmt: skip


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Train critics at every seed, race them against planters, and train some before other judges."""
    _check(config)
    cells = len(config.judges) + 1
    log({"stage": f"critics of {config.seeds} seeds, and of {config.sweep_seeds} before {cells} other judges"})
    one = Job(
        seed=0, labelled=config.labelled, compared=config.compared, reward_updates=config.reward_updates,
        updates=config.updates, kl=config.kl, held_out=config.held_out, judge=config.judge, rounds=config.rounds,
        planted=config.planted, planter_updates=config.planter_updates, nitpicks=config.nitpicks, entropy=config.entropy,
    )  # fmt: skip
    todo = [replace(one, seed=100 * seed + i) for i in range(config.seeds)]
    for i in range(config.sweep_seeds):
        mine = replace(one, seed=100 * seed + i, rounds=0)
        todo += [replace(mine, judge=j) for j in config.judges] + [replace(mine, trust=config.trust)]
    done = jobs.run(run_job, todo, workers=workers, memo=memo(folder, "critics"), progress="critics")
    return critics_page.page(done, nitpicks=config.nitpicks, ledger=ledger)


def _check(config: Config) -> None:
    if config.seeds < 2 or config.sweep_seeds < 1:
        raise ConfigError(
            f"{config.seeds} seeds and a sweep of {config.sweep_seeds} say nothing about how results vary. Intervals are over "
            "solutions and seeds of training. Use at least two seeds, and one in the sweep."
        )
    least = min(
        config.compared, config.reward_updates, config.updates, config.rounds, config.planted, config.planter_updates
    )
    if config.labelled < 16 or config.held_out < 16 or least < 1:
        raise ConfigError(
            f"{config.labelled} labelled and {config.held_out} held-out solutions, and as little as {least} of something else, "
            "leave nothing to measure. Critics and planters are trained on some solutions and held against others. Use at "
            "least 16 of each and 1 of everything else."
        )
    if not all(0 < x <= 1 for x in (*config.judges, config.judge)) or config.nitpicks <= 0:
        raise ConfigError(
            f"Judges {(config.judge, *config.judges)} and {config.nitpicks} nit-picks a solution cannot be had. The first are "
            "shares of facts, the second says how often a critic may be wrong. Use shares above 0 and up to 1, and nit-picks "
            "above 0."
        )
