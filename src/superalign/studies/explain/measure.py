"""Explain a network and its random twins, hold each unit against the twins, and replace some neurons by their simulations.

Shape suffixes: U units, W windows, T units of twins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from superalign import jobs
from superalign.interp.other_scores import LESS
from superalign.interp.programs import in_english, to_text
from superalign.kit.evidence import Estimate
from superalign.kit.run import Run
from superalign.lab.corpora import FAMILIES, Reading
from superalign.lab.explained_network import NetworkJob, explain_network, read_layer
from superalign.lab.replaced_neurons import Replaced, ReplaceJob, jobs_of, kept_of, replace_neurons
from superalign.lab.score_checks import VERSIONS, Checked, ChecksJob, check_scores
from superalign.lab.unit_table import RATE, Judged, about, discovered, judged, write_table
from superalign.stats import mean_interval, median_interval, share
from superalign.stats.streams import seed_for
from superalign.studies.explain.evidence import DIRECTIONS, HEADS, NEURONS, Effect, Evidence, Null, Score, Shown, Units
from superalign.studies.explain.study import Config
from superalign.types import Unmeasured

KIND = {NEURONS: "N", HEADS: "H", DIRECTIONS: "D"}
PLANTED = 24  # programs of a layer that are planted as units
EXAMPLES = 8  # units that are shown on the page, drawn at random


def measure(config: Config, run: Run) -> Evidence:
    """Explain, hold against twins, replace."""
    names = tuple(spec.partition("=")[0] for spec in config.corpora) or tuple(FAMILIES)
    reading = Reading(corpora=config.corpora, tokens=config.tokens, window=config.window, seed=run.seed)
    first = NetworkJob(
        policy=config.policy,
        reading=reading,
        explained_on=config.explained_on,
        folder=jobs.Into(run.folder / "layers"),
        each=config.each,
        ends=config.ends,
        latents=config.latents,
        dictionary=config.dictionary,
    )
    twins = [
        replace(first, twin=seed_for(run.seed, "twin", s), each=config.twin_units, dictionary="")
        for s in range(config.twins)
    ]
    run.stage(f"every unit of {config.policy} and of {config.twins} random twins, layer by layer")
    done, *others = run.map(explain_network, [first, *twins], name="networks", progress="networks")
    apart = {n: [read_layer(o, n) for o in others] for n in done.layers}
    everywhere = [units for some in apart.values() for units in some]
    layers = [judged(read_layer(done, n), apart[n], everywhere) for n in done.layers]
    passed = discovered(layers)
    todo = [
        job for j in layers for job in jobs_of(j.layer, j.of("N"), first, each=config.causal, windows=config.windows)
    ]
    run.stage(f"{sum(len(j.neurons) for j in todo)} neurons replaced by their simulations")
    replaced = run.map(replace_neurons, todo, name="replaced", progress="replacing")
    effects, kept = effects_of(todo, replaced)
    run.stage("every score on planted units")
    programs = tuple(to_text(p) for j in layers for p in np.array(j.layer.found.programs, object)[j.of("N")][:PLANTED])
    job = ChecksJob(policy=config.policy, reading=reading, explained_on=config.explained_on, programs=programs)
    (checked,) = run.map(check_scores, [job], name="scores", progress="scoring")
    whole = [(units_of(layers, passed, kind, -1), kind) for kind in KIND]
    e = Evidence(
        policy=config.policy,
        corpora=names,
        explained_on=config.explained_on or names,
        tokens=done.tokens,
        documents=done.documents,
        predicates=done.predicates,
        half=done.half,
        ends=config.ends,
        all=tuple(u for u, _ in whole if u.units),
        layers=tuple(units_of(layers, passed, k, n) for k in KIND for n in done.layers),
        nulls=nulls(layers),
        shown=tuple(
            shown(j, int(np.nanargmax(np.where(j.kind_U == "N", j.found.gain_U3[:, 0], np.nan)))) for j in layers
        ),
        drawn=tuple(
            shown(j, int(u))
            for j in layers
            for u in run.stream("shown", j.layer.number).choice(np.flatnonzero(j.kind_U == "N"), 2, replace=False)
        )[:EXAMPLES],
        scores=scores_of(checked),
        effects=effects,
        effect=over_neurons(replaced, "own"),
        effect_null=over_neurons(replaced, "swapped"),
        forward_s=done.forward_s,
        search_s=done.search_s,
    )
    gained = {n.name: n.gained.value for n in e.nulls if not isinstance(n.gained, Unmeasured)}
    write_table(run.folder, done, layers, names, kept, about(done, config.policy, names, seed=run.seed, null=gained))
    return e


def units_of(layers: Sequence[Judged], passed: Sequence[np.ndarray], kind: str, number: int) -> Units:
    """Average over the units of one kind, in one layer or in all (-1)."""
    some = [(j, p) for j, p in zip(layers, passed, strict=True) if number in (-1, j.layer.number)]
    keep = [j.of(KIND[kind]) for j, _ in some]

    def all_of(name: str) -> np.ndarray:
        return np.concatenate([getattr(j.found, name)[k] for (j, _), k in zip(some, keep, strict=True)])

    auprc = all_of("auprc_U")  # a unit that is active nowhere in test documents has none
    return Units(
        kind=kind,
        layer=number,
        units=int(sum(k.sum() for k in keep)),
        r=mean_interval(all_of("r_U3")[:, 0]),
        unigram=mean_interval(all_of("unigram_U")),
        bigram=mean_interval(all_of("bigram_U")),
        minimum=mean_interval(all_of("r_UK").min(1)),
        over_unigram=share(all_of("over_U3")[:, 1] > 0),
        gained=share(all_of("gain_U3")[:, 1] > 0),
        everywhere=share(all_of("over_UK").min(1) > 0),
        found=share(np.concatenate([p[k] for (_, p), k in zip(some, keep, strict=True)])),
        auprc=mean_interval(auprc[~np.isnan(auprc)]),
    )


def nulls(layers: Sequence[Judged]) -> tuple[Null, ...]:
    """Look at permuted activations, and at each twin's units beside the other twins'."""
    some = [(j.found.r_U3[k, 0], j.found.gain_U3[k, 1] > 0, j.p_U[k]) for j in layers for k in [j.of("P")]]
    r, gained, p = map(np.concatenate, zip(*some, strict=True))
    twin_p = np.concatenate([j.twin_p_T for j in layers])
    nothing = Unmeasured("this null is about the comparison with twins alone")
    found = share(twin_p <= RATE) if len(twin_p) else Unmeasured("one twin cannot be held against others")
    permuted = "activations permuted over tokens"
    return (
        Null(name=permuted, units=len(r), r=mean_interval(r), gained=share(gained), found=share(p <= RATE)),
        Null(name="a random twin beside other twins", units=len(twin_p), r=nothing, gained=nothing, found=found),
    )


def shown(j: Judged, u: int) -> Shown:
    """Describe one unit."""
    f = j.found
    return Shown(
        unit=j.layer.name_U[u],
        explanation=in_english(f.programs[u], shown=4),
        r=float(f.r_U3[u, 0]),
        best_table=float(f.r_U3[u, 0] - f.gain_U3[u, 0]),
        minimum=float(f.r_UK[u].min()),
    )


def scores_of(checked: Checked) -> tuple[Score, ...]:
    """Average each score over planted units, and say which check it fails: to fall by a tenth for each wrong version."""
    mean_CV = (
        checked.value_UCV.mean(0) if len(checked.value_UCV) else np.full((len(checked.scores), len(VERSIONS)), np.nan)
    )
    return tuple(
        Score(
            name=name,
            versions=tuple(mean_interval(checked.value_UCV[:, c, v]) for v in range(len(VERSIONS))),
            fails=", ".join(w for v, w in enumerate(VERSIONS) if v and not mean_CV[c, 0] - mean_CV[c, v] >= LESS),
        )
        for c, name in enumerate(checked.scores)
    )


def effects_of(todo: Sequence[ReplaceJob], done: Sequence[Replaced]) -> tuple[tuple[Effect, ...], dict[str, float]]:
    """Say by layer, and by neuron, which share of the effect a simulation keeps."""
    rows: list[Effect] = []
    kept: dict[str, float] = {}
    for number in dict.fromkeys(job.layer for job in todo):
        mine = [(job, d) for job, d in zip(todo, done, strict=True) if job.layer == number]
        records = [d for _, d in mine]
        rows.append(
            Effect(
                layer=number,
                neurons=sum(len(job.neurons) for job, _ in mine),
                kept=over_neurons(records, "own"),
                swapped=over_neurons(records, "swapped"),
                nats=float(np.concatenate([d.mean_UW for d in records]).mean()),
            )
        )
        for job, d in mine:
            ratio = kept_of(d.own_UW, d.mean_UW)
            kept |= {f"L{number}.N{n}": float(x) for n, x in zip(job.neurons, ratio, strict=True)}
    return tuple(rows), kept


def over_neurons(done: Sequence[Replaced], which: str) -> Estimate:
    """Return the median over neurons of the share kept: a few have nearly all of the effect, so their mean has no interval."""
    if not done:
        return Unmeasured("no neuron was replaced")
    return median_interval(np.concatenate([kept_of(getattr(d, f"{which}_UW"), d.mean_UW) for d in done]))
