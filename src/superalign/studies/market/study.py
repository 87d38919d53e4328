"""AI safety via market making, trained: does the price before any argument come to say what is true?

A market and an adversary are trained against a judge who can put two numbers together and no more. The price of each held-out
claim before any argument is then held against what is true, which neither market, adversary nor judge was told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superalign import jobs
from superalign.errors import ConfigError
from superalign.lab.memo import memo
from superalign.ledger import Ledger
from superalign.oversight.market.making import board, hear
from superalign.oversight.market.players import MarketConfig
from superalign.oversight.market.training import MarketGame, prices, settle, train_market
from superalign.report import Findings
from superalign.studies.market import page as market_page
from superalign.studies.market.worlds import KINDS, VALUES, World, draw_of, human_of, questions
from superalign.types import Record

DESCRIPTION = "Market making: does a price trained to foresee a weak judge's belief come to say what is true?"
ITEMS_SEED = 77  # held-out questions are the same for every training seed, so that arms are paired

MAIN, RANDOM, NONE, SCRIPT, GRADIENT = "market", "random arguments", "no arguments", "scripted", "policy gradient"
CONSTANT = "constant judge"
PLAIN, WIDE = "best of 12", "best of 24, from random to trained"
FOLLOW, GROWN, BOTH = "nothing wasted", "curriculum", "both, wider and longer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on other seeds of training, and never on which test claims are true."""

    numbers: int = 4
    """Numbers in a row, in the main setting."""
    seeds: int = 5
    """Trainings of each kind, in the main setting."""
    sweep_seeds: int = 3
    """Trainings of each kind elsewhere: longer rows, other claims, a judge who errs."""
    held_out: int = 300
    """Test rows with one claim each; no row was seen in training with any claim."""
    longer: tuple[int, ...] = (5, 6)
    """Longer rows."""
    ways: bool = True
    """Whether the longest rows are tried in every way."""
    kinds: tuple[str, ...] = ("at least", "xor", "product")
    """Other claims than sums."""
    slips: tuple[float, ...] = (0.05, 0.12)
    """How often the judge gets an addition wrong; the last one also with the same slips every time."""
    updates: int = MarketConfig().updates
    """Updates of market and adversary."""
    questions: int = MarketConfig().questions
    """Questions of an update."""
    proposals: int = MarketConfig().proposals
    """Games proposed for each question, of which the one that moves the price most is played."""
    width: int = MarketConfig().width
    """Width of the market's reading of a question."""
    hidden: int = MarketConfig().hidden
    """Hidden units of market and adversary."""

    @property
    def training(self) -> MarketConfig:
        """The training of market and adversary."""
        return MarketConfig(
            updates=self.updates,
            questions=self.questions,
            proposals=self.proposals,
            width=self.width,
            hidden=self.hidden,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Record):
    """One training and all that is measured of it."""

    arm: str
    world: World
    training: tuple[tuple[str, str | int | float | bool], ...]
    held_out: int
    seed: int


def quick(config: Config) -> Config:
    """Two seeds of rows of three and four, without the sweeps."""
    return replace(
        config, numbers=3, seeds=3, sweep_seeds=2, held_out=120, longer=(), ways=False, kinds=("xor",), slips=(0.12,),
        updates=200,
    )  # fmt: skip


def ways(training: MarketConfig) -> dict[str, MarketConfig]:
    """Ways to find arguments where rows are long and random ones hardly ever settle anything."""
    grown = replace(training, start=2, follow=True, width=96, updates=2 * training.updates, explore_last=0.2)
    return {
        PLAIN: training,
        WIDE: replace(training, proposals=24, explore=0.9, explore_last=0.1),
        FOLLOW: replace(training, follow=True),
        GROWN: replace(training, start=2),
        BOTH: grown,
    }


def listed(config: Config) -> list[Job]:
    """Every training of the study."""
    t = config.training
    main = World(numbers=config.numbers)
    fixed = replace(main, constant=0.8)
    made: list[tuple[str, World, MarketConfig]] = [
        (MAIN, main, t),
        *((name, main, replace(t, search=name_of)) for name, name_of in SEARCHES.items()),
        (CONSTANT, fixed, t),
        *((MAIN, replace(main, kind=k), t) for k in config.kinds),
        *((SCRIPT, replace(main, kind=k), replace(t, search="script")) for k in config.kinds),
        *((MAIN, replace(main, slip=s), t) for s in config.slips),
        *((MAIN, replace(main, slip=s, same=True), t) for s in config.slips[-1:]),
    ]
    for numbers in config.longer:
        world = World(numbers=numbers)
        tried = ways(t)
        if not (config.ways and numbers == config.longer[-1]):
            tried = {PLAIN: tried[PLAIN], BOTH: tried[BOTH]}
        made += [(way, world, how) for way, how in tried.items()]
        made.append((SCRIPT, world, replace(tried[BOTH], search="script")))
        made.append((RANDOM, world, replace(tried[BOTH], search="random")))
    return [
        Job(arm=arm, world=world, training=plain(how), held_out=config.held_out, seed=seed)
        for arm, world, how in made
        for seed in range(config.seeds if world in (main, fixed) else config.sweep_seeds)
    ]


SEARCHES: dict[str, Any] = {RANDOM: "random", NONE: "none", SCRIPT: "script", GRADIENT: "policy gradient"}


def plain(training: MarketConfig) -> tuple[tuple[str, str | int | float | bool], ...]:
    """Settings as pairs, which a memo can name."""
    return tuple((name, getattr(training, name)) for name in MarketConfig.__slots__)


def trained(job: Job, watch: Callable[[int, MarketGame], None] | None = None) -> MarketGame:
    """Train the market of a job."""
    torch.set_num_threads(1)
    w = job.world
    settings: dict[str, Any] = dict(job.training)
    return train_market(
        board(w.numbers), draw=draw_of(w), human=human_of(w), values=VALUES, claims=w.claims,
        config=MarketConfig(**settings), seed=job.seed, watch=watch,
    )  # fmt: skip


def market_job(job: Job) -> dict[str, Any]:
    """Train one market and its adversary, and hold its prices against what is true of held-out claims.

    Returns:
        Plain values: `curve` of (updates, mean error of the first price); and for each held-out question its `name`, whether
        it is `true`, the price `first` and `last`, the judge's `belief` after the arguments; what the `alone` judge came to with
        as many random additions, and by majority of as many games as are proposed in training (`voted`).
    """
    w = job.world
    numbers_BN, claim_B, true_B = questions(w, job.held_out, split="test", seed=ITEMS_SEED)
    curve: list[list[float]] = []

    def watch(updates: int, game: MarketGame) -> None:
        curve.append([updates, float(np.abs(prices(game, numbers_BN, claim_B) - true_B).mean())])

    game, human = trained(job, watch), human_of(w)
    rng = np.random.default_rng([job.seed, 41])
    said_BT, price_BT = settle(game, numbers_BN, claim_B, seed=job.seed)
    games = game.config.proposals
    at_random = rng.integers(0, len(game.on.whole_A), (games, *said_BT.shape))
    heard = np.stack([hear(game.on, numbers_BN, claim_B, some, human, rng) for some in at_random])
    return {
        "curve": curve,
        "name": [f"{' '.join(map(str, row))} | {claim}" for row, claim in zip(numbers_BN, claim_B, strict=True)],
        "true": true_B.tolist(),
        "first": prices(game, numbers_BN, claim_B).tolist(),
        "last": price_BT[:, -1].tolist(),
        "belief": hear(game.on, numbers_BN, claim_B, said_BT, human, rng).tolist(),
        "alone": heard[0].tolist(),
        "voted": [float(np.clip(0.5 + np.sign(h - 0.5).sum(), 0, 1)) for h in heard.T],
        "arguments": int(said_BT.shape[1]),
        "games": games,
    }


def check(config: Config) -> None:
    """Refuse settings that would fail only after minutes of work.

    Raises:
        ConfigError: If nothing could be measured.
    """
    if min(config.seeds, config.sweep_seeds) < 2:
        raise ConfigError(
            f"seeds={config.seeds}, sweep_seeds={config.sweep_seeds} give no interval. Nothing could be claimed. Give 2 or more."
        )
    if config.held_out < 20:
        raise ConfigError(
            f"held_out={config.held_out} leaves too few test rows. Every interval would be empty or very wide. Give 20 or more."
        )
    if min((config.numbers, *config.longer)) < 3 or max((config.numbers, *config.longer)) > 8:
        raise ConfigError(
            f"Rows of {min((config.numbers, *config.longer))} to {max((config.numbers, *config.longer))} numbers cannot be used. "
            "With two the judge needs no help, and beyond eight no search here finds an argument. Give 3 to 8."
        )
    if unknown := [k for k in config.kinds if k not in KINDS]:
        raise ConfigError(
            f"There are no claims of the kind {unknown[0]!r}. Nobody could say which are true. Choose from {', '.join(KINDS)}."
        )


def study(
    config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Callable[[Any], None]
) -> Findings:
    """Train every market of the study, and hold their prices against what is true.

    Raises:
        ConfigError: If nothing could be measured.
    """
    check(config)
    todo = [replace(j, seed=1000 * seed + j.seed) for j in listed(config)]
    log(f"{len(todo)} trainings")
    done = jobs.run(market_job, todo, workers=workers, memo=memo(folder, "market"), progress="training markets")
    return market_page.page(config, list(zip(todo, done, strict=True)), ledger=ledger)
