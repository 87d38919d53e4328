"""What the study of units says: how many are explained, beyond which baselines, and what nothing would have given."""

from __future__ import annotations

from superalign.kit.evidence import along
from superalign.kit.parts import Part, claims, curves, description, findings, in_words, not_above, part, percent, table
from superalign.report import Findings
from superalign.studies.explain.evidence import Evidence
from superalign.types import Unmeasured

UNIT, RATE = "share of units", 0.05
GAINED = "share whose gain over the best of three tables has an interval above 0; null: activations permuted"
FOUND = "at a false discovery rate of 5 % over the kind; null: a twin's units beside other twins', p up to .05"
CONTROL = "a null control: at most 5 % may pass"
NULL = "mean over neurons; null: the same edits by another neuron's program of the layer"
COLUMNS = (
    "kind|layer|units|r of the program|r of a token table|r of a table of pairs|least r of a corpus|above the token table|"
    "above the best of three tables|above the token table in each corpus|beyond the random twin|area under precision-recall"
).split("|")
PASS = {
    "over_unigram": "above the token table",
    "gained": "above the best table",
    "everywhere": "above the token table in each corpus",
    "found": "beyond the random twin",
}
PREDICT = {"r": "program", "unigram": "token table", "bigram": "table of pairs", "minimum": "program, least corpus"}
LESS = (
    "share of the training text|training tokens|r of the program|r lost|r of a token table|above the best table|permuted"
).split("|")
PROPOSED = "Proposed by a language model; a reply that cannot be read has r 0"
SHOWN = ("unit", "what it responds to, in standard deviations", "r", "r of the best table", "least r of a corpus")


def page(e: Evidence) -> Findings:
    """Put the page together."""
    first = e.all[0]
    return findings(
        f"{first.units} {first.kind} of {e.policy} explained by programs of {e.ends} rules at most: "
        f"{percent(first.over_unigram)} predict test documents better than a table of tokens, "
        f"{percent(first.gained)} better than the best of three tables, "
        f"{percent(first.found)} beyond a random twin, {percent(first.everywhere)} better than the token table in each of "
        f"{len(e.corpora)} corpora; the median neuron's simulation keeps {percent(e.tested.effect)} of its effect.",
        [scores(e), by_layer(e), causal(e), edited(e), other_scores(e), examples(e)],
        means="Trust an explanation as far as its own card goes: r beside the tables, the least corpus, the twin. A program that "
        "does not beat a table of tokens says which tokens, and nothing of the context.",
        limits=(
            f"{e.network.predicates} predicates about the text were tried. What a unit means beyond them shows as a low r only.",
            "A head is a number here: how much it writes, not what; directions are of a dictionary trained on little text.",
            "Intervals of a unit resample test documents: "
            + ", ".join(f"{n} of {c}" for c, n in zip(e.corpora, e.network.documents, strict=True))
            + ". Units of a layer are not independent, so shares over units are narrower than they should be.",
            "Random twins have the weights of each tensor permuted, so they fire at other rates than the model.",
        ),
    )


def scores(e: Evidence) -> Part:
    """Show all units, and what nothing gives."""
    permuted, twins = e.nulls
    tokens = ", ".join(f"{n} of {c}" for c, n in zip(e.corpora, e.network.tokens, strict=True))
    asked, replies = e.tested.asked, ", ".join(f"{why}: {n}" for why, n in e.tested.replies)
    gained = {f"Programs gain more than tables: {u.kind}": (u.gained, permuted.gained) for u in e.all}
    beyond = {f"Beyond the random twin: {u.kind}": (u.found, twins.found) for u in e.all}
    return part(
        "How many units are explained",
        f"Scored tokens: {tokens}. Programs were searched on training documents of {', '.join(e.explained_on)}, pruned on "
        "validation documents and scored on test documents, at every token. A table gives each token, pair of tokens or position "
        f"its mean in training. Products were in {'16' if e.network.half else '32'} bits.",
        *claims(gained, unit=UNIT, bar=RATE, why=GAINED),
        *claims({} if isinstance(twins.found, Unmeasured) else beyond, unit=UNIT, bar=RATE, why=FOUND),
        not_above("Permuted activations have no program that gains", permuted.gained, RATE, unit=UNIT, why=CONTROL),
        table("All units", COLUMNS, e.all),
        table("Where there is nothing to explain", ("what", "units", "r", "gain over tables", "beyond twins"), e.nulls),
        *([table(f"Programs of some {e.all[0].kind} searched in less text", LESS, e.less)] if e.less else []),
        *([table(f"{PROPOSED} ({replies})", ("program", "mean r", "above the token table"), asked)] if asked else []),
    )


def by_layer(e: Evidence) -> Part:
    """Show each layer."""
    some = [u for u in e.layers if u.kind == e.all[0].kind]
    passing, means = ({words: along(some, "layer", k) for k, words in names.items()} for names in (PASS, PREDICT))
    return part(
        "By layer",
        "A program that explains early layers may say nothing of the middle. Bands: 95 % over units.",
        curves(f"Share of {e.all[0].kind} that pass", passing, x="layer", y=UNIT),
        curves("How well activations are predicted", means, x="layer", y="correlation on test documents"),
        table("By layer", COLUMNS, [u for u in e.layers if u.units]),
    )


def causal(e: Evidence) -> Part:
    """Show what replacing a neuron by its simulation keeps of its effect."""
    return part(
        "Does the explanation keep the neuron's effect?",
        "Each neuron is set to what its program says, at every token of some test windows; then to another neuron's program; "
        "then to its mean. Share kept: 1 minus the divergence of the next token under the program over that under the mean. "
        "Neurons of a layer are drawn at random among those with a program.",
        *claims(
            {"The median simulation keeps a share of the effect": (e.tested.effect, e.tested.effect_null)},
            unit="share of the divergence",
            why="median over neurons; null: the program of another neuron of the layer",
        ),
        table(
            "By layer", ("layer", "neurons", "kept", "by another's program", "nats under the mean"), e.tested.effects
        ),
    )


def edited(e: Evidence) -> Part:
    """Show whether neurons do what their programs say of a changed token."""
    means = {
        "sufficiency": "fires once the program says so, less after an edit that leaves the program as it was",
        "necessity": "stops once the program says so, less after such an edit",
        "correlation": "of the change that the program says with the neuron's own, over all edits",
    }
    return part(
        "Does the neuron do what its program says of a changed token?",
        "One token of a test window is replaced, the neuron's own or one of the three before, by one of a training context. "
        "Edits come in pairs, at one distance where that is possible: one flips what the program says, one does not. Firing is "
        f"the strongest 1 % of training. {e.tested.edited_windows} windows; left out are {e.tested.unflipped} neurons whose "
        "program no edit flips.",
        *(
            made
            for m, found, null in e.tested.edits
            for made in claims({f"One changed token: {m}": (found, null)}, unit=m, why=f"{means[m]}; {NULL}")
        ),
        table("Over neurons", ("measure", "own program", "another's"), e.tested.edits),
        table("Edits that contradict a program most, in standard deviations", ("neuron", "edit"), e.tested.counters),
    )


def other_scores(e: Evidence) -> Part:
    """Show which scores, ours and others', fall where they should."""
    header = ("score", "right", "half of it", "three times too broad", "ten times", "at random", "does not fall for")
    rows = [(s.name, *s.versions, s.fails or "nothing") for s in e.scores]
    return part(
        "Other scores, and which check each fails",
        "Programs of neurons, planted as units of their own on test documents, with noise; explained by that "
        "program, by half of its words, by too many, by others. A score should fall by a tenth at least for each. "
        "Correlation over 5 top and 5 random contexts is the score of Bills et al. (2023), detection of Paulo et al. (2024).",
        table("Mean of each score over planted units", header, rows),
    )


def examples(e: Evidence) -> Part:
    """Show some units."""
    best = max((s.r - s.best_table for s in e.shown), default=0.0)
    return part(
        "Some units",
        f"All units stand in units.csv.gz in the folder of the run; `superalign explore FOLDER` opens them. The first table "
        f"has the neuron of each layer that gains most over tables (at most {best:.2f} of r): chosen on test documents, so these "
        "gains are too high. The second is drawn at random.",
        description(
            "Least r over corpora, mean over units",
            e.all[0].minimum,
            null=e.nulls[0].r,
            unit="correlation",
            why=f"what looks explained on one corpus may not be on another; overall r {in_words(e.all[0].r)}",
        ),
        table("The best of each layer", SHOWN, e.shown),
        table("Drawn at random", SHOWN, e.drawn),
    )
