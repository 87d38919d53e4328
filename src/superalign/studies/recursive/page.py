"""What the study of recursive reward modelling says: accuracy by level, with and without assistants, and what was paid."""

from __future__ import annotations

import numpy as np

from superalign.kit.evidence import Curve, Estimate
from superalign.kit.parts import CHANCE, Part, claim, curves, findings, intervals, part, percent, table
from superalign.lab.trained import training
from superalign.report import Findings
from superalign.stats import difference, mean_interval, mean_over, share
from superalign.studies.recursive.evidence import ALONE, ARMS, HELPED, MATCHED, NULL, TRUTH, Evidence

UNIT = "share of held-out pairs, a right and a wrong answer"
SHUFFLED = "null: assistants trained on shuffled labels, minus no assistants"
MEANS = (
    "A judge who can verify one step can train a reward model for many, if the agents trained one level below tell it where the "
    "last step starts. What an agent gets wrong is passed up. The ladder works where a question can be cut so that one step is "
    "left; nothing is said of questions that cannot."
)
LIMITS = (
    "Reward models and agents are small recurrent networks on chains of operations modulo ten. Each starts from the one of the "
    "level below, in every arm.",
    "The judge asks for a right prefix and verifies the last step exactly. A judge who errs was not studied here.",
    "The reward model that trains the assistant on worked arithmetic reads question and answer only; it cannot see wrong steps "
    "behind a right answer.",
    "Checks are counted per label. There are only 3,000 different single steps, so a judge who remembers needs no more.",
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    helped, alone = (percent(share(e.share_PS(arm, "pairs", e.levels))) for arm in (HELPED, ALONE))
    return findings(
        f"At {e.levels} operations a reward model whose judge had assistants ranks {helped} of pairs right, and {alone} with as "
        "many labels and no assistants.",
        [ladder(e), agents(e), judging_and_producing(e), *training(e.trained, protocol="recursive reward modelling")],
        means=MEANS,
        limits=LIMITS,
    )


def ladder(e: Evidence) -> Part:
    """Reward models by level, and what assistants add."""
    levels = range(1, e.levels + 1)
    named = [f"{k} operation{'s' if k > 1 else ''}" for k in levels]
    shares = {arm: tuple(share(e.share_PS(arm, "pairs", k)) for k in levels) for arm in ARMS}

    def gain(arm: str, over: str, level: int = e.levels) -> Estimate:
        return difference(e.share_PS(arm, "pairs", level) - e.share_PS(over, "pairs", level))

    return part(
        "The ladder",
        "At level k a response to a chain of k operations is labelled with one check. With assistants, the agent of level "
        "k - 1 says what all but the last operation are worth, and the judge verifies the last step from there. Without, the "
        "judge verifies one random step of the response. A reward model reads the chain and the claimed answer. It is right "
        "about a pair if it scores the right answer above the wrong one.",
        claim(
            f"Assistants make the reward model better at {e.levels} operations, with the same labels",
            gain(HELPED, ALONE),
            unit=UNIT,
            null=gain(NULL, ALONE),
            why=f"with assistants minus without, paired by question and seed; {SHUFFLED}",
        ),
        claim(
            f"And better than with the agents' computation spent on labels, at {e.levels} operations",
            gain(HELPED, MATCHED),
            unit=UNIT,
            null=gain(NULL, MATCHED),
            why="no assistants, but more labels and updates; null: assistants trained on shuffled labels, minus the same",
        ),
        curves(
            "Pairs ranked right, by level",
            {arm: Curve(tuple(map(float, levels)), shares[arm]) for arm in ARMS},
            x="operations",
            y="share of held-out pairs ranked right",
            caption="95 % intervals over questions and seeds.",
            reference=CHANCE,
        ),
        table(
            "Reward models on held-out pairs",
            ("arm", *named, "labels a level"),
            [(arm, *shares[arm], e.ladders[arm][0].labels_L[0]) for arm in ARMS],
        ),
        table(
            "Gain of assistants, same labels",
            ("difference", *named),
            [
                (f"{arm} minus {over}", *(gain(arm, over, k) for k in levels))
                for arm, over in ((HELPED, ALONE), (HELPED, MATCHED), (NULL, ALONE), (TRUTH, HELPED))
            ],
        ),
    )


def agents(e: Evidence) -> Part:
    """Agents trained on the reward models of the highest level."""
    top = e.levels

    def more(arm: str) -> Estimate:
        return difference(e.share_PS(arm, "answers", top) - e.share_PS(ALONE, "answers", top))

    along = {}
    for arm in (HELPED, ALONE, NULL):
        for what in ("paid", "right"):
            y = np.mean([getattr(c, f"{what}_LT")[top - 1] for c in e.ladders[arm]], axis=0)
            along[f"{arm}: {what}"] = Curve(tuple(10.0 * (t + 1) for t in range(len(y))), tuple(y.tolist()))
    return part(
        "Agents trained on the reward models",
        "Each agent follows the exact gradient of what its reward model pays it. The grader, which no agent and no reward "
        "model saw, says how many answers are right.",
        claim(
            f"Agents trained on the reward model answer better at {top} operations",
            more(HELPED),
            unit="share of held-out questions",
            null=more(NULL),
            why=f"the grader decides; {SHUFFLED}",
        ),
        claim(
            f"Without assistants the agent is paid for what is wrong, at {top} operations",
            mean_interval(e.paid_beyond_right_S(ALONE)),
            unit="mean reward minus share of answers right",
            null=mean_interval(e.paid_beyond_right_S(TRUTH)),
            bar=0.05,
            why="at the end of the agent's training, over seeds; null: labels by truth",
        ),
        curves(
            f"What the agent is paid, and what is right, at {top} operations",
            along,
            x="per cent of its training",
            y="mean",
            caption="Mean over seeds, on chains that nothing else is reported on.",
        ),
        table(
            f"Agents at {top} operations",
            ("arm", "answers right, held out", "paid minus right at the end"),
            [(a, share(e.share_PS(a, "answers", top)), mean_interval(e.paid_beyond_right_S(a))) for a in ARMS],
        ),
    )


def corrected(shares: np.ndarray, chance: float) -> np.ndarray:
    """Put a share on the scale where chance is 0 and perfection 1.

    Example:
        >>> corrected(np.array([0.5, 1.0]), 0.5).tolist()
        [0.0, 1.0]
    """
    return np.asarray((shares - chance) / (1 - chance))


def judging_and_producing(e: Evidence) -> Part:
    """Is judging easier than producing?"""
    rows, differences = [], dict[str, Estimate]()
    for arm in (HELPED, TRUTH):
        for level in range(1, e.levels + 1):
            judging = corrected(e.share_PS(arm, "calls", level), 0.5)
            producing = corrected(e.share_PS(arm, "answers", level), 0.1)
            differences[f"{arm}, {level}"] = easier = mean_over(judging - producing, span=(-2.0, 2.0))
            rows.append((arm, level, *(mean_over(x, span=(-1.0, 1.0)) for x in (judging, producing)), easier))
    return part(
        "Is judging easier than producing?",
        "On one scale, 0 is chance and 1 is perfect. Judging: the reward model calls a right answer right and a wrong one "
        "wrong. Producing: the agent that was trained on this reward model answers. Above zero, judging is easier at this level.",
        intervals(
            "Judging minus producing",
            differences,
            x="difference, chance = 0 and perfect = 1",
            caption="95 % intervals over questions and seeds.",
        ),
        table("Judging and producing", ("arm", "operations", "judging", "producing", "difference"), rows),
    )
