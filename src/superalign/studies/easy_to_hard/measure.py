"""Teach generators and evaluators with easy and with hard problems, and hold them against the truth of hard ones.

Shape suffixes: N items, P test items, K steps, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from superalign.kit.run import Run
from superalign.lab import graded_work as work
from superalign.lab.graded_scores import Tested, ceiling, tables_on, tested_on, tested_with
from superalign.lab.graded_text import LIKELY, TextJob, hard_of, hardness_of, judge_job, read_texts
from superalign.problems import claims
from superalign.stats import recovered_gap, share
from superalign.stats.streams import seed_for
from superalign.studies.easy_to_hard.evidence import EVALUATOR, GENERATOR, Agreement, Arm, Evidence, Step
from superalign.studies.easy_to_hard.study import WORKED, Config, topics_of
from superalign.types import Unmeasured

EVERY = (work.UNTAUGHT, work.OWN, work.EASY, work.HARD, work.ALL, work.MIXED, work.CHEAP, work.NOISY, work.PERMUTED)
AGAIN = (work.UNTAUGHT, work.OWN, work.EASY, work.HARD, work.PERMUTED)  # on further topics
OF_TEXT = (work.UNTAUGHT, LIKELY, *EVERY[2:])
SPLITS = (work.UNTAUGHT, work.EASY, work.HARD)  # by further measures
OF_PLACES = (work.UNTAUGHT, work.EASY, work.ALL)
PLACES = (work.PADDED, work.GAPS, work.NONE)
MEASURES = (work.OPERATIONS, work.PRODUCTS, work.LOSS, work.RANDOM)
NOT_ASKED = Unmeasured("not asked to choose among candidates")


def measure(config: Config, run: Run) -> Evidence:
    """Teach and test everything."""
    return measure_worked(config, run) if config.problems == WORKED else measure_text(config, run)


class Cell(NamedTuple):
    """Students of one role on one topic, who are compared with one another."""

    topic: str
    role: str
    measure: str
    encoding: str
    arms: tuple[str, ...]
    seeds: int


def cells_of(config: Config) -> list[Cell]:
    """Name all students: every arm by operations on the first topic, fewer by other measures, encodings and on other topics."""
    first, *others = topics_of(config)
    out = [
        Cell(topic, role, work.OPERATIONS, work.ROTARY, EVERY if topic == first else AGAIN, config.seeds)
        for topic in (first, *others)
        for role in (GENERATOR, EVALUATOR)
    ]
    out += [
        Cell(first, role, m, work.ROTARY, SPLITS, config.seeds) for role in (GENERATOR, EVALUATOR) for m in MEASURES[1:]
    ]
    if config.places > 1:
        out += [Cell(first, GENERATOR, work.OPERATIONS, encoding, OF_PLACES, config.places) for encoding in PLACES]
    return out


def measure_worked(config: Config, run: Run) -> Evidence:
    """Teach bundled bases."""
    topics, cells = topics_of(config), cells_of(config)
    jobs = [teach_job(cell, arm, s, config, run) for cell in cells for arm in cell.arms for s in range(cell.seeds)]
    seconds = sum(0.07 * j.passes * j.n / work.BATCH if j.role == GENERATOR else j.n / 100 for j in jobs)
    run.stage(f"teaching {len(jobs)} students of bundled bases: some {seconds / 60:.0f} CPU minutes")
    done = iter(run.map(work.teach_job, jobs, name="teach", progress="teaching"))
    arms: list[Arm] = []
    steps: list[Step] = []
    for cell in cells:
        found = {arm: [next(done) for _ in range(cell.seeds)] for arm in cell.arms}
        on = tested_with(teach_job(cell, work.EASY, 0, config, run))
        arms += arms_of(on, found)
        if cell.arms in (EVERY, AGAIN):
            for level in claims.LEVELS:
                arms += arms_of(on, found, at_P=on.level_P == level, level=level)
        if cell == cells[0]:
            steps = steps_of(on, found)
    drawn = teach_job(cells[0], work.EASY, 0, config, run).drawing
    return Evidence(
        problems=config.problems,
        students=config.bases,
        topics=topics,
        measures=MEASURES,
        seeds=config.seeds,
        easy=config.easy,
        hard=config.test * (len(claims.LEVELS) - config.easy),
        arms=tuple(arms),
        steps=tuple(steps),
        agreements=tuple(agreements(topics[0], {m: work.hardness(drawn, m) for m in MEASURES})),
    )


def teach_job(cell: Cell, arm: str, seed: int, config: Config, run: Run) -> work.TeachJob:
    """Name one student."""
    writes = cell.role == GENERATOR
    return work.TeachJob(
        drawing=work.Drawing(
            topic=cell.topic,  # type: ignore[arg-type]
            train=-(-config.n // 2),  # of each level, so that either half has what is taught
            test=config.test,
            seed=seed_for(run.seed, "problems"),
        ),
        base=config.bases[seed % len(config.bases)],
        role=cell.role,  # type: ignore[arg-type]
        measure=cell.measure,
        arm=arm,
        n=config.n,
        few=config.few,
        easy=config.easy,
        encoding=cell.encoding,
        rate=config.rate if writes else config.judge_rate,
        passes=config.passes if writes else 2.0,
        seed=seed_for(run.seed, "student", seed),
    )


def arms_of(
    on: Tested, found: Mapping[str, Sequence[work.Taught]], *, at_P: np.ndarray | None = None, level: int = 0
) -> list[Arm]:
    """Hold all arms of one role against the truth of the hard test items, or of those of one level."""
    tables, scores = tables_on(on, on.hard_P if at_P is None else at_P, found)
    picks = {arm: np.array([t.picked for t in some], float).T for arm, some in found.items()}
    return [
        Arm(
            topic=on.topic,
            role=on.role,
            measure=on.measure,
            arm=arm,
            level=level,
            n=round(float(np.mean([t.n for t in some]))),
            score=scores[arm][0],
            recovered=recovered_gap(tables[arm], floor_PS=tables[work.UNTAUGHT], ceiling_PS=tables[ceiling(found)]),
            less=scores[arm][1],
            picks=share(picks[arm]) if picks[arm].size and not level else NOT_ASKED,
        )
        for arm, some in found.items()
    ]


def steps_of(on: Tested, found: Mapping[str, Sequence[work.Taught]]) -> list[Step]:
    """Say how far generators get on the longest problems, step by step."""
    out = []
    for arm in (work.EASY, work.HARD, work.ALL, work.MIXED):
        right_PKS = np.stack([np.asarray(t.steps_PK)[on.level_P == on.level_P.max()] for t in found[arm]], 2)
        out += [
            Step(topic=on.topic, arm=arm, step=k + 1, right=share(right_PKS[:, k].astype(float)))
            for k in range(right_PKS.shape[1])
        ]
    return out


def agreements(topic: str, values: Mapping[str, np.ndarray]) -> list[Agreement]:
    """Correlate the ranks of items by any two measures of hardness."""
    rounded = {m: np.round(x, 6) for m, x in values.items()}
    return [
        Agreement(topic=topic, one=a, other=b, rank_correlation=float(spearmanr(x, rounded[b]).statistic), n=len(x))
        for i, (a, x) in enumerate(rounded.items())
        for b in list(rounded)[i + 1 :]
    ]


def measure_text(config: Config, run: Run) -> Evidence:
    """Let a model read texts that are easy and hard, and teach evaluators on its states."""
    topics = topics_of(config)
    read = read_texts(config.problems, topics, policy=config.policy, each=config.each, every=config.every, run=run)
    run.stage("teaching evaluators on states that were read")
    arms: list[Arm] = []
    for topic, texts in read.items():
        jobs = [
            TextJob(texts=texts, measure=m, arm=arm, few=config.few, seed=seed_for(run.seed, "student", s))
            for m in texts.measures
            for arm in (OF_TEXT if m == texts.measures[0] else SPLITS)
            for s in range(config.seeds)
        ]
        taught = run.map(judge_job, jobs, name="judge", progress=f"evaluators: {topic}")
        for m in texts.measures:
            some = [(j.arm, t) for j, t in zip(jobs, taught, strict=True) if j.measure == m]
            found = {arm: [t for a, t in some if a == arm] for arm in dict.fromkeys(a for a, _ in some)}
            arms += arms_of(tested_on(texts, m), found)
    first = read[topics[0]]
    return Evidence(
        problems=config.problems,
        students=(config.policy,),
        topics=topics,
        measures=first.measures,
        seeds=config.seeds,
        easy=0,
        hard=int(hard_of(first, first.measures[0])[first.test_N].sum()),
        arms=tuple(arms),
        steps=(),
        agreements=tuple(
            a for t in read.values() for a in agreements(t.topic, {m: hardness_of(t, m) for m in t.measures})
        ),
    )
