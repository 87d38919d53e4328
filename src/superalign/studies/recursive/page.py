"""What the study of recursive reward modelling says: accuracy by level, with and without assistants, and what was paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from superalign.lab.training_arms import training_part
from superalign.ledger import Ledger
from superalign.report import Plot, Section, Study, Table
from superalign.report.claims import above, drawn
from superalign.report.study import Cell
from superalign.stats import difference, mean_interval, mean_over, share
from superalign.types import Claim, Interval, Unmeasured

HELPED, ALONE, MATCHED, NULL, TRUTH = (
    "with assistants",
    "no assistants",
    "no assistants, same computation",
    "assistants of shuffled labels",
    "labels by truth",
)
ARMS = (HELPED, ALONE, MATCHED, NULL, TRUTH)
UNIT = "share of held-out pairs, a right and a wrong answer"

Runs = Sequence[tuple[Any, Mapping[str, Any]]]


def values(runs: Runs, arm: str, what: str, level: int) -> np.ndarray:
    """What was measured at one level of an arm, (P, S): held-out questions and seeds."""
    return np.array([made[what][level - 1] for item, made in runs if item.arm == arm], dtype=float).T


def corrected(shares: np.ndarray, chance: float) -> np.ndarray:
    """A share on the scale where chance is 0 and perfection 1.

    Example:
        >>> corrected(np.array([0.5, 1.0]), 0.5).tolist()
        [0.0, 1.0]
    """
    return np.asarray((shares - chance) / (1 - chance))


def page(
    config: Any, *, runs: Runs, trained: Sequence[Mapping[str, Any]], ledger: Ledger, depths: Sequence[int]
) -> Study:
    """Write the study.

    Args:
        config: Its settings.
        runs: Every ladder: its job and what came of it.
        trained: What came of training against the highest reward model; empty if that part was left out.
        ledger: Where the panel's decisions are kept.
        depths: Difficulties of the problems that were trained on.
    """
    top = config.levels
    claims = _claims(runs, top)
    sections = [_levels(runs, top), _agents(runs, top), _easier(runs, top)]
    if trained:
        more, parts = training_part(trained, protocol="recursive reward modelling", ledger=ledger, depths=depths)
        claims += more
        sections += parts
    helped, alone = (share(values(runs, arm, "pairs", top)) for arm in (HELPED, ALONE))
    return Study(
        headline=f"At {top} operations a reward model whose judge had assistants ranks {_said(helped)} of pairs right, and "
        f"{_said(alone)} with as many labels and no assistants.",
        means="A judge who can verify one step can train a reward model for many, if the agents trained one level below tell it "
        "where the last step starts. What an agent gets wrong is passed up. The ladder works where a question can be cut so that "
        "one step is left; nothing is said of questions that cannot.",
        claims=tuple(claims),
        sections=tuple(sections),
        uncertain=(
            "Reward models and agents are small recurrent networks on chains of operations modulo ten. Each starts from the one "
            "of the level below, in every arm.",
            "The judge asks for a right prefix and verifies the last step exactly. A judge who errs was not studied here.",
            "The reward model that trains the assistant on worked arithmetic reads question and answer only; it cannot see "
            "wrong steps behind a right answer.",
            "Checks are counted per label. There are only 3,000 different single steps, so a judge who remembers needs no more.",
        ),
    )


def _said(found: Interval | Unmeasured) -> str:
    return "an unmeasured share" if isinstance(found, Unmeasured) else f"{found.value:.1%}"


def _minus(runs: Runs, what: str, arm: str, other: str, level: int) -> Interval | Unmeasured:
    return difference(values(runs, arm, what, level) - values(runs, other, what, level))


def _ends(runs: Runs, arm: str, level: int) -> list[float]:
    """What the agent was paid at the end of its training minus what it got right, one number per seed."""
    return [made["paid"][level - 1][-1] - made["right"][level - 1][-1] for item, made in runs if item.arm == arm]


def _claims(runs: Runs, top: int) -> list[Claim]:
    null = _minus(runs, "pairs", NULL, ALONE, top)
    gap, gap_null = mean_interval(_ends(runs, ALONE, top)), mean_interval(_ends(runs, TRUTH, top))
    first = _minus(runs, "answers", NULL, ALONE, top)
    shuffled = "null: assistants trained on shuffled labels, minus no assistants"
    return [
        above(
            f"Assistants make the reward model better at {top} operations, with the same labels",
            _minus(runs, "pairs", HELPED, ALONE, top),
            unit=UNIT,
            null=null,
            bar=0.0,
            why=f"with assistants minus without, paired by question and seed; {shuffled}",
        ),
        above(
            f"And better than with the agents' computation spent on labels, at {top} operations",
            _minus(runs, "pairs", HELPED, MATCHED, top),
            unit=UNIT,
            null=_minus(runs, "pairs", NULL, MATCHED, top),
            bar=0.0,
            why="no assistants, but more labels and updates; null: assistants trained on shuffled labels, minus the same",
        ),
        above(
            f"Agents trained on the reward model answer better at {top} operations",
            _minus(runs, "answers", HELPED, ALONE, top),
            unit="share of held-out questions",
            null=first,
            bar=0.0,
            why=f"the grader decides; {shuffled}",
        ),
        above(
            f"Without assistants the agent is paid for what is wrong, at {top} operations",
            gap,
            unit="mean reward minus share of answers right",
            null=gap_null,
            bar=0.05,
            why="at the end of the agent's training, over seeds; null: labels by truth",
        ),
    ]


def _levels(runs: Runs, top: int) -> Section:
    rows = [(arm, level, share(values(runs, arm, "pairs", level))) for arm in ARMS for level in range(1, top + 1)]
    line: tuple[Mapping[str, Cell], ...] = tuple(
        {"series": arm, "x": level, "y": f.value, "low": f.low, "high": f.high}
        for arm, level, f in rows
        if isinstance(f, Interval)
    )
    table = Table(
        title="Reward models on held-out pairs",
        columns=("arm", *(f"{k} operation{'s' if k > 1 else ''}" for k in range(1, top + 1)), "labels a level"),
        rows=tuple(
            (arm, *(f for a, _, f in rows if a == arm), next(m["labels"][0] for i, m in runs if i.arm == arm))
            for arm in ARMS
        ),
    )
    gains = Table(
        title="Gain of assistants, same labels",
        columns=("difference", *(f"{k} operation{'s' if k > 1 else ''}" for k in range(1, top + 1))),
        rows=tuple(
            (f"{arm} minus {other}", *(_minus(runs, "pairs", arm, other, k) for k in range(1, top + 1)))
            for arm, other in ((HELPED, ALONE), (HELPED, MATCHED), (NULL, ALONE), (TRUTH, HELPED))
        ),
    )
    return Section(
        title="The ladder",
        text="At level k a response to a chain of k operations is labelled with one check. With assistants, the agent of level "
        "k - 1 says what all but the last operation are worth, and the judge verifies the last step from there. Without, the "
        "judge verifies one random step of the response. A reward model reads the chain and the claimed answer. It is right "
        "about a pair if it scores the right answer above the wrong one.",
        tables=(table, gains),
        plots=(
            Plot(
                kind="line",
                title="Pairs ranked right, by level",
                x="operations",
                y="share of held-out pairs ranked right",
                rows=line,
                caption="95 % intervals over questions and seeds.",
                references=((0.5, "a coin"),),
            ),
        ),
    )


def _agents(runs: Runs, top: int) -> Section:
    curve: list[Mapping[str, Cell]] = []
    for arm in (HELPED, ALONE, NULL):
        mine = [made for item, made in runs if item.arm == arm]
        for what in ("paid", "right"):
            for point, several in enumerate(zip(*(m[what][top - 1] for m in mine), strict=True), start=1):
                curve.append({"series": f"{arm}: {what}", "x": point * 10, "y": float(np.mean(several))})
    return Section(
        title="Agents trained on the reward models",
        text="Each agent follows the exact gradient of what its reward model pays it. The grader, which no agent and no reward "
        "model saw, says how many answers are right.",
        tables=(
            Table(
                title=f"Agents at {top} operations",
                columns=("arm", "answers right, held out", "paid minus right at the end"),
                rows=tuple(
                    (arm, share(values(runs, arm, "answers", top)), mean_interval(_ends(runs, arm, top)))
                    for arm in ARMS
                ),
            ),
        ),
        plots=(
            Plot(
                kind="line",
                title=f"What the agent is paid, and what is right, at {top} operations",
                x="per cent of its training",
                y="mean",
                rows=tuple(curve),
                caption="Mean over seeds, on chains that nothing else is reported on.",
            ),
        ),
    )


def _easier(runs: Runs, top: int) -> Section:
    rows: list[tuple[Cell, ...]] = []
    bars: list[Mapping[str, Cell]] = []
    for arm in (HELPED, TRUTH):
        for level in range(1, top + 1):
            judging, producing = (
                corrected(values(runs, arm, what, level), chance) for what, chance in (("calls", 0.5), ("answers", 0.1))
            )
            easier = mean_over(judging - producing, span=(-2.0, 2.0))
            rows.append((arm, level, *(mean_over(x, span=(-1.0, 1.0)) for x in (judging, producing)), easier))
            bars.append({"label": f"{arm}, {level}", **drawn(easier)})
    return Section(
        title="Is judging easier than producing?",
        text="On one scale, 0 is chance and 1 is perfect. Judging: the reward model calls a right answer right and a wrong one "
        "wrong. Producing: the agent that was trained on this reward model answers. Above zero, judging is easier at this level.",
        tables=(
            Table(
                title="Judging and producing",
                columns=("arm", "operations", "judging", "producing", "difference"),
                rows=tuple(rows),
            ),
        ),
        plots=(
            Plot(
                kind="intervals",
                title="Judging minus producing",
                x="difference, chance = 0 and perfect = 1",
                y="",
                rows=tuple(bars),
                caption="95 % intervals over questions and seeds.",
            ),
        ),
    )
