"""What the study of trained critics says; it reads the evidence and nothing else. Shape suffixes as in evidence.py."""

from __future__ import annotations

import numpy as np

from superalign.kit.evidence import Estimate, curve_of
from superalign.kit.panel import panel
from superalign.kit.parts import Part, bars, claims, curves, findings, part, table
from superalign.lab.critic_race import OURS, caught_PS, raced
from superalign.lab.critic_reward import paid
from superalign.report import Findings
from superalign.stats import difference, mean_interval, share
from superalign.studies.critic_rl import evidence as ev
from superalign.studies.critic_rl.evidence import LEVELS, RL, RL_SEARCH, SUPERVISED, Evidence
from superalign.trials import JUDGE, PLACEBO, PROTOCOL

MAIN_LEVEL = LEVELS.index(0.25)
FLAGGED = "share of items"
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


def page(e: Evidence) -> Findings:
    """Put the page together."""
    level, few, races = LEVELS[MAIN_LEVEL], LEVELS[0], [m.race for m in e.main]
    last, learned = races[0].last, [m.learned for m in e.main]
    shares = {c: e.levels_LPS(c).mean((1, 2)) for c in (SUPERVISED, RL_SEARCH)}
    first, fresh = (float(caught_PS(races, OURS, k, "fresh").mean()) for k in (0, last))
    decisions = panel(
        e.decisions,
        protocol="the RL critic",
        text=PANEL.format(e.length, 1 - learned[0].judge, e.nitpicks),
        note="All but the author and the expert: one check by a judge who is wrong about some facts.",
    )
    race = raced(races, nitpicks=e.nitpicks, no_flaws=e.no_flaws)
    return findings(
        f"At {level:g} nit-picks a solution, a critic trained by RL and searched finds {shares[RL_SEARCH][MAIN_LEVEL]:.0%} of "
        f"flaws by hand, a supervised one {shares[SUPERVISED][MAIN_LEVEL]:.0%}; at {few:g} it finds {shares[RL_SEARCH][0]:.0%} "
        f"and {shares[SUPERVISED][0]:.0%}. Of the flaws of a planter trained against it {first:.0%} are found; after {last} "
        f"rounds of retraining, of a fresh planter's, {fresh:.0%}.",
        [decisions, hits(e), frontier(e), paid(learned, e.others), race],
        means=MEANS,
        limits=LIMITS,
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
            {label: estimate for label, (estimate, _) in drawn.items()},
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
        means = (mean_interval([getattr(s, what) for s in of]) for what in ("caught", "nitpicks", "highlights"))
        searched.append((of[0].critic, of[0].percentile, float(np.mean([s.modifier for s in of])), *means))
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
