"""Explain a network and its random twins, hold each unit against the twins, and replace some neurons by their simulations.

Shape suffixes: U units, W windows, T units of twins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from superalign import jobs
from superalign.interp.programs import in_english, to_text
from superalign.kit.evidence import Estimate
from superalign.kit.run import Run
from superalign.lab.corpora import FAMILIES, Reading
from superalign.lab.explained_network import NetworkJob, explain_network, read_layer
from superalign.lab.replaced_neurons import Replaced, ReplaceJob, replace_neurons
from superalign.lab.unit_table import RATE, Judged, discovered, judged, write_table
from superalign.stats import mean_interval, median_interval, share
from superalign.stats.streams import seed_for
from superalign.studies.explain.evidence import HEADS, NEURONS, Effect, Evidence, Null, Shown, Units
from superalign.studies.explain.study import Config
from superalign.types import Unmeasured

KIND = {NEURONS: "N", HEADS: "H"}
AT_ONCE = 4  # neurons of a job that replaces them
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
    )
    twins = [replace(first, twin=seed_for(run.seed, "twin", s), each=config.twin_units) for s in range(config.twins)]
    run.stage(f"every unit of {config.policy} and of {config.twins} random twins, layer by layer")
    done, *others = run.map(explain_network, [first, *twins], name="networks", progress="networks")
    apart = {n: [read_layer(o, n) for o in others] for n in done.layers}
    everywhere = [units for some in apart.values() for units in some]
    layers = [judged(read_layer(done, n), apart[n], everywhere) for n in done.layers]
    passed = discovered(layers)
    todo = replacing(config, reading, layers)
    run.stage(f"{sum(len(j.neurons) for j in todo)} neurons replaced by their simulations")
    replaced = run.map(replace_neurons, todo, name="replaced", progress="replacing")
    effects, kept = effects_of(todo, replaced)
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
        effects=effects,
        effect=over_neurons(replaced, "own"),
        effect_null=over_neurons(replaced, "swapped"),
        forward_s=done.forward_s,
        search_s=done.search_s,
    )
    write_table(run.folder, done, layers, names, kept, about(e, run.seed))
    return e


def about(e: Evidence, seed: int) -> dict[str, object]:
    """Say what the table of units is about."""
    return {
        "model": e.policy,
        "corpora": dict(zip(e.corpora, e.tokens, strict=True)),
        "splits": "by document: 6 in 10 train, 2 validation, 2 test",
        "seed": seed,
        "dtype": "products in bfloat16" if e.half else "float32",
        "made": "superalign run explain",
        "false_discovery_rate": RATE,
        "null": {n.name: n.gained.value for n in e.nulls if not isinstance(n.gained, Unmeasured)},
    }


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
    some = [j.of("P") for j in layers]
    permuted = [np.concatenate([f(j)[k] for j, k in zip(layers, some, strict=True)]) for f in (_r, _gained, _p)]
    twin_p = np.concatenate([j.twin_p_T for j in layers])
    nothing = Unmeasured("this null is about the comparison with twins alone")
    found = share(twin_p <= RATE) if len(twin_p) else Unmeasured("one twin cannot be held against others")
    return (
        Null(
            name="activations permuted over tokens",
            units=len(permuted[0]),
            r=mean_interval(permuted[0]),
            gained=share(permuted[1]),
            found=share(permuted[2] <= RATE),
        ),
        Null(name="a random twin beside other twins", units=len(twin_p), r=nothing, gained=nothing, found=found),
    )


def _r(j: Judged) -> np.ndarray:
    return np.asarray(j.found.r_U3[:, 0])


def _gained(j: Judged) -> np.ndarray:
    return np.asarray(j.found.gain_U3[:, 1] > 0)


def _p(j: Judged) -> np.ndarray:
    return j.p_U


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


def replacing(config: Config, reading: Reading, layers: Sequence[Judged]) -> list[ReplaceJob]:
    """Draw neurons of each layer that have a program, a few to a job."""
    out = []
    for j in layers:
        able = np.flatnonzero(j.of("N") & (j.found.bits_U > 0))
        rng = np.random.default_rng([reading.seed, j.layer.number])
        some = rng.permutation(able)[: config.causal]
        for start in range(0, len(some) - 1, AT_ONCE):
            block = some[start : start + AT_ONCE]
            out.append(
                ReplaceJob(
                    policy=config.policy,
                    reading=reading,
                    explained_on=config.explained_on,
                    layer=j.layer.number,
                    neurons=tuple(int(j.layer.name_U[u].split(".N")[1]) for u in block),
                    programs=tuple(to_text(j.found.programs[u]) for u in block),
                    means=tuple(map(float, j.found.mean_U[block])),
                    spreads=tuple(map(float, j.found.spread_U[block])),
                    windows=config.windows,
                )
            )
    return out


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


def kept_of(said_UW: np.ndarray, mean_UW: np.ndarray) -> np.ndarray:
    """Return 1 minus the divergence under a simulation over that under the mean, for each neuron."""
    return np.asarray(1 - said_UW.mean(1) / np.maximum(mean_UW.mean(1), 1e-12))
