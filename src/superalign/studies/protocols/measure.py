"""Make every protocol's overseer at every seed, let it decide about the same responses, and train a policy under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from superalign.grants import setting as named_setting
from superalign.kit.evidence import Array
from superalign.kit.panel import keep_decisions, permuted
from superalign.kit.run import Run
from superalign.lab.arms import Arm, run_arm
from superalign.lab.arms import Config as ArmsConfig
from superalign.lab.every_protocol import LABELLED, made_of, maker_of, refuse
from superalign.lab.half_right import baselines, decided, half_right, undecided
from superalign.lab.overseen import arm_row
from superalign.lab.trained import Answers
from superalign.stats import difference, mean_interval, share
from superalign.stats.streams import stream
from superalign.studies.protocols.evidence import CEILING, COIN, COMPARED, Evidence, TrainedArm
from superalign.studies.protocols.study import Config
from superalign.trials import JUDGE, Item
from superalign.types import Record, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolJob(Record):
    """One protocol at one seed."""

    protocol: str
    seed: int
    decided: int
    steps: int
    held_out: int
    setting: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedPolicy:
    """A policy trained under a protocol at one seed."""

    sound_P: Array  # held-out answers right by right steps
    paid: float | None  # by the overseer in the last updates; None where it could not tell
    checks: int

    @property
    def sound(self) -> float:
        """Share of held-out answers that are right by right steps."""
        return float(np.mean(self.sound_P))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolOutput:
    """What one protocol decides, and what it makes of the base."""

    answers: Answers
    said: tuple[str, ...]  # beside each answer; empty where it says nothing
    made_of: int  # steps that somebody labelled or checked to make the overseer
    policy: TrainedPolicy


def measure(config: Config, run: Run) -> Evidence:
    """Run every protocol at every seed, in both of its uses.

    Raises:
        ConfigError: If a protocol cannot judge these problems, or one of the user's own is no overseer.
    """
    at = named_setting(config.setting, config.policy)
    refuse(config.protocols, at)
    names = tuple(dict.fromkeys((JUDGE, *config.protocols)))
    run.stage(f"{len(names)} protocols decide, and train a policy each, under {config.seeds} seeds")
    seeds = range(100 * run.seed, 100 * run.seed + config.seeds)
    jobs = [
        ProtocolJob(
            protocol=p,
            seed=seed,
            decided=config.decided,
            steps=config.steps,
            held_out=config.held_out,
            setting=config.setting,
            policy=config.policy,
        )
        for seed in seeds
        for p in (*names, CEILING, COIN)
    ]
    outputs = dict(zip(jobs, run.map(protocol_job, jobs, name="protocols"), strict=True))
    run.stage("the agent is asked again, for voting")
    items: list[Item] = []
    for seed in seeds:
        some = half_right(config.decided, seed, setting=config.setting, policy=config.policy)
        blank = undecided(at, some, seed)
        for job, output in outputs.items():
            if job.seed == seed and job.protocol in names:
                items += decided(blank, job.protocol, output.answers, output.said)
        items += baselines(at, some, blank, votes=config.votes)
    placebos = [i for p in names if p != JUDGE for i in permuted(items, p, seed=run.seed)]
    decisions = keep_decisions([*items, *placebos], run.ledger)
    by = {p: [o for job, o in outputs.items() if job.protocol == p] for p in (*names, CEILING, COIN)}
    policies = {p: [o.policy for o in some] for p, some in by.items()}
    trained = {p: trained_arm(p, of_protocol, policies[JUDGE]) for p, of_protocol in policies.items()}
    run.keep(*trained.values())
    return Evidence(
        protocols=names,
        decisions=decisions,
        choosing=first_half(items, seed=run.seed),
        trained=trained,
        made_of={p: float(np.mean([o.made_of for o in by[p]])) for p in names},
        seed=run.seed,
    )


def protocol_job(job: ProtocolJob) -> ProtocolOutput:
    """Make one protocol's overseer, let it decide about the base's responses, and train a policy under it."""
    at, settings = named_setting(job.setting, job.policy), ArmsConfig()
    settings = replace(
        settings,
        setting=at.name,
        labelled=LABELLED.get(job.protocol, settings.labelled),
        held_out=job.held_out,
        training=replace(settings.training, steps=job.steps),
    )
    spec = Arm(arm=job.protocol, seed=job.seed, base=at.model(), config=settings)
    overseer = maker_of(job.protocol)(spec)
    some = half_right(job.decided, job.seed, setting=job.setting, policy=job.policy)
    signal = overseer(some.problems, some.rollouts, seed=job.seed)
    n, row = len(some.rollouts), arm_row(run_arm(spec, make=lambda _: overseer))
    return ProtocolOutput(
        answers=Answers(
            told=tuple(None if isinstance(v, Unmeasured) else float(v) for v in signal.values),
            checks=signal.checks / n,
            tokens=signal.tokens / n,
        ),
        said=signal.said,
        made_of=made_of(spec, overseer),
        policy=TrainedPolicy(
            sound_P=np.array(row.sound), paid=None if isinstance(row.paid, Unmeasured) else row.paid, checks=row.checks
        ),
    )


def first_half(items: Sequence[Item], *, seed: int) -> frozenset[str]:
    """Draw the half of the problems on which the best protocol is chosen."""
    problems = sorted({i.problem for i in items})
    order = stream(seed, "choosing half").permutation(len(problems))
    return frozenset(problems[int(k)] for k in order[: len(problems) // 2])


def trained_arm(protocol: str, mine: Sequence[TrainedPolicy], judge: Sequence[TrainedPolicy]) -> TrainedArm:
    """Sum up the policies that were trained under one protocol, beside those of the judge alone at the same seeds."""
    sound_PS, judge_PS = (np.array([p.sound_P for p in some], float).T for some in (mine, judge))
    pairs = [(p.paid, p.sound) for p in mine if p.paid is not None]
    few = Unmeasured("paid under fewer than two seeds")
    return TrainedArm(
        protocol=protocol,
        sound=share(sound_PS),
        beyond_judge=COMPARED if protocol == JUDGE else difference(sound_PS - judge_PS),
        paid=mean_interval([reward for reward, _ in pairs]) if len(pairs) > 1 else few,
        gap=mean_interval([reward - sound for reward, sound in pairs]) if len(pairs) > 1 else few,
        checks=sum(p.checks for p in mine),
    )
