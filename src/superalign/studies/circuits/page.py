"""What the study of circuits says: error rates against known circuits, circuits of real models, and what gradients miss."""

from __future__ import annotations

from superalign.kit.parts import Part, below, beyond, claims, curves, findings, in_words, intervals, part, table
from superalign.report import Findings
from superalign.studies.circuits.evidence import METHODS, PARTS, Evidence, Found
from superalign.types import Claim

BAR, MISS, AGREE = 0.9, 0.1, 0.5
RANKS = f"over training pairs and models, its whole interval above {AGREE}; null: exact effects permuted"
WAYS = {
    "exact": "exact patching",
    "AtP": "the gradient at clean inputs",
    "IG": "the gradient on the way to corrupt ones",
}


def page(e: Evidence) -> Findings:
    """Put the page together."""
    best = e.circuits[0]
    carried = (
        f"In {', '.join(e.models)} the {e.size} largest of {e.components} components keep {in_words(best.at_size)} of the "
        f"behaviour on held-out pairs, {in_words(best.above_random)} more than as many random ones."
    )
    return findings(
        f"{known(e)}{carried}",
        [*([against_truth(e), blindness(e)] if e.compiled else []), faithfulness(e), missing(e)],
        means="Patch exactly where it can be paid for. Read a ranking by gradient only beside its recheck: what it calls zero "
        "may lie behind saturated attention. Read faithfulness beside the size of the circuit and a random one of that size.",
        limits=(
            "Random parts of compiled models reach the answer only by noise that was put there; trained models are harder.",
            "Circuits of real models are sets of components. Single edges are patched, but no circuit of edges is.",
            "What matters holds for these pairs. A backup that acts only when another part is gone is not seen.",
        ),
    )


def known(e: Evidence) -> str:
    """Say in a sentence how methods do against known circuits."""
    if not e.compiled:
        return ""
    soft = [f"{WAYS[f.method]} {in_words(f.area)}" for f in e.compiled if (f.variant, f.part) == ("soft", PARTS[1])]
    hard = next(f for f in e.compiled if (f.variant, f.method, f.part) == ("hard", "AtP", PARTS[1]))
    return (
        f"For edges of known circuits in {len(e.programs)} compiled programs the area under the ROC curve is: {'; '.join(soft)}. "
        f"With hard attention the gradient is declared blind in {in_words(hard.declared)} of the models. "
    )


def against_truth(e: Evidence) -> Part:
    """Show every method on every variant."""
    main = {f"{f.part}, {f.variant}: {f.method}": f for f in e.compiled}
    able = [f for f in main.values() if f.variant != "hard" or f.method == "exact"]
    return part(
        "Known circuits",
        f"{len(e.programs)} programs are compiled to weights of small transformers, each in {e.seeds} layouts among random heads "
        "and MLPs. Noisy: the read-out also sees a little of the random parts. Hard: softmax is saturated. Intervals are over "
        "compiled models: these programs, layouts and inputs drawn. Answers that they get right: "
        f"{'; '.join(f'{v} {in_words(x)}' for v, x in e.right)}.",
        *claims(
            {f"{WAYS[f.method]} tells {f.part} of known circuits ({f.variant})": (f.area, f.null) for f in able},
            unit="area under the ROC curve",
            why=f"by the size of the effect; its whole interval above {BAR}; null: a random ranking",
            bar=BAR,
        ),
        intervals(
            "How well known circuits are found",
            {label: f.area for label, f in main.items()},
            nulls={label: f.null for label, f in main.items()},
            groups={label: f.method for label, f in main.items()},
            x="area under the ROC curve",
            caption="95 % intervals over compiled models. Grey: a random ranking.",
        ),
        table(
            "Area by program",
            ("parts, variant: method", "all", "random ranking", *e.programs),
            [(label, f.area, f.null, *f.by_program) for label, f in main.items()],
        ),
    )


def blindness(e: Evidence) -> Part:
    """Show where gradients are blind, and whether the recheck says so."""
    some = [f for f in e.compiled if f.method in METHODS[1:]]
    return part(
        "Gradient blind here",
        "Some of what a gradient calls zero is patched exactly, and all of it and halves of it at once. If one or a group has "
        "more than a twentieth of the effect of corruption, the gradient is declared blind. Saturated attention among equal "
        "places still has a gradient, so not every hard program blinds it.",
        *(rate(f) for f in some),
        table(
            "Where it is declared",
            ("variant", "parts", "gradient", "area", "declared blind", "area below .95, not declared"),
            [(f.variant, f.part, f.method, f.area, f.declared, f.undeclared) for f in some],
        ),
    )


def rate(f: Found) -> Claim:
    """Claim that failures are declared where attention is hard, and that nothing is declared where it is soft."""
    hard, name = f.variant == "hard", f"{WAYS[f.method]}, {f.part}, {f.variant}"
    found, beside = (f.undeclared, f.declared) if hard else (f.declared, f.area)
    what = "an area below .95 that is not declared" if hard else "a declared blindness"
    why = f"share of models with {what}, wholly below {MISS}; beside it: the {'declared share' if hard else 'area'}"
    title = "Failures are declared" if hard else "Not declared blind"
    return below(f"{title}: {name}", found, MISS, null=beside, unit="share of models", why=why)


def faithfulness(e: Evidence) -> Part:
    """Show circuits of growing size on held-out pairs."""
    lines = {f"{c.method}, {c.fill}": c for c in e.circuits}
    some, same = f"{e.size} of {e.components} components", [c for c in e.circuits if c.fill == "resample"]
    return part(
        "Circuits of real models",
        f"Components of {', '.join(e.models)} ({e.components} heads and MLPs each) are ranked on {e.train} pairs, circuits are "
        f"tested on {e.test} others. Faithfulness: what a circuit alone keeps of the difference between the whole model and the "
        f"empty circuit. Largest by exact patching: {'; '.join(e.top)}.",
        *beyond(
            {
                f"{some} by {WAYS[c.method]} keep more than as many random ones": (c.above_random, e.random_null)
                for c in same
            },
            unit="share of the behaviour",
            bar=0.0,
            why=f"held-out pairs and models, minus the mean of {e.seeds} random circuits; null: where 95 % of these lie",
        ),
        curves(
            "What circuits keep",
            {**{label: c.faithful for label, c in lines.items()}, "random, resample": e.random},
            x="share of the components",
            y="faithfulness on held-out pairs",
            caption="95 % bands over pairs and models.",
            reference=(1.0, "the whole model"),
        ),
        curves(
            "What all others keep",
            {label: c.without for label, c in lines.items()},
            x="share of the components that is taken away",
            y="faithfulness of the rest",
        ),
        table(
            f"Circuits of {e.size} components",
            ("ranking, what is left out becomes", "faithfulness", "minus random", "of all others"),
            [(label, c.at_size, c.above_random, c.rest) for label, c in lines.items()],
        ),
    )


def missing(e: Evidence) -> Part:
    """Show how gradients rank against exact effects, and what they call zero."""
    some = [c for c in e.circuits if c.method in METHODS[1:]]
    ranks = {f"{WAYS[c.method]} ranks components": (c.agreement, e.permuted) for c in some}
    ranks |= {f"{WAYS['AtP']} ranks its largest edges": (e.edges, e.edges_permuted)}
    zero, checked, missed = (sum(getattr(g, k) for g in e.gradients) for k in ("zero", "checked", "missed"))
    return part(
        "What gradients miss",
        "Rank correlation of sizes of effects within a pair: of all components, and of the "
        f"{len(e.gradients[0].top_atp_EB)} edges that the gradient puts first of {e.gradients[0].edges}. Edges that it calls "
        f"zero, all or half of them patched at once, have at most "
        f"{', '.join(f'{g.joint:.3f}' for g in e.gradients)} of the effect of corruption.",
        *claims(
            {f"{k} as exact patching does": v for k, v in ranks.items()}, unit="rank correlation", why=RANKS, bar=AGREE
        ),
        table(
            "Gradients against exact patching",
            ("gradient", "rank correlation", "called zero", "of these patched exactly", "of these matter"),
            [
                *((f"components, {c.method}", c.agreement, c.zero, c.zero, c.missed) for c in some),
                ("its largest edges, AtP", e.edges, zero, checked, missed),
            ],
        ),
    )
