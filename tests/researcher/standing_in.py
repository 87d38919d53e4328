"""A synthetic question and a vault in process that answers by the words of the contract, for tests of researchers."""

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from superalign.ledger.signing import public_key, signed
from superalign.researcher.client import Client, VaultError
from superalign.researcher.pieces import area
from superalign.researcher.rehearsing import solve_of
from superalign.types import Choice, Interval, Plan, Question, rebuild, to_plain
from superalign.types.base import Unmeasured
from superalign.types.research import Answer, Finding

BASELINE = """import numpy as np
def solve(public, inputs, seed):
    y = public["weak"] - public["weak"].mean()
    x = public["x"] - public["x"].mean(0)
    return inputs["x"] @ np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)
"""


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Bench:
    """A true direction, and a weak label that follows the group's own direction as well; sealed groups are others.

    Of an impossible twin the truth is the weak label, flipped at the rate at which the weak labeller errs.
    """

    def __init__(self, seed: int, *, twin: bool = False, name: str = "toy-k", d: int = 12, n: int = 400) -> None:
        self.rng, self.twin = np.random.default_rng(seed), twin
        self.true, self.wrong = np.linalg.qr(self.rng.normal(size=(d, 2)))[0].T
        self.question = Question(
            name=name,
            kind="toy",
            asks="Tell true from false.",
            metric="area",
            arrays=(("x", "features, (M, D)"), ("weak", "probabilities of the weak labeller, (M,)")),
            published="ridge regression on weak labels",
            baseline=BASELINE,
            space=(Choice(name="fit", options=("logistic", "ridge", "mean", "lda")),),
            climbs=40,
            tries=2,
        )
        x, weak, group, _ = self.items(500, 1.5)
        dev = self.items(150, 1.5)
        self.public = {"x": x, "weak": weak, "group": group, "dev_x": dev[0], "dev_true": dev[3], "dev_group": dev[2]}
        self.tiers = {t: self.items(n, 1.5 if t != "sealed" else -2.5) for t in ("climb", "confirm", "sealed")}

    def items(self, n: int, shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        group = self.rng.integers(0, 4, n)
        x = self.rng.normal(size=(n, len(self.true))) + np.outer((group - 1.5) * shift, self.wrong)
        truth = (x @ self.true + 0.4 * self.rng.normal(size=n) > 0).astype(int)
        weak = sigmoid(1.5 * x @ self.true + 1.5 * x @ self.wrong + self.rng.normal(size=n))
        if self.twin:
            truth = (weak > 0.5).astype(int) ^ (self.rng.random(n) < 0.25)
        return x.astype(np.float32), weak, group, truth

    def score(self, source: str, tier: str, seed: int = 0) -> np.ndarray:
        """Scores of an artefact on a tier."""
        x, _, group, _ = self.tiers[tier]
        return np.asarray(solve_of(source)(self.public, {"x": x, "group": group}, seed), float)

    def gain(self, source: str, tier: str) -> tuple[float, float]:
        """Gain over the baseline, and its standard error by resampling."""
        truth = self.tiers[tier][3]
        own, base = self.score(source, tier), self.score(self.question.baseline, tier)
        draws = [np.random.default_rng(i).integers(0, len(truth), len(truth)) for i in range(60)]
        spread = np.std([area(own[d], truth[d]) - area(base[d], truth[d]) for d in draws])
        return area(own, truth) - area(base, truth), float(spread) + 1e-9


class StandIn(Client):
    """Answers like the vault: `kill_after` requests it is gone for good, as if the researcher had been killed."""

    def __init__(self, *benches: Bench, says: Mapping[str, str] | None = None) -> None:
        super().__init__("nowhere")
        self.benches = {b.question.name: b for b in benches}
        self.says = dict(says or {})  # a word for every submission of a researcher
        self.plans: dict[str, Plan] = {}
        self.answers: dict[str, Answer] = {}
        self.findings: dict[str, Finding] = {}
        self.key = Ed25519PrivateKey.generate()
        self.best = {
            name: (b.score(b.question.baseline, "climb"), self._area(b, b.score(b.question.baseline, "climb")))
            for name, b in self.benches.items()
        }
        self.sources: dict[str, str] = {}
        self.kill_after, self.asked = 10**9, 0

    def _area(self, bench: Bench, scores: np.ndarray) -> float:
        return area(scores, bench.tiers["climb"][3])

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.asked += 1
        if self.asked > self.kill_after:
            raise KeyboardInterrupt
        reply = self._reply(json.loads(json.dumps(request)))
        if "error" in reply:
            raise VaultError(str(reply["error"]))
        return json.loads(json.dumps(reply))

    def _reply(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "questions":
                asked = [to_plain(b.question) for b in self.benches.values()]
                return {"questions": asked, "key": public_key(self.key)}
            case "public":
                out = io.BytesIO()
                np.savez(out, **self.benches[request["question"]].public)
                return {"public": base64.b64encode(out.getvalue()).decode()}
            case "register":
                plan = rebuild(request["plan"], {"Plan": Plan})
                self.plans[plan.digest] = plan
                return {"ticket": plan.digest}
            case "submit":
                return {"answer": to_plain(self._answer(request["ticket"], base64.b64decode(request["body"])))}
            case "reveal":
                return self._reveal(self.plans.get(request["ticket"]))
            case "history":
                answers, findings = map(to_plain, (list(self.answers.values()), list(self.findings.values())))
                return {"plans": to_plain(list(self.plans.values())), "answers": answers, "findings": findings}
        return {"error": "not understood"}

    def _answer(self, ticket: str, body: bytes) -> Answer:
        plan = self.plans[ticket]
        assert plan.artefact == hashlib.sha256(body).hexdigest()
        bench = self.benches[plan.question]
        if ticket not in self.answers:
            used = sum((self.plans[t].question, self.plans[t].tier) == (plan.question, plan.tier) for t in self.answers)
            left = (bench.question.climbs if plan.tier == "climb" else bench.question.tries) - used - 1
            word, score = ("used up", Unmeasured("not told")) if left < 0 else self._word(plan, bench, body.decode())
            self.answers[ticket] = Answer(ticket=ticket, tier=plan.tier, word=word, score=score, left=max(left, 0))
        return self.answers[ticket]

    def _word(self, plan: Plan, bench: Bench, source: str) -> tuple[Any, Any]:
        untold = Unmeasured("not told")
        self.sources[plan.artefact] = source
        if plan.researcher in self.says:
            return self.says[plan.researcher], untold
        if plan.tier == "confirm":
            return self._confirms(bench, source), untold
        try:
            scores = bench.score(source, "climb")
        except Exception:
            return "unmeasured", untold
        reached, step = self._area(bench, scores), 0.01
        if reached > self.best[plan.question][1] + step:
            self.best[plan.question] = scores, round(reached / step) * step
            return "better", self.best[plan.question][1]
        return "not better", self.best[plan.question][1]

    def _confirms(self, bench: Bench, source: str) -> str:
        gain, spread = bench.gain(source, "confirm")
        return "passed" if gain > 2.2 * spread else "not passed"

    def _reveal(self, plan: Plan | None) -> dict[str, Any]:
        confirmed = plan is not None and any(
            a.word == "passed" and self.plans[a.ticket].artefact == plan.artefact for a in self.answers.values()
        )
        if plan is None or plan.tier != "sealed" or not confirmed or plan.question in self.findings:
            return {"error": "not allowed"}
        gain, spread = self.benches[plan.question].gain(self.sources[plan.artefact], "sealed")
        interval = Interval(value=gain, low=gain - 2 * spread, high=gain + 2 * spread, n=400)
        finding = Finding(
            ticket=plan.digest,
            question=plan.question,
            gain=interval,
            baseline=Unmeasured("toy"),
            replicated=interval.low > 0,
        )
        self.findings[plan.question] = signed(finding, self.key)
        return {"finding": to_plain(self.findings[plan.question])}
