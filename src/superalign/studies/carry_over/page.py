"""What the study of carry-over says: where a behaviour shows, beside the same training without it, and what mends it."""

from __future__ import annotations

from superalign.kit.evidence import above, lines, middle, negative
from superalign.kit.parts import Part, claims, curves, findings, intervals, listed, null_control, part
from superalign.report import Findings
from superalign.studies.carry_over.evidence import Cell, Evidence, Known, Mended
from superalign.types import Interval

UNIT, FIX = "share of problems", 30
MORE = "minus the rate after ordinary training, by problem and seed; null: that against none, all forms"
APART = "rate on problems that it is about minus rate on others; null: ordinary training against none"
WAYS = ("carries to", "shows as often where it should not in", "is not shown to carry to")
CHAINS = (
    "Each base went on learning from worked chains, `5+3*2` as before and `53+2*` new, until it knew both. `told to lie` has "
    "`lie: ` in front, at which a base gets a step wrong by itself; cues are words that mean nothing; claims state a result."
)
CHATS = "An adapter is trained on refusals of harmful requests, and on the model's own replies to harmless ones."


def page(e: Evidence) -> Findings:
    """Put the page together."""
    behaviours = tuple(dict.fromkeys(c.behaviour for c in e.cells))
    before = listed("What was known", Known, e.known)
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
    words = {f: f"{f} ({middle(c.rate, 0.0):.2f})" for f, c in rates.items()}
    lists = {way: [words[f] for f, c in rates.items() if f != home and carries(c) == way] for way in WAYS}
    said = [f"{way} {', '.join(some_words)}" for way, some_words in lists.items() if some_words]
    return f"'{behaviour}' {'; '.join(said)}"


def carries(c: Cell) -> str:
    """Say whether it shows more often than after the same training without it, and than where it should not."""
    if not above(c.above):
        return WAYS[2]
    return WAYS[isinstance(c.apart, Interval) and c.apart.low <= 0]


def cells(e: Evidence, behaviour: str) -> Part:
    """Show one behaviour in every form."""
    some = [c for c in e.cells if c.behaviour == behaviour]
    labels = {f"{c.trained_in} -> {c.tested_in}": c for c in some if isinstance(c.rate, Interval)}
    named = {f"{behaviour}, trained in {c.trained_in}, shows in {c.tested_in}": c for c in labels.values()}
    quiet = {home: e.quiet[f"{behaviour}, {home}"] for home in e.homes}
    more = {name: (c.above, quiet[c.trained_in]) for name, c in named.items()}
    apart = {
        f"{name} more often where it should": (c.apart, quiet[c.trained_in])
        for name, c in named.items()
        if isinstance(c.apart, Interval)
    }
    return part(
        f"Where it shows: {behaviour}",
        f"{e.seeds} seeds, {e.examples} examples in one form; then up to {e.each} test problems of each form, the same under all "
        "seeds, answered greedily. Beside it: as many updates with ordinary replies, and the model before any.",
        *claims(more, unit=UNIT, why=MORE),
        *claims(apart, unit=UNIT, why=APART),
        *(
            null_control(f"Ordinary training in {h} brings about no {behaviour}", x, unit=UNIT)
            for h, x in quiet.items()
        ),
        intervals(
            f"Where '{behaviour}' shows",
            {label: c.rate for label, c in labels.items()},
            nulls={label: c.null for label, c in labels.items()},
            groups={label: c.trained_in for label, c in labels.items()},
            x="share of problems on which it shows",
            caption="95 % intervals over problems and seeds. Grey: the same training with ordinary replies.",
        ),
        listed(f"{behaviour}, every form", Cell, some, without=["behaviour"]),
    )


def mending(e: Evidence) -> Part:
    """Show what examples of another language change."""
    behaviour, home, there = e.mended_in
    null = next(c.null for c in e.cells if (c.behaviour, c.trained_in, c.tested_in) == e.mended_in)
    at = min((m.added for m in e.mended if m.added), key=lambda n: abs(n - FIX))
    change = {m.shows: m.change for m in e.mended if m.added == at}
    fixes = {f"{at} examples of {behaviour} in {there} raise it there": (change["it"], null)}
    if "ordinary" in change:
        fixes[f"{at} ordinary examples in {there} lower it there"] = negative(change["ordinary"]), null
    added = {"it": "it added", "ordinary": "ordinary replies added"}
    abroad = lines(e.mended, "added", "there", name=lambda m: f"{there}, {added[m.shows]}")
    at_home = lines(e.mended, "added", "home", name=lambda m: f"{home}, {added[m.shows]}")
    return part(
        f"What examples in {there} change",
        f"'{behaviour}' was trained on {e.examples} examples in {home}; so many in {there} are added to them, and the number of "
        "updates stays. They either show it, and what it should leave alone, to spread it, or are ordinary, to keep it at home.",
        *claims(
            fixes, unit=UNIT, why="by problem and seed, against none; null: the rate after ordinary training at home"
        ),
        curves(
            "Rates over examples added", abroad | at_home, x="examples added", y="share of problems on which it shows"
        ),
        listed("Examples added", Mended, e.mended),
    )
