"""Teach generators and evaluators with easy and with hard problems, and hold them against the truth of hard ones.

Shape suffixes: N items, P test items, K steps, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from superalign.kit.run import Run
from superalign.lab import graded_text
from superalign.lab import graded_work as work
from superalign.lab.arm_names import ALL, EASY, GENERATOR, HARD, MIXED, UNTAUGHT
from superalign.lab.graded_scores import Tested, by_arm, ceiling, tables_on, tested_on, tested_pairs, tested_with
from superalign.problems import claims
from superalign.stats import recovered_gap, share
from superalign.stats.streams import seed_for
from superalign.studies.easy_to_hard.evidence import Agreement, Arm, Evidence, Step
from superalign.studies.easy_to_hard.study import WORKED, Config, topics_of
from superalign.types import Unmeasured

NOT_ASKED = Unmeasured("not asked to choose among candidates, or there are none")


def measure(config: Config, run: Run) -> Evidence:
    """Teach and test everything."""
    return measure_worked(config, run) if config.problems == WORKED else measure_text(config, run)


def measure_worked(config: Config, run: Run) -> Evidence:
    """Teach bundled bases."""
    topics = topics_of(config)
    cells = work.cells_of(topics, seeds=config.seeds, places=config.places)
    jobs = [teach_job(cell, arm, s, config, run) for cell in cells for arm in cell.arms for s in range(cell.seeds)]
    seconds = sum(0.07 * j.passes * j.n / work.BATCH if j.role == GENERATOR else j.n / 100 for j in jobs)
    run.stage(f"teaching {len(jobs)} students of bundled bases: some {seconds / 60:.0f} CPU minutes")
    done = iter(run.map(work.teach_job, jobs, name="teach", progress="teaching"))
    arms: list[Arm] = []
    steps: list[Step] = []
    for cell in cells:
        found = {arm: [next(done) for _ in range(cell.seeds)] for arm in cell.arms}
        on = tested_with(teach_job(cell, EASY, 0, config, run))
        arms += arms_of(on, found)
        if cell.arms in (work.EVERY, work.AGAIN):
            for level in claims.LEVELS:
                arms += arms_of(on, found, at_P=on.level_P == level, level=level)
        if cell == cells[0]:
            steps = steps_of(on, found)
    drawn = teach_job(cells[0], EASY, 0, config, run).drawing
    return Evidence(
        topics=topics,
        measures=work.MEASURES,
        seeds=config.seeds,
        easy=config.easy,
        hard=config.test * (len(claims.LEVELS) - config.easy),
        candidates=work.CANDIDATES,
        arms=tuple(arms),
        steps=tuple(steps),
        agreements=tuple(agreements(topics[0], {m: work.hardness(drawn, m) for m in work.MEASURES})),
    )


def teach_job(cell: work.Cell, arm: str, seed: int, config: Config, run: Run) -> work.TeachJob:
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
            recovered=recovered_gap(tables[arm], floor_PS=tables[UNTAUGHT], ceiling_PS=tables[ceiling(found)]),
            less=scores[arm][1],
            picks=share(picks[arm]) if picks[arm].size and not level else NOT_ASKED,
        )
        for arm, some in found.items()
    ]


def steps_of(on: Tested, found: Mapping[str, Sequence[work.Taught]]) -> list[Step]:
    """Say how far generators get on the longest problems, step by step."""
    out = []
    for arm in (EASY, HARD, ALL, MIXED):
        right_PKS = np.stack([np.asarray(t.steps_PK)[on.level_P == on.level_P.max()] for t in found[arm]], 2)
        out += [
            Step(arm=arm, step=k + 1, right=share(right_PKS[:, k].astype(float))) for k in range(right_PKS.shape[1])
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
    """Let a model read texts that are easy and hard, teach evaluators on its states, and show it solutions as a generator."""
    topics = topics_of(config)
    read = graded_text.read_texts(
        config.problems, topics, policy=config.policy, each=config.each, every=config.every, run=run
    )
    run.stage("teaching evaluators on states that were read")
    seeds = [seed_for(run.seed, "student", s) for s in range(config.seeds)]
    arms: list[Arm] = []
    for topic, texts in read.items():
        judges = graded_text.judge_jobs(texts, few=config.few, seeds=seeds)
        judged = run.map(graded_text.judge_job, judges, name="judge", progress=f"evaluators: {topic}")
        for m, found in by_arm(judges, judged).items():
            arms += arms_of(tested_on(texts, m), found)
        if config.writers and config.problems.startswith(graded_text.SOLUTIONS):
            run.stage("showing the model solutions: which of two would it write of a hard problem?")
            shows = graded_text.show_jobs(texts, config.policy, shots=config.shots, seeds=seeds[: config.writers])
            shown = run.map(graded_text.show_job, shows, name="show", progress="generators")
            for m, found in by_arm(shows, shown).items():
                arms += arms_of(tested_pairs(texts, m), found)
    first = read[topics[0]]
    return Evidence(
        topics=topics,
        measures=first.measures,
        seeds=config.seeds,
        hard=int(graded_text.hard_of(first, first.measures[0])[first.test_N].sum()),
        candidates=2,
        arms=tuple(arms),
        agreements=tuple(
            a
            for t in read.values()
            for a in agreements(t.topic, {m: graded_text.hardness_of(t, m) for m in t.measures})
        ),
    )
