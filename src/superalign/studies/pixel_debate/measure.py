"""Train judges, play every debate before each of them, and count who is believed.

A job searches and returns moves alone; who is right is counted afterwards, so that no number depends on how work was cut.
"""

from __future__ import annotations

import dataclasses
import json
from functools import partial

from superalign.kit.panel import keep_decisions
from superalign.kit.run import Run
from superalign.oversight.pixels.judge import judge_from
from superalign.oversight.pixels.overseer import pixel_debate
from superalign.problems import digits
from superalign.studies.pixel_debate.evidence import Evidence
from superalign.studies.pixel_debate.study import Config
from superalign.trials import pixel_debates as trial
from superalign.trials.pixel_debates import ALONE, CLAIM, LIES, NINE, NOBODY, ONE, UNNAMED, Played
from superalign.trials.pixel_jobs import DebateJob, DigitsEvidence, JudgeJob, debate_job, joined, train_job
from superalign.trials.pixel_panel import example, leanings, panel_items, pay

CHUNK = 50  # images a job
DEEP_CHUNK = 10
LENGTHS = (2, 3, 4, 5, 6)


def measure(config: Config, run: Run) -> Evidence:
    """Train the judges, play every debate, and count who was believed."""
    run.stage("training the judges")
    trainings = [JudgeJob(steps=config.judge_steps, seed=1000 * run.seed + j) for j in range(config.judges)]
    packed = run.map(train_job, trainings, name="judges", progress="training judges")
    judges = tuple(map(judge_from, packed))
    run.keep(pixel_debate(judge=judges[0], read=digits.read, pixels=config.pixels).card)
    plans = [plan for j, judge in enumerate(packed) for plan in debates_before(config, judge, j, seed=run.seed)]
    run.stage(f"{len(plans)} matches")
    done = run.map(debate_job, plans, name="matches", progress="debating")
    lines = (
        json.dumps({"match": dataclasses.asdict(p) | {"judge": p.who}, "moves": d})
        for p, d in zip(plans, done, strict=True)
    )
    record = DigitsEvidence(
        moves=run.ledger.put_blob("\n".join(lines).encode()),
        judges=tuple(run.ledger.put_blob(text.encode()) for text in packed),
    )
    run.keep(record)
    played = Played(judges=judges, seed=run.seed, images=config.images, pixels=config.pixels, moves=joined(plans, done))
    return counted(config, played, run, record.digest)


def counted(config: Config, played: Played, run: Run, record: str) -> Evidence:
    """Count what judges make of all that was shown."""
    k, alone = config.pixels, [(pixels, NOBODY, NOBODY, NINE) for pixels in LENGTHS]
    light_P = trial.able("exact", 6)[: config.deep_images]
    return Evidence(
        config=config,
        record=record,
        decisions=keep_decisions(panel_items(played, tree=config.trees[-1]), run.ledger),
        debates={key: played.orders(key) for key in (*alone, *played.keys())},
        again=trial.alone(played.judges, config.images, k, seed=run.seed, draw=1),
        elsewhere={d: played.orders((k, d, d, NINE), other=True) for d in (NOBODY, "random", "greedy", "exact")},
        light_P=light_P[light_P < config.images],
        leanings=leanings(played),
        extra={arm: true_P - false_P for arm, (true_P, false_P) in pay(played).items()},
        example=example(played),
    )


def debates_before(config: Config, judge: str, who: int, *, seed: int) -> list[DebateJob]:
    """List everything that is played before one judge; images of one kind in order."""

    job = partial(DebateJob, judge=judge, who=who, seed=seed)
    every, main, few, some = config.images, config.pixels, config.deep_images, config.sweep_images
    best, strengths = config.trees[-1], config.strengths
    chunks = [(at, min(at + CHUNK, every)) for at in range(0, every, CHUNK)]
    deep = [(at, min(at + DEEP_CHUNK, few)) for at in range(0, few, DEEP_CHUNK)]
    return [
        *(job(start=a, stop=b, pixels=main, kinds=(*NINE, *UNNAMED, LIES, CLAIM), honest="exact") for a, b in chunks),
        job(start=0, stop=every, pixels=main, kinds=(ALONE,), honest="greedy"),
        *(
            job(start=0, stop=every, pixels=k, kinds=(*NINE, *UNNAMED), honest=d)
            for k in LENGTHS
            for d in ("greedy", "random")
        ),
        *(job(start=0, stop=every, pixels=k, kinds=NINE, honest="exact") for k in (2, 3) if k != main),
        *(job(start=0, stop=every, pixels=main, kinds=(CLAIM,), honest=d) for d in (best, "greedy", "random")),
        *(job(start=a, stop=b, pixels=k, kinds=NINE, honest="exact") for a, b in deep for k in (5, 6)),
        *(job(start=0, stop=some, pixels=k, kinds=NINE, honest=best) for k in (4, 6)),
        *(job(start=0, stop=some, pixels=main, kinds=ONE, honest=h, liar=w) for h in strengths for w in strengths),
    ]
