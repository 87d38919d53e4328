"""Train markets and adversaries against a judge who can put two numbers together and no more.

The price of each held-out claim before any argument is then held against what is true, which neither market, adversary nor judge
was told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from superalign.kit.panel import ArmOutput, items_of, keep_decisions
from superalign.kit.run import Run
from superalign.lab.row_claims import VALUES, MarketSetting, draw_of, human_of, questions
from superalign.oversight.market.making import board, hear
from superalign.oversight.market.players import MarketConfig
from superalign.oversight.market.training import MarketGame, prices, settle, train_market
from superalign.stats.streams import stream
from superalign.studies.market.evidence import BELIEVED, GRADIENT, MAIN, NONE, RANDOM, SCRIPT, Evidence, Market, Prices
from superalign.studies.market.study import Config
from superalign.trials.oversight_panel import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, VOTING, Item
from superalign.types import Record

ITEMS_SEED = 77  # held-out questions are the same for every training seed, so that arms are paired
PLAIN, WIDE = "best of 12", "best of 24, from random to trained"
FOLLOW, GROWN, BOTH = "nothing wasted", "curriculum", "both, wider and longer"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketJob(Record):
    """One training and all that is measured of it."""

    arm: str
    setting: MarketSetting
    training: MarketConfig
    held_out: int
    seed: int


def measure(config: Config, run: Run) -> Evidence:
    """Train every market, and collect the panel's decisions in the main setting."""
    main = MarketSetting(numbers=config.numbers)
    todo = [replace(job, seed=1000 * run.seed + job.seed) for job in listed(config)]
    run.stage(f"{len(todo)} trainings")
    trained = run.map(market_job, todo, name="markets", progress="training markets")
    markets = dict[tuple[str, MarketSetting], Market]()
    for job, priced in zip(todo, trained, strict=True):
        before = markets.get((job.arm, job.setting), Market(()))
        markets[job.arm, job.setting] = Market((*before.at, priced))

    def of(setting: MarketSetting) -> dict[str, Market]:
        return {arm: market for (arm, where), market in markets.items() if where == setting}

    seeds = [1000 * run.seed + s for s in range(config.seeds)]
    return Evidence(
        numbers=config.numbers,
        main=of(main),
        constant=markets[MAIN, replace(main, constant=BELIEVED)],
        longer={n: of(MarketSetting(numbers=n)) for n in config.longer if n > config.numbers},
        kinds={kind: of(replace(main, kind=kind)) for kind in config.kinds},
        slips={(where.slip, where.same): market for (_, where), market in markets.items() if where.slip},
        decisions=keep_decisions(decisions(of(main), main, config.held_out, seeds), run.ledger),
    )


def listed(config: Config) -> list[MarketJob]:
    """List every training of the study."""
    c = config
    t = MarketConfig(updates=c.updates, questions=c.questions, proposals=c.proposals, width=c.width, hidden=c.hidden)
    script, random = replace(t, search="script"), replace(t, search="random")
    main = MarketSetting(numbers=config.numbers)
    fixed = replace(main, constant=BELIEVED)
    trainings = [
        (MAIN, main, t),
        (RANDOM, main, random),
        (NONE, main, replace(t, search="none")),
        (SCRIPT, main, script),
        (GRADIENT, main, replace(t, search="policy gradient")),
        (MAIN, fixed, t),
        *((MAIN, replace(main, kind=k), t) for k in config.kinds),
        *((SCRIPT, replace(main, kind=k), script) for k in config.kinds),
        *((MAIN, replace(main, slip=s), t) for s in config.slips),
        *((MAIN, replace(main, slip=s, same=True), t) for s in config.slips[-1:]),
    ]
    for n in config.longer:
        if n > config.numbers:
            tried = ways(t, every=config.ways and n == config.longer[-1])
            trainings += [(way, MarketSetting(numbers=n), how) for way, how in tried.items()]
    return [
        MarketJob(arm=arm, setting=setting, training=how, held_out=config.held_out, seed=seed)
        for arm, setting, how in trainings
        for seed in range(config.seeds if setting in (main, fixed) else config.sweep_seeds)
    ]


def ways(training: MarketConfig, *, every: bool) -> dict[str, MarketConfig]:
    """Name ways to find arguments where rows are long and random ones hardly ever settle anything."""
    both = replace(training, start=2, follow=True, width=96, updates=2 * training.updates, explore_last=0.2)
    between = {
        WIDE: replace(training, proposals=24, explore=0.9, explore_last=0.1),
        FOLLOW: replace(training, follow=True),
        GROWN: replace(training, start=2),
    }
    return {
        PLAIN: training,
        **(between if every else {}),
        BOTH: both,
        SCRIPT: replace(both, search="script"),
        RANDOM: replace(both, search="random"),
    }


def market_job(job: MarketJob) -> Prices:
    """Train one market and its adversary, and hold its prices against what is true of held-out claims."""
    torch.set_num_threads(1)
    setting, human = job.setting, human_of(job.setting)
    numbers_PN, claim_P, true_P = questions(setting, job.held_out, split="test", seed=ITEMS_SEED)
    along = list[tuple[int, float]]()

    def watch(updates: int, game: MarketGame) -> None:
        along.append((updates, float(np.abs(prices(game, numbers_PN, claim_P) - true_P).mean())))

    game = train_market(
        board(setting.numbers),
        draw=draw_of(setting),
        human=human,
        values=VALUES,
        claims=setting.claims,
        config=job.training,
        seed=job.seed,
        watch=watch,
    )
    rng = stream(job.seed, "proposals by chance")
    said_PT, price_PT = settle(game, numbers_PN, claim_P, seed=job.seed)
    games = job.training.proposals
    at_random = rng.integers(0, len(game.on.whole_A), (games, *said_PT.shape))
    heard = np.stack([hear(game.on, numbers_PN, claim_P, some, human, rng) for some in at_random])
    return Prices(
        updates_T=tuple(updates for updates, _ in along),
        error_T=np.array([error for _, error in along]),
        true_P=true_P,
        first_P=prices(game, numbers_PN, claim_P),
        last_P=price_PT[:, -1],
        belief_P=hear(game.on, numbers_PN, claim_P, said_PT, human, rng),
        alone_P=heard[0],
        voted_P=np.clip(0.5 + np.sign(heard - 0.5).sum(0), 0, 1),
        arguments=said_PT.shape[1],
        games=games,
    )


# Arm of the panel, whose market, what decides, and what an agent does there.
ARMS = (
    (PROTOCOL, MAIN, "first", "moves the price"),
    (PLACEBO, RANDOM, "first", "argues at random"),
    (JUDGE, MAIN, "alone", "none"),
    (AGENT, NONE, "first", "none"),
    (VOTING, MAIN, "voted", "argues at random"),
    (EXPERT, MAIN, "true", "none"),
    ("the judge after the adversary's arguments", MAIN, "belief", "moves the price"),
    ("the price after the arguments", MAIN, "last", "moves the price"),
    ("policy gradient instead of search", GRADIENT, "first", "moves the price"),
    ("market with scripted arguments", SCRIPT, "first", "honest"),
)


def decisions(markets: Mapping[str, Market], setting: MarketSetting, held_out: int, seeds: Sequence[int]) -> list[Item]:
    """List the panel's decisions, from the main setting and its baselines."""
    numbers_PN, claim_P, true_P = questions(setting, held_out, split="test", seed=ITEMS_SEED)
    names = [f"{' '.join(map(str, row))} | {claim}" for row, claim in zip(numbers_PN, claim_P, strict=True)]
    return [
        item
        for arm, source, what, behaviour in ARMS
        for seed, priced in zip(seeds, markets[source].at, strict=True)
        for item in items_of(
            {
                arm: ArmOutput(
                    probability_P=getattr(priced, f"{what}_P"),
                    checks={"voted": priced.games, "alone": 1, "belief": 1, "last": 1}.get(what, 0) * priced.arguments,
                )
            },
            seed=seed,
            problems=names,
            truth=true_P,
            behaviours=[behaviour] * len(names),
            difficulty=setting.numbers,
        )
    ]
