"""What the study of an untrusted researcher says: findings, what they cost, who tried what, and how good the keepers are."""

from __future__ import annotations

from collections import Counter

from superalign.kit.parts import Part, beyond_chance, findings, in_words, intervals, null_control, part, percent, table
from superalign.lab.pace import pace_table
from superalign.lab.research_parts import attackers, decisions, evaluators, monitors, nulls, walls
from superalign.report import Findings
from superalign.studies.research.evidence import Asked, Evidence
from superalign.types import Interval, Unmeasured

COLUMNS = "question|which|submissions|better|best told|tries|passed|sealed gain|e-value|kept|predicted|by".split("|")
GAIN = "gain in the question's own metric"


def page(e: Evidence) -> Findings:
    """Put the page together."""
    real = [a for a in e.asked if not a.twin]
    found = [a for a in real if a.replicated is True]
    said = (
        ", ".join(f"{n} on {kind}" for kind, n in Counter(a.kind for a in found).items())
        if found
        else "none of its methods beats a published baseline on a family that was never searched"
    )
    count = sum(a.submissions for a in e.asked)
    escaped = sum(w.escaped for w in e.walls)
    return findings(
        f"{count} submissions in {e.wall_s / 60:.0f} minutes: {len(found)} of {len(real)} questions have a finding that "
        f"held on the sealed family ({said}), {sum(a.kept.kept for a in found)} of them kept at a false discovery rate of "
        f"5 %; {sum(a.replicated is True for a in e.asked if a.twin)} of {len(e.asked) - len(real)} impossible twins do; "
        f"{escaped} of {sum(w.tried for w in e.walls)} attempts to escape got through; monitors catch "
        f"{percent(e.worst[-1].flagged)} of the worst kind of planted cheat.",
        [
            campaign(e),
            researchers(e),
            walls(e.walls),
            monitors(e.rates, e.worst, e.mixed, e.prevalence),
            evaluators(e.arms, e.null, e.best),
            nulls(e.nulls),
            attackers(e.attacked, e.times),
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
            a.name,
            which[a.twin],
            a.submissions,
            a.better,
            a.released,
            a.tries,
            a.passed,
            a.gain,
            a.kept.e,
            "yes" if a.kept.kept else "-",
            a.predicted,
            a.by or "-",
        )
        for a in e.asked
    ]
    shown = {f"{a.name}{' (twin)' if a.twin else ''}": a.gain for a in e.asked if isinstance(a.gain, Interval)}
    repeats = [a.kept.repeats for a in e.asked if not isinstance(a.kept.repeats, Unmeasured)]
    return part(
        "What was searched and found",
        "Each question has an impossible twin, where no method can beat the baseline; nobody was told which is which. "
        "The best by released score were confirmed on fresh items; the first that passed was revealed once, on a family "
        "that is in no other tier, under five seeds drawn afterwards. A gain is over the published baseline on the same items. "
        "Kept is what e-BH keeps over all questions asked, by bets on the sealed items: of what is kept one in twenty is "
        f"false on average, however long was searched. Run again, {sum(repeats)} of {len(repeats)} signed gains repeat. "
        f"Findings that are not verified, because they are not as the vault signed them: {e.unverified}; they count as none.",
        beyond_chance(
            "More real questions than impossible twins have a replicated finding",
            e.beyond.found,
            shuffled=e.beyond.shuffled,
            unit="difference of shares, mean over problems",
            why=f"{in_words(e.found)} of real questions, {in_words(e.found_null)} of twins; p = {e.beyond.p} if which are twins "
            "is shuffled within each problem; the interval is over problems",
        ),
        null_control("Impossible twins have no finding", e.found_null, unit="share of twins"),
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
        pace_table(e.paces),
        table("Steps without a submission", ("why", "steps"), e.lost),
        table("Use of the language model", ("what", "count"), e.used),
    )


def following(e: Evidence) -> Part:
    """Say what to try next, by what became of each question."""
    rows = [(a.name, a.published, a.method[:300] or "-", _next(a)) for a in e.asked if not a.twin]
    return part(
        "What to try next",
        f"By rule, from what became of each question. The vault's ledger ends at {e.head[:16]}.",
        table("Next", ("question", "published baseline", "best method so far", "what to do"), rows),
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
