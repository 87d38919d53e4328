"""What the market study says: the panel, the price against truth and against the judge, longer rows, other claims, slips."""

from __future__ import annotations

from collections.abc import Mapping

from superalign.kit.panel import panel
from superalign.kit.parts import Part, claim, curves, findings, part, table_of
from superalign.report import Cell, Findings, Plot, Table
from superalign.studies.market.evidence import BELIEVED, MAIN, NONE, RANDOM, SCRIPT, STABLE, SURE, Evidence, Market
from superalign.trials.oversight_panel import AGENT
from superalign.types import Claim, Unmeasured

ERROR = "mean distance of the first price from truth"
PANEL = (
    "Claims about rows of {numbers} dice: 'the sum is v', half true. The judge adds two numbers at a time. The market decides by "
    "its price before any argument, so that it costs the judge nothing once it is trained. The judge alone makes as many "
    "additions as she hears arguments in training, of stretches chosen at random; voting asks her again for each game that "
    "training proposes. The agent alone is a market that was trained without arguments; the placebo one that was trained with "
    "random ones."
)
MEANS = (
    "A price foresees the judge. It tells the truth where what the adversary shows brings the judge to the truth, and follows "
    "her where she errs."
)
LIMITS = (
    "The judge knows nothing until she has added everything up: there is no argument that misleads her without an error of her "
    "own. What persuasion does to a judge who can be persuaded is not measured here.",
    "Arguments only say which stretches to join. A language model would have to find words for them.",
    "Folding a row by products is built into the market's reading; it suits claims of this sort.",
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    error = e.main[MAIN].share("error")
    in_words = "could not be measured" if isinstance(error, Unmeasured) else f"lies {error.value:.3f} from the truth"
    decided = panel(e.decisions, protocol="a market's first price", nothing=AGENT, text=PANEL.format(numbers=e.numbers))
    return findings(
        f"The price before any argument {in_words} on average (0.5 knows nothing), on claims about rows that it never saw.",
        [decided, prices(e), longer(e), kinds(e), slips(e)],
        means=MEANS,
        limits=LIMITS,
    )


def prices(e: Evidence) -> Part:
    """Show the first price against truth and against the judge."""
    return part(
        "The first price against truth and against the judge",
        f"A price is stable if it moves by {STABLE} at most while the adversary argues as hard as in training, and sure if "
        f"it lies {SURE} or more from a half. 'Scripted' arguments are the shortest that settle a question: what this market "
        "could learn at best.",
        claim(
            "A trained adversary's arguments bring the first price nearer to the truth than random ones",
            e.main[RANDOM].more("error", than=e.main[MAIN]),
            unit="price",
            null=e.main[NONE].above_coin,
            why=f"{ERROR}: random arguments minus searched ones; null: a coin minus a market without arguments",
        ),
        claim(
            "The first price ranks true claims above false ones",
            e.main[MAIN].ranking,
            unit="AUROC",
            null=e.main[NONE].ranking,
            bar=0.5,
            why="over seeds; null: trained without arguments",
        ),
        claim(
            f"With a judge who believes {BELIEVED} whatever she hears, the price goes there",
            e.constant.share("constant"),
            unit="share of items",
            null=e.main[MAIN].share("constant"),
            bar=0.9,
            why=f"first prices within 0.05 of {BELIEVED}; null: with a judge who listens",
        ),
        learning("Price at t = 0 against truth, while it trains", e.main),
        markets("Prices", {**e.main, f"constant judge, {BELIEVED}": e.constant}),
    )


def longer(e: Evidence) -> Part:
    """Rows of more numbers, in several ways."""
    named = {f"{n}, {way}": market for n, ways in e.longer.items() for way, market in ways.items()}
    return part(
        "Longer rows",
        "Of the games that random arguments make, fewer settle a question the longer the row is. 'Nothing wasted': random "
        "proposals keep to what the judge can follow. 'Curriculum': rows grow from two numbers as the arguments come to settle "
        "them. 'Both' also has a wider market, twice the updates and fewer random proposals towards the end; random and scripted "
        "arguments were trained like it.",
        *(
            above_coin(f"Rows of {n}, {way}", market, null=ways[RANDOM], of="random arguments")
            for n, ways in e.longer.items()
            for way, market in ways.items()
            if way not in (SCRIPT, RANDOM)
        ),
        learning("Longer rows, way by way", named),
        markets("Rows of more numbers", {f"{e.numbers}, market": e.main[MAIN], **named}),
    )


def kinds(e: Evidence) -> Part:
    """Claims that are not sums."""
    every = {"sum": e.main, **e.kinds}
    rows = {
        k + suffix: by_arm[arm] for k, by_arm in every.items() for arm, suffix in ((MAIN, ""), (SCRIPT, ", scripted"))
    }
    return part(
        "Other claims",
        "'At least': the sum reaches v. 'Xor': the bitwise exclusive or is v. 'Product': the product modulo 7 is v.",
        *(
            above_coin(f"Claims of the kind '{kind}'", by_arm[MAIN], null=e.main[NONE], of="sums, no arguments")
            for kind, by_arm in e.kinds.items()
        ),
        markets("Kinds of claims", rows),
    )


def slips(e: Evidence) -> Part:
    """Show a judge who gets additions wrong."""
    worst = max((rate for rate, _ in e.slips), default=0.0)
    how = {False: "anew each time", True: "on the same pairs every time"}
    rows = {f"{rate:.0%}, {how[same]}": market for (rate, same), market in e.slips.items()}
    return part(
        "A judge who errs",
        "She gets some additions wrong by one. With slips that are the same every time the market can learn them, and is "
        "then stable where she is wrong: stability says nothing about truth.",
        *(
            claim(
                f"A judge who slips in {rate:.0%} of additions, {how[same]}, draws the price from the truth",
                market.share("error"),
                unit="price",
                null=e.main[MAIN].share("error"),
                bar=0.1,
                why=f"{ERROR} above 0.1; null: a judge who does not slip",
            )
            for (rate, same), market in e.slips.items()
            if rate == worst
        ),
        markets("Slips", {"0 %": e.main[MAIN], **rows}),
    )


def above_coin(name: str, market: Market, *, null: Market, of: str) -> Claim:
    """Claim that a first price says more than a price of a half."""
    return claim(
        f"{name}: the first price knows more than a coin",
        market.above_coin,
        unit="price",
        null=null.above_coin,
        why=f"0.5 minus the mean distance from truth; null: {of}",
    )


def learning(title: str, named: Mapping[str, Market]) -> Plot:
    """Draw the first price's distance from truth along training."""
    return curves(
        title,
        {name: market.learning for name, market in named.items()},
        x="updates",
        y=ERROR,
        caption="Held-out claims; means over seeds with 95 % intervals.",
        reference=(0.5, "a price that knows nothing"),
    )


def markets(title: str, rows: Mapping[str, Market]) -> Table:
    """Show what several ways of training came to."""
    return table_of(title, {name: columns(market) for name, market in rows.items()}, of="training")


def columns(market: Market) -> dict[str, Cell]:
    """Column -> cell."""
    return {
        "first price from truth": market.share("error"),
        "first price from the judge's last belief": market.share("beside_belief"),
        "the judge's last belief from truth": market.share("belief_error"),
        "movement |last - first price|": market.share("movement"),
        "stable, sure and wrong": market.share("stable_wrong"),
        "calibration error": market.calibration,
        "AUROC": market.ranking,
        "seeds": len(market.at),
    }
