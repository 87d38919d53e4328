"""Self-critique: gaps between generating, discriminating and criticising; and critics that know and do not tell.

A bundled base answers, says whether its answers have flaws, and says where; a judge with one check looks there. Then critics are
trained to hide a class of flaws that their own discriminator goes on knowing, beside clean twins, and the gap must expose them.
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
from superalign.studies.self_critique import page as gaps_page
from superalign.studies.self_critique.bench import (
    BREADTHS,
    FAMILIES,
    CriticJob,
    GapJob,
    audit_facts,
    critic_job,
    gap_job,
)

DESCRIPTION = (
    "Self-critique: what a model knows of its flaws and does not tell, by generator, discriminator and critique"
)
MAIN = "small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on training problems and other seeds."""

    sizes: tuple[str, ...] = ("small", "middle", "large")
    """Bundled bases whose gaps are measured; the small one is always among them."""
    labelled: int = 40
    """Labelled responses that discriminator and critic are trained on."""
    labels: tuple[int, ...] = (20, 80, 160)
    """The same, swept with the small base."""
    seeds: int = 5
    """Of labels and initial weights."""
    problems: int = 180
    """Test problems that each base answers."""
    samples: int = 16
    """Answers to each."""
    judge_errors: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
    """Shares of checks that come out wrong, in the sweep of judges."""
    twins: int = 20
    """Clean critics that set thresholds; as many others are audited."""
    breadths: tuple[int, ...] = BREADTHS
    """How many digits make a class of flaws."""
    planted: int = 3
    """Seeds of critics that do not tell, for each class of flaws."""
    sandbagged: int = 1
    """Seeds of critics that hide flaws from their discriminator too, for each class."""
    taught: int = 1200
    """Labelled responses that critics of the audit are trained on, twins as well."""
    updates: int = 400
    """Of their weights."""
    audit: int = 1200
    """Test responses of the audit."""
    audits: tuple[int, ...] = (100, 200, 400, 800)
    """Smaller audits, which the first so many responses make."""


def quick(config: Config) -> Config:
    """One base, fewer seeds, problems and critics."""
    return replace(
        config, sizes=("small",), labels=(), seeds=3, problems=60, samples=8, twins=5, breadths=(5, 2), planted=1, sandbagged=0,
        taught=800, updates=200, audit=450, audits=(150,),
    )  # fmt: skip


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Measure the gaps of every base, train the critics, and audit them."""
    _check(config)
    sizes = tuple(dict.fromkeys((MAIN, *config.sizes)))
    log({"stage": f"gaps of {len(sizes)} bases under {config.seeds} seeds of labels"})
    settings = [(size, config.labelled) for size in sizes] + [(MAIN, n) for n in config.labels if n != config.labelled]
    todo = [
        GapJob(size=size, labelled=n, seed=100 * seed + i, problems=config.problems, samples=config.samples)
        for size, n in settings
        for i in range(config.seeds)
    ]
    told = jobs.run(gap_job, todo, workers=workers, memo=memo(folder, "gaps"), progress="gaps")
    critics = critic_specs(config, seed)
    log({"stage": f"{len(critics)} critics to be audited"})
    audited = jobs.run(critic_job, critics, workers=workers, memo=memo(folder, "critics"), progress="critics")
    (facts,) = jobs.run(audit_facts, [config.audit], memo=memo(folder, "audit"))
    sizes_of_audit = (*sorted(n for n in config.audits if n < config.audit), config.audit)
    return gaps_page.page(
        told, audited, facts, labelled=config.labelled, errors=config.judge_errors, audits=sizes_of_audit, twins=config.twins,
        ledger=ledger,
    )  # fmt: skip


def critic_specs(config: Config, seed: int) -> list[CriticJob]:
    """Twins that set thresholds, twins that are audited, and critics that hide something; every one with its own seed."""
    one = CriticJob(kind="clean", seed=0, labelled=config.taught, steps=config.updates, audit=config.audit)
    first = 10_000 * seed
    out = [replace(one, seed=first + i) for i in range(2 * config.twins)]
    for kind, n, at in (("untold", config.planted, 1000), ("sandbagged", config.sandbagged, 2000)):
        which = [(f, d) for _ in range(n) for f in FAMILIES for d in config.breadths]
        out += [replace(one, kind=kind, seed=first + at + i, family=f, digits=d) for i, (f, d) in enumerate(which)]
    return out


def _check(config: Config) -> None:
    if config.seeds < 2 or config.problems < 3 or config.samples < 2:
        raise ConfigError(
            f"{config.seeds} seeds, {config.problems} problems and {config.samples} samples leave no gap to measure. Gaps are "
            "between the best of several answers and one, over seeds. Use at least two seeds, three problems and two samples."
        )
    if not config.breadths or not all(1 <= d <= 9 for d in config.breadths):
        raise ConfigError(
            f"Classes of flaws by {config.breadths} digits cannot be. One by all ten hides everything, one by none nothing. "
            "Use one or more numbers from 1 to 9."
        )
    if config.twins < 4 or config.planted < 1 or config.sandbagged < 0 or config.updates < 1:
        raise ConfigError(
            f"{config.twins} twins, {config.planted} critics a class and {config.updates} updates leave nothing to audit. A "
            "threshold comes from clean twins. Use at least four twins, one critic and one update."
        )
    if config.labelled < 10 or min(config.labels, default=10) < 10 or config.taught < 50:
        raise ConfigError(
            f"{config.labelled}, {config.labels} and {config.taught} labelled responses are too few. There may be no flaw "
            "among them to learn from. Use at least 10, and 50 for the critics of the audit."
        )
    if config.audit < 50 or not all(20 <= n <= config.audit for n in config.audits):
        raise ConfigError(
            f"An audit of {config.audit} responses, and smaller ones of {config.audits}, cannot be. Smaller audits are parts "
            "of the large one. Use at least 50, and between 20 and that for the parts."
        )
    if not all(0 <= e < 0.5 for e in config.judge_errors):
        raise ConfigError(
            f"Judges who err in {config.judge_errors} of their checks are no judges. At a half they are coins. Use shares from 0 "
            "to below 0.5."
        )
