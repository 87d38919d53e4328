"""What the vault knows of a campaign: plans, what was charged, what was answered. All of it is read from its ledger.

A record is appended first and counts only then, so a vault that was killed knows on its return what it knew before. All who ask
share their answers: budgets, ladders and what was seen before are of a question and tier, whoever asks.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pydantic

from superalign.ledger import Ledger
from superalign.monitors.reading import Earlier, Reading, behaviour
from superalign.runner.calls import Job
from superalign.stats.ladder import Ladder
from superalign.types import Answer, Finding, Form, Interval, Plan, Record, Tier, Unmeasured, Word, digest_of, rebuild
from superalign.vault.benches import Bench
from superalign.vault.scoring import Scale

UNTOLD = Unmeasured("not told")
MOST_TEXT, MOST_CITES = 2000, 50
_PLAN = pydantic.TypeAdapter(Plan)
PLANS = 4  # that may be registered for each submission that is answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules(Record):
    """What a vault promises, before it opens."""

    level: float = 0.05  # chance of any false "passed", over all questions and tries together
    seeds: int = 5  # of the sealed tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(Record):
    """What was charged, before anything of it ran. Its seeds are drawn now, so that nobody knew them when it was sent."""

    ticket: str
    blob: str  # the artefact
    form: Form
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline(Record):
    """What the published baseline scores on the climb: the lowest rung."""

    question: str
    blob: str  # its scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored(Record):
    """What only the owner learns of a submission, when the vault is closed."""

    ticket: str
    word: Word
    score: float | Unmeasured
    blob: str = ""  # its parts, one number for each item
    shape: str = ""  # of its source
    probe: tuple[float, ...] = ()
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Record):
    """From here on nothing is answered."""

    questions: int


NOUNS = {n.__name__: n for n in (Plan, Received, Baseline, Scored, Answer, Finding, Closed, Reading, Interval, Rules)}


class Desk:
    """The state of a vault, rebuilt from its ledger."""

    def __init__(self, ledger: Ledger, benches: Mapping[str, Bench], rules: Rules) -> None:
        self.ledger, self.benches, self.rules, self.closed = ledger, benches, rules, False
        self.plans: dict[str, Plan] = {}
        self.received: dict[str, Received] = {}
        self.scored: dict[str, Scored] = {}
        self.answers: dict[str, Answer] = {}
        self.findings: dict[str, Finding] = {}  # by question
        self.ladders: dict[str, Ladder] = {}
        self.ledger.append_once(rules)
        for record in ledger.records():
            self._take(rebuild(record, NOUNS))

    def scale(self, question: str, tier: Tier) -> Scale:
        """Return how scores on a tier of a question become a number."""
        bench = self.benches[question]
        return Scale(metric=bench.question.metric, part=bench.parts[tier])

    def job(self, plan: Plan, seed: int) -> Job:
        """Return one call on the tier of a plan."""
        bench, shape = self.benches[plan.question], self.scale(plan.question, plan.tier).shape
        return Job(public=bench.public, inputs=bench.parts[plan.tier].inputs, seed=seed, shape=shape)

    def register(self, plain: object) -> str:
        """Keep a plan; return its ticket, or nothing where it is no plan, or no more are taken."""
        plan = plan_of(plain)
        if plan is None or plan.question not in self.benches:
            return ""
        if plan.digest in self.plans:
            return plan.digest
        asked = self.benches[plan.question].question
        before = sum(p.question == plan.question for p in self.plans.values())
        if self.closed or before >= PLANS * (asked.climbs + asked.tries + 1):
            return ""
        self.keep(plan)
        return plan.digest

    def left(self, question: str, tier: Tier) -> int:
        """Return how many submissions of a tier are still answered."""
        asked = self.benches[question].question
        used = sum((self.plans[t].question, self.plans[t].tier) == (question, tier) for t in self.received)
        return {"climb": asked.climbs, "confirm": asked.tries, "sealed": 1}[tier] - used

    def receive(self, ticket: str, form: Form, body: bytes) -> Received | Answer:
        """Charge a submission; return the answer at once where there is one already, or none will be given."""
        plan = self.plans.get(ticket)
        if ticket in self.answers:
            return self.answers[ticket]
        if plan is None or self.closed or plan.tier == "sealed" or plan.artefact != digest_of(body):
            return Answer(ticket=ticket, tier=plan.tier if plan else "climb", word="not allowed", score=UNTOLD, left=0)
        if ticket in self.received:
            return self.received[ticket]
        if self.left(plan.question, plan.tier) <= 0:
            return Answer(ticket=ticket, tier=plan.tier, word="used up", score=UNTOLD, left=0)
        return self._charge(ticket, body, form, seeds=1)

    def claimed(self, ticket: str) -> Received | None:
        """Return the confirmed submission that a claim rests on; nothing where the sealed tier is not opened for it."""
        plan = self.plans.get(ticket)
        if plan is None or self.closed or plan.tier != "sealed" or plan.question in self.findings:
            return None
        passed = [t for t, a in self.answers.items() if a.word == "passed" and self.plans[t].artefact == plan.artefact]
        same = [self.received[t] for t in passed if self.plans[t].question == plan.question]
        # Where it was received already, the vault was killed while it was open.
        return same[0] if same and (ticket in self.received or self.left(plan.question, "sealed") > 0) else None

    def open(self, ticket: str, confirmed: Received) -> Received:
        """Open the sealed tier of a question for one claim."""
        body = self.ledger.blob(confirmed.blob)
        return self.received.get(ticket) or self._charge(ticket, body, confirmed.form, seeds=self.rules.seeds)

    def repeats(self, ticket: str, probe: tuple[float, ...] = ()) -> bool:
        """Say whether the same artefact, or one of the same behaviour on the probe, was submitted to this tier before."""
        mine, plan = self.received[ticket], self.plans[ticket]
        before = [t for t in self.received if t != ticket and t in self.answers]
        same = [t for t in before if (self.plans[t].question, self.plans[t].tier) == (plan.question, plan.tier)]
        if not probe:
            return any(self.received[t].blob == mine.blob for t in same)
        return any(s.probe and behaviour(s.probe) == behaviour(probe) for s in map(self.scored.__getitem__, same))

    def earlier(self, plan: Plan) -> tuple[Earlier, ...]:
        """Return what was submitted to the same question and tier before, for monitors."""
        return tuple(
            Earlier(plan=self.plans[t], shape=s.shape, word=s.word, probe=s.probe)
            for t, s in self.scored.items()
            if (self.plans[t].question, self.plans[t].tier) == (plan.question, plan.tier)
        )

    def settle(self, scored: Scored) -> Answer:
        """Keep what came of a submission, and answer it."""
        plan = self.plans[scored.ticket]
        told = plan.tier == "climb" and plan.question in self.ladders
        score = self.ladders[plan.question].released if told else UNTOLD
        left = self.left(plan.question, plan.tier)
        answer = Answer(ticket=scored.ticket, tier=plan.tier, word=scored.word, score=score, left=left)
        self.keep(scored, answer)
        return answer

    def _charge(self, ticket: str, body: bytes, form: Form, *, seeds: int) -> Received:
        drawn = tuple(secrets.randbelow(2**31) for _ in range(seeds))
        received = Received(ticket=ticket, blob=self.ledger.put_blob(body), form=form, seeds=drawn)
        self.keep(received)
        return received

    def keep(self, *records: Record) -> None:
        """Append records to the ledger; they count from then on."""
        self.ledger.append_once(*records)
        for record in records:
            self._take(record)

    def _take(self, record: Record) -> None:
        """Count a record that is in the ledger: the same way when it was just appended and when it is read again."""
        if isinstance(record, Baseline):
            scale = self.scale(record.question, "climb")
            scores_NS = np.frombuffer(self.ledger.blob(record.blob)).reshape(scale.shape)
            self.ladders[record.question] = Ladder.on(scale.parts(scores_NS))
        elif isinstance(record, Plan):
            self.plans[record.digest] = record
        elif isinstance(record, Finding):
            self.findings[record.question] = record
        elif isinstance(record, Received):
            self.received[record.ticket] = record
        elif isinstance(record, Scored):
            self.scored[record.ticket] = record
        elif isinstance(record, Answer):
            self.answers[record.ticket] = record
            if record.word == "better":
                parts_N = np.frombuffer(self.ledger.blob(self.scored[record.ticket].blob))
                self.ladders[self.plans[record.ticket].question] = Ladder(parts_N, float(record.score))
        self.closed |= isinstance(record, Closed)


def plan_of(plain: object) -> Plan | None:
    """Return the plan that a message holds, or nothing: no type of it is believed."""
    try:
        plan = _PLAN.validate_json(json.dumps(plain), strict=True)
    except ValueError:
        return None
    texts = (plan.question, plan.researcher, plan.hypothesis, plan.family, plan.artefact, *plan.cites)
    short = all(len(text) <= MOST_TEXT for text in texts) and len(plan.cites) <= MOST_CITES
    return plan if short and math.isfinite(plan.predicted) else None
