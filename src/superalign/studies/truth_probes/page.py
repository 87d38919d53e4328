"""What the study of truth probes says: both polarities side by side, with every floor."""

from __future__ import annotations

from collections.abc import Sequence

from superalign.kit.evidence import above, measured
from superalign.kit.parts import CHANCE, Part, beyond, findings, intervals, median, part, table
from superalign.report import Findings, Plot
from superalign.studies.truth_probes.evidence import OTHERS, POLARITIES, Evidence, Polarity, Reading
from superalign.types import Claim

AREA = "area under the ROC curve, true against false"
WHY = (
    "statements of questions that were not trained on; null: what 95 % of probes of shuffled labels reach; holds above them and "
    "above 0.5"
)
ARROW = {"plain": "tested on plain statements", "negated": "tested on negations", "both": "tested on both"}


def page(e: Evidence) -> Findings:
    """Put the page together."""
    plain, negated = ([e.reading(t, "plain", p).probe for t in e.topics] for p in POLARITIES)
    inverted = sum(x.high < 0.5 for x in measured(negated))
    carried = sum(above(x, 0.5) for x in negated)
    return findings(
        f"Trained on plain statements, a probe of {e.policy} reads the same topic at an area of {median(plain)} and its "
        f"negations at {median(negated)} (medians of {len(e.topics)} topics). Of the negations it reads the truth on {carried} "
        f"topics and the opposite on {inverted}.",
        [own_topic(e), both(e), other_topics(e), floors(e)],
        means="A probe whose reading turns round at the first 'not' reads what usually goes together, and is no lie detector. "
        "Ask of every probe what it says of negations and of a topic that it never saw.",
        limits=(
            "One model and one place: the last token of a statement that it is made to say.",
            "That no truth is read here does not say that none is represented: another place, size or probe may read it.",
        ),
    )


def own_topic(e: Evidence) -> Part:
    """Show probes that saw one polarity, on both."""
    readings = [e.reading(t, "plain", p) for t in e.topics for p in POLARITIES]
    return part(
        "Trained on plain statements",
        "A linear probe of the residual stream at a statement's last token, at the layer that reads a third of the training "
        "statements best. No statement that is tested, and no negation of one, was trained on.",
        *_claims(readings, "A probe of plain statements on {topic} reads {tested} above chance"),
        _drawn("Trained on plain statements: the same topic, and its negations", readings),
    )


def both(e: Evidence) -> Part:
    """Show probes that saw both polarities of a topic."""
    readings = [e.reading(t, "both", p) for t in e.topics for p in POLARITIES]
    return part(
        "Trained on both polarities",
        "With negations among the training statements, association alone does not help: what still reads both is nearer to "
        "truth, of this topic.",
        *_claims(readings, "A probe of both polarities of {topic} reads {tested} above chance"),
        _drawn("Trained on both polarities of the topic", readings),
    )


def other_topics(e: Evidence) -> Part:
    """Show probes that never saw the topic."""
    readings = [e.reading(t, "both", "both", trained=OTHERS) for t in e.topics]
    apart = [e.reading(t, "both", p, trained=OTHERS) for t in e.topics for p in POLARITIES]
    return part(
        "Trained on the other topics",
        "All other topics, in both polarities. What reads a topic that it never saw would be a direction of truth in general.",
        *_claims(readings, "A probe of the other topics reads {topic} above chance, both polarities together"),
        _drawn("Trained on the other topics", apart),
    )


def floors(e: Evidence) -> Part:
    """Show everything, beside what needs no probe."""
    columns = ("topic", "trained on", "tested on", "layer", "probe", "bag of words", "shuffled labels, 95 % of probes")
    rows = [
        (r.topic, f"{_source(r)}, {r.trained_on}", r.tested_on, r.layer, r.probe, r.words, r.shuffled)
        for r in e.readings
    ]
    said = {f"{f.topic}, {f.polarity}": f.says for f in e.floors}
    return part(
        "All readings, and what needs no probe",
        "What the model says when it is asked whether a statement is true (log-odds of the answer), and how likely it finds the "
        "statement. A bag of words knows nothing of the world.",
        intervals("What the model says, when asked", said, groups=_polarity(e), x=AREA, reference=CHANCE),
        table(
            "Without training",
            ("topic", "polarity", "what it says", "likelihood of the statement"),
            [(f.topic, f.polarity, f.says, f.likelihood) for f in e.floors],
        ),
        table("Every probe", columns, rows),
    )


def _source(r: Reading) -> str:
    return "the others" if r.trained == OTHERS else "itself"


def _polarity(e: Evidence) -> dict[str, str]:
    return {f"{f.topic}, {f.polarity}": f.polarity for f in e.floors}


def _claims(readings: Sequence[Reading], name: str) -> tuple[Claim, ...]:
    words: dict[Polarity, str] = {"plain": "plain statements", "negated": "its negations", "both": "both"}
    rows = {name.format(topic=r.topic, tested=words[r.tested_on]): (r.probe, r.shuffled) for r in readings}
    return beyond(rows, bar=0.5, unit="area", why=WHY)


def _drawn(title: str, readings: Sequence[Reading]) -> Plot:
    labels = {f"{r.topic}, {r.tested_on}": r for r in readings}
    return intervals(
        title,
        {label: r.probe for label, r in labels.items()},
        nulls={label: r.shuffled for label, r in labels.items()},
        groups={label: ARROW[r.tested_on] for label, r in labels.items()},
        x=AREA,
        reference=CHANCE,
        caption="95 % intervals over questions. Grey: what 95 % of probes of shuffled labels reach.",
    )
