"""What happens to a submission, in order: monitors read it, somebody allows it, the runner runs it, its scores become a word.

Whatever goes wrong on the way is the word "unmeasured": never a pass, never a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jaxtyping import Float

from superalign.ledger.signing import signed
from superalign.monitors import calls
from superalign.monitors.approval import Allow, allow_unflagged
from superalign.monitors.checks import DISCLOSED
from superalign.monitors.reading import Monitor, Reading, Submission, read_all, shape_of
from superalign.runner.calls import Job, Trace
from superalign.runner.running import Run
from superalign.stats.streams import seed_for, stream
from superalign.types import Answer, Finding, Form, Interval, Plan, Unmeasured
from superalign.vault.desk import Baseline, Desk, Received, Scored
from superalign.vault.scoring import gain

CLAIM = ("tier", "dealt", "turned")  # calls that a claim rests on: the tier, and the same on redrawn labels


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
        jobs = self._jobs(got)
        trace, scores = self._called(got, body, jobs)
        if not scores:
            return replace(kept, score=Unmeasured(f"run: {trace.ended}"))
        kept = replace(kept, probe=trace.probe, readings=kept.readings + read_all(self.monitors, submission, trace))
        if (word := self.allow(submission, kept.readings)) is not None:
            return replace(kept, word=word, score=Unmeasured("monitors, after it ran"))
        if self.desk.repeats(got.ticket, trace.probe):
            return replace(kept, word="unchanged", score=Unmeasured("behaves as one before"))
        base = self._baseline(submission.plan, [jobs[name] for name in CLAIM if name in jobs])
        if not base:
            return replace(kept, score=Unmeasured("the baseline did not run"))
        parts_N = self.desk.scale(submission.plan.question, submission.plan.tier).parts(scores[CLAIM[0]])
        blob = self.desk.ledger.put_blob(parts_N.astype("<f8").tobytes())
        kept = replace(kept, score=float(parts_N.mean()), blob=blob)
        if submission.plan.tier == "climb":
            better = self.desk.ladders[submission.plan.question].improves(parts_N)
            return replace(kept, word="better" if better else "not better")
        return self._confirmed(kept, submission, [scores[name] for name in CLAIM if name in jobs], base)

    def _confirmed(
        self, kept: Scored, submission: Submission, scores: Sequence[np.ndarray], base: Sequence[np.ndarray]
    ) -> Scored:
        """Pass what beats the baseline, but not by a gain that is there on redrawn labels too.

        Unless the plan says that it needs none, and whoever is asked agrees.
        """
        plan, tries = submission.plan, self.desk.benches[submission.plan.question].question.tries
        confidence = 1.0 - 2.0 * self.desk.rules.level / (len(self.desk.benches) * tries)  # the level is shared by all
        scale = self.desk.scale(plan.question, plan.tier)
        overs = [gain(scale, s[None], b[None], confidence=confidence) for s, b in zip(scores, base, strict=True)]
        gained, *placebo = [over.low if isinstance(over, Interval) else 0.0 for over in overs]
        if gained > 0 and placebo:
            least, why = min(placebo), f"it gains at least {min(placebo):.3f} when every label is drawn anew"
            reading = Reading(monitor="placebo", suspicion=least, flagged=least > 0, why=why)
            kept = replace(kept, readings=(*kept.readings, reading))
            if least > 0 and not (DISCLOSED.search(plan.hypothesis) and self.allow(submission, kept.readings) is None):
                return replace(kept, word="not passed")
        return replace(kept, word="passed" if gained > 0 else "not passed")

    def reveal(self, ticket: str) -> Finding | None:
        """Open the sealed tier for one claim, and publish what it shows; nothing where it may not be opened."""
        confirmed = self.desk.claimed(ticket)
        if confirmed is None or (ticket not in self.desk.received and not self._may_claim(ticket, confirmed)):
            return None
        opened, plan = self.desk.open(ticket, confirmed), self.desk.plans[ticket]
        head = self.desk.ledger.entry(self.desk.ledger.index_of(opened.digest)).hash
        found: Interval | Unmeasured = Unmeasured("unmeasured: it did not run")
        base: Interval | Unmeasured = found
        jobs = [self.desk.job(plan, seed) for seed in opened.seeds]
        ran = self.run(self.desk.ledger.blob(opened.blob), opened.form, jobs)
        published = self.run(self._published(plan), "code", jobs)
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

    def _jobs(self, got: Received) -> dict[str, Job]:
        """List calls on tier and probe; for monitors with labels permuted and inputs moved; for a claim on redrawn labels."""
        plan = self.desk.plans[got.ticket]
        job, climb = self.desk.job(plan, got.seeds[0]), self.desk.job(replace(plan, tier="climb"), seed_for(0, "probe"))
        jobs = {CLAIM[0]: job, "probe": calls.probe(climb)}
        jobs |= calls.changed(jobs["probe"], stream(0, "probe")) if self.monitors else {}
        if plan.tier == "confirm" and got.form == "code":
            jobs |= zip(CLAIM[1:], calls.redrawn(job, stream(got.seeds[0], "redrawn labels")), strict=False)
        return jobs

    def _called(self, got: Received, body: bytes, jobs: Mapping[str, Job]) -> tuple[Trace, dict[str, np.ndarray]]:
        """Run an artefact in an order that is drawn after it was submitted: what it keeps does not tell it which call it is."""
        order = [list(jobs)[i] for i in stream(got.seeds[0], "order of calls").permutation(len(jobs))]
        ran = self.run(body, got.form, [jobs[name] for name in order])
        scores = dict(zip(order, ran.scores, strict=False))  # none of them where one failed
        probed, other_labels, other_inputs = (_told(scores.get(name)) for name in ("probe", "permuted", "moved"))
        return replace(ran.trace, probe=probed, permuted=other_labels, redrawn=other_inputs), scores

    def _baseline(self, plan: Plan, jobs: Sequence[Job]) -> tuple[np.ndarray, ...]:
        """Return the baseline's scores on the same calls, or nothing; at the climb it is run once, for the lowest rung."""
        if plan.tier != "climb":
            return self.run(self._published(plan), "code", jobs).scores
        if plan.question not in self.desk.ladders:
            ran = self.run(self._published(plan), "code", [self.desk.job(plan, seed_for(0, "climb"))])
            if not ran.scores:
                return ()
            blob = self.desk.ledger.put_blob(ran.scores[0].tobytes())
            self.desk.keep(Baseline(question=plan.question, blob=blob))
        return (self.desk.ladders[plan.question].best_N,)

    def _published(self, plan: Plan) -> bytes:
        return self.desk.benches[plan.question].question.baseline.encode()


def _told(scores_PS: Float[np.ndarray, "P ..."] | None) -> tuple[float, ...]:
    """Return scores on the probe as a record keeps them; none of a call that was not made."""
    return () if scores_PS is None else tuple(float(score) for score in np.round(scores_PS.ravel(), 9))
