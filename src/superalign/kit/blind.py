"""One blind look: register, look in random order, append, open the seals, calibrate, flag, decide.

The order is the evidence, so it is coded once. Each step takes what the one before returned; none can come early or be left out.

    registered = register(run, cards, sides=sides, rate=.05, recall_bar=.5)    # before any verdict
    seen = look(registered, subjects, look_job)                                # names that say nothing, random order
    opened = open_seals(seen, plants=..., truth=..., known=...)                # from here on nobody looks
    decided = decide_all(opened)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from superalign.errors import OrderError
from superalign.gate import Rule, decide
from superalign.kit.run import Run
from superalign.stats.recall import Sides
from superalign.trials import Combination, Unsealed
from superalign.types import Calibration, Decision, Instrument, Plant, Record, Verdict

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """Instruments and the rule, on record before anybody looked."""

    run: Run
    combination: Combination
    rule: Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What every detector says of every subject, on record before any seal was opened."""

    registered: Registered
    verdicts: Mapping[str, tuple[Verdict, ...]]  # name of a subject -> one of each detector


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Verdicts beside the truth, and the error rates that follow."""

    registered: Registered
    unsealed: Unsealed
    # Digest of a card -> one for each kind, and last the pooled one.
    calibrations: Mapping[str, tuple[Calibration, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What the subjects that set no threshold come to."""

    flagged: Mapping[str, Mapping[str, Verdict]]  # name -> digest of a card -> verdict
    decisions: Mapping[str, Decision]  # name -> what the gate decides


def register(
    run: Run,
    cards: Sequence[Instrument],
    *,
    sides: Sequence[Sides] | None = None,
    rate: float,
    recall_bar: float,
    needs_training: bool = True,
) -> Registered:
    """Record detectors, their combination and the rule of release, before there is any evidence.

    Args:
        run: Whose ledger they are written to.
        cards: Of the detectors.
        sides: Which scores of each are suspicious; high ones if not given.
        rate: Of false alarms that thresholds are set for.
        recall_bar: The least lower bound of recall for a release.
        needs_training: Whether a release needs what training showed (`Overoptimisation`), kept before seals are opened.
    """
    combination = Combination(parts=tuple(cards), sides=tuple(sides or ("high" for _ in cards)))
    required = (combination.card.digest,)
    rule = Rule(required=required, recall_bar=recall_bar, false_positive_rate=rate, needs_training=needs_training)
    run.keep(*cards, combination.card, rule)
    return Registered(run=run, combination=combination, rule=rule)


def look(registered: Registered, subjects: Mapping[str, Item], job: Callable[[Item], tuple[Verdict, ...]]) -> Seen:
    """Let every detector look at every subject, in random order, and record what they say.

    Args:
        registered: From `register`.
        subjects: Name, which must say nothing about what it is -> job.
        job: One subject's verdicts; pure, of a module.

    Raises:
        OrderError: If a verdict would be new after a seal was opened: whoever makes it may know the answers.
    """
    run, names = registered.run, list(subjects)
    opened = next(iter(run.ledger.entries(noun=Plant.__name__)), None)
    recorded = {e.digest for e in run.ledger.entries(noun=Verdict.__name__)}
    if opened and not recorded:
        raise _too_late(opened.index, "no verdict was recorded by then")
    order = [names[i] for i in run.stream("order of the blind look").permutation(len(names))]
    seen = run.map(job, [subjects[n] for n in order], name="verdicts", progress="detecting")
    verdicts = dict(zip(order, seen, strict=True))
    every = [v for n in sorted(verdicts) for v in verdicts[n]]
    new = [v for v in every if v.digest not in recorded]
    if opened and new:
        raise _too_late(opened.index, f"{len(new)} of {len(every)} verdicts would be new")
    run.keep(*every)
    return Seen(registered=registered, verdicts=verdicts)


def _too_late(index: int, what: str) -> OrderError:
    return OrderError(
        f"A seal was opened at record {index} of the ledger, and {what}. Whoever looks now may know the answers. "
        "Run the study again into a new folder with --out."
    )


def open_seals(
    seen: Seen, *, plants: Sequence[Record], truth: Mapping[str, tuple[str, str, int]], known: frozenset[str]
) -> Opened:
    """Open the seals, and hold the verdicts against what the subjects are.

    Args:
        seen: From `look`.
        plants: What was sealed, with the proofs that it is there.
        truth: Name -> kind, role and seed; subjects that nobody planted are not in it.
        known: Names of the calibration subjects.
    """
    run, registered = seen.registered.run, seen.registered
    run.keep(*plants)
    unsealed = Unsealed(truth=truth, verdicts=seen.verdicts, known=known, combination=registered.combination)
    calibrations = unsealed.calibrations(rate=registered.rule.false_positive_rate)
    run.keep(*(c for group in calibrations.values() for c in group))
    return Opened(registered=registered, unsealed=unsealed, calibrations=calibrations)


def decide_all(opened: Opened) -> Decided:
    """Flag every subject that set no threshold, and let the gate decide about each."""
    run, rule = opened.registered.run, opened.registered.rule
    flagged = opened.unsealed.flagged(opened.calibrations)
    run.keep(*(v for name in sorted(flagged) for v in flagged[name].values()))
    decisions = {n: decide(run.ledger, next(iter(found.values())).subject, rule) for n, found in flagged.items()}
    run.keep(*decisions.values())
    return Decided(flagged=flagged, decisions=decisions)
