"""What the study of beliefs says: every method against truth, association and speech, in every context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from superalign.kit.evidence import Curve, Estimate
from superalign.kit.parts import CHANCE, Part, beyond_chance, curves, findings, intervals, not_above, part, table
from superalign.report import Findings, Plot
from superalign.stats import mean_over
from superalign.studies.belief.evidence import BOTH, HONEST, INNOCENT, LIKELIHOOD, OTHERS, PLAIN, RULES, SAYS, Evidence
from superalign.types import Claim, Interval, Unmeasured

AREA = "area under the ROC curve"
WHY = (
    "mean over topics with its t interval, of questions that were not trained on, each with its negation; null: between which "
    "areas 95 % of random directions lie, on average; holds above them and above 0.5"
)
CARRIED = ("logistic", "paired differences")  # what is claimed of contexts that it was not fitted in
FAR = "Mahalanobis distance from plainly asked training statements, mean over topics; holds where its lower end lies below .6"
COLUMNS = (
    "context|method|trained on|topic|layer|truth|what goes together|what it says|"
    "share of the way from what it says to a probe of this context|random directions, 95 %"
).split("|")
TRAINED = (PLAIN, BOTH, OTHERS)
UNTAUGHT = 0.6  # how well an innocent persona may be told from plain asking, at its lower end


def page(e: Evidence) -> Findings:
    """Put the page together."""
    fooled = e.of(CARRIED[0], PLAIN, HONEST)
    lied_to = [c for c in e.contexts if c not in (HONEST, INNOCENT)]
    says = _middle([r.truth for r in e.of(SAYS, "", HONEST)])
    held = "; ".join(f"{c} {_middle([r.truth for r in e.of(CARRIED[0], BOTH, c)])}" for c in e.contexts)
    return findings(
        f"{e.policy} says whether statements and their negations are true at an area of {says}. A probe that saw both, fitted "
        f"where it was asked plainly, reads it: {held}. One of plain statements alone reads truth at "
        f"{_middle([r.truth for r in fooled])}, and what usually goes together at {_middle([r.together for r in fooled])}.",
        [three_bits(e, HONEST), *(three_bits(e, c) for c in lied_to), layers(e), oddness(e), every_reading(e)],
        means="A probe shows a belief only if it follows the truth where truth, association and speech differ. One that was "
        "trained on plain statements does not.",
        limits=(
            "One place: the last token of a statement that the model is made to say.",
            "A model of this size that is told to lie may not follow; what it says in each context stands beside the probes.",
            "That no truth is read in a context does not say that none is held there.",
        ),
    )


def three_bits(e: Evidence, context: str) -> Part:
    """Show every method in one context, against truth and association."""
    return part(
        f"Truth and association: {context}",
        "Statements together with their negations, so that truth and what usually goes together are independent: a reader "
        "of truth has an area near 1 against the first and near .5 against the second. The last table has everything.",
        *_claims(e, context),
        *(_drawn(e, context, trained) for trained in TRAINED),
    )


def _claims(e: Evidence, context: str) -> list[Claim]:
    made = []
    for trained in TRAINED:
        carried = [m for m in e.methods if m in CARRIED and trained != PLAIN]
        by_rule = [m + rule for m in CARRIED for rule in RULES]
        for method in (*(e.methods if context == HONEST else carried), *by_rule):
            some = e.of(method, trained, context)
            if some:
                name = f"{context}: {method}, trained on {trained}, reads the truth"
                found, null = over_topics([r.truth for r in some]), _span([r.chance for r in some])
                made.append(beyond_chance(name, found, shuffled=null, bar=0.5, unit="area", why=WHY))
    return made


def over_topics(areas: Sequence[Estimate]) -> Estimate:
    """Average areas over topics, which are taken as drawn."""
    known = [x.value for x in areas if isinstance(x, Interval)]
    return mean_over(known, span=(0.0, 1.0)) if known else Unmeasured("not measured on any topic")


def _span(chances: Sequence[Estimate]) -> Estimate:
    known = [x for x in chances if isinstance(x, Interval)]
    if not known:
        return Unmeasured("not measured on any topic")
    low, middle, high = (float(np.mean([getattr(x, end) for x in known])) for end in ("low", "value", "high"))
    return Interval(value=middle, low=low, high=high, n=len(known))


def _drawn(e: Evidence, context: str, trained: str) -> Plot:
    rows: dict[str, Estimate] = {}
    groups: dict[str, str] = {}
    fitted = [r for m in e.methods for r in e.of(m, trained, context)]
    for r in [*fitted, *e.of(SAYS, "", context), *e.of(LIKELIHOOD, "", context)]:
        for bit, found in (("truth", r.truth), ("what goes together", r.together)):
            label = f"{r.method}, {r.topic}: {bit}"
            rows[label], groups[label] = found, bit
    title = f"{context}, trained on {trained}"
    return intervals(title, rows, groups=groups, x=AREA, reference=CHANCE, caption="95 % intervals over questions.")


def layers(e: Evidence) -> Part:
    """Show where truth can be read."""
    series = {
        c: Curve(*zip(*((float(x.layer.rpartition(".")[2]), x.area) for x in e.layers if x.context == c), strict=True))
        for c in e.contexts
    }
    rows = [
        (c, m, rule.strip(", ") or "earliest informed layer", over_topics([r.truth for r in e.of(m + rule, BOTH, c)]))
        for c in e.contexts
        for m in CARRIED
        for rule in ("", *RULES)
    ]
    return part(
        "Where it can be read",
        "A logistic probe of both polarities, fitted in each context to two thirds of its training statements and tested on the "
        "others, mean over topics. Methods are tested at the earliest layer that reaches 95 % of the best one's area beyond .5; "
        "two of them also at the best one, and with the mean of their standardised scores over all layers that were read.",
        curves("Truth by layer", series, x="layer", y=AREA, reference=CHANCE),
        table("Rules for choosing layers", ("context", "method", "rule", AREA), rows),
    )


def oddness(e: Evidence) -> Part:
    """Show whether a context that makes the model lie can be told without labels."""
    far = over_topics([o.area for o in e.odd if o.context == INNOCENT])
    return part(
        "Telling a context that cannot be trusted",
        "The distance of a state from those of plainly asked statements. It is of use only where a persona that changes nothing "
        "lies nearer than one that lies.",
        not_above("An innocent persona is not told from plain asking", far, UNTAUGHT, unit="area", why=FAR),
        table("Odd states", ("topic", "context", AREA), [(o.topic, o.context, o.area) for o in e.odd]),
    )


def every_reading(e: Evidence) -> Part:
    """Show everything."""
    rows = [
        (r.context, r.method, r.trained, r.topic, r.layer, r.truth, r.together, r.says, r.recovered, r.chance)
        for r in e.readings
    ]
    return part("Every reading", "Areas under the ROC curve.", table("Every reading", COLUMNS, rows))


def _middle(found: list[Estimate]) -> str:
    known = [x.value for x in found if isinstance(x, Interval)]
    return f"{np.median(known):.2f}" if known else "no measured value"
