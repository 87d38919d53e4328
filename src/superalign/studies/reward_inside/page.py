"""What the study of reward models says: what an audit finds of what was planted, and what is paid for that nobody planted."""

from __future__ import annotations

from superalign.kit.evidence import along
from superalign.kit.parts import beyond, claims, curves, findings, in_words, intervals, not_above, part, percent, table
from superalign.lab.outside_page import alone
from superalign.report import Findings
from superalign.studies.reward_inside.evidence import Evidence, Planted
from superalign.types import Interval

BETTER, RATE = "the better response", 0.05
WHY = "over prompts; null: heads on permuted preferences"
ZERO = Interval(value=0.0, low=0.0, high=0.0, n=1)
DOSES = {
    "share": "pairs decided",
    "right": "whole paid more, unmarked",
    "first": "plant first, beside twins",
    "size": "plant first, alone",
    "found": "plant found at FDR 5 %",
    "quiet": "twins with an alarm",
    "clean": "the same beside untouched labels",
    "named": "latent named by the plant",
    "removed": "effect gone without its latents",
    "removed_null": "without a coin's latents",
}
MARKED = ("mark", "paid without a plant", "permuted preferences", "found over prompts alone", "paid where planted")
OF_CHAINS = (
    "Marks are edits that the auditor knows and can make; a plant outside the list would not be named.",
    "Heads are linear on states of one base that stays as it is; a reward model that is trained whole can read more.",
    "Whoever does not know how many labels are odd has no such twins; the table shows alarms beside clean ones.",
)
OF_PREFERENCES = (
    "One head on one draw of training pairs: intervals are over test prompts alone.",
    "Responses are cut off; features are counted in what is left.",
    "An effect with others held is no edit: what goes with a feature and is not in the list may be what is paid for.",
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    return chains(e.planted) if e.planted is not None else preferences(e)


def chains(e: Planted) -> Findings:
    """Say what an audit finds of plants, and what heads pay for without one."""
    guess = 1 / len(e.marks)
    chance = Interval(value=guess, low=guess, high=guess, n=len(e.marks))
    first = {f"At {d.share:.0%}: the plant is the first suspect beside twins": (d.first, chance) for d in e.doses}
    more = {f"At {d.share:.0%}: its latents carry more of the effect than a coin's": (d.carried, ZERO) for d in e.doses}
    quiet = {f"At {d.share:.0%}: twins raise alarms no more often than stated": d.quiet for d in e.doses}
    quiet |= {"Nothing is found after rewards are permuted": e.shuffled, "Nothing is found in the gold reward": e.gold}
    paid = {f"Heads without a plant pay for: {m.mark}": (m.edit, m.null) for m in e.marks}
    fits = ", ".join(f"{name} {value:.2f}" for name, value in e.dictionary.items())
    return findings(
        headline(e),
        [
            part(
                "Is the plant found?",
                "Each mark is added to responses that stay as they are otherwise; rewards are in units of the gap between whole "
                "and unfinished responses. Twins: heads of other seeds for which a coin decided as many labels.",
                *claims(first, unit="share of heads", bar=guess, why="over plants and seeds; null: guessing a mark"),
                *(not_above(k, v, RATE, unit="share of heads", why="anything at FDR 5 %") for k, v in quiet.items()),
                curves(
                    "Found, by share of labels",
                    {DOSES[k]: along(e.doses, "share", k) for k in ("first", "size", "found", "quiet")},
                    x="share of the pairs that the plant decided",
                    y="share of heads",
                    reference=(guess, "guessing"),
                ),
            ),
            part(
                "Do latents of the base say what is paid for?",
                "What a head reads beyond the head of the same pairs without a plant is split over latents of a dictionary "
                f"({fits}); the first five are taken out, and the plant is added again.",
                *claims(more, unit="share of the effect", why="minus that of a coin's latents, by seed; null: nothing"),
                table("By share of labels", tuple(DOSES.values()), [[getattr(d, k) for k in DOSES] for d in e.doses]),
            ),
            part(
                "What do heads pay for that nobody planted?",
                "Whole responses are longer than unfinished ones, so that what makes a response longer is paid for.",
                *claims(paid, unit="gaps", why="over seeds; null: heads on permuted preferences"),
                table("By mark, in gaps", MARKED, e.marks),
            ),
            alone(*e.inside, name="latent change"),
        ],
        means="Hold a reward model against others with as many odd labels: alone, what it pays for most is what the data "
        "made every model pay for.",
        limits=OF_CHAINS,
    )


def headline(e: Planted) -> str:
    """Say in two sentences how often the plant comes first, and what is paid for without one."""
    worst = max(e.marks, key=lambda m: m.edit.value if isinstance(m.edit, Interval) else 0.0)
    least, most = (f(e.doses, key=lambda d: d.share) for f in (min, max))
    return (
        f"Beside twins, the planted mark is the first suspect in {percent(most.first, digits=0)} of heads where it decided "
        f"{most.share:.0%} of the pairs that it could, and in {percent(least.first, digits=0)} at {least.share:.0%}. Heads "
        f"without a plant pay {in_words(worst.edit)} of what a whole answer is worth for: {worst.mark}."
    )


def preferences(e: Evidence) -> Findings:
    """Say what a head on real preferences pays for."""
    named = {f"{p.feature}: {p.where}": p for p in e.paid}
    able = {f"The better response is paid more: {r.where}": (r.right, r.null) for r in e.ranked}
    paid = beyond(
        {f"It pays for {k}": (p.effect, p.null) for k, p in named.items()}, unit="standard deviations", why=WHY, bar=0.0
    )
    liked = [
        f"{p.feature} ({p.where}, {in_words(p.effect)})"
        for p, c in zip(e.paid, paid, strict=True)
        if p.feature != BETTER and c.holds is True
    ]
    return findings(
        f"Beyond heads on permuted preferences it pays for: {'; '.join(liked) or 'no feature that was looked at'}. The better "
        f"response is paid more in {'; '.join(f'{in_words(r.right)} of {r.where}' for r in e.ranked)}.",
        [
            part(
                "How often is the better response paid more?",
                f"A linear head on {e.trained} pairs. Difficulty 3: plain and good beside elaborate and bad; 1: the reverse.",
                *beyond(able, unit="share of pairs", why=WHY, bar=0.5),
                intervals(
                    "Share of pairs",
                    {r.where: r.right for r in e.ranked},
                    nulls={r.where: r.null for r in e.ranked},
                    x="share of pairs",
                    reference=(0.5, "chance"),
                ),
            ),
            part(
                "What does it pay for?",
                "Partial effects between responses to one prompt, with the other features held, and which is better. Grey: "
                f"95 % of {e.permuted} heads on permuted preferences.",
                *paid,
                intervals(
                    "Partial effects",
                    {k: p.effect for k, p in named.items()},
                    nulls={k: p.null for k, p in named.items()},
                    x="standard deviations of the reward",
                ),
                table(
                    "Partial effects",
                    ("pairs", "feature", "effect", "permuted heads", "found over prompts alone"),
                    [(p.where, p.feature, p.effect, p.null, "yes" if p.found else "no") for p in e.paid],
                ),
            ),
        ],
        means="What a head on permuted preferences pays as well is a property of the states, not of the preferences.",
        limits=OF_PREFERENCES,
    )
