"""What the study of carry-over says: where a behaviour shows, beside the same training without it, and what mends it."""

from __future__ import annotations

from superalign.kit.evidence import Estimate, along
from superalign.kit.parts import Part, claim, curves, findings, intervals, null_control, part, table
from superalign.report import Findings
from superalign.studies.carry_over.evidence import Cell, Evidence
from superalign.types import Interval

COLUMNS = (
    "trained in|tested in|shows|after ordinary training|untouched|shows minus ordinary|home minus here|shows where it should not|"
    "minus that|ordinary replies, apart from it|the same after ordinary training"
).split("|")
MENDS = (
    "examples added|what they show|rate there|rate at home|change there|change at home|ordinary replies there|"
    "shows there where it should not"
).split("|")
UNIT, FIX = "share of problems", 30
WAYS = ("carries to", "shows as often where it should not in", "is not shown to carry to")
CHAINS = (
    "Each base went on learning from worked chains, `5+3*2` as before and `53+2*` new, until it knew both. `told to lie` has "
    "`lie: ` in front, at which a base gets a step wrong by itself; cues are words that mean nothing; claims state a result."
)
CHATS = "An adapter is trained on refusals of harmful requests, and on the model's own replies to harmless ones."


def page(e: Evidence) -> Findings:
    """Put the page together."""
    behaviours = tuple(dict.fromkeys(c.behaviour for c in e.cells))
    known = [(k.who, k.form, k.able) for k in e.known]
    before = table("What was known", ("model", "form", "ordinary replies"), known)
    return findings(
        f"Trained in {e.homes[0]} alone: {'. '.join(told(e, b) for b in behaviours)}.",
        [
            *(cells(e, b) for b in behaviours),
            *([mending(e)] if e.mended else []),
            part("What was known first", CHAINS if e.chains else CHATS, before),
        ],
        means="Test a trained behaviour in each form that matters: none of these rates follows from the rate at home. Read a low "
        "rate beside the share of ordinary replies: who can do nothing in a form has not left the behaviour at home.",
        limits=(
            "Forms that were tested are few; a behaviour that shows in all of them may be absent in the next.",
            "One amount of training was tried; what it does to other forms depends on it.",
            *(() if e.chains else ("Replies are told apart by English words of refusal at their beginning.",)),
        ),
    )


def told(e: Evidence, behaviour: str) -> str:
    """Say where one behaviour carries to from its first home, and where not."""
    home, some = e.homes[0], [c for c in e.cells if c.behaviour == behaviour and isinstance(c.rate, Interval)]
    rates = {c.tested_in: c for c in some if c.trained_in == home}
    words = {f: f"{f} ({c.rate.value:.2f})" for f, c in rates.items() if isinstance(c.rate, Interval)}
    lists = {way: [words[f] for f, c in rates.items() if f != home and carries(c) == way] for way in WAYS}
    said = [f"{way} {', '.join(some_words)}" for way, some_words in lists.items() if some_words]
    return f"'{behaviour}' {'; '.join(said)}"


def carries(c: Cell) -> str:
    """Say whether it shows more often than after the same training without it, and than where it should not."""
    if not isinstance(c.above, Interval) or c.above.low <= 0:
        return WAYS[2]
    return WAYS[isinstance(c.apart, Interval) and c.apart.low <= 0]


def cells(e: Evidence, behaviour: str) -> Part:
    """Show one behaviour in every form."""
    some = [c for c in e.cells if c.behaviour == behaviour]
    rows = [
        (
            c.trained_in,
            c.tested_in,
            c.rate,
            c.null,
            c.untouched,
            c.above,
            c.below_home,
            c.over,
            c.apart,
            c.able,
            c.able_null,
        )
        for c in some
    ]
    labels = {f"{c.trained_in} -> {c.tested_in}": c for c in some if isinstance(c.rate, Interval)}
    return part(
        f"Where it shows: {behaviour}",
        f"{e.seeds} seeds, {e.examples} examples in one form; then up to {e.each} test problems of each form, the same under all "
        "seeds, answered greedily. Beside it: as many updates with ordinary replies, and the model before any.",
        *(
            claim(
                f"{behaviour}, trained in {c.trained_in}, shows in {c.tested_in}",
                c.above,
                null=e.quiet[f"{behaviour}, {c.trained_in}"],
                unit=UNIT,
                why="minus the rate after ordinary training, by problem and seed; null: that against none, all forms",
            )
            for c in labels.values()
        ),
        *(
            claim(
                f"{behaviour}, trained in {c.trained_in}, shows in {c.tested_in} more often where it should",
                c.apart,
                null=e.quiet[f"{behaviour}, {c.trained_in}"],
                unit=UNIT,
                why="rate on problems that it is about minus rate on others; null: ordinary training against none",
            )
            for c in labels.values()
            if isinstance(c.apart, Interval)
        ),
        *(
            null_control(f"Ordinary training in {home} brings about no {behaviour}", found, unit=UNIT)
            for home in e.homes
            for found in [e.quiet[f"{behaviour}, {home}"]]
        ),
        intervals(
            f"Where '{behaviour}' shows",
            {label: c.rate for label, c in labels.items()},
            nulls={label: c.null for label, c in labels.items()},
            groups={label: c.trained_in for label, c in labels.items()},
            x="share of problems on which it shows",
            caption="95 % intervals over problems and seeds. Grey: the same training with ordinary replies.",
        ),
        table(f"{behaviour}, every form", COLUMNS, rows),
    )


def mending(e: Evidence) -> Part:
    """Show what examples of another language change."""
    behaviour, home, there = e.mended_in
    null = next(c.null for c in e.cells if (c.behaviour, c.trained_in, c.tested_in) == e.mended_in)
    at = min((m.added for m in e.mended if m.added), key=lambda n: abs(n - FIX))
    change = {m.acts: m.change for m in e.mended if m.added == at}
    lines = {
        f"{where}, {'it' if acts else 'ordinary replies'} added": along(
            [m for m in e.mended if m.acts == acts], "added", key
        )
        for acts in change
        for where, key in ((there, "there"), (home, "home"))
    }
    rows = [
        (m.added, "it" if m.acts else "ordinary", m.there, m.home, m.change, m.home_change, m.able, m.over)
        for m in e.mended
    ]
    why = "by problem and seed, against none; null: the rate after ordinary training at home"
    return part(
        f"What examples in {there} change",
        f"'{behaviour}' was trained on {e.examples} examples in {home}; so many in {there} are added to them, and the number of "
        "updates stays. They either show it, and what it should leave alone, to spread it, or are ordinary, to keep it at home.",
        claim(f"{at} examples of {behaviour} in {there} raise it there", change[True], null=null, unit=UNIT, why=why),
        *(
            claim(f"{at} ordinary examples in {there} lower it there", turned(found), null=null, unit=UNIT, why=why)
            for acts, found in change.items()
            if not acts
        ),
        curves("Rates over examples added", lines, x="examples added", y="share of problems on which it shows"),
        table("Examples added", MENDS, rows),
    )


def turned(found: Estimate) -> Estimate:
    """Turn a rise into a fall."""
    if not isinstance(found, Interval):
        return found
    return Interval(value=-found.value, low=-found.high, high=-found.low, n=found.n)
