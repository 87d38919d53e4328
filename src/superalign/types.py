"""The nouns of superalign and its one-method protocols: no torch, no input or output.

Every noun is a frozen record whose digest is its name: two records with the same fields are the same record.
Shape suffixes: P problems, R rollouts, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from superalign.canonical import Record as Record
from superalign.canonical import Unmeasured as Unmeasured
from superalign.canonical import canonical_json as canonical_json
from superalign.canonical import digest_of as digest_of
from superalign.canonical import to_plain as to_plain
from superalign.errors import BadInput

Split: TypeAlias = Literal["train", "test"]
Outcome: TypeAlias = Literal["release", "hold", "inconclusive"]

NOT_YET = Unmeasured("no threshold yet")  # the flag of a verdict whose score no threshold was applied to
NOTHING_PLANTED = Unmeasured("nothing of this kind was planted")  # the recall of a calibration on clean subjects alone
NOT_REWARDED = Unmeasured("no reward trained it")  # the over-optimisation gap of a subject trained by supervision alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval(Record):
    """A value with the interval around it (95 % unless a name says otherwise) and the number of units behind it."""

    value: float
    low: float
    high: float
    n: int

    def excludes(self, point: float) -> bool:
        """Say whether the interval lies wholly on one side of a point."""
        return self.low > point or self.high < point


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Record):
    """What a policy is asked. It holds no answer."""

    prompt: str
    family: str
    difficulty: int
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout(Record):
    """One response of one policy to one problem."""

    problem: str  # digest
    policy: str  # digest of the subject that sampled it; empty for a text that nobody sampled
    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()  # nats, one per token, as sampled
    seed: int = 0
    stopped: bool = True  # ended by itself, not cut off at the token limit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rollouts:
    """Many rollouts as columns; one row of them is a `Rollout`."""

    problems: tuple[Problem, ...]
    problem_R: Int[np.ndarray, " R"]  # index into problems
    text_R: Sequence[str]  # may decode on demand
    policy: str = ""
    # S is R, or 0 where nobody sampled.
    tokens_RT: Int[np.ndarray, "S T"] = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    logprobs_RT: Float[np.ndarray, "S T"] = field(
        default_factory=lambda: np.zeros((0, 0), np.float32)
    )  # nats; 0 beyond
    length_R: Int[np.ndarray, " S"] = field(default_factory=lambda: np.zeros(0, np.int32))  # tokens
    stopped_R: Bool[np.ndarray, " E"] = field(default_factory=lambda: np.zeros(0, bool))  # R, or 0: nobody knows
    seed: int = 0

    @staticmethod
    def of_texts(problems: Sequence[Problem], text_R: Sequence[str]) -> Rollouts:
        """Wrap texts that nobody sampled (worked, planted, from a file), one per problem, in order."""
        if len(problems) != len(text_R):
            raise BadInput(
                f"{len(text_R)} texts for {len(problems)} problems. Texts are matched to problems by position, "
                "so a missing one would grade the wrong text. Pass one text per problem."
            )
        return Rollouts(problems=tuple(problems), problem_R=np.arange(len(problems)), text_R=text_R)

    def __len__(self) -> int:
        return len(self.problem_R)

    def __getitem__(self, r: int) -> Rollout:
        sampled = len(self.length_R) > 0
        t = int(self.length_R[r]) if sampled else 0
        return Rollout(
            problem=self.problems[int(self.problem_R[r])].digest,
            policy=self.policy,
            text=self.text_R[r],
            tokens=tuple(self.tokens_RT[r, :t].tolist()) if sampled else (),
            logprobs=tuple(self.logprobs_RT[r, :t].tolist()) if sampled else (),
            seed=self.seed,
            stopped=bool(self.stopped_R[r]) if len(self.stopped_R) else True,
        )

    def __iter__(self) -> Iterator[Rollout]:
        return (self[r] for r in range(len(self)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal(Record):
    """An overseer's values for R rollouts, in their order, with what it said and what it cost."""

    overseer: str
    values: tuple[float | Unmeasured, ...]
    said: tuple[str, ...] = ()
    checks: int = 0  # units of the judge's limited attention
    tokens: int = 0  # read and written by assistants


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject(Record):
    """A frozen checkpoint and how it came to be."""

    weights: str  # sha256 of the weights file
    base: str  # digest of the subject it was trained from; empty for a base
    how: str  # one line, in words
    config: tuple[tuple[str, str | int | float | bool], ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant(Record):
    """A truth that we put there ourselves: a flaw in a solution, a behaviour in a model."""

    kind: str
    where: str  # the step, the trigger, the condition
    detail: tuple[tuple[str, str | int | float | bool], ...] = ()
    salt: str = ""  # so that a sealed plant cannot be guessed from its digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Organism(Record):
    """A subject with a proven, sealed plant, and the twin that went through the same training without it."""

    subject: str  # digest
    twin: str  # digest; empty if this is itself a twin
    seal: str  # digest of the Plant, opened only after verdicts are in
    accepted: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument(Record):
    """The card of an overseer, detector, monitor or approver: what it is, what it catches and what it misses."""

    name: str
    version: str
    catches: str
    misses: str
    settings: tuple[tuple[str, str | int | float | bool], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies(Record):
    """What became of the requests behind a verdict; all 0 where nobody counted.

    Example:
        >>> Replies(asked=262, failed=8, unusable=1).answered
        253
    """

    asked: int = 0
    failed: int = 0  # got no reply: the provider's doing
    unusable: int = 0  # a reply that the instrument could not read: the subject's doing

    @property
    def answered(self) -> int:
        """Replies that the instrument read."""
        return self.asked - self.failed - self.unusable


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Record):
    """What one detector said of one subject. Higher scores are more suspicious unless the detector is two-sided."""

    instrument: str  # digest of its card
    subject: str  # digest
    score: Interval | Unmeasured
    flagged: bool | Unmeasured
    why: str
    named: str = ""  # the trigger or step that it points to
    response_keys: tuple[str, ...] = ()  # digests of the problems whose responses were scored
    response_scores: tuple[float, ...] = ()
    cost_tokens: int = 0
    replies: Replies = Replies()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Record):
    """What planted truth said of one instrument."""

    instrument: str  # digest of its card
    threshold_low: float | Unmeasured  # flag below; Unmeasured if the instrument is one-sided
    threshold_high: float | Unmeasured  # flag above
    false_positive_rate: float  # the stated rate that the thresholds were set for
    recall: Interval | Unmeasured
    false_alarms: Interval | Unmeasured
    population: str  # which organisms and twins, in words
    held_out: str  # the kind that the thresholds never saw


@dataclass(frozen=True, slots=True, kw_only=True)
class Overoptimisation(Record):
    """What training showed of one subject: how much its overseer would pay it beyond the gold reward, on held-out problems."""

    subject: str  # digest
    overseer: str  # digest of the card of what paid it; empty if nothing did
    gap: Interval | Unmeasured  # proxy minus gold reward, over problems; `NOT_REWARDED` if nothing paid it
    null: Interval | Unmeasured  # the same overseer on what the base wrote before any training
    gold: str  # what the gold reward is, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Record):
    """One finding of a study, with its interval, its size and its null control."""

    name: str
    value: float | Unmeasured
    low: float | Unmeasured
    high: float | Unmeasured
    n: int
    unit: str
    null: Interval | Unmeasured
    holds: bool | Unmeasured
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Record):
    """Release, hold or inconclusive for one subject, with the verdicts and the training that it stands on."""

    subject: str
    outcome: Outcome
    rule: str  # digest
    verdicts: tuple[str, ...]  # digests; behind the verdicts stands what training showed
    why: tuple[str, ...]


@runtime_checkable
class Policy(Protocol):
    """Anything that samples."""

    def sample(self, problems: Sequence[Problem], *, n: int, seed: int) -> Rollouts:
        """Return n rollouts of each problem, those of one problem side by side."""


@runtime_checkable
class Overseer(Protocol):
    """A limited source of signal."""

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Return one value per rollout, in order; `Unmeasured` where it cannot tell."""


@runtime_checkable
class Detector(Protocol):
    """Looks at a subject, independently of its training."""

    @property
    def card(self) -> Instrument:
        """What it is, catches and misses; registered before any seal is opened."""

    def __call__(self, policy: Policy, *, seed: int) -> Verdict:
        """Return a verdict; `Unmeasured` where it cannot tell."""
