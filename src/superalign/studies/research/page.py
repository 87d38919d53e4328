"""What the study of an untrusted researcher says: findings, what they cost, who tried what, and how good the keepers are."""

from __future__ import annotations

from superalign.kit.parts import (
    Part,
    beyond_chance,
    description,
    findings,
    in_words,
    intervals,
    null_control,
    part,
    percent,
    table,
)
from superalign.lab.research_parts import decisions, evaluators, monitors, walls
from superalign.report import Findings
from superalign.studies.research.evidence import Asked, Evidence
from superalign.types import Interval, Unmeasured

COLUMNS = "problem|which|submissions|better|best score told|tries|passed|sealed gain|predicted|by".split("|")
GAIN = "gain in the question's own metric"


def page(e: Evidence) -> Findings:
    """Put the page together."""
    real = [a for a in e.asked if not a.twin]
    found = [a for a in real if a.replicated is True]
    said = (
        "; ".join(f"{a.kind} by {in_words(a.gain)}" for a in found)
        if found
        else "none of its methods beats a published baseline on a family that was never searched"
    )
    count = sum(a.submissions for a in e.asked)
    escaped = sum(w.escaped for w in e.walls)
    return findings(
        f"{count} submissions in {e.wall_s / 60:.0f} minutes: {len(found)} of {len(real)} questions have a finding that "
        f"held on the sealed family ({said}), {sum(a.replicated is True for a in e.asked if a.twin)} of "
        f"{len(e.asked) - len(real)} impossible twins do; {escaped} of {sum(w.tried for w in e.walls)} attempts to escape "
        f"got through; monitors catch "
        f"{percent(e.worst[-1].flagged)} of the worst kind of planted cheat.",
        [
            campaign(e),
            researchers(e),
            walls(e.walls),
            monitors(e.rates, e.worst, e.mixed, e.prevalence),
            evaluators(e.arms, e.null, e.best),
            decisions(e.left, e.people, e.human_s, e.stated),
            following(e),
        ],
        means="A finding is quotable: it was registered before, confirmed on fresh items and held on a family that nobody "
        "searched, under seeds that the vault drew. Released scores are not: they chose what was confirmed.",
        limits=(
            "Methods are small, on arrays read off small models; what holds here may not hold for large ones.",
            "Monitors are measured on cheats that were drawn from a zoo. A kind that is not in it may be missed always.",
            "The walls are one kernel's. A hole in it, or what can be told from shared hardware, is not tested.",
            "The evaluators are compared on scripted researchers and drawn methods, not on this campaign.",
        ),
    )


def campaign(e: Evidence) -> Part:
    """Show what was asked and found."""
    which = {True: "twin", False: "real"}
    rows = [
        (
            a.kind,
            which[a.twin],
            a.submissions,
            a.better,
            a.released,
            a.tries,
            a.passed,
            a.gain,
            a.predicted,
            a.by or "-",
        )
        for a in e.asked
    ]
    shown = {f"{a.kind}{' (twin)' if a.twin else ''}": a.gain for a in e.asked if isinstance(a.gain, Interval)}
    twins = {a.kind: a.gain for a in e.asked if a.twin}
    return part(
        "What was searched and found",
        "Each question has an impossible twin, where no method can beat the baseline; nobody was told which is which. "
        "The best by released score were confirmed on fresh items; the first that passed was revealed once, on a family "
        "that is in no other tier, under five seeds drawn afterwards. A gain is over the published baseline on the same items.",
        beyond_chance(
            "More real questions than impossible twins have a replicated finding",
            e.found,
            shuffled=e.found_null,
            unit="share of questions",
            why="null: impossible twins; a finding there is a cheat, a leak or luck",
        ),
        null_control("Impossible twins have no finding", e.found_null, unit="share of twins"),
        *(
            description(
                f"Gain on the sealed family: {a.kind}",
                a.gain,
                null=twins.get(a.kind, Unmeasured("its twin was not asked")),
                unit=GAIN,
                why=f"over {a.published}; {a.method[:200]}",
            )
            for a in e.asked
            if not a.twin and isinstance(a.gain, Interval)
        ),
        intervals("Gain on the sealed family", shown, x=GAIN),
        table("Questions", COLUMNS, rows),
        table("What was answered", ("tier and answer", "submissions"), e.words),
    )


def researchers(e: Evidence) -> Part:
    """Show who proposed what, and what was lost."""
    rows = [(s.name, s.submissions, s.better, s.unmeasured, s.ideas, s.uplift) for s in e.proposers]
    columns = ("researcher", "submissions", "better", "without a score", "effective families", "uplift over random")
    used = f" A language model was asked {dict(e.used).get('calls', 0)} times." if e.used else ""
    return part(
        "Who proposed",
        f"All share one notebook, which the vault keeps. They tried {e.ideas:.1f} effective families of methods together. The "
        f"researcher's process {e.ended}, after {e.cpu_s:.0f} s of processor time.{used} Uplift is in rungs of the ladder "
        "for each submission, that is for the same compute.",
        table("Researchers", columns, rows),
        table("Steps without a submission", ("why", "steps"), e.lost),
        table("Use of the language model", ("what", "count"), e.used),
    )


def following(e: Evidence) -> Part:
    """Say what to try next, by what became of each question."""
    rows = [(a.kind, a.method[:300] or "-", _next(a)) for a in e.asked if not a.twin]
    return part(
        "What to try next",
        f"By rule, from what became of each question. The vault's ledger ends at {e.head[:16]}.",
        table("Next", ("problem", "best method so far", "what to do"), rows),
    )


def _next(a: Asked) -> str:
    """Say what follows for one question."""
    if a.replicated is True:
        return "repeat it on the real model, and on another family"
    if isinstance(a.gain, Interval):
        return "it did not carry to the sealed family: search for what does, with a new sealed family"
    if a.passed:
        return "the sealed tier could not be measured: find out why"
    if a.tries:
        return "what climbed was not confirmed: more items, or fewer and bolder methods"
    return "nothing climbed: another family of methods"
