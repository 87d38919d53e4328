"""Assistants that are really trained against an overseer of worked arithmetic, and the panel on what they then write.

The judge that is trained against is never the judge that scores: held-out problems are graded by their family. Shared by
the studies `amplification` and `recursive`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from superalign.errors import ConfigError
from superalign.grants import Setting, chains
from superalign.lab.arms import Arm, trained_under
from superalign.lab.arms import Config as ArmsConfig
from superalign.lab.chain_overseers import amplification_overseer, recursive_overseer
from superalign.lab.trained import BASE, BEFORE, Answers, Judged, Trained, Training
from superalign.models import Model
from superalign.oversight import ground_truth, judge
from superalign.oversight.amplification.distillation import DistillConfig
from superalign.oversight.recursive.learning import LadderConfig
from superalign.stats.streams import seed_for
from superalign.trials.oversight_panel import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, VOTING
from superalign.types import Overseer, Problem, Record, Rollouts, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob(Record):
    """Two assistants at one seed, as a job."""

    protocol: str  # amplification or recursive
    sides: tuple[str, ...]  # of TRAINED
    seed: int
    steps: int
    held_out: int
    votes: int
    effort: int  # updates of X, or of a ladder's level
    depths: tuple[int, ...] = (4, 5, 6)


def trainings(
    protocol: str, *, seeds: Sequence[int], steps: int, held_out: int, votes: int, effort: int
) -> list[TrainingJob]:
    """List the jobs, those that make an overseer first: they take longest."""
    sides = ((PROTOCOL, PLACEBO), (JUDGE, EXPERT))
    return [
        TrainingJob(protocol=protocol, sides=two, seed=s, steps=steps, held_out=held_out, votes=votes, effort=effort)
        for two in sides
        for s in seeds
    ]


def made_overseer(item: TrainingJob, spec: Arm) -> Any:
    """Make the protocol's overseer at this job's effort."""
    if item.protocol == "amplification":
        return amplification_overseer(spec, distilling=DistillConfig(steps=item.effort, batch=256, lr=5e-3, gate=0.95))
    if item.protocol == "recursive":
        levels = max(item.depths)
        return recursive_overseer(
            spec, climbing=LadderConfig(levels=levels, labels=20 * item.effort, steps=item.effort)
        )
    raise ConfigError(
        f"There is no overseer {item.protocol!r} to train against. An assistant would be paid by nobody. Take amplification or "
        "recursive."
    )


def training_job(item: TrainingJob) -> Trained:
    """Train assistants under some overseers, grade them, and judge what the protocol's own assistant writes, in every arm."""
    at = chains(item.depths)
    origin, settings = at.model(), ArmsConfig(setting=at.name)
    config = replace(settings, held_out=item.held_out, training=replace(settings.training, steps=item.steps))
    spec = Arm(arm=item.protocol, seed=item.seed, base=origin, config=config)
    overseers: dict[str, Any] = {
        JUDGE: judge(check_step=at.check, n_steps=at.units),
        EXPERT: ground_truth(grade=at.answered),
    }
    if PROTOCOL in item.sides:
        overseers[PROTOCOL] = made_overseer(item, spec)
        overseers[PLACEBO] = placebo_of(overseers[PROTOCOL])
    asked = at.problems("test", item.held_out, 3)
    graded, along, judged = dict[str, np.ndarray](), dict[str, Training](), dict[str, Judged]()
    writers: dict[str, Model] = {}
    for side in item.sides:
        writers[side], curves = trained_under(spec, overseers[side], None)
        along[side] = Training(paid=tuple(curves["proxy"]), right=tuple(curves["truth"]))
        graded[side] = np.array(_right(at, asked, _texts(writers[side], asked, item.seed)))
    if PROTOCOL in item.sides:
        graded[BASE] = np.array(_right(at, asked, _texts(origin, asked, item.seed)))
        written = {"": writers[PROTOCOL], BEFORE: origin}
        judged = {suffix: _panel(at, model, asked, overseers, item) for suffix, model in written.items()}
    return Trained(seed=item.seed, graded=graded, curves=along, judged=judged)


def placebo_of(overseer: Any) -> Any:
    """Return the same overseer, asked about another question of the same length."""
    card = replace(
        overseer.card, name=f"{overseer.card.name}, placebo", catches="nothing: it asks about another question"
    )
    return replace(overseer, card=card, scrambled=True)


def _texts(model: Model, asked: Sequence[Problem], seed: int, n: int = 1) -> list[str]:
    return list(model.sample(asked, n=n, seed=seed_for(seed, "held-out responses")).text_R)


def _right(at: Setting, asked: Sequence[Problem], texts: Sequence[str]) -> list[bool]:
    return [at.answered(p, t) for p, t in zip(asked, texts, strict=True)]


def _panel(
    at: Setting, model: Model, asked: Sequence[Problem], overseers: Mapping[str, Overseer], item: TrainingJob
) -> Judged:
    """What every arm says of one response to each problem."""
    texts = _texts(model, asked, item.seed)
    rollouts, n = Rollouts.of_texts(asked, texts), len(texts)
    arms = {}
    for arm, overseer in overseers.items():
        signal = overseer(asked, rollouts, seed=item.seed)
        told = tuple(None if isinstance(v, Unmeasured) else float(v) for v in signal.values)
        arms[arm] = Answers(told=told, checks=signal.checks / n, tokens=signal.tokens / n)
    arms[AGENT] = Answers(told=(1.0,) * n, checks=0.0, tokens=0.0)
    others = _texts(model, asked, seed_for(item.seed, "votes"), n=item.votes)
    votes = [Counter(at.final(t) for t in others[i * item.votes : (i + 1) * item.votes]) for i in range(n)]
    # The majority decides: a tie between answers is a coin's throw only where this one is among the first.
    won = tuple(float(v[at.final(t)] == max(v.values())) for v, t in zip(votes, texts, strict=True))
    arms[VOTING] = Answers(told=won, checks=0.0, tokens=float(np.mean([len(t) for t in others])) * item.votes)
    return Judged(arms=arms, truth=tuple(_right(at, asked, texts)))
