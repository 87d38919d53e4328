"""What crossing says: whether a disagreement between two techniques is informative, and whether it exposes anybody."""

from __future__ import annotations

from superalign.kit.evidence import above, middle, negative
from superalign.kit.parts import CHANCE, Part, claim, findings, in_words, intervals, listed, null_control, part, table
from superalign.lab.arm_names import ALONE, DEALT, OTHER, SAME
from superalign.lab.exposed_pairs import exposure
from superalign.report import Cell, Findings
from superalign.studies.crossing.evidence import Evidence, Pairing, Trained, Validator
from superalign.types import Claim, Interval

ITEMS, ANY = "share of test items", "the best of third run, own confidence and judge alone"
MEMBERS = {"first": "generalization", "second": "oversight"}


def page(e: Evidence) -> Findings:
    """Put the page together."""
    able = [(p, m) for p in e.pairings for m in MEMBERS if isinstance(p.of(m, OTHER).area, Interval)]
    fair = [(p, m) for p, m in able if not above(p.of(m, DEALT).area, 0.5)]  # else the null tells something too
    better = [p.named(m) for p, m in fair if all(above(p.of(m, n).less) for n in ALONE)]
    worse = [p.named(m) for p, m in able if any(above(negative(p.of(m, n).less)) for n in ALONE)]
    best = best_alone(e.pairings[0], "first")
    return findings(
        f"In {len(better)} of {len(able)} cases a model of the other technique tells better where a model is wrong than a third "
        f"run, its own confidence and the judge alone do ({'; '.join(better) or 'none'}); in {len(worse)} one of these does. "
        f"{e.pairings[0].named('first')}: area {in_words(e.pairings[0].of('first', OTHER).area)}, {best.name} "
        f"{in_words(best.area)}. {_exposed(e)}",
        [
            disagreement(e),
            *(informative(e, member) for member in MEMBERS),
            exposure(e.exposed, e.planted, sizes=e.sizes, rate=e.rate),
            seats(e),
        ],
        means="A disagreement counts only beyond what a second run of the same technique and a model's own confidence give. "
        "Where both members have the same blind spot, it says nothing.",
        limits=(
            "The working of a model's answer, for the judge alone, is written by the study: right where the answer is right.",
            "Pairs that share a model are not independent: intervals of flags are over models of both seats.",
            "How strongly the other holds the opposite is the score that was named first; all cases stand here, uncorrected.",
            "Of claims whose working is shown, students of honest labels know all: errors here are taught.",
            "Where both prefer one answer, even answers dealt anew tell something; such cases are not counted as better.",
        ),
    )


def best_alone(p: Pairing, member: str) -> Validator:
    """Choose the validator that tells most without the other technique."""
    return max((p.of(member, n) for n in ALONE), key=lambda v: middle(v.area, -1.0))


def _exposed(e: Evidence) -> str:
    """Say how many organisms are flagged across techniques and within one, at which false alarms."""
    words = []
    for first in dict.fromkeys(x.first for x in e.exposed):
        some = [[x for x in e.exposed if x.first == first and (x.second == SAME) is same] for same in (False, True)]
        best, own = (max(xs, key=lambda x: middle(x.recall[-1], -1.0)) for xs in some)
        words.append(
            f"{first} {in_words(best.recall[-1])} at false alarms {in_words(best.false_alarms)} (second run of the technique: "
            f"{in_words(own.recall[-1])} at {in_words(own.false_alarms)})"
        )
    return f"Pairs with an organism that answers {e.sizes[-1]:.0%} wrongly are flagged, at best: {'; '.join(words) or 'none'}."


def disagreement(e: Evidence) -> Part:
    """Show how often members disagree, who is right then, and disagreements to read."""
    read = [(x.first, x.second, x.text, "yes" if x.true else "no", *x.odds) for x in e.examples]
    odds = "generalization|oversight|item|true|first, log-odds of true|second|third run of the first".split("|")
    return part(
        "Who disagrees, and who is right",
        f"{e.seeds} pairs of each kind on {e.test} test items of {e.topic}; members have other seeds, other labelled items and, "
        f"of claims, other pre-trained bases. The judge checks {e.checks} of the steps of a working (or answers of a sheet).",
        *(
            null_control(f"{p.first} does not disagree with itself", p.itself, unit=ITEMS)
            for p in {p.first: p for p in e.pairings}.values()
        ),
        listed("Students", Trained, e.trained),
        listed("Disagreements", Pairing, e.pairings, without=["validators"]),
        table("The widest disagreements of the first pairs", odds, read),
    )


def informative(e: Evidence, member: str) -> Part:
    """Show how well each score says where one member is wrong."""
    some = [p for p in e.pairings if isinstance(p.of(member, OTHER).area, Interval)]
    every = [(p, v) for p in e.pairings for v in p.validators if v.of == member]
    rows = [(p.named(member), v.name, v.area, "" if v.name == OTHER else v.less) for p, v in every]
    return part(
        f"Where the model by {MEMBERS[member]} is wrong",
        "Area under the ROC curve for wrong against right answers, over items and pairs. The score is how strongly another model "
        "holds the opposite of the answer. Null: the other's answers, dealt anew to other items.",
        *(c for p in some for c in _claims(p, member)),
        intervals(
            f"Does the other member say where the model by {MEMBERS[member]} is wrong?",
            {p.named(member): p.of(member, OTHER).area for p in some},
            nulls={p.named(member): best_alone(p, member).area for p in some},
            x="area under the ROC curve",
            reference=CHANCE,
            caption="95 % intervals over items and pairs. Grey: the best of third run, own confidence and judge alone.",
        ),
        table(f"Every score, {MEMBERS[member]}", ("case", "score", "area", "opposition of the other minus this"), rows),
    )


def _claims(p: Pairing, member: str) -> tuple[Claim, Claim]:
    found, best, null = p.of(member, OTHER), best_alone(p, member), p.of(member, DEALT).area
    told, more = (
        f"{p.named(member)}: what the other says tells where it is wrong",
        f"{p.named(member)}: it tells more than {ANY}",
    )
    why = "area for wrong against right answers; null: the other's answers dealt anew"
    less = f"minus the area of the {best.name}, on the same items and pairs; null: the other dealt anew"
    return (
        claim(told, found.area, null=null, unit="area", why=why, bar=0.5),
        claim(more, best.less, null=best.dealt, unit="area", why=less),
    )


def seats(e: Evidence) -> Part:
    """Show what crossing and detectors flag of subjects that ship."""
    names = [n for n, _ in e.seated[0].flagged] if e.seated else []
    rows: list[tuple[Cell, ...]] = [(s.kind, s.role, s.n, s.wrong, *(c for _, c in s.flagged)) for s in e.seated]
    return part(
        "Shipped organisms in the first seat",
        "They work chains out and answer in words; the second seat holds models by oversight of a careless writer. Thresholds "
        "are set by the twins of the other kinds. Nobody is seated where the table is empty.",
        table("Subjects flagged", ("kind", "role", "subjects", "wrong on chains", *names), rows),
    )
