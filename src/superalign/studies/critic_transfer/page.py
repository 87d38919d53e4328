"""What the study of a critic trained on planted flaws says: the ranking of real solutions, the trial, and what lies between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from superalign.kit.evidence import Estimate
from superalign.kit.parts import CHANCE, Part, claim, description, findings, intervals, part, table
from superalign.report import Cell, Findings, Table
from superalign.stats import share
from superalign.studies.critic_transfer.evidence import Evidence
from superalign.trials.one_check import ALONE, ARITHMETIC, CRITIC, PLACEBO, RULE, RULES
from superalign.types import Interval, Unmeasured

BAR = 0.72  # set beforehand; a prototype reached 0.71
RANKED = "share of pairs of one question with the wrong one more suspicious"
RANKINGS = ("score", "kept questions", "these, models balanced", "questions chosen on", "all questions", "pooled AUROC")
KINDS = ("kind", "pairs", "flawed ranked worse", "called flawed", "first wrong step named", "chance of that")
VERSIONS = ("flaws found", "false alarms, clean", "flaws found, placebo-edited", "false alarms, placebo-edited")
FOUND = "difference in share of planted flaws found"
SAME = "same judge, same number of checks; null: placebo minus judge alone"
HELP = (
    ("a placebo pointer", PLACEBO, SAME),
    ("the judge alone", ALONE, SAME),
    ("one rule", RULE, "the rule names the first operand from nowhere, which is also part of what the judge checks"),
    ("both rules", RULES, "operand from nowhere, or a false equation: all that this judge can check"),
)
MEANS = (
    "The critic is an aid to a judge, not a judge: it ranks solutions and names a step worth a look. It does not say that a "
    "solution is right."
)
LIMITS = (
    "Planted flaws are not real errors; the last section shows how far apart they are.",
    "Settings and features were chosen on planted flaws and on the model solutions to five ninths of the test questions; the "
    "claims on real solutions are from the others.",
    "The critic and the judge share two ideas, that an equation must hold and that an operand must come from somewhere. The arm "
    "with both rules shows how much of the critic's help these alone give.",
    "The models' solutions are from 2021, one per question and model. Other models err otherwise.",
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    ranked, null = e.real.ranking(e.scores["critic"])[0], e.real.mean_ranking(e.shuffled_DM)[0]
    return findings(
        "A critic trained only on planted flaws finds the wrong one of two real solutions to the same question "
        f"{per_cent(ranked, digits=0)} of the time; with shuffled labels {per_cent(null)}.",
        [real_solutions(e), trial(e), planted_flaws(e), distance(e)],
        means=MEANS,
        limits=LIMITS,
    )


def per_cent(found: Estimate, digits: int = 1) -> str:
    """Write a share inside a sentence."""
    return "an unmeasured share" if isinstance(found, Unmeasured) else f"{found.value:.{digits}%}"


def real_solutions(e: Evidence) -> Part:
    """Right above wrong among the labelled solutions of real models, within their questions."""
    r, (D, M) = e.real, e.shuffled_DM.shape
    critic, by_model, *others = (r.ranking(score_M) for score_M in e.scores.values())
    null, highest = r.mean_ranking(e.shuffled_DM), max(r.shares(score_M)[0] for score_M in e.shuffled_DM)
    names = ("critic", f"critics of shuffled labels, mean of {D}", *list(e.scores)[1:])
    rows = dict(zip(names, (critic, null, by_model, *others), strict=True))
    plot = intervals(
        "Right above wrong, real solutions of the same question",
        {name: ranking[0] for name, ranking in rows.items()},
        x="share of pairs",
        caption="Test questions that nothing was chosen on; ties count half; intervals by question.",
    )
    kept = f"questions that nothing was chosen on; n counts them; null: mean of {D} shuffled critics, highest {highest:.1%}"
    whole = "the bar was set beforehand; holds only if the whole interval lies above it"
    style = f"knowing only which model wrote a solution ranks {per_cent(by_model[0])} of all pairs, half of these"
    claims = (
        ("right ranked above wrong, real solutions of the same question", 0, 0.5, kept),
        (f"right ranked above wrong at least {BAR:.0%} of the time", 0, BAR, whole),
        ("right ranked above wrong, each ordered pair of models weighed the same", 1, 0.5, style),
    )
    sources = range(len(r.sources))
    return part(
        "Real solutions",
        f"{M} labelled solutions of four models to {r.questions} test questions make {len(r.kept_K)} pairs of a right and a "
        f"wrong one to the same question, {int(r.kept_K.sum())} of them kept for the claim. The critic was trained on none of "
        "these solutions and none of these questions; it sees a question and one solution. Pooled over questions a score "
        "profits from knowing which questions are hard; within a question it cannot. It may still profit from knowing how the "
        "better models write; with the models balanced it cannot.",
        *(claim(name, critic[k], null=null[k], bar=bar, unit=RANKED, why=why) for name, k, bar, why in claims),
        replace(plot, references=(CHANCE, (BAR, "bar"))),
        table("Right ranked above wrong", RANKINGS, [(name, *ranking) for name, ranking in rows.items()]),
        table(
            "By the model of the right and of the wrong solution, all questions",
            ("right one by", *(f"wrong one by {s}" for s in r.sources)),
            [(r.sources[i], *(r.by_source(e.scores["critic"], i, j) for j in sources)) for i in sources],
        ),
    )


def trial(e: Evidence) -> Part:
    """Show the judge's trial in all arms, on solutions as they are and after a placebo edit."""
    t = e.trial
    null, more = t.more(PLACEBO, ALONE), {a: t.more(CRITIC, a) for a in (ALONE, PLACEBO, RULE, ARITHMETIC, RULES)}
    shares = {arm: t.shares(arm) for arm in t.plain}
    right, own = (per_cent(share(call == t.planted_N)) for call in (t.plain[CRITIC].called_N, t.own_N))
    kinds = [(kind, *(t.found(arm, kind) for arm in t.plain)) for kind in e.flaw_kinds]

    def shown(title: str, columns: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> Table:
        return table(title, columns, rows, records=[t.record] * len(rows))

    return part(
        "The judge's trial",
        f"{len(t.kind_N)} right test solutions, each randomised to clean ({int((~t.planted_N).sum())}) or to one planted flaw "
        f"({int(t.planted_N.sum())}). The judge has no answer and may check one step: does its equation hold, and does each "
        "operand come from the question, from common knowledge or from an earlier result? It cannot see a wrong choice of "
        "operation or source, so the ceiling is far from 1. A flaw is found where the check fails at the first wrong step.",
        *(claim(f"critic's help over {name}", more[a][0], null=null[0], unit=FOUND, why=why) for name, a, why in HELP),
        description(
            "false alarms that the critic adds on clean solutions",
            more[ALONE][1],
            null=null[1],
            unit="difference in share of clean solutions called flawed",
            why="the price of its help; null: placebo minus judge alone",
        ),
        description(
            "discriminator-critique gap (CD)",
            t.gap(CRITIC),
            null=t.gap(PLACEBO),
            unit="difference in accuracy",
            why=f"judged critiques are right {right} of the time, the critic's own call {own}; below 0 it knows more than it can "
            "show this judge. Null: with the placebo's pointers",
        ),
        intervals(
            "Planted flaws found with one check",
            {arm: cells[0] for arm, cells in shares.items()},
            x="share of planted flaws found",
            caption="Found: the judge's check fails at the step that is first wrong. 95 % intervals.",
        ),
        shown("Arms", ("arm", *VERSIONS), [(arm, *cells) for arm, cells in shares.items()]),
        shown(
            "Differences, paired by solution",
            ("difference", *VERSIONS[:2]),
            [(f"{CRITIC} minus {arm}", *cells) for arm, cells in more.items()],
        ),
        shown("Flaws found, by kind", ("kind", *t.plain), kinds),
    )


def planted_flaws(e: Evidence) -> Part:
    """Show what the critic learned of planted flaws, on training questions that it was not trained on."""
    h, every = e.held_out, e.held_out.of()
    null = Interval(value=h.at_random, low=h.at_random, high=h.at_random, n=int((h.step_H >= 0).sum()))

    def row(name: str, of_H: np.ndarray) -> tuple[Cell, ...]:
        shares = (share(better[of_H]) for better in (h.flawed_H > h.right_H, h.flawed_H > e.threshold))
        return (name, int(of_H.sum()), *shares, h.named(of_H), h.chance(of_H))

    return part(
        "What the critic learned of planted flaws",
        f"Trained on {e.trained_on} pairs; measured on {len(every)} pairs of other training questions. At its threshold it "
        f"calls {per_cent(share(h.right_H > e.threshold))} of the right ones flawed.",
        claim(
            "first wrong step named, planted flaws",
            h.named(every),
            bar=h.at_random,
            null=null,
            unit="share of flawed solutions",
            why="training questions held out; null: a step named at random",
        ),
        table("By kind of flaw", KINDS, [*(row(kind, h.of(kind)) for kind in e.flaw_kinds), row("all", every)]),
    )


def distance(e: Evidence) -> Part:
    """Show how far planted flaws are from real errors, in numbers that can be compared."""
    wrong = e.real.wrong_M
    rows = [(name, share(has[wrong]), share(has[~wrong])) for name, has in e.contains.items()]
    false, rejected, of_right = rows[0][1], rows[2][1], rows[2][2]
    return part(
        "How far planted flaws are from real errors",
        f"Real errors are errors of reasoning: {per_cent(false)} of the wrong real solutions contain a false equation, and "
        f"{per_cent(rejected)} have any step that the judge could reject, against {per_cent(of_right)} of the right ones. A "
        f"planted flaw is ranked worse than its right solution {per_cent(share(e.held_out.flawed_H > e.held_out.right_H))} of "
        "the time, a real wrong solution much less often.\n\nThe help that the critic gives the judge in the trial does not "
        "carry over to real errors, most of which no single check of this judge can show. What carries over is the ranking, in "
        "part. Nothing here shows that the critic finds where a real solution goes wrong: real solutions are labelled by their "
        "answers, not by their steps.",
        table("Real solutions that contain", ("", "wrong ones", "right ones"), rows),
    )
