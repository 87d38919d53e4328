"""What the study of easy labels says: generator and evaluator side by side, by every measure of hardness, beside controls."""

from __future__ import annotations

from superalign.kit.evidence import Estimate, lines, negative
from superalign.kit.parts import Part, claims, curves, findings, in_words, intervals, listed, null_control, part, table
from superalign.lab.arm_names import EASY, EVALUATOR, GENERATOR, PERMUTED, RANDOM
from superalign.report import Cell, Findings
from superalign.studies.easy_to_hard.evidence import Agreement, Arm, Evidence
from superalign.types import Interval, Unmeasured

UNIT = "share of the gap"
WHO = {GENERATOR: "those who write answers", EVALUATOR: "those who judge them"}
LEVELS = ("topic", "role", "taught", "operations", "score", "share of the gap")
SCORES = (
    "generator: share written in full (of text: share of problems whose right solution it finds likelier than one with a flaw); "
    "evaluator: area under the ROC curve"
)
WHY = (
    "(easy-taught - before) / (hard-taught - before), on hard test problems, Fieller over items and seeds; null: the same of "
    "easy labels that are permuted; holds above one half"
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    found = {role: e.of(e.topics[0], role, EASY) for role in WHO}
    words = "; ".join(f"{WHO[role]} {in_words(a.recovered)}" for role, a in found.items() if a)
    return findings(
        f"Taught with easy problems only, the share of the gap to being taught with hard ones, on {e.topics[0]}: {words}.",
        [side_by_side(e), by_level(e), by_measure(e), controls(e), everything(e)],
        means="Where easy labels carry over to judging but not to writing, let the easy-taught evaluator choose among answers "
        "to hard problems; do not trust an easy-taught generator one step beyond what it was taught.",
        limits=(
            "Before it is taught, a new head says nothing and a new format is not known: the gap is what labels add, not what a "
            "base knows.",
            "Evaluators of bundled bases read claims with right working. Text is judged by probes of states.",
            "Generators of text are not trained: they are shown a few solutions, and asked which of two they would write.",
        ),
    )


def side_by_side(e: Evidence) -> Part:
    """Show both roles on all topics."""
    labels = {f"{r}, {t}": a for t in e.topics for r in WHO if (a := e.of(t, r, EASY))}
    picks = [a for a in e.arms if a.measure == e.measures[0] and not a.level and isinstance(a.picks, Interval)]
    most = {f"Easy labels recover most of the gap: {k}": (a.recovered, _permuted(e, a)) for k, a in labels.items()}
    taught = ", ".join(f"{a.n} problems to the {a.role} ({a.topic})" for a in labels.values())
    return part(
        "Generator and evaluator",
        f"{e.hard} hard test problems of {e.topics[0]}, {e.seeds} seeds; taught were {taught}. An "
        f"evaluator that is taught easy problems can also answer hard ones, by choosing the best of {e.candidates} candidates.",
        *claims(most, unit=UNIT, why=WHY, bar=0.5),
        intervals(
            "Share of the gap that easy labels recover",
            {k: a.recovered for k, a in labels.items()},
            nulls={k: _permuted(e, a) for k, a in labels.items()},
            groups={k: a.role for k, a in labels.items()},
            x=UNIT,
            caption="95 % intervals. Grey: permuted labels.",
        ),
        intervals(
            "An evaluator as a generator",
            {f"{a.topic}: {a.arm}": a.picks for a in picks},
            x=f"hard problems where the best of {e.candidates} candidates is right, share",
            reference=(1 / e.candidates, "chance"),
        ),
    )


def _permuted(e: Evidence, a: Arm) -> Estimate:
    found = e.of(a.topic, a.role, PERMUTED)
    return found.recovered if found else Unmeasured("not taught")


def by_level(e: Evidence) -> Part:
    """Show how far each student gets as problems grow."""
    levels = [a for a in e.arms if a.level]
    first = [a for a in levels if a.topic == e.topics[0] and a.role in WHO]
    drawn = lines(first, "level", "score", name=lambda a: f"{a.role}, {a.arm}")
    steps = lines(e.steps, "step", "right", name=lambda s: s.arm)
    return part(
        "Where it breaks off",
        f"Easy problems have at most {e.easy} operations; texts are not cut into levels. The last plot asks whether the next "
        "step would be right if all before it were; the last step is the answer.",
        curves("Score by operations", drawn, x="operations", y=SCORES),
        curves("Next step, longest problems", steps, x="step", y="share right"),
        *([table("By operations", LEVELS, map(_level, levels))] if levels else []),
    )


def _level(a: Arm) -> tuple[Cell, ...]:
    return (a.topic, a.role, a.arm, a.level, a.score, a.recovered)


def by_measure(e: Evidence) -> Part:
    """Show what other measures call hard."""
    some = [a for a in e.arms if a.arm == EASY and not a.level and a.role in WHO]
    lost = {f"{a.role}, {a.topic}": negative(a.less) for a in some if a.measure == RANDOM}
    return part(
        "What is called hard",
        "Whether easy labels carry over depends on what hard means: of problems that are hard by another measure, some easy ones "
        "are as long. A split by nothing is the null: its easy half must do as well as its hard half.",
        *(null_control(f"By nothing, the easy half is not worse: {k}", x, unit="score lost") for k, x in lost.items()),
        intervals(
            "Easy-taught minus hard-taught, on hard problems",
            {f"{a.role}, {a.topic}: {a.measure}": a.less for a in some},
            groups={f"{a.role}, {a.topic}: {a.measure}": a.role for a in some},
            x="difference of scores",
            reference=(0.0, "as good"),
        ),
        listed("How far measures agree", Agreement, e.agreements),
    )


def controls(e: Evidence) -> Part:
    """Show what needs no teaching, what must not work, and generators whose positions are told in another way."""
    shown = [a for a in e.arms if not a.level and a.measure == e.measures[0]]
    permuted = {f"{a.role}, {a.topic}": a.recovered for a in shown if a.arm == PERMUTED}
    untaught = [(a.topic, a.role, a.arm, a.score) for a in shown if not a.n]
    others = [a for a in shown if a.n and a.role not in WHO]
    return part(
        "Controls, and positions",
        "In its own words: an untaught student, asked in the format and words of its pre-training. Where it does well there, "
        "labels only attach what it knows to a new way of showing it. Gaps: while it is taught, a fifth of the tokens stand "
        "further behind the one before them. Padded: words that mean nothing stand in front, so that easy problems are as long "
        "as hard ones. There the ceiling is what is taught all problems.",
        *(null_control(f"Permuted labels recover none of the gap: {k}", x, unit=UNIT) for k, x in permuted.items()),
        table("Untaught", ("topic", "role", "asked", "score"), untaught),
        *([table("Other positions (operations 0: all hard ones)", LEVELS, map(_level, others))] if others else []),
    )


def everything(e: Evidence) -> Part:
    """Show every arm."""
    on_hard = [a for a in e.arms if not a.level]
    return part("Every student", SCORES, listed("Every student, on hard problems", Arm, on_hard, without=["level"]))
