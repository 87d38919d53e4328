"""What a campaign came to once its seals were open, and how its keepers did on what was planted."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.lab.pace import Pace
from superalign.lab.research_parts import AnswerTimes, Arm, Attacked, Beyond, Kept, LeftOut, Mixed, Rate, Searched, Wall
from superalign.types import Record, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Record):
    """One question, or its impossible twin."""

    name: str
    kind: str
    twin: bool
    published: str  # the baseline
    submissions: int
    better: int  # rungs of the ladder
    released: float | Unmeasured  # the best score that was told: it chose, and is never quoted as a result
    tries: int  # at confirmation
    passed: int
    gain: Estimate  # on the sealed family
    baseline: Estimate
    replicated: bool | Unmeasured
    predicted: float | Unmeasured  # gain that the plan of the claim expected
    method: str  # of the claim, or of the best that was told
    by: str
    kept: Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposer(Record):
    """One researcher."""

    name: str
    submissions: int
    better: int
    unmeasured: int  # that crashed, ran over, or were refused
    ideas: float  # effective number of families of methods
    uplift: Estimate  # over the random researcher, in rungs for a submission


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One campaign and its keepers."""

    asked: tuple[Asked, ...]
    proposers: tuple[Proposer, ...]
    paces: tuple[Pace, ...]
    ideas: float  # of all researchers together
    unverified: int  # findings that are not as the vault signed them, and count as none
    found: Estimate  # share of real questions with a replicated finding
    found_null: Estimate  # of impossible twins
    beyond: Beyond  # one minus the other, and what shuffling gives
    flagged: Estimate  # share of this campaign's submissions that monitors flag
    words: tuple[tuple[str, int], ...]
    lost: tuple[tuple[str, int], ...]
    used: tuple[tuple[str, int], ...]  # of a language model
    ended: str
    cpu_s: float
    wall_s: float
    people: int  # decisions of a person
    human_s: float
    walls: tuple[Wall, ...]
    rates: tuple[Rate, ...]
    worst: tuple[Rate, ...]
    mixed: tuple[Mixed, ...]
    prevalence: Estimate
    stated: float  # share of cheats in use
    left: tuple[LeftOut, ...]
    arms: tuple[Arm, ...]
    null: Estimate  # share of searches of impossible twins that end in a false finding of the vault
    best: tuple[tuple[int, float], ...]  # submissions -> gain of the best of so many equals
    nulls: tuple[Searched, ...]
    attacked: tuple[Attacked, ...]
    times: tuple[AnswerTimes, ...]
    head: str  # of the vault's ledger
