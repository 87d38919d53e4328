"""What the study of easy labels says: generator and evaluator side by side, by every measure of hardness, beside controls."""

from __future__ import annotations

from superalign.kit.evidence import Estimate, along
from superalign.kit.parts import Part, claims, curves, findings, in_words, intervals, null_control, part, table
from superalign.lab.arm_names import EASY, EVALUATOR, GENERATOR, PERMUTED, RANDOM
from superalign.report import Cell, Findings
from superalign.studies.easy_to_hard.evidence import Arm, Evidence
from superalign.types import Interval, Unmeasured

UNIT = "share of the gap"
WHO = {GENERATOR: "those who write answers", EVALUATOR: "those who judge them"}
COLUMNS = (
    "topic|role|hard by|taught|problems|score on hard ones|share of the gap|minus hard-taught|right of the candidates"
).split("|")
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
    found = [a for t in e.topics for r in (GENERATOR, EVALUATOR) if (a := e.of(t, r, EASY)) is not None]
    picks = [a for a in e.arms if a.measure == e.measures[0] and not a.level and isinstance(a.picks, Interval)]
    return part(
        "Generator and evaluator",
        f"{e.hard} hard test problems of {e.topics[0]}, {e.seeds} seeds; taught were {', '.join(_taught(a) for a in found)}. An "
        f"evaluator that is taught easy problems can also answer hard ones, by choosing the best of {e.candidates} candidates.",
        *claims(
            {
                f"Easy labels recover most of the gap: {a.role}, {a.topic}": (a.recovered, _permuted(e, a))
                for a in found
            },
            unit=UNIT,
            why=WHY,
            bar=0.5,
        ),
        intervals(
            "Share of the gap that easy labels recover",
            {f"{a.role}, {a.topic}": a.recovered for a in found},
            nulls={f"{a.role}, {a.topic}": _permuted(e, a) for a in found},
            groups={f"{a.role}, {a.topic}": a.role for a in found},
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


def _taught(a: Arm) -> str:
    return f"{a.n} problems to the {a.role} ({a.topic})"


def _permuted(e: Evidence, a: Arm) -> Estimate:
    found = e.of(a.topic, a.role, PERMUTED)
    return found.recovered if found else Unmeasured("not taught")


def by_level(e: Evidence) -> Part:
    """Show how far each student gets as problems grow."""
    levels = [a for a in e.arms if a.level]
    drawn = {
        f"{role}, {arm}": along(some, "level", "score")
        for role in (GENERATOR, EVALUATOR)
        for arm in dict.fromkeys(a.arm for a in levels)
        if (some := [a for a in levels if (a.topic, a.role, a.arm) == (e.topics[0], role, arm)])
    }
    steps = {
        arm: along(these, "step", "right")
        for arm in dict.fromkeys(s.arm for s in e.steps)
        if (these := [s for s in e.steps if s.arm == arm])
    }
    return part(
        "Where it breaks off",
        f"Easy problems have at most {e.easy} operations; texts are not cut into levels. The last plot asks whether the next "
        "step would be right if all before it were; the last step is the answer.",
        *([curves("Score by operations", drawn, x="operations", y=SCORES)] if drawn else []),
        *([curves("Next step, longest problems", steps, x="step", y="share right")] if steps else []),
        *([table("By operations", LEVELS, map(_level, levels))] if levels else []),
    )


def _level(a: Arm) -> tuple[Cell, ...]:
    return (a.topic, a.role, a.arm, a.level, a.score, a.recovered)


def by_measure(e: Evidence) -> Part:
    """Show what other measures call hard."""
    some = [a for a in e.arms if a.arm == EASY and not a.level and a.role in WHO]
    ranks = [(r.topic, r.one, r.other, r.rank_correlation, r.n) for r in e.agreements]
    return part(
        "What is called hard",
        "Whether easy labels carry over depends on what hard means: of problems that are hard by another measure, some easy ones "
        "are as long. A split by nothing is the null: its easy half must do as well as its hard half.",
        *(
            null_control(f"By nothing, the easy half is not worse: {a.role}, {a.topic}", a.lost, unit="score lost")
            for a in some
            if a.measure == RANDOM
        ),
        intervals(
            "Easy-taught minus hard-taught, on hard problems",
            {f"{a.role}, {a.topic}: {a.measure}": a.less for a in some},
            groups={f"{a.role}, {a.topic}: {a.measure}": a.role for a in some},
            x="difference of scores",
            reference=(0.0, "as good"),
        ),
        table("How far measures agree", ("topic", "one", "other", "rank correlation", "problems"), ranks),
    )


def controls(e: Evidence) -> Part:
    """Show what needs no teaching, what must not work, and generators whose positions are told in another way."""
    shown = [a for a in e.arms if not a.level and a.measure == e.measures[0]]
    others = [a for a in shown if a.n and a.role not in WHO]
    return part(
        "Controls, and positions",
        "In its own words: an untaught student, asked in the format and words of its pre-training. Where it does well there, "
        "labels only attach what it knows to a new way of showing it. Gaps: while it is taught, a fifth of the tokens stand "
        "further behind the one before them. Padded: words that mean nothing stand in front, so that easy problems are as long "
        "as hard ones. There the ceiling is what is taught all problems.",
        *(
            null_control(f"Permuted labels recover none of the gap: {a.role}, {a.topic}", a.recovered, unit=UNIT)
            for a in shown
            if a.arm == PERMUTED
        ),
        table(
            "Untaught",
            ("topic", "role", "asked", "score"),
            [(a.topic, a.role, a.arm, a.score) for a in shown if not a.n],
        ),
        *([table("Other positions (operations 0: all hard ones)", LEVELS, map(_level, others))] if others else []),
    )


def everything(e: Evidence) -> Part:
    """Show every arm."""
    rows = [
        (a.topic, a.role, a.measure, a.arm, a.n, a.score, a.recovered, a.less, a.picks) for a in e.arms if not a.level
    ]
    return part("Every student", SCORES, table("Every student, on hard problems", COLUMNS, rows))
