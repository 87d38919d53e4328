"""Debate by halving and consultancy, with debaters that are trained against the judge, on long chains of arithmetic.

Debaters are small networks that learn from the judge's verdict alone. The judge can check one operation and nothing else. Whose
claim is true is known to the grader of the study, not to the judge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from superalign import jobs
from superalign.errors import ConfigError
from superalign.grants import chains
from superalign.lab.arms import Arm
from superalign.lab.arms import Config as ArmsConfig
from superalign.lab.labelled_overseers import debate_overseer, stated
from superalign.lab.memo import memo
from superalign.ledger import Ledger
from superalign.models import with_sampling
from superalign.oversight.debate.readers import halvings
from superalign.oversight.judges.judge import judge
from superalign.report import Findings
from superalign.studies.debate import page as debate_page
from superalign.studies.debate.bench import Job, run_job
from superalign.types import Overseer

DESCRIPTION = "Debate and consultancy with trained debaters before a judge who can check one operation"
MAIN = ("debates", "consultancies", "open debate", "open consultancy", "elo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on other chains and seeds."""

    length: int = 8
    """Operations of a chain; a power of two."""
    held_out: int = 300
    """Test chains that everybody is held against."""
    pool: int = 1500
    """Training chains that players are trained on."""
    seeds: int = 5
    """Of debaters: what they can read, and how they were trained."""
    updates: int = 150
    """Policy-gradient updates of each player."""
    ability: float = 0.55
    """Share of whole chains that a debater itself reads right, in the main setting."""
    judges: tuple[float, ...] = (0.85, 0.93, 0.98, 1.0)
    """Shares of elementary facts that the judges of the sweep get right."""
    critics: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    """Abilities of the debaters of the sweep."""
    sweep_seeds: int = 3
    """Seeds of the sweep."""
    sweep_updates: int = 80
    """Updates of the players in the sweep."""
    responses: int = 300
    """Test responses of the bundled base that a debate about worked responses decides about; 0 for none."""
    labelled: int = 40
    """Labelled training responses that its opponent is trained on."""


def quick(config: Config) -> Config:
    """Fewer seeds, chains and updates, and a sweep of four cells."""
    return replace(
        config,
        held_out=120,
        pool=500,
        seeds=3,  # of two, an interval would say nothing
        updates=60,
        judges=(0.93, 1.0),
        critics=(0.4, 0.8),
        sweep_seeds=1,
        sweep_updates=50,
        responses=120,
    )


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Train and play every protocol at every seed, sweep judges and critics, and debate worked responses."""
    _check(config)
    log(
        {
            "stage": f"debaters of {config.seeds} seeds; a sweep of {len(config.judges)} judges by "
            f"{len(config.critics)} critics"
        }
    )
    one = Job(
        what="", seed=0, length=config.length, held_out=config.held_out, pool=config.pool,
        updates=config.updates, ability=config.ability,
    )  # fmt: skip
    todo = [replace(one, what=what, seed=100 * seed + i) for i in range(config.seeds) for what in MAIN]
    cell = replace(one, what="cell", updates=config.sweep_updates)
    todo += [
        replace(cell, seed=100 * seed + i, judge=j, ability=a)
        for i in range(config.sweep_seeds)
        for a in config.critics
        for j in config.judges
    ]
    done = jobs.run(run_job, todo, workers=workers, memo=memo(folder, "debates"), progress="debaters")
    responses: list[dict[str, Any]] = []
    if config.responses:
        asked = [(100 * seed + i, config.responses, config.labelled) for i in range(config.seeds)]
        responses = jobs.run(
            responses_job, asked, workers=workers, memo=memo(folder, "responses"), progress="worked responses"
        )
    return debate_page.page(done, responses, length=config.length, updates=config.updates, ledger=ledger)


def _check(config: Config) -> None:
    halvings(config.length)
    if config.seeds < 2 or config.sweep_seeds < 1 or not config.judges or not config.critics:
        raise ConfigError(
            f"{config.seeds} seeds and a sweep of {config.sweep_seeds} say nothing about how results vary. Intervals "
            "are over seeds of training. Use at least two seeds, and one seed, one judge and one critic in the sweep."
        )
    if config.held_out < 8 or config.pool < 1 or config.updates < 1 or config.sweep_updates < 1:
        raise ConfigError(
            f"{config.held_out} held-out chains, a pool of {config.pool} and {config.updates} updates leave nothing to "
            "measure. Debaters are trained on some chains and held against others. Use at least 8, 1 and 1."
        )
    if not all(0 < x <= 1 for x in (*config.judges, *config.critics, config.ability)):
        raise ConfigError(
            f"Abilities {config.critics} and judges {config.judges} are not all shares. They say how often somebody is "
            "right. Use numbers above 0 and up to 1."
        )


def responses_job(asked: tuple[int, int, int]) -> dict[str, Any]:
    """Decide about test responses of the base: by debate, by its placebos, and by the judge alone; one check each."""
    seed, n, labelled = asked
    at = chains()
    agent = at.model()
    spec = Arm(arm="debate", seed=seed, base=agent, config=replace(ArmsConfig(), labelled=labelled))
    overseer = debate_overseer(spec)
    problems = at.problems("test", n, 12)
    rollouts = agent.sample(problems, n=1, seed=30_000 + seed)
    right = [at.answered(p, t) for p, t in zip(problems, rollouts.text_R, strict=True)]
    opponent = overseer.opponent
    assert opponent is not None
    arms: dict[str, Overseer] = {
        "debate": overseer,
        "random midpoints": replace(overseer, opponent=None),
        "judge alone": judge(check_step=at.check, n_steps=at.units),
    }
    out: dict[str, Any] = {"seed": seed, "problems": [p.prompt for p in problems], "right": right, "arms": {}}
    for name, of in arms.items():
        signal = of(problems, rollouts, seed=seed)
        out["arms"][name] = [float(v) if isinstance(v, float | int) else 0.5 for v in signal.values]
        out.setdefault("tokens", {})[name] = signal.tokens / n
    best = with_sampling(agent, replace(agent.sampling, temperature=0.0)).sample(problems, n=1, seed=0)
    same = [stated(a)[-1:] == stated(b)[-1:] for a, b in zip(rollouts.text_R, best.text_R, strict=True)]
    out["arms"]["same answer as the opponent's own"] = np.array(same, float).tolist()
    return out
