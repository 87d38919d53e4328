"""The standard panel on a page: the same bars, table and claims for every protocol of oversight."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from superalign.kit.evidence import Estimate
from superalign.kit.parts import CHANCE, Part, bars, claim, part, table
from superalign.ledger import Ledger
from superalign.stats import auroc_bootstrap, difference, share
from superalign.stats.streams import stream
from superalign.trials.oversight_panel import (
    AGENT,
    ARMS,
    EXPERT,
    JUDGE,
    PLACEBO,
    PROTOCOL,
    VOTING,
    Item,
    accuracy_gain,
    arm_result,
)
from superalign.trials.oversight_panel import table as scores
from superalign.types import Claim, Interval, Record, Unmeasured, to_plain

DEALT = ", dealt to other items"  # behind a protocol's name: its own decisions, at random, about other items
NAMED = {PLACEBO: "its placebo", JUDGE: "the judge alone", AGENT: "the agent alone", VOTING: "voting at its cost"}
GROUPS = {PROTOCOL: "protocol", EXPERT: "ceiling", PLACEBO: "null control"}
COLUMNS = (
    "arm",
    "right",
    "right, of true claims",
    "right, of false claims",
    "Brier score",
    "cannot tell",
    "checks a decision",
    "tokens a decision",
    "decisions",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelEvidence(Record):
    """Where every decision of a panel lies, one JSON object on each line."""

    blob: str
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Decisions about the same items under several arms, and the record of the ledger that holds them."""

    items: tuple[Item, ...]
    record: str = ""  # digest

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that were run: those of the standard panel first."""
        there = {i.arm for i in self.items}
        return tuple(a for a in (*ARMS, *sorted(there - set(ARMS))) if a in there)

    def accuracy_gain(self, arm: str, over: str) -> Estimate:
        """Measure how many more decisions are right under one arm than under another, paired by item and seed."""
        return accuracy_gain(self.items, arm, over)

    def gain_over_best(self, arm: str, others: Sequence[str]) -> Estimate:
        """Return the gain over whichever of several arms it gains least on: over the better of judge and agent, say.

        Example:
            >>> def told(p, arm, n):
            ...     return Item(problem=str(n), difficulty=1, seed=0, arm=arm, truth=True, behaviour="", probability=p)
            >>> some = [told(p, a, n) for n in range(4) for a, p in (("x", 0.9), ("a", 0.9 * (n % 2)), ("b", 0.9 * (n > 0)))]
            >>> Decisions(items=tuple(some)).gain_over_best("x", ("a", "b")).value
            0.25

        Source:
            Bowman et al., Measuring progress on scalable oversight for large language models, 2022 (arXiv 2211.03540).
        """
        gains = [self.accuracy_gain(arm, o) for o in others]
        missing = [g for g in gains if isinstance(g, Unmeasured)]
        return missing[0] if missing else min((g for g in gains if isinstance(g, Interval)), key=lambda g: g.value)

    def accuracy(self, arm: str) -> Estimate:
        """Return the share of an arm's decisions that are right, over items and seeds."""
        return arm_result(self.items, arm).accuracy

    def better_stated(self, arm: str, than: str) -> Estimate:
        """Measure how much smaller the squared error of the stated probability is under one arm than under another, paired."""
        first, second = (scores(self.items, a, of="brier") for a in (than, arm))
        return difference(first - second)

    def share(self, arm: str) -> float:
        """Return the share of an arm's decisions that are right."""
        return float(np.mean([i.right for i in self.items if i.arm == arm]))

    def among(self, arm: str, of: str, value: str | int) -> Estimate:
        """Return the share of an arm's decisions that are right, among items of one behaviour or difficulty.

        By problem: the agent's seed decides which claim is made about it.

        Args:
            arm: Whose decisions.
            of: behaviour or difficulty.
            value: Which.
        """
        by_problem: dict[str, list[float]] = {}
        for i in self.items:
            if i.arm == arm and getattr(i, of) == value:
                by_problem.setdefault(i.problem, []).append(i.right)
        means = [float(np.mean(v)) for v in by_problem.values()]
        return share(means) if means else Unmeasured("no such item was decided")

    def auroc(self, arm: str, *, seed: int) -> Estimate:
        """Measure how well an arm's probabilities rank true claims above false ones; resampled by problem."""
        judged = [
            (i.probability, i.problem, i.truth)
            for i in self.items
            if i.arm == arm and not isinstance(i.probability, Unmeasured)
        ]
        true, false = ([(p, problem) for p, problem, truth in judged if truth is side] for side in (True, False))
        if not true or not false:
            return Unmeasured("all claims that it could judge are true, or all false")
        clusters = ([problem for _, problem in true], [problem for _, problem in false])
        return auroc_bootstrap(
            [p for p, _ in true], negatives=[p for p, _ in false], clusters=clusters, seed=seed, draws=500
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmOutput:
    """What one arm says of each item, and what each of its decisions costs."""

    probability_P: np.ndarray  # that the claim is true
    checks: int = 0
    tokens: int = 0
    transcripts: Sequence[str] = ()


def items_of(
    arms: Mapping[str, ArmOutput],
    *,
    seed: int,
    problems: Sequence[str],
    truth: ArrayLike,
    behaviours: Sequence[str],
    difficulty: int | Sequence[int],
) -> tuple[Item, ...]:
    """Write the decisions of several arms at one seed as items.

    Args:
        arms: Arm -> its output.
        seed: Of the agents that were trained.
        problems: Names, the same in every arm and at every seed.
        truth: Whether the claim about each problem is true.
        behaviours: What the agent did on each problem.
        difficulty: Of all problems, or of each.
    """
    truths = np.asarray(truth, bool).tolist()
    levels = [difficulty] * len(truths) if isinstance(difficulty, int) else list(difficulty)
    return tuple(
        Item(
            problem=problem,
            difficulty=levels[i],
            seed=seed,
            arm=arm,
            truth=true,
            behaviour=behaviour,
            probability=float(output.probability_P[i]),
            transcript=output.transcripts[i] if output.transcripts else "",
            checks=output.checks,
            tokens=output.tokens,
        )
        for arm, output in arms.items()
        for i, (problem, true, behaviour) in enumerate(zip(problems, truths, behaviours, strict=True))
    )


def permuted(items: Sequence[Item], protocol: str, *, seed: int) -> list[Item]:
    """Make any protocol's placebo: its own decisions, dealt at random to other items of the same difficulty and seed.

    Args:
        items: Decisions under any arms.
        protocol: Whose are dealt.
        seed: Of the deal.

    Returns:
        Items under the protocol's name with DEALT behind it.
    """
    groups: dict[tuple[int, int], list[Item]] = {}
    for item in items:
        if item.arm == protocol:
            groups.setdefault((item.seed, item.difficulty), []).append(item)
    out = []
    for (of, difficulty), mine in sorted(groups.items()):
        order = stream(seed, "decisions dealt", of, difficulty).permutation(len(mine))
        out += [
            replace(a, arm=protocol + DEALT, probability=mine[int(b)].probability, transcript=mine[int(b)].transcript)
            for a, b in zip(mine, order, strict=True)
        ]
    return out


def keep_decisions(items: Sequence[Item], ledger: Ledger) -> Decisions:
    """Write every decision into the ledger, and return them with the digest of the record that names them."""
    lines = "".join(json.dumps(to_plain(i), sort_keys=True) + "\n" for i in items)
    record = PanelEvidence(blob=ledger.put_blob(lines.encode()), items=len(items))
    ledger.append_once(record)
    return Decisions(items=tuple(items), record=record.digest)


def panel(d: Decisions, *, protocol: str, text: str = "", note: str = "", nothing: str = PLACEBO) -> Part:
    """Hold a protocol against its panel.

    Args:
        d: Decisions under any arms; those of `ARMS` that were run are compared, other arms stand in the table too.
        protocol: What it is called, in words ("debate", "a market").
        text: What was done, in plain words, in front of the panel.
        note: A caption's last sentence.
        nothing: The arm whose content tells nothing; what it adds to the judge alone is the null of all claims. Where a placebo's
            random content tells a little, another arm.

    Returns:
        Claims that the protocol beats its placebo, the judge alone, the agent alone and voting, as far as these were run, and
        the section that shows where they come from.
    """
    results = {protocol if a == PROTOCOL else a: arm_result(d.items, a) for a in d.arms}
    rows = [
        (name, r.accuracy, r.on_true, r.on_false, r.brier, r.cannot_tell, r.checks,
         r.tokens, r.n)
        for name, r in results.items()
    ]  # fmt: skip
    plot = bars(
        "Decisions that are right",
        {name: r.accuracy for name, r in results.items()},
        x="share of decisions that are right",
        groups={name: GROUPS.get(r.arm, "baseline") for name, r in results.items()},
        caption=f"Lines are 95 % intervals over items and seeds. {note}".strip(),
        reference=CHANCE,
        records=[d.record for _ in results],
    )
    return part(
        f"The panel: {protocol} and what it is held against",
        text or "Every arm decides about the same items. A decision that could not be made counts as a coin's guess.",
        *(_claim(d, protocol, over, nothing) for over in NAMED if over in d.arms),
        plot,
        table("Arms", COLUMNS, rows, records=[d.record for _ in results]),
    )


def _claim(d: Decisions, protocol: str, over: str, nothing: str) -> Claim:
    """The protocol against one arm; the null of all is what content that tells nothing adds to the judge."""
    null: Estimate = Unmeasured("no placebo was run, or no judge alone")
    if {nothing, JUDGE} <= set(d.arms):
        null = d.accuracy_gain(nothing, JUDGE)
    return claim(
        f"{protocol[0].upper()}{protocol[1:]}: more decisions are right than with {NAMED[over]}",
        d.accuracy_gain(PROTOCOL, over),
        unit="share of decisions",
        null=null,
        why=f"share right under the protocol minus {NAMED[over]}, paired by item and seed; null: {NAMED[nothing]} minus the "
        "judge alone",
    )
