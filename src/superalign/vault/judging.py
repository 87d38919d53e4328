"""What happens to a submission, in order: monitors read it, somebody allows it, the runner runs it, its scores become a word.

Whatever goes wrong on the way is the word "unmeasured": never a pass, never a text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jaxtyping import Float

from superalign.control.monitoring import Monitor, Reading, Submission, Trace, read_all, shape_of, verdict
from superalign.control.monitors import DISCLOSED
from superalign.stats.streams import seed_for, stream
from superalign.types import Answer, Finding, Interval, Plan, Tier, Unmeasured, Word
from superalign.types.research import Form
from superalign.vault.benches import Arrays
from superalign.vault.desk import Baseline, Desk, Received, Scored
from superalign.vault.placebo import labels, least_gain, redrawn
from superalign.vault.runner import Job, Run
from superalign.vault.scoring import gain
from superalign.vault.signing import signed

PROBE = 64  # items of the climb tier on which submissions are compared with one another
NUDGE = 0.01  # standard deviations that an input is moved by: whoever knows it by heart knows it no more
WEAK = "weak"  # array of `public` that holds imperfect labels
PLACEBOS = ("dealt", "turned")  # calls on redrawn labels

Allow = Callable[[Submission, Sequence[Reading]], Word | None]


def allow_unflagged(submission: Submission, readings: Sequence[Reading]) -> Word | None:
    """Return why a submission may not run, if it may not: what a monitor flags is refused, what it cannot read unmeasured."""
    return {"pass": None, "flagged": "refused", "unmeasured": "unmeasured"}[verdict(readings)]


@dataclass
class Judge:
    """Turns submissions into answers."""

    desk: Desk
    run: Run
    key: Ed25519PrivateKey
    monitors: Sequence[Monitor] = ()
    allow: Allow = allow_unflagged

    def submit(self, ticket: str, form: Form, body: bytes) -> Answer:
        """Return the answer to a ticket: the same one however often it is asked for."""
        got = self.desk.receive(ticket, form, body)
        if isinstance(got, Answer):
            return got
        plan, source = self.desk.plans[ticket], body.decode(errors="replace") if form == "code" else ""
        kept = Scored(ticket=ticket, word="unmeasured", score=Unmeasured("unchanged"), shape=shape_of(source))
        if self.desk.repeats(ticket):
            return self.desk.settle(replace(kept, word="unchanged"))
        submission = Submission(plan=plan, source=source, earlier=self.desk.earlier(plan))
        return self.desk.settle(self._judged(got, submission, kept, body))

    def _judged(self, got: Received, submission: Submission, kept: Scored, body: bytes) -> Scored:
        """Let monitors read, run, let them read again, and score; the first that objects ends it."""
        kept = replace(kept, readings=read_all(self.monitors, submission))
        if (word := self.allow(submission, kept.readings)) is not None:
            return replace(kept, word=word, score=Unmeasured("monitors, before it ran"))
        trace, scores = self._called(got, body)
        if not scores:
            return replace(kept, score=Unmeasured(f"run: {trace.ended}"))
        kept = replace(kept, probe=trace.probe, readings=kept.readings + read_all(self.monitors, submission, trace))
        if (word := self.allow(submission, kept.readings)) is not None:
            return replace(kept, word=word, score=Unmeasured("monitors, after it ran"))
        if self.desk.repeats(got.ticket, trace.probe):
            return replace(kept, word="unchanged", score=Unmeasured("behaves as one before"))
        return self._scored(kept, submission, scores)

    def reveal(self, ticket: str) -> Finding | None:
        """Open the sealed tier for one claim, and publish what it shows; nothing where it may not be opened."""
        confirmed = self.desk.claimed(ticket)
        if confirmed is None or (ticket not in self.desk.received and not self._may_claim(ticket, confirmed)):
            return None
        opened, plan = self.desk.open(ticket, confirmed), self.desk.plans[ticket]
        head = self.desk.ledger.entry(self.desk.ledger.index_of(opened.digest)).hash
        found: Interval | Unmeasured = Unmeasured("unmeasured: it did not run")
        base: Interval | Unmeasured = found
        ran = self.run(self.desk.ledger.blob(opened.blob), opened.form, self._jobs(opened))
        published = self.run(self._published(plan.question), "code", self._jobs(opened))
        if ran.scores and published.scores:
            scale = self.desk.scale(plan.question, "sealed")
            base = gain(scale, np.stack(published.scores))
            found = gain(scale, np.stack(ran.scores), np.stack(published.scores))
        finding = Finding(
            ticket=ticket,
            question=plan.question,
            gain=found,
            baseline=base,
            replicated=found if isinstance(found, Unmeasured) else found.low > 0,
            head=head,
        )
        self.desk.keep(signed(finding, self.key))
        return self.desk.findings[plan.question]

    def _may_claim(self, ticket: str, confirmed: Received) -> bool:
        """Ask for a claim what is asked for a submission, with what monitors said when it was confirmed."""
        source = self.desk.ledger.blob(confirmed.blob).decode(errors="replace") if confirmed.form == "code" else ""
        readings = self.desk.scored[confirmed.ticket].readings
        return self.allow(Submission(plan=self.desk.plans[ticket], source=source), readings) is None

    def _scored(self, kept: Scored, submission: Submission, scores: Mapping[str, np.ndarray]) -> Scored:
        """Score a run against the baseline's, which is run first where it has not been."""
        plan = submission.plan
        base_NS = self._baseline(plan.question, plan.tier)
        if base_NS is None:
            return replace(kept, score=Unmeasured("the baseline did not run"))
        scale = self.desk.scale(plan.question, plan.tier)
        parts_N = scale.parts(scores["tier"])
        if plan.tier == "climb":
            word: Word = "better" if self.desk.ladders[plan.question].improves(parts_N) else "not better"
        else:
            over = gain(scale, scores["tier"][None], base_NS[None], confidence=self._confidence(plan))
            word = "passed" if isinstance(over, Interval) and over.low > 0 else "not passed"
        blob = self.desk.ledger.put_blob(parts_N.astype("<f8").tobytes())
        kept = replace(kept, word=word, score=float(parts_N.mean()), blob=blob)
        return self._placebo(kept, submission, scores) if word == "passed" else kept

    def _placebo(self, kept: Scored, submission: Submission, scores: Mapping[str, np.ndarray]) -> Scored:
        """Refuse a gain that is there without the labels, unless the plan says so and a person agrees."""
        plan, told = submission.plan, [name for name in scores if name in PLACEBOS]
        if not told:
            return kept
        jobs = self._placebos(self.desk.received[kept.ticket])
        base = self.run(self._published(plan.question), "code", [jobs[name] for name in told])
        if not base.scores:
            return replace(kept, word="unmeasured", score=Unmeasured("the baseline did not run on redrawn labels"))
        scale = self.desk.scale(plan.question, plan.tier)
        least = least_gain(scale, [scores[name] for name in told], base.scores, confidence=self._confidence(plan))
        why = f"it gains at least {least:.3f} when every label is drawn anew"
        reading = Reading(monitor="placebo", suspicion=least, flagged=least > 0, why=why)
        kept = replace(kept, readings=(*kept.readings, reading))
        agreed = DISCLOSED.search(plan.hypothesis) and self.allow(submission, kept.readings) is None
        return replace(kept, word="not passed") if reading.flagged and not agreed else kept

    def _confidence(self, plan: Plan) -> float:
        """Return what a confirmation must hold at: the level is divided over all questions and tries, one-sided."""
        tries = len(self.desk.benches) * self.desk.benches[plan.question].question.tries
        return 1.0 - 2.0 * self.desk.rules.level / tries

    def _called(self, got: Received, body: bytes) -> tuple[Trace, dict[str, np.ndarray]]:
        """Run an artefact on its tier and the probe, for monitors also with labels permuted and inputs moved, and for a placebo.

        The order is drawn after it was submitted, so that what it keeps from call to call does not tell it which is which.
        """
        plan, rng = self.desk.plans[got.ticket], stream(0, "probe")
        probe = self._probe(plan.question)
        jobs = {"tier": self._jobs(got)[0], "probe": probe}
        if self.monitors:
            permuted = {name: rng.permutation(x) if name == WEAK else x for name, x in probe.public.items()}
            moved = {
                name: x + NUDGE * x.std() * rng.normal(size=x.shape) if x.dtype.kind == "f" and x.size else x
                for name, x in probe.inputs.items()
            }
            jobs |= {"redrawn": replace(probe, inputs=moved)}
            jobs |= {"permuted": replace(probe, public=permuted)} if WEAK in probe.public else {}
        jobs |= self._placebos(got) if plan.tier == "confirm" else {}
        order = [list(jobs)[i] for i in stream(got.seeds[0], "order of calls").permutation(len(jobs))]
        ran = self.run(body, got.form, [jobs[name] for name in order])
        scores = dict(zip(order, ran.scores, strict=bool(ran.scores)))
        probed, other_labels, other_inputs = (_told(scores.get(name)) for name in ("probe", "permuted", "redrawn"))
        return replace(ran.trace, probe=probed, permuted=other_labels, redrawn=other_inputs), scores

    def _placebos(self, got: Received) -> dict[str, Job]:
        """Return calls on redrawn labels; none where the question has no labels."""
        (job,), bench = self._jobs(got), self.desk.benches[self.desk.plans[got.ticket].question]
        drawn = redrawn(bench, stream(got.seeds[0], "redrawn labels")) if labels(bench) else ()
        return {name: replace(job, public=public) for name, public in zip(PLACEBOS, drawn, strict=False)}

    def _jobs(self, got: Received) -> list[Job]:
        plan = self.desk.plans[got.ticket]
        bench, shape = self.desk.benches[plan.question], self.desk.scale(plan.question, plan.tier).shape
        inputs = bench.parts[plan.tier].inputs
        return [Job(public=bench.public, inputs=inputs, seed=seed, shape=shape) for seed in got.seeds]

    def _probe(self, question: str) -> Job:
        bench = self.desk.benches[question]
        inputs: Arrays = {name: x[:PROBE] for name, x in bench.parts["climb"].inputs.items()}
        shape = self.desk.scale(question, "climb").shape
        return Job(
            public=bench.public, inputs=inputs, seed=seed_for(0, "probe"), shape=(min(PROBE, shape[0]), *shape[1:])
        )

    def _baseline(self, question: str, tier: Tier) -> Float[np.ndarray, "N ..."] | None:
        """Return the baseline's scores on a tier; run it where it has not been."""
        if (question, tier) not in self.desk.baselines:
            bench = self.desk.benches[question]
            shape = self.desk.scale(question, tier).shape
            job = Job(public=bench.public, inputs=bench.parts[tier].inputs, seed=seed_for(0, tier), shape=shape)
            ran = self.run(self._published(question), "code", [job])
            if not ran.scores:
                return None
            blob = self.desk.ledger.put_blob(ran.scores[0].tobytes())
            self.desk.keep(Baseline(question=question, tier=tier, blob=blob))
        return self.desk.baselines[question, tier]

    def _published(self, question: str) -> bytes:
        return self.desk.benches[question].question.baseline.encode()


def _told(scores_PS: Float[np.ndarray, "P ..."] | None) -> tuple[float, ...]:
    """Return scores on the probe as a record keeps them; none of a call that was not made."""
    return () if scores_PS is None else tuple(float(score) for score in np.round(scores_PS.ravel(), 9))
