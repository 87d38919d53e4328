"""What the study of weak supervision says: every way beside every control, ratios with intervals, and what needs no teacher."""

from __future__ import annotations

from superalign.kit.evidence import Estimate, above, lines
from superalign.kit.parts import Part, claims, curves, findings, in_words, intervals, listed, null_control, part, table
from superalign.lab.arm_names import NAIVE, NOISE, SAME_SIZE, SHUFFLED, TRUTH
from superalign.report import Findings
from superalign.report.claims import descriptive
from superalign.studies.weak_to_strong.evidence import Evidence, Learned, Supervised, SurfacePoint
from superalign.types import Claim, Unmeasured

ITEMS = "test items of the same questions under the same seeds"
ALL = 0.9  # of the gap, nearly
UNIT = "share of the gap"


def page(e: Evidence) -> Findings:
    """Put the page together."""
    won = winners(e)
    again = [x for x in won if (some := elsewhere(e, x)) and all(above(y.beyond) for y in some)]
    words = "; ".join(f"{x.way}, from {x.kind} ({in_words(x.beyond)})" for x in again) or "none"
    return findings(
        f"Of {len(e.ways) - 1} ways to learn from a weak supervisor, {len({x.way for x in won})} are right more often than the "
        f"naive way on {e.topics[0]}, for some kind of supervisor that knows anything. "
        f"Replicated on {', '.join(e.topics[1:]) or 'nothing'}: {words}.",
        [*(ways(e, topic) for topic in e.topics), controls(e), needs_no_teacher(e), settings(e)],
        means="Whether a student corrects its supervisor depends on how that errs, and on where the student's threshold lies. "
        "Look at the area under the ROC curve beside accuracy, and at what asking the student outright gives.",
        limits=(
            "The share of the gap (PGR) is undefined where ceiling and supervisor cannot be told apart.",
            "Settings were chosen by the supervisors' labels on the naive way; another way may have a better setting.",
            "Bootstrapping, agreement and own clusters have as many updates of students as the others, divided between them.",
        ),
    )


def winners(e: Evidence) -> list[Learned]:
    """List what beats the naive way on the first topic."""
    first = [x for x in e.learned if x.topic == e.topics[0] and x.way in e.ways]
    return [x for x in first if e.supervisor(x.topic, x.kind).knows and above(x.beyond)]


def elsewhere(e: Evidence, x: Learned) -> list[Learned]:
    """List the same way from the same kind of supervisor on all other topics on which that knows anything."""
    return [y for t in e.topics[1:] if e.supervisor(t, x.kind).knows and (y := e.of(t, x.kind, x.way))]


def ways(e: Evidence, topic: str) -> Part:
    """Show every way on one topic."""
    found = [x for x in e.learned if x.topic == topic and (x.way in e.ways or x.way == TRUTH)]
    labels = {f"{x.way}, from {x.kind}": x for x in found}
    again = {(x.kind, x.way) for x in winners(e)}
    beyond = {
        f"On {topic}, {x.way} is right more often than naive, from {x.kind}": (x.beyond, _null(e, topic, x.kind))
        for x in found
        if x.way not in (NAIVE, TRUTH) and e.supervisor(topic, x.kind).knows
        if topic == e.topics[0] or (x.kind, x.way) in again
    }
    why = f"accuracy minus that of the naive way, {ITEMS}; null: permuted labels against the naive way"
    return part(
        f"Ways of learning: {topic}",
        f"{e.seeds} seeds; each draws what the supervisor learns from and what it labels, and takes the next student. All ways "
        "of a seed share supervisor, items and student. The share of the gap is (way - supervisor) / (truth - supervisor). "
        "Of supervisors that are not shown to know anything nothing is claimed; what won on the first topic is tried on others.",
        *claims(beyond, unit="share of test items", why=why),
        intervals(
            f"Accuracy of students, {topic}",
            {label: x.right for label, x in labels.items()},
            nulls={label: e.supervisor(topic, x.kind).right for label, x in labels.items()},
            groups={label: x.kind for label, x in labels.items()},
            x="share of test items that are answered rightly",
            caption="95 % intervals over items and seeds. Grey: the supervisor.",
        ),
        listed(f"Every way, {topic}", Learned, found, without=["topic"]),
    )


def controls(e: Evidence) -> Part:
    """Show what theory says beforehand."""
    found = [x for x in e.learned if x.topic == e.topics[0] and x.way not in e.ways]
    rows = [(x.kind, x.way, x.right, x.area, x.recovered, x.agrees, x.copies) for x in found]
    return part(
        "Controls",
        "Independent noise: as many errors as the supervisor makes, of items that have nothing in common. Errors dealt anew: its "
        "errors, dealt to other items of the same truth. Labels permuted over all items. Same-size student: of the supervisor's "
        "own kind. Own clusters alone: no labels, but one bit that says which half is yes.",
        *(
            _as_theory_says(e, x)
            for x in found
            if x.way in (NOISE, SHUFFLED, SAME_SIZE) and e.supervisor(x.topic, x.kind).knows
        ),
        table("Controls", ("from", "control", "accuracy", "area", "share of the gap", "agrees", "copies"), rows),
    )


def _as_theory_says(e: Evidence, x: Learned) -> Claim:
    if x.way != NOISE:
        return null_control(f"{x.way} is not shown to recover any of the gap, from {x.kind}", x.recovered, unit=UNIT)
    return descriptive(
        f"{x.way} recovers nearly all of the gap, from {x.kind}",
        x.recovered,
        unit=UNIT,
        null=Unmeasured("a control itself"),
        why=f"{ITEMS}; supervisor {in_words(e.supervisor(x.topic, x.kind).right)}; holds if the whole interval lies above {ALL}",
        holds=above(x.recovered, ALL),
    )


def needs_no_teacher(e: Evidence) -> Part:
    """Show what is there without weak labels."""
    text = (
        "Asked outright, in words that its pre-training gave it, the student already knows: here the study measures whether weak "
        "labels attach what is known to a new read-out, and ignoring the teacher is better."
        if any(above(s.says_area, 0.9) for s in e.supervised)
        else "Asked outright, the student does not know: what weak labels bring out is not said without them."
    )
    return part("What needs no teacher", text, listed("Supervisors, and asking outright", Supervised, e.supervised))


def settings(e: Evidence) -> Part:
    """Show the whole surface that settings were chosen from, and students of other sizes."""
    right = lines(e.surface, "rate", "right", name=lambda s: f"accuracy, {s.passes:g} passes")
    area = lines(e.surface, "rate", "area", name=lambda s: f"area, {s.passes:g} passes")
    columns = ("base", "from", "way", "accuracy", "share of the gap")
    sizes = [(x.topic, x.kind, x.way, x.right, x.recovered) for x in e.sizes]
    return part(
        "How fast, how long, how large",
        f"Chosen by the {e.rule.by}, not by any truth: learning rate {e.rule.rate:g}, {e.rule.passes:g} passes. What the naive "
        "way reaches moves with these two as much as with the way of learning.",
        curves("The naive way at other settings", right | area, x="learning rate", y="accuracy or area, test items"),
        listed("Settings", SurfacePoint, e.surface),
        table("Pre-trained bases, and students of other sizes", columns, sizes),
    )


def _null(e: Evidence, topic: str, kind: str) -> Estimate:
    there = e.of(topic, kind, SHUFFLED)
    return there.beyond if there else Unmeasured("not run on a topic that replicates")
