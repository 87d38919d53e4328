"""Train students on a weak supervisor's labels in every way, beside every control, and hold them against the truth.

Shape suffixes: P test items, S seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from superalign.kit.evidence import above
from superalign.kit.run import Run
from superalign.lab.arm_names import NAIVE, NOISE, SHUFFLED, TRUTH
from superalign.lab.held_answers import Held
from superalign.lab.weak_benches import Claims, Source, bench_of, sources_of, speed_of
from superalign.lab.weak_runs import OUTRIGHT, SUPERVISOR, Answered, SurfaceJob, surface_job, undefined, ways_on
from superalign.lab.weak_supervision import CONFIDENT, CONTROLS, WAYS, Training
from superalign.stats import share
from superalign.stats.streams import seed_for
from superalign.studies.weak_to_strong.evidence import Evidence, Learned, Supervised, SurfacePoint, TrainingRule
from superalign.studies.weak_to_strong.study import CLAIMS, Config, topics_of
from superalign.types import Unmeasured

SETTINGS = ("students", "weak", "test", "policy", "each", "every", "student", "labels")  # of sources
FEW = (NAIVE, CONFIDENT[0], TRUTH, NOISE, SHUFFLED)  # of adapters, which take minutes each


def measure(config: Config, run: Run) -> Evidence:
    """Choose settings without truth, then train, and hold everything against the truth."""
    topics = topics_of(config)
    same = {k: getattr(config, k) for k in SETTINGS}
    sources = sources_of(config.problems, topics, before=("small",), run=run, **same)
    first = bench_of(sources[0])
    run.stage(f"choosing how fast and how long students train, by labels of {len(first.kinds)} kinds of supervisors")
    surface = surface_of(sources[0], config, run)
    chosen = min(surface, key=lambda s: s.held_out)
    by = "least loss on held-out labels of the supervisors, naive students"
    rule = TrainingRule(rate=chosen.rate, passes=chosen.passes, by=by)
    run.keep(rule)
    training = Training(rate=rule.rate, passes=rule.passes)
    tried = (*WAYS, *CONTROLS) if config.problems == CLAIMS or config.student == "head" else FEW
    count = len(tried) * len(first.kinds) * config.seeds
    run.stage(
        f"training {count} students on {topics[0]}: {len(tried)} ways and controls; then on {len(topics) - 1} more topics"
    )
    found: list[tuple[str, list[Answered], Held]] = []
    some: tuple[str, ...] = tried
    for source, topic in zip(sources, topics, strict=True):
        found += [(topic, *f) for f in ways_on(source, some, training, run, seeds=config.seeds, on=topic)]
        if config.problems == CLAIMS and topic == topics[0]:
            some = replicated([x for f in found for x in learned_of(*f)])
    return Evidence(
        topics=topics,
        ways=tuple(w for w in WAYS if w in tried),
        seeds=config.seeds,
        rule=rule,
        surface=surface,
        supervised=tuple(supervised_of(*f) for f in found),
        learned=tuple(x for f in found for x in learned_of(*f)),
        sizes=sizes_on(found, sources[0], training, config, run) if config.problems == CLAIMS else (),
    )


def surface_of(source: Source, config: Config, run: Run) -> tuple[SurfacePoint, ...]:
    """Train naive students at every rate and number of passes."""
    grid = [Training(rate=speed_of(source) * rate, passes=passes) for rate in config.rates for passes in config.passes]
    kinds = range(len(bench_of(source).kinds))
    if not config.surface_seeds:
        grid = grid[:1]
    items = [
        SurfaceJob(source=source, kind=k, training=t, seed=seed_for(run.seed, "surface", s))
        for t in grid
        for k in kinds
        for s in range(max(1, config.surface_seeds))
    ]
    found = run.map(surface_job, items, name="surface", progress="choosing settings")
    means = np.array(found).reshape(len(grid), -1, 3).mean(1).tolist()
    return tuple(
        SurfacePoint(rate=t.rate, passes=t.passes, held_out=held_out, right=right, area=area)
        for t, (held_out, right, area) in zip(grid, means, strict=True)
    )


def supervised_of(topic: str, found: Sequence[Answered], h: Held) -> Supervised:
    """Hold a supervisor against the truth, and what needs no learning."""
    better = max((SUPERVISOR, OUTRIGHT), key=lambda arm: h.right(arm).mean())
    yes = float(h.true_P.mean())
    return Supervised(
        topic=topic,
        kind=found[0].kind,
        right=h.accuracy(SUPERVISOR),
        labels_right=share([f.labels_right for f in found]),
        area=h.area(SUPERVISOR),
        says=h.accuracy(OUTRIGHT),
        says_area=h.area(OUTRIGHT),
        majority=max(yes, 1 - yes),
        better=h.more_right(NAIVE, than=better),
    )


def learned_of(topic: str, found: Sequence[Answered], h: Held) -> list[Learned]:
    """Hold every way against the truth, the supervisor, the ceiling and the naive way."""
    why = "" if h.bases else undefined(found)  # over bases, the gap of bases alone decides
    return [
        Learned(
            topic=topic,
            kind=found[0].kind,
            way=way,
            right=h.accuracy(way),
            area=h.area(way),
            recovered=Unmeasured(why) if why else h.recovered(way, floor=SUPERVISOR, ceiling=TRUTH),
            recovered_area=Unmeasured(why) if why else h.recovered_area(way, floor=SUPERVISOR, ceiling=TRUTH),
            beyond=h.more_right(way, than=NAIVE),
            beyond_area=h.more_area(way, than=NAIVE),
            agrees=h.agreement(way, of=SUPERVISOR, right=True),
            copies=h.agreement(way, of=SUPERVISOR, right=False),
        )
        for way in found[0].odds
    ]


def replicated(found: Sequence[Learned]) -> tuple[str, ...]:
    """Choose what is tried on further topics: the ways that beat the naive one somewhere, and what they are held against."""
    won = [x.way for x in found if x.way in WAYS and above(x.beyond)]
    return tuple(dict.fromkeys((NAIVE, *won, TRUTH, SHUFFLED)))


def sizes_on(
    found: Sequence[tuple[str, list[Answered], Held]], source: Source, training: Training, config: Config, run: Run
) -> tuple[Learned, ...]:
    """Take pre-trained bases for what was drawn, and not seeds; then let bases of other sizes learn in two ways."""
    bases = [config.students[s % len(config.students)] for s in range(config.seeds)]
    drawn = f"{len(set(bases))} pre-trained bases as drawn"
    over = [x for topic, some, h in found for x in learned_of(f"{topic}: {drawn}", some, h.over(bases))]
    out = [x for x in over if x.way in (NAIVE, TRUTH)]
    for base in config.others:
        assert isinstance(source, Claims)
        other = replace(source, students=(base,), before=())
        tried = (NAIVE, CONFIDENT[0], TRUTH)
        for f in ways_on(other, tried, training, run, seeds=min(3, config.seeds), on=base):
            out += learned_of(base, *f)
    return tuple(out)
