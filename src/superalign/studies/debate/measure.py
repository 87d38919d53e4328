"""Train debaters and consultants against a judge with one check, hold them against test chains, and sweep judges and critics."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from superalign.kit.panel import ArmOutput, items_of, keep_decisions
from superalign.kit.run import Run
from superalign.lab.disputed_chains import chains, check_of, ground_of, reader_of, values_along
from superalign.lab.labelled_overseers import ResponsesJob, debated_responses
from superalign.lab.players import OpenChoice, Strengths
from superalign.oversight.debate import held_out
from superalign.oversight.debate.consultancy import Protocol
from superalign.oversight.debate.halving import Candid, Player, decide
from superalign.oversight.debate.held_out import Ground, debated, trained_on
from superalign.oversight.debate.readers import beliefs_of, halvings
from superalign.stats.streams import seed_for
from superalign.studies.debate import evidence as ev
from superalign.studies.debate.evidence import Cell, Evidence, Main
from superalign.studies.debate.study import Config
from superalign.trials import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, VOTING, Item
from superalign.trials.oversight_panel import verdicts
from superalign.types import Record

TEST = 11  # seed of the test chains, the same under every seed of training


@dataclass(frozen=True, slots=True, kw_only=True)
class DebateJob(Record):
    """The main setting, or one cell of the sweep, at one seed: all that it reads."""

    sweep: bool
    seed: int
    length: int
    held_out: int
    pool: int
    updates: int
    ability: float
    judge: float = 1.0  # share of elementary facts that the judge gets right

    def named(self, what: str) -> int:
        """Return the seed of something that is drawn."""
        return seed_for(self.seed, what)


def measure(config: Config, run: Run) -> Evidence:
    """Train and play every protocol at every seed, sweep judges and critics, and debate worked responses."""
    run.stage(f"debaters of {config.seeds} seeds; {len(config.judges)} judges by {len(config.critics)} critics")
    one = DebateJob(
        sweep=False,
        seed=100 * run.seed,
        length=config.length,
        held_out=config.held_out,
        pool=config.pool,
        updates=config.updates,
        ability=config.ability,
    )
    todo = [replace(one, seed=one.seed + i) for i in range(config.seeds)]
    asked = [ResponsesJob(seed=t.seed, responses=config.responses, labelled=config.labelled) for t in todo]
    todo += [
        replace(one, sweep=True, updates=config.sweep_updates, seed=one.seed + i, judge=j, ability=a)
        for i in range(config.sweep_seeds)
        for a in config.critics
        for j in config.judges
    ]
    results = run.map(debate_job, todo, name="debates", progress="debaters")
    main = tuple(m for m in results if isinstance(m, Main))
    decided = run.map(debated_responses, asked, name="responses", progress="responses") if config.responses else []
    return Evidence(
        length=config.length,
        main=main,
        decisions=keep_decisions([i for m in main for i in m.items], run.ledger),
        cells=cells_of([m for m in results if isinstance(m, Cell)]),
        responses=keep_decisions([i for some in decided for i in some], run.ledger) if decided else None,
    )


def cells_of(made: list[Cell]) -> tuple[Cell, ...]:
    """Put the seeds of each cell side by side."""
    out = []
    for judge, critic in sorted({(c.judge, c.critic) for c in made}):
        some = [c.right for c in made if (c.judge, c.critic) == (judge, critic)]
        right = {name: np.concatenate([r[name] for r in some], 1) for name in some[0]}
        out.append(Cell(judge=judge, critic=critic, right=right))
    return tuple(out)


def debate_job(job: DebateJob) -> Main | Cell:
    """Do one job: draw chains to train on and to be held against, let a reader read them, train players and play."""
    reader, check = reader_of(job.length, job.seed, job.ability), check_of(job.judge, job.seed)
    seeds = (job.named("test chains"), job.seed)
    train = ground_of("train", job.pool, job.length, seeds=seeds, reader=reader, check=check)
    test = ground_of("test", job.held_out, job.length, seeds=(TEST, 5), reader=reader, check=check)
    return cell(job, train, test) if job.sweep else main_setting(job, train, test)


def main_setting(job: DebateJob, train: Ground, test: Ground) -> Main:
    """Train debaters against themselves, consultants, and agents who choose their side; play all of them on the test chains."""
    debaters = trained_on(train, "debate", updates=job.updates, seed=job.seed)
    consultants = trained_on(train, "consultancy", updates=job.updates, seed=job.seed)
    seed, pair, rounds = job.named("debates"), (debaters[job.updates], debaters[job.updates]), halvings(job.length)
    games = held_out.games_in_both_orders(test, pair, seed=seed)
    debate_TON = np.stack([debated(test, (p, p), seed=seed) for p in debaters.values()])
    at = job.named("consultancies")
    consultancy_TON = np.stack([held_out.consulted(test, p, seed=at) for p in consultants.values()])
    open_debate, debate_end_N = open_choice(job, train, test, "debate")
    open_consultancy, consultancy_end_N = open_choice(job, train, test, "consultancy")
    judge_N, agent_N, votes_N = held_out.without_debate(test, seed=job.seed, asked=2 * rounds)
    true_N, first_N = claims_about(test.row_N)
    controls = {
        PLACEBO: np.stack([held_out.misplaced(test, g, by=1 + job.seed) for g in games]),
        ev.RANDOM: debated(test, (None, None), seed=seed),
    }
    candid_ON = debated(test, (Candid(), Candid()), seed=seed)
    debates = {PROTOCOL: debate_TON[-1], ev.UNTRAINED: debate_TON[0], ev.CANDID: candid_ON, **controls}
    arms = {
        JUDGE: (judge_N, 1, 0),
        AGENT: (agent_N, 0, 1),
        VOTING: (votes_N, 0, 2 * rounds),
        EXPERT: (np.ones(job.held_out), 0, 0),
        ev.OPEN: (debate_end_N, 1, 2 * rounds + 2),
        ev.CONSULT_OPEN: (consultancy_end_N, 1, rounds + 1),
        ev.CONSULT: (np.where(true_N, *consultancy_TON[-1]), 1, rounds + 1),
        **{arm: (true_ON[first_N, test.row_N], 1, 2 * rounds + 2) for arm, true_ON in debates.items()},
    }
    texts = [held_out.transcripts(g) for g in games]
    return Main(
        stages=tuple(debaters),
        along={ev.DEBATE: debate_TON, ev.CONSULT: consultancy_TON},
        controls=controls,
        open_choice={"open debate": open_debate, "open consultancy": open_consultancy},
        strengths=strengths(job, debaters, test),
        read_right=held_out.reads_right(test, values_along(test.table, check_of(1.0, 0))),
        items=panel_items(job, arms, [texts[o][i] for i, o in enumerate(first_N)]),
    )


def claims_about(row_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Say of each chain whether the claim about it is true, and whether the lying side speaks first (1) or the honest one (0).

    Half of the claims are true. Who argues for the claim speaks first on every other pair of chains: order and truth cross.
    """
    true_N = row_N % 2 == 0
    return true_N, (((row_N // 2) % 2 == 0) != true_N).astype(int)


def panel_items(
    job: DebateJob, arms: dict[str, tuple[np.ndarray, int, int]], transcripts: list[str]
) -> tuple[Item, ...]:
    """Write a decision about every claim under every arm, of which the probability of the true value and the cost are given."""
    true_N, _ = claims_about(np.arange(job.held_out))
    outputs = {
        arm: ArmOutput(
            probability_P=np.where(true_N, p_N, 1 - p_N),
            checks=checks,
            tokens=tokens,
            transcripts=transcripts if arm == PROTOCOL else (),
        )
        for arm, (p_N, checks, tokens) in arms.items()
    }
    return items_of(
        outputs,
        seed=job.seed,
        problems=chains("test", job.held_out, job.length, TEST),
        truth=true_N,
        behaviours=["honest" if true else "argues a false value" for true in true_N],
        difficulty=job.length,
    )


def open_choice(job: DebateJob, train: Ground, test: Ground, protocol: Protocol) -> tuple[OpenChoice, np.ndarray]:
    """Let an agent choose which side to argue; also returns the judge's probability of the true value after training, (N,)."""
    players = trained_on(train, protocol, updates=job.updates, seed=job.seed, open_choice=True)
    line, last = list(players.values()), players[job.updates]
    at = job.named("truth along training")
    paid_T, true_T, predicted_T, elsewhere_T = held_out.truth_along(test, protocol, line, seed=at)
    paid_NG, true_NG = held_out.chosen_sides(test, protocol, last, last, seed=job.named("sides chosen"), games=1)
    choice = OpenChoice(
        stages=tuple(players), paid_T=paid_T, true_T=true_T, predicted_T=predicted_T, elsewhere_T=elsewhere_T
    )
    return choice, np.where(true_NG > 0, paid_NG, 1 - paid_NG)[:, 0]


def strengths(job: DebateJob, players: dict[int, Player], test: Ground) -> Strengths:
    """Let debaters of several abilities and stages play each other."""
    abilities = sorted({0.3, 0.45, job.ability, 0.8})
    read = {a: beliefs_of(reader_of(job.length, job.seed, a), test.table.op_BL) for a in abilities}
    debaters = tuple((a, s) for a in abilities for s in players if s in (10, 20, 30, job.updates))
    some = [(players[s], read[a]) for a, s in debaters]
    wins_KK, right_K, placebo_K = held_out.each_against_each(some, test, seed=job.named("each against each"))
    return Strengths(debaters=debaters, wins_KK=wins_KK, right_K=right_K, placebo_K=placebo_K)


def cell(job: DebateJob, train: Ground, test: Ground) -> Cell:
    """Measure one judge and one critic: the debate, the judge alone working the whole chain in its head, the agent alone."""
    last = trained_on(train, "debate", updates=job.updates, seed=job.seed)[job.updates]
    _, agent_N, _ = held_out.without_debate(test, seed=job.seed, asked=1)
    right = {
        ev.DEBATE: verdicts(debated(test, (last, last), seed=job.named("debates"))).mean(0),
        ev.AT_RANDOM: verdicts(debated(test, (None, None), seed=job.named("debates"))).mean(0),
        "judge": verdicts(decide(values_along(test.table, test.check)[:, -1], test.table.claim_B2)),
        "agent": verdicts(agent_N),
    }
    return Cell(judge=job.judge, critic=job.ability, right={name: x[:, None] for name, x in right.items()})
