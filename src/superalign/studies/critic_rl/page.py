"""What the study of trained critics says; it reads the evidence and nothing else. Shape suffixes as in evidence.py."""

from __future__ import annotations

import numpy as np

from superalign.lab.evidence import Curve, Estimate, curve_of, or_mean
from superalign.lab.panel import panel
from superalign.lab.parts import Part, bars, claim, claims, curves, findings, part, table
from superalign.report import Findings, Table
from superalign.stats import difference, mean_interval, mean_over, share
from superalign.studies.critic_rl import evidence as ev
from superalign.studies.critic_rl.evidence import CONTROL, LEVELS, OURS, RL, RL_SEARCH, SUPERVISED, Evidence, at
from superalign.trials import JUDGE, PLACEBO, PROTOCOL

MAIN_LEVEL = LEVELS.index(0.25)
FLAGGED, CAUGHT = "share of items", "share of flaws that the critic highlights"
MEANS = (
    "Trained critics send a judge's one check to flaws of the kinds they were trained on. A model that plants flaws to be "
    "missed finds ones that are; retraining on these closes many such holes, not all."
)
LIMITS = (
    "One synthetic domain, six steps, one flaw each; a critique is a list of steps, without words or a claimed value.",
    "Critic, reward model and planter are small networks; the planter may change one symbol of one step and nothing else.",
    "The judge's errors are facts it is wrong about for good; people err in other ways.",
    "The supervised critic that the search is held against has no reward model: the search also uses the judge's checks.",
)
PANEL = (
    "Chains of {} operations, worked step by step. Each was randomised: left as it is, given a flaw by hand (slip, wrong "
    "source, miscopy, operator), a flaw by a planter that was trained against this critic, or a placebo edit that changes no "
    "value. A judge decides whether the solution is right. It may execute one step, and is wrong for good about {:.0%} of all "
    "elementary facts; they are other facts than those of the judge whose comparisons the critic was trained on.\n\nAlone it "
    "checks a random step; with a critique it checks the first highlight, and a random step where nothing is highlighted. "
    "Critics are set to {:g} nit-picks a solution on training problems. The placebo is the critique of another item. The "
    "judge's probability is the share of training solutions that were right where its check came out so."
)
HITS = (
    "A hit rate without its false alarms would reward a critic that points at everything; both are here, at one check each. "
    "The retrained critics are those of the last round, below; the planter is the first, whose other flaws one of them was "
    "retrained on."
)
MORE = (
    "The judge hits more flaws by hand with the RL critic than with its placebo",
    "The judge hits more of the planter's flaws with the RL critic than with its placebo",
    "The judge hits more flaws by hand with the RL critic than with the supervised critic",
    "Planter's flaws: the judge hits more with the retrained critic than with the RL critic",
    "Planter's flaws: it hits more than with a critic retrained on flaws by hand",
    "A random step from somebody else helps the judge",
    "The RL critic causes more false alarms than its placebo",
    "The judge that the critic was trained on raises more false alarms with it than another judge",
)
FRONTIER = (
    "{} flawed test solutions (flaws by hand), with as many clean or placebo-edited ones beside them, {} seeds. A nit-pick is "
    "a highlighted step that states the right value. Along a line the critic is made to highlight more: by a bias against "
    "stopping, or by the search's modifier. The search draws 28 critiques, forced to hold at least 0 to 6 highlights, and "
    "keeps the one with the highest reward plus m times the number of highlights. Random: as many highlights as the RL critic "
    "with search, elsewhere. '{}' uses the judge's checks another way: it trains the supervised critic further on the very "
    "same checked steps as labels, with no comparisons, no reward model, no RL."
)
PAID = (
    "The judge compares two critiques of a solution with one check each: it looks at one highlight (or at a random step where "
    "there is none), is pleased if that step is wrong by its own facts, displeased if it is right. A reward model is fit to "
    "these comparisons, and the critic is trained on the reward model. Exact grading counts every true highlight as 1, every "
    "false one as -1, silence about a flaw as -1. The critic in training is held against the supervised one, on training "
    "solutions that it is not trained on. The judge who is trained against never scores: the trial has another."
)
RACE = (
    "A planter rewrites one symbol of one step of a right solution; the rest is worked on from there. It earns 1 if execution "
    "shows a flaw and the critic highlights no wrong step, and something for variety. Each round a planter is trained from "
    "nothing against the critic and measured on test problems; then the critic is retrained on all flaws so far, either the "
    "planters' or as many by hand. Critics are set anew each round to {:g} nit-picks a solution, on training problems. Edits "
    "that change no value are no flaws: {:.0%} of an untrained planter's, {:.0%} of those by hand. They are drawn again, and "
    "earn nothing."
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    level, few, last = LEVELS[MAIN_LEVEL], LEVELS[0], e.last
    found = {c: e.levels_LPS(c).mean((1, 2)) for c in (SUPERVISED, RL_SEARCH)}
    first, fresh = (float(e.caught_PS(OURS, k, "fresh").mean()) for k in (0, last))
    return findings(
        f"At {level:g} nit-picks a solution, a critic trained by RL and searched finds {found[RL_SEARCH][MAIN_LEVEL]:.0%} of "
        f"flaws by hand, a supervised one {found[SUPERVISED][MAIN_LEVEL]:.0%}; at {few:g} it finds {found[RL_SEARCH][0]:.0%} and "
        f"{found[SUPERVISED][0]:.0%}. Of the flaws of a planter trained against it {first:.0%} are found; after {last} rounds of "
        f"retraining, of a fresh planter's, {fresh:.0%}.",
        [decisions(e), hits(e), frontier(e), paid(e), race(e)],
        means=MEANS,
        limits=LIMITS,
    )


def decisions(e: Evidence) -> Part:
    """Show the standard panel."""
    return panel(
        e.decisions,
        protocol="the RL critic",
        text=PANEL.format(e.length, 1 - e.main[0].learned.judge, e.nitpicks),
        note="All but the author and the expert: one check by a judge who is wrong about some facts.",
    )


def hits(e: Evidence) -> Part:
    """Show hit rate and false alarms of the judge under every arm, by what was done to the item."""
    named = {JUDGE: "judge alone", PLACEBO: "critique of another item", PROTOCOL: "RL critic"}
    arms = (JUDGE, ev.CHANCE, PLACEBO, ev.FIRST, PROTOCOL, ev.SEARCHED, ev.RETRAINED, ev.BY_HANDS, ev.TAUGHT, ev.ORACLE)
    hand, planted, both, sound = (ev.BY_HAND,), (ev.PLANTED,), (ev.BY_HAND, ev.PLANTED), (ev.CLEAN, ev.PLACEBO_EDIT)
    pairs = (
        (PROTOCOL, PLACEBO, hand),
        (PROTOCOL, PLACEBO, planted),
        (PROTOCOL, ev.FIRST, hand),
        (ev.RETRAINED, PROTOCOL, planted),
        (ev.RETRAINED, ev.BY_HANDS, planted),
        (ev.CHANCE, JUDGE, both),
        (PROTOCOL, PLACEBO, sound),
        (ev.TAUGHT, PROTOCOL, sound),
    )

    def more(arm: str, over: str, some: tuple[str, ...]) -> Estimate:
        return difference(e.found_PS(arm, *some) - e.found_PS(over, *some))

    drawn = {
        f"{named.get(arm, arm)}: {what}": (share(e.found_PS(arm, *some)), what)
        for what, some in (("flaw by hand", hand), ("trained planter's flaw", planted), ("no flaw", sound))
        for arm in (JUDGE, PLACEBO, PROTOCOL, ev.RETRAINED, ev.BY_HANDS)
    }
    shown = (ev.BY_HAND, ev.PLANTED, ev.CLEAN, ev.PLACEBO_EDIT)
    columns = (*(f"hits: {c}" for c in shown[:2]), *(f"false alarms: {c}" for c in shown[2:]))
    return part(
        "Hits and false alarms",
        HITS,
        *claims(
            {name: (more(*pair), more(PLACEBO, JUDGE, pair[-1])) for name, pair in zip(MORE, pairs, strict=True)},
            unit=FLAGGED,
            why="one check each, paired by item and seed; null: the critique of another item minus the judge alone; a random "
            "step is a control that should not help",
        ),
        bars(
            "How often the judge says that a solution is flawed",
            {label: found for label, (found, _) in drawn.items()},
            x=FLAGGED,
            groups={label: what for label, (_, what) in drawn.items()},
            caption="Hits where there is a flaw, false alarms where there is none. Lines: 95 % over items and seeds.",
        ),
        table(
            "Hits and false alarms",
            ("arm", *columns),
            [(named.get(arm, arm), *(share(e.found_PS(arm, c)) for c in shown)) for arm in arms],
        ),
    )


def frontier(e: Evidence) -> Part:
    """Show the share of flaws caught against nit-picks, for every critic."""
    order = (RL_SEARCH, RL, ev.SUPERVISED_SEARCH, SUPERVISED, ev.CHECKS, ev.RANDOM)
    levels = {c: e.levels_LPS(c) for c in (*order, ev.AGAIN)}
    pairs = [(MAIN_LEVEL, one, SUPERVISED) for one in (RL, RL_SEARCH, ev.SUPERVISED_SEARCH)]
    pairs += [(MAIN_LEVEL, RL_SEARCH, other) for other in (RL, ev.RANDOM, ev.CHECKS)]
    pairs += [(0, one, SUPERVISED) for one in (RL_SEARCH, ev.SUPERVISED_SEARCH)]

    def more(one: str, other: str, k: int) -> Estimate:
        return difference(levels[one][k] - levels[other][k])

    gains = {
        f"At {LEVELS[k]} nit-picks a solution, {a} finds more flaws than {b}": (
            more(a, b, k),
            more(ev.AGAIN, SUPERVISED, k),
        )
        for k, a, b in pairs
    }
    searched = []
    for of in zip(*(m.searched for m in e.main), strict=True):
        found = (mean_interval([getattr(s, what) for s in of]) for what in ("caught", "nitpicks", "highlights"))
        searched.append((of[0].critic, of[0].percentile, float(np.mean([s.modifier for s in of])), *found))
    return part(
        "The frontier",
        FRONTIER.format(levels[RL].shape[1], len(e.main), ev.CHECKS),
        *claims(
            gains,
            unit="share of flaws by hand",
            why="held-out solutions, interpolated along each critic's frontier, paired by solution and seed; null: the "
            "supervised critic drawn again minus itself",
        ),
        curves(
            "Flaws found against nit-picks",
            {c: curve_of(LEVELS, list(levels[c]), share) for c in order},
            x="nit-picks: right steps highlighted, a solution",
            y="share of flaws that are highlighted",
            caption="Bands: 95 % over solutions and seeds.",
        ),
        table(
            "Difference to the supervised critic at equal nit-picks",
            ("critic", *(f"at {level:g}" for level in LEVELS)),
            [
                (c, *(more(c, SUPERVISED, k) for k in range(len(LEVELS))))
                for c in (RL, ev.SUPERVISED_SEARCH, RL_SEARCH, ev.CHECKS, ev.AGAIN, ev.RANDOM)
            ],
        ),
        table(
            "The search at the published percentiles of length",
            ("critic", "percentile of lengths", "m, mean over seeds", "flaws found", "nit-picks", "highlights"),
            searched,
        ),
    )


def paid(e: Evidence) -> Part:
    """Show what the reward model and the judge make of critiques along RL, against what they are worth."""
    main, exact = [m.learned for m in e.main], e.learned.get((1.0, 0.0), [])
    won, picks = "share of comparisons won, over seeds", [x.grown("nitpicks") for x in main]
    taken = [x.grown("believed") for x in main]
    against = "share of comparisons with the supervised critic's critiques that are won"

    def lines(named: dict[str, str]) -> dict[str, Curve]:
        return {
            name: curve_of(main[0].updates, list(np.array([x.along[what] for x in main]).T), mean_interval)
            for what, name in named.items()
        }

    proxies = {
        who: (at(main, what, minus="gold"), at(main, what, 0, minus="gold"))
        for what, who in (("reward", "the reward model expects"), ("judge", "the judge it is trained on says"))
    }
    rows = []
    for (judge, trust), some in e.learned.items():
        ends = (at(some, what) for what in ("reward", "judge", "gold"))
        kinds = (("nitpicks", 0), ("nitpicks", -1), ("believed", -1))
        picked = (np.array([x.along[what][k] for x in some]) for what, k in kinds)
        more = mean_interval([x.grown("recall") for x in some])
        rows.append((judge, trust, *ends, more, *(or_mean(mean_interval(p), p) for p in picked), len(some)))
    return part(
        "What the judge pays, and what is true",
        PAID,
        *claims(
            {f"After RL, {who} that critiques are better than they are": found for who, found in proxies.items()},
            unit=won,
            why=f"{against}, minus that by exact grading; null: before RL",
        ),
        *claims(
            {
                f"{who} makes critiques better, by exact grading": (at(some, "gold"), at(some, "gold", 0))
                for who, some in (("RL", main), ("RL before a judge who knows all facts", exact))
            },
            unit=won,
            bar=0.5,
            why=f"{against}, at the critic's own length; null: before RL",
        ),
        claim(
            "RL on an erring judge's comparisons teaches nit-picks",
            mean_interval(picks),
            null=mean_interval([x.grown("nitpicks") for x in exact]),
            unit="nit-picks a solution, over seeds",
            why="after RL minus before, at the critic's own length; null: the same before a judge who knows all facts",
        ),
        claim(
            "The nit-picks that RL adds are right steps that the judge takes for flaws",
            mean_interval(taken),
            null=mean_interval([p - t for p, t in zip(picks, taken, strict=True)]),
            unit="such nit-picks a solution, over seeds",
            why="right steps that the judge would find wrong if it checked them, after RL minus before; null: other nit-picks",
        ),
        curves(
            "What RL earns, and what it is worth",
            lines(
                {"reward": "reward model expects", "judge": "the judge's one check says", "gold": "exact grading says"}
            ),
            x="updates",
            y="share of comparisons won",
            caption="Bands: 95 % over seeds.",
            reference=(0.5, "as good"),
        ),
        curves(
            "Nit-picks along RL",
            lines({"nitpicks": "all nit-picks", "believed": "those that the judge takes for flaws"}),
            x="updates",
            y="right steps highlighted, a solution",
            caption="Drawn at the critic's own length. Bands: 95 % over seeds.",
        ),
        table(
            "Critics trained before other judges",
            (
                *("facts the judge knows", "worth of an unchecked highlight", "reward model: won", "judge: won"),
                *("exact grading: won", "flaws found, after minus before", "nit-picks before", "nit-picks after"),
                *("of these, taken for flaws by the judge", "seeds"),
            ),
            rows,
        ),
    )


def race(e: Evidence) -> Part:
    """Show how planters fare against critics that were retrained on their predecessors' flaws, or on flaws by hand."""
    last, hits, two = e.last, e.caught_PS, "null: two planters, trained apart against the same first critic"
    first, end, other = hits(OURS, 0, "fresh"), hits(OURS, last, "fresh"), hits(CONTROL, last, "fresh")
    start, other_start = hits(OURS, 0, "untrained"), hits(CONTROL, 0, "fresh")
    closed, other_closed = hits(OURS, 1, "before") - first, hits(CONTROL, 1, "before") - other_start
    sharp = hits(OURS, 0, "sharp")
    by_hand = hits(OURS, last, "hand") - hits(CONTROL, last, "hand")
    gains = {
        "Retraining on a planter's flaws closes the hole more than retraining on as many by hand": mean_over(
            closed - other_closed, span=(-2.0, 2.0)
        ),
        f"After {last} rounds a fresh planter is caught more often than at first": difference(end - first),
        f"After {last} rounds a fresh planter is caught more often than after retraining on flaws by hand": difference(
            end - other
        ),
        "Retraining on planters' flaws finds more flaws by hand than retraining on as many flaws by hand": difference(
            by_hand
        ),
    }
    lines = {
        "fresh planter, retrained on planters' flaws": (OURS, "fresh"),
        "fresh planter, retrained on flaws by hand": (CONTROL, "fresh"),
        "untrained planter": (OURS, "untrained"),
        "flaws by hand": (OURS, "hand"),
    }
    none = float(np.mean([m.untrained.none for m in e.main]))
    return part(
        "A planter that is trained to be missed",
        RACE.format(e.nitpicks, none, e.no_flaws),
        claim(
            "A trained planter's flaws are missed more than an untrained planter's",
            difference(start - first),
            null=difference(start - hits(OURS, 0, "blind")),
            unit=CAUGHT,
            why="flaws in the same test problems, untrained minus trained; null: untrained minus a planter trained on what the "
            "critic says of other edits",
        ),
        *claims(
            {name: (gain, difference(first - other_start)) for name, gain in gains.items()},
            unit=CAUGHT,
            why="flaws in the same test problems, as many to retrain on in both arms; the hole: the first planter's flaws, "
            f"retrained critic minus first critic, in one arm minus the other; {two}",
        ),
        claim(
            f"After {last} rounds a fresh planter that need not vary is caught more often than at first",
            difference(hits(OURS, last, "sharp") - sharp),
            null=difference(sharp - hits(CONTROL, 0, "sharp")),
            unit=CAUGHT,
            why=f"a planter that earns almost nothing for variety; {two}",
        ),
        curves(
            "Share of flaws that the critic highlights, round by round",
            {
                name: curve_of(range(last + 1), [hits(arm, k, whose) for k in range(last + 1)], share)
                for name, (arm, whose) in lines.items()
            },
            x="rounds of retraining",
            y=CAUGHT,
            caption="Each round trains a planter anew, then retrains the critic. Bands: 95 % over problems and seeds.",
        ),
        rounds(e),
        looks(e),
    )


def rounds(e: Evidence) -> Table:
    """List both arms, round by round."""
    whose = {
        "hand": "flaws by hand",
        "untrained": "untrained planter",
        "before": "planter of the round before",
        "fresh": "fresh planter",
        "sharp": "fresh planter that need not vary",
    }
    rows = []
    for arm in (OURS, CONTROL):
        for k in range(e.last + 1):
            some = e.rounds(arm, k)
            found = (share(e.caught_PS(arm, k, w)) if w in some[0].caught else "" for w in whose)
            picks = mean_over(np.array([r.nitpicks_P for r in some]).T)
            rows.append((arm, k, *found, picks, mean_interval([r.looks.none for r in some])))
    columns = ("retrained on", "round", *whose.values(), "nit-picks a solution", "edits that are no flaws")
    return table("Share of flaws that the critic highlights", columns, rows)


def looks(e: Evidence) -> Table:
    """List which symbols planters change, and where."""
    named = {"untrained": [m.untrained for m in e.main]}
    named |= {f"trained, round {k}": [r.looks for r in e.rounds(OURS, k)] for k in (0, e.last)}
    slots = list(e.main[0].untrained.slots)
    rows = []
    for name, some in named.items():
        shares = (np.mean([x.slots[slot] for x in some]) for slot in slots)
        ends = (np.mean([getattr(x, what) for x in some]) for what in ("first_half", "different"))
        rows.append((name, *map(float, (*shares, *ends))))
    columns = ("planter", *(f"changes the {s}" for s in slots), "in the first half", "different edits")
    return table("What planters' flaws look like", columns, rows)
