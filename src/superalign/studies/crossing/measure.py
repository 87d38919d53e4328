"""Train the members of all pairs, their third runs and the organisms, and hold every disagreement against the truth.

Shape suffixes: P test items, S seeds, Q questions, X models of the first seat, Y of the second.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from superalign.kit.run import Run
from superalign.lab.arm_names import SAME
from superalign.lab.exposed_pairs import Exposed, Planted
from superalign.lab.opposition import areas_of, differing, right_where_apart, tables_of
from superalign.lab.overseen_labels import CARELESS, WRITERS
from superalign.lab.pair_flags import GROUP, RATE, flag_pairs, flagged_by_role, pair_scores
from superalign.lab.paired_runs import Members, affirms, members_of, pattern_on, student_of, verdicts, widest
from superalign.lab.paired_students import StudentJob, groups_of, rule_for, student_job
from superalign.lab.seated_subjects import DETECTORS
from superalign.lab.seats import seated
from superalign.lab.weak_benches import Claims, Source, bench_of, sources_of
from superalign.organisms.triples import read_triples, shipped
from superalign.stats import auroc_or_half, mean_over, share
from superalign.stats.streams import seed_for
from superalign.studies.crossing.evidence import Evidence, Example, Pairing, Seated, Trained, Validator
from superalign.studies.crossing.study import CLAIMS, Config

SETTINGS = ("students", "weak", "test", "policy", "each", "every")  # of the source
SIZES = (0.04, 0.08, 0.18)  # of organisms: share of items that the rule makes wrong, about


def measure(config: Config, run: Run) -> Evidence:
    """Train all members, hold their disagreements against the truth, and flag organisms before rules are told."""
    topic = config.topic or ("programs" if config.problems == CLAIMS else "cities")
    same = {k: getattr(config, k) for k in SETTINGS}
    (source,) = sources_of(config.problems, [topic], student="head", labels="", run=run, **same)
    bench = bench_of(source)
    true_P = bench.true_N[bench.test_N]
    run.stage(f"training {config.seeds} students and {config.seeds} third runs of each kind of labels")
    kinds, size = (*bench.kinds, *WRITERS), {"seeds": config.seeds, "bases": len(config.students)}
    members, labels = members_of(pattern(source, config), kinds, run, **size)
    planted, exposed = exposure(source, members, config, run) if config.organisms else ((), ())
    return Evidence(
        topic=source.topic,
        seeds=config.seeds,
        test=len(true_P),
        checks=config.checks,
        rate=config.false_alarms,
        trained=tuple(
            Trained(
                technique="oversight" if by in WRITERS else "generalization",
                by=by,
                labels_right=share(labels[by]),
                right=share(np.stack([(o > 0) == true_P for o in members[by, 0]], 1).astype(float)),
                area=mean_over([auroc_or_half(o, true_P) for o in members[by, 0]], span=(0.0, 1.0)),
            )
            for by in kinds
        ),
        pairings=tuple(pairing(members, a, b, source, config.checks) for a in bench.kinds for b in WRITERS),
        examples=tuple(
            Example(first=a, second=b, text=text, true=true, odds=odds)
            for a in bench.kinds
            for b in WRITERS
            for text, true, odds in widest(source, members, a, b)
        ),
        sizes=SIZES,
        planted=planted,
        exposed=exposed,
        seated=seats(replace(source, topic="chains"), config, run)
        if config.shipped and isinstance(source, Claims)
        else (),
    )


def pattern(source: Source, config: Config) -> StudentJob:
    """Return what the jobs of all students on one source have in common."""
    how = {"passes": config.passes, "checks": config.checks, "careless": config.careless}
    return pattern_on(source, rate=config.rate, **how)  # type: ignore[arg-type]


def pairing(members: Members, a: str, b: str, source: Source, checks: int) -> Pairing:
    """Hold the disagreements of one kind of pair against the truth."""
    bench, first, second = bench_of(source), members[a, 0], members[b, 0]
    true_P, question_P = bench.true_N[bench.test_N], bench.question_N[bench.test_N]
    found = []
    for of, own, other in (("first", a, b), ("second", b, a)):
        judged = [verdicts((x > 0) != true_P, source, checks=checks, seed=s) for s, x in enumerate(members[own, 0])]
        some = members[own, 0], members[other, 0], members[own, 1]
        areas = areas_of(tables_of(*some, judged, true_P=true_P, question_P=question_P))
        found += [Validator(of=of, name=n, area=x.area, less=x.less, dealt=x.dealt) for n, x in areas.items()]
    return Pairing(
        first=a,
        second=b,
        differ=differing(first, second, question_P),
        third=differing(first, members[a, 1], question_P),
        itself=differing(first, first, question_P),
        first_right=right_where_apart(first, second, true_P),
        validators=tuple(found),
    )


def exposure(
    source: Source, members: Members, config: Config, run: Run
) -> tuple[tuple[Planted, ...], tuple[Exposed, ...]]:
    """Plant, score, choose thresholds from clean pairs, flag, and only then tell the rules."""
    kinds, n = bench_of(source).kinds, config.organisms
    places = [(a, k, i) for a in kinds for k in range(len(SIZES)) for i in range(n)]
    rules = {(a, k, i): rule_for(source, SIZES[k], seed=seed_for(run.seed, "organism", a, k, i)) for a, k, i in places}
    run.stage(f"planting {len(places)} organisms")
    bases, of_all = len(config.students), pattern(source, config)
    jobs = [student_of(of_all, a, 4 + k, i, bases=bases, rule=rules[a, k, i]) for a, k, i in places]
    found = run.map(student_job, jobs, name="students", progress="planting organisms")
    odds = {place: np.asarray(x.odds_P) for place, x in zip(places, found, strict=True)}
    groups, exposed = groups_of(source), []
    for a in kinds:
        own = [[odds[a, k, i] for i in range(n)] for k in range(len(SIZES))]
        for b in (*WRITERS, SAME):
            at = a if b == SAME else b
            ys = [*members[at, 0], *members[at, 1]]
            xs, others = (members[a, 0], members[a, 1]) if b == SAME else ([*members[a, 0], *members[a, 1]], ys)
            clean, planted = pair_scores(xs, others, groups), [pair_scores(some, ys, groups) for some in own]
            for k, score in enumerate((RATE, GROUP)):
                some = [x_XYK[..., k] for x_XYK in planted]
                false, recall = flag_pairs(a, b, score, clean[..., k], some, rate=config.false_alarms, run=run)
                exposed.append(Exposed(first=a, second=b, score=score, false_alarms=false, recall=recall))
    told = tuple(
        Planted(first=a, seed=i, rule=rules[a, k, i], size=SIZES[k], obeys=obeys, clean=clean)
        for a, k, i in places
        for obeys, clean in [affirms(source, rules[a, k, i], odds[a, k, i], clean=members[a, 0])]
    )
    run.keep(*told)
    return told, tuple(exposed)


def seats(source: Claims, config: Config, run: Run) -> tuple[Seated, ...]:
    """Let shipped organisms and their twins answer chains in words, in the first seat, and ask detectors of them as well."""
    run.stage("letting shipped organisms, their twins and detectors take their seats")
    size = {"seeds": config.seeds, "bases": len(config.students)}
    overseen = members_of(pattern(source, config), (CARELESS,), run, **size)[0]
    further = read_triples(Path(config.planted)) if config.planted else ()
    given = (*shipped(config.shipped), further, Path(config.planted))
    found, scores = seated(*given, source=source, others=overseen, checks=config.checks, run=run)
    by_role = flagged_by_role(scores, given[0], further, sides=DETECTORS, rate=config.false_alarms)
    return tuple(
        Seated(
            kind=kind, role=role, n=len(names), flagged=counts, wrong=float(np.mean([found[n].wrong for n in names]))
        )
        for (kind, role), (names, counts) in by_role.items()
    )
