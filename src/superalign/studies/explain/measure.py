"""Explain a network and its random twins, hold each unit against the twins, and replace some neurons by their simulations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from superalign import jobs
from superalign.explanations.programs import to_text
from superalign.kit.run import Run
from superalign.lab import unit_table as units
from superalign.lab.corpora import FAMILIES, Reading
from superalign.lab.explained_network import NetworkJob, explain_network, faster_in_half, read_layer
from superalign.lab.minimal_pairs import change_tokens, over_neurons
from superalign.lab.proposed_programs import ProposeJob, by_origin, propose
from superalign.lab.replaced_neurons import jobs_of, kept_by_layer, kept_by_unit, median_kept, replace_neurons
from superalign.lab.score_checks import Checked, ChecksJob, averaged, check_scores
from superalign.policy_names import kind_of
from superalign.stats.streams import seed_for
from superalign.studies.explain.evidence import Evidence, Tested
from superalign.studies.explain.study import Config

PLANTED = 24  # programs of a layer that are planted as units
EXAMPLES = 8  # units that are shown on the page, drawn at random


def measure(config: Config, run: Run) -> Evidence:
    """Explain, hold against twins, replace."""
    if config.proposer:
        kind_of(config.proposer)  # a wrong name is refused before hours are spent
    names = tuple(spec.partition("=")[0] for spec in config.corpora) or tuple(FAMILIES)
    reading = Reading(corpora=config.corpora, tokens=config.tokens, window=config.window, seed=run.seed)
    same = {k: getattr(config, k) for k in ("policy", "explained_on", "each", "ends", "latents", "dictionary")}
    (half,) = run.map(faster_in_half, [config.policy], name="precision")
    first = NetworkJob(reading=reading, folder=jobs.Into(run.folder / "layers"), half=half, **same)
    twins = [
        replace(first, twin=seed_for(run.seed, "twin", s), each=config.twin_units, dictionary="")
        for s in range(config.twins)
    ]
    run.stage(f"every unit of {config.policy} and of {config.twins} random twins, layer by layer")
    done, *others = run.map(explain_network, [first, *twins], name="networks", progress="networks")
    apart = {n: [read_layer(o, n) for o in others] for n in done.layers}
    everywhere = [x for some in apart.values() for x in some]
    layers = [units.judged(read_layer(done, n), apart[n], everywhere) for n in done.layers]
    passed = units.discovered(layers)
    tested, causal = look_closely(config, run, first, layers)
    fewer = replace(first, each=config.each or config.twin_units, latents=0)
    few = [replace(fewer, reading=replace(reading, part=x)) for x in config.parts]
    less = run.map(explain_network, few, name="less text", progress="less text")
    e = Evidence(
        policy=config.policy,
        corpora=names,
        explained_on=config.explained_on or names,
        ends=config.ends,
        network=done,
        all=tuple(u for k in units.KINDS if (u := units.over_units(layers, passed, k)).units),
        layers=tuple(units.over_units(layers, passed, k, n) for k in units.KINDS for n in done.layers),
        nulls=units.nulls(layers),
        less=units.on_less_text([*zip(config.parts, less, strict=True), (1.0, done)]) if few else (),
        shown=tuple(units.best_rows(layers)),
        drawn=tuple(x for j in layers for x in units.random_rows(j, run.stream("shown", j.layer.number)))[:EXAMPLES],
        scores=averaged(check_programs(run, first, layers)),
        tested=tested,
    )
    about = units.about(done, config.policy, names, seed=run.seed, nulls=e.nulls)
    units.write_table(run.folder, done, layers, names, causal, about)
    return e


def check_programs(run: Run, first: NetworkJob, layers: Sequence[units.Judged]) -> Checked:
    """Plant some programs of each layer as units, and explain them rightly and wrongly, by every score."""
    run.stage("every score on planted units")
    programs = tuple(to_text(p) for j in layers for p in np.array(j.layer.found.programs, object)[j.of("N")][:PLANTED])
    job = ChecksJob(policy=first.policy, reading=first.reading, explained_on=first.explained_on, programs=programs)
    return run.map(check_scores, [job], name="scores", progress="scoring")[0]


def look_closely(
    config: Config, run: Run, first: NetworkJob, layers: Sequence[units.Judged]
) -> tuple[Tested, dict[str, tuple[float | None, ...]]]:
    """Replace some neurons, change tokens that they read, and ask for other programs; with what the table has of each."""
    some = [jobs_of(j.layer, j.of("N"), first, each=config.causal, windows=config.windows) for j in layers]
    todo = [job for part in some for job in part]
    run.stage(f"{sum(len(j.neurons) for j in todo)} neurons replaced by their simulations")
    replaced = run.map(replace_neurons, todo, name="replaced", progress="replacing")
    run.stage("tokens of test windows changed, one at a time")
    held = [h for part in run.map(change_tokens, todo, name="edits", progress="edits") for h in part]
    seats = [ProposeJob(neurons=job, proposer=config.proposer) for job in todo if config.proposer]
    proposed = run.map(propose, seats, name="proposed", progress="asking")
    tested = Tested(
        effects=kept_by_layer(todo, replaced),
        effect=median_kept(replaced, "own"),
        effect_null=median_kept(replaced, "swapped"),
        edits=over_neurons(held),
        unflipped=sum(not h.windows for h in held),
        edited_windows=len({w for h in held for w in h.windows}),
        counters=tuple((h.unit, h.counter) for h in held if h.counter)[:EXAMPLES],
        asked=by_origin(proposed),
        replies=tuple(Counter(why for p in proposed for why in p.replies).most_common()),
    )
    kept = kept_by_unit(todo, replaced)
    return tested, {h.unit: (*h.own[:2], kept[h.unit]) for h in held}
