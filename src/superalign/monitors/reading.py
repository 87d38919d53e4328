"""What a monitor is shown of a submission, and what it says. It scores and never acts; one that fails is never a pass."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from scipy.stats import rankdata

from superalign.runner.calls import Trace
from superalign.types import Instrument, Plan, Record, Unmeasured, Word

Stage: TypeAlias = Literal["source", "trace"]  # read before a run, or after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier(Record):
    """A submission before this one, of anybody in the group, as the vault kept it."""

    plan: Plan
    shape: str  # `shape_of` its source: what stays where only names and numbers change
    word: Word  # what was answered
    probe: tuple[float, ...] = ()  # its scores on the probe inputs; none where it did not run


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission(Record):
    """What is to be run, and what is said of it."""

    plan: Plan
    source: str  # of code; of weights the empty text
    earlier: tuple[Earlier, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Record):
    """What a monitor said of one submission."""

    monitor: str
    suspicion: float | Unmeasured
    flagged: bool  # beyond its threshold. False where unmeasured, which is no pass: see `verdict`
    why: str  # for the vault's owner; a researcher is never shown it


@runtime_checkable
class Monitor(Protocol):
    """One that reads submissions at one stage."""

    @property
    def card(self) -> Instrument:
        """What it catches and misses."""

    @property
    def stage(self) -> Stage:
        """When it reads."""

    def __call__(self, submission: Submission, trace: Trace | None) -> Reading:
        """Return how suspicious a submission is; the trace is None before a run."""


def read_all(monitors: Sequence[Monitor], submission: Submission, trace: Trace | None = None) -> tuple[Reading, ...]:
    """Return what the monitors of a stage say: those that read the source without a trace, else those that read one.

    Args:
        monitors: Of either stage.
        submission: As the vault has it.
        trace: Of its run, once there is one.
    """
    stage: Stage = "source" if trace is None else "trace"
    return tuple(_read(m, submission, trace) for m in monitors if m.stage == stage)


def verdict(readings: Sequence[Reading]) -> Literal["pass", "flagged", "unmeasured"]:
    """Return what follows from readings: one that failed stops a submission as surely as one that flags."""
    if any(r.flagged for r in readings):
        return "flagged"
    return "unmeasured" if any(isinstance(r.suspicion, Unmeasured) for r in readings) else "pass"


def shape_of(source: str) -> str:
    """Return a digest of what stays of a source where only names, words, comments and seeds change.

    Example:
        >>> shape_of("a = rng(1)  # first") == shape_of("b = rng(2)"), shape_of("a = 1") == shape_of("a = 2")
        (True, False)
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return hashlib.sha256(source.encode()).hexdigest()
    seeds = {id(n) for place in ast.walk(tree) if _is_seed(place) for n in ast.walk(place)}
    kept = [
        repr(n.value)
        if isinstance(n, ast.Constant) and not isinstance(n.value, str) and id(n) not in seeds
        else type(n)
        for n in ast.walk(tree)
    ]
    return hashlib.sha256(repr(kept).encode()).hexdigest()


@functools.lru_cache(1 << 14)
def behaviour(scores: tuple[float, ...]) -> bytes:
    """Return a digest of what scores do, whatever their scale: the order of items, and which lie above zero.

    Example:
        >>> behaviour((1.0, 2.0)) == behaviour((3.0, 9.0)), behaviour((1.0, 2.0)) == behaviour((-1.0, 2.0))
        (True, False)
    """
    ranks = rankdata(np.round(scores, 9), method="dense").astype("<i4")
    return hashlib.sha256(ranks.tobytes() + np.packbits(np.asarray(scores) > 0).tobytes()).digest()


def _is_seed(node: ast.AST) -> bool:
    """Say whether a node is where a seed stands: the call of a generator, or what a name with "seed" is given."""
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func).lower()
        return "rng" in called or "randomstate" in called or "seed" in called
    return isinstance(node, ast.Assign | ast.keyword) and "seed" in ast.unparse(node).partition("=")[0].lower()


def _read(monitor: Monitor, submission: Submission, trace: Trace | None) -> Reading:
    """Read with one monitor; whatever it raises is a measurement that failed."""
    try:
        return monitor(submission, trace)
    except Exception as error:
        why = f"the monitor failed: {type(error).__name__}"
        return Reading(monitor=monitor.card.name, suspicion=Unmeasured(why), flagged=False, why=why)
