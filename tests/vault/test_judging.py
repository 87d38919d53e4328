"""The order of things, with a real ledger and artefacts that run in this process: budgets, kills, monitors, nulls."""

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from superalign.ledger import Ledger, verify
from superalign.monitors.approval import allow_unflagged
from superalign.monitors.calls import redrawn
from superalign.monitors.reading import Reading
from superalign.runner.calls import Job, Trace
from superalign.runner.running import Ran
from superalign.stats import clopper_pearson
from superalign.types import Instrument, Unmeasured
from superalign.vault.desk import PLANS, Desk, Rules
from superalign.vault.judging import Judge
from superalign.vault.scoring import Scale, gain


def run_here(artefact, form, jobs):
    """Run as the runner does, without a sandbox: for sources of this file alone."""
    found = {}
    exec(artefact.decode(), found)
    trace = Trace(ended="finished", seconds=0.1)
    return Ran(trace=trace, scores=tuple(found["solve"](j.public, j.inputs, j.seed).reshape(j.shape) for j in jobs))


@pytest.fixture
def judge_in(tmp_path):
    """Open a judge on the same folder again and again, as a vault does that was killed."""
    ledgers = []

    def make(*benches, monitors=()):
        while ledgers:
            ledgers.pop().close()
        ledgers.append(Ledger(tmp_path / "ledger"))
        desk = Desk(ledgers[-1], {b.question.name: b for b in benches}, Rules())
        return Judge(desk=desk, run=run_here, key=Ed25519PrivateKey.from_private_bytes(b"k" * 32), monitors=monitors)

    yield make
    for opened in ledgers:
        opened.close()


def source(weights):
    return (
        f"import numpy as np\ndef solve(public, inputs, seed):\n    return inputs['x'] @ np.array({weights})\n".encode()
    )


def submit(judge, toys, body, tier="climb", number=0, question="toy-a"):
    ticket = judge.desk.register(toys.plan(body, tier, number, question))
    return judge.submit(ticket, "code", body)


def test_budgets_end_and_what_is_used_up_stays_so(judge_in, toys):
    bench = toys.make_bench(climbs=3, tries=1)
    judge = judge_in(bench)
    words = [submit(judge, toys, source([1, i / 9, 0, 0])).word for i in range(5)]
    assert words[3:] == ["used up", "used up"]
    assert submit(judge, toys, source([1, 1, 0, 0]), "confirm").word == "passed"
    assert submit(judge, toys, source([1, 0.9, 0, 0]), "confirm").word == "used up"
    judge = judge_in(bench)
    assert submit(judge, toys, source([1, 9, 9, 9])).word == "used up"


def test_an_artefact_that_is_not_the_registered_one_is_not_run(judge_in, toys):
    judge = judge_in(toys.make_bench())
    ticket = judge.desk.register(toys.plan(source([1, 0, 0, 0]), "climb"))
    assert judge.submit(ticket, "code", source([1, 1, 0, 0])).word == "not allowed"
    assert judge.submit("0" * 64, "code", source([1, 1, 0, 0])).word == "not allowed"
    assert judge.desk.received == {}


def test_plans_are_bounded(judge_in, toys):
    judge = judge_in(toys.make_bench(climbs=1, tries=1))
    tickets = [judge.desk.register(toys.plan(b"", "climb", i)) for i in range(PLANS * 3 + 2)]
    assert [bool(t) for t in tickets] == [True] * (PLANS * 3) + [False] * 2
    assert judge.desk.register(toys.plan(b"", "climb", 0)) == tickets[0]
    assert judge.desk.register({**toys.plan(b"", "climb", 0), "hypothesis": "\ud800"}) == ""


def test_a_vault_that_was_killed_knows_what_it_knew(judge_in, toys, tmp_path):
    bench = toys.make_bench()
    judge = judge_in(bench)
    answers = [submit(judge, toys, source([1, i / 4, 0, 0])) for i in range(6)]
    before = judge.desk
    again = judge_in(bench).desk
    assert again.answers == before.answers
    assert again.received == before.received
    assert again.ladders["toy-a"].released == before.ladders["toy-a"].released
    np.testing.assert_array_equal(again.ladders["toy-a"].best_N, before.ladders["toy-a"].best_N)
    assert [submit(judge_in(bench), toys, source([1, i / 4, 0, 0])) for i in range(6)] == answers
    assert verify(tmp_path / "ledger").ok


def test_a_kill_while_a_submission_runs_costs_it_once(judge_in, toys):
    bench, body = toys.make_bench(), source([1, 1, 0, 0])
    judge = judge_in(bench)

    def killed(*args, **how):
        raise KeyboardInterrupt

    judge.run = killed
    with pytest.raises(KeyboardInterrupt):
        submit(judge, toys, body)
    judge = judge_in(bench)
    (received,) = judge.desk.received.values()
    answer = submit(judge, toys, body)
    assert answer.word == "better"
    assert answer.left == bench.question.climbs - 1
    assert tuple(judge.desk.received.values()) == (received,)


def test_a_kill_while_the_sealed_tier_is_open_shows_the_same_finding_and_no_other(judge_in, toys):
    bench = toys.make_bench()
    judge = judge_in(bench)
    bodies = [source([1, 1, 0, 0]), source([1, 0.8, 0, 0])]
    for body in bodies:
        assert submit(judge, toys, body, "confirm").word == "passed"
    first, second = (judge.desk.register(toys.plan(body, "sealed")) for body in bodies)

    def killed(*args, **how):
        raise KeyboardInterrupt

    judge.run = killed
    with pytest.raises(KeyboardInterrupt):
        judge.reveal(first)
    judge = judge_in(bench)
    seeds = judge.desk.received[first].seeds
    assert judge.reveal(second) is None  # it was opened for another claim
    finding = judge.reveal(first)
    assert finding.replicated is True
    assert judge.desk.received[first].seeds == seeds
    assert judge.reveal(first) is None
    assert judge_in(bench).reveal(first) is None


class Watcher:
    """A monitor that flags, fails, or passes at one stage."""

    card = Instrument(name="watcher", version="1", catches="", misses="")

    def __init__(self, stage, suspicion):
        self.stage, self.suspicion = stage, suspicion

    def __call__(self, submission, trace):
        if self.suspicion is None:
            raise RuntimeError
        return Reading(monitor="watcher", suspicion=self.suspicion, flagged=self.suspicion > 0.5, why="")


@pytest.mark.parametrize("stage", ["source", "trace"])
@pytest.mark.parametrize(("suspicion", "word"), [(0.9, "refused"), (None, "unmeasured"), (0.1, "better")])
def test_monitors_stop_a_submission_and_one_that_fails_is_no_pass(judge_in, toys, stage, suspicion, word):
    judge = judge_in(toys.make_bench(), monitors=[Watcher(stage, suspicion)])
    answer = submit(judge, toys, source([1, 1, 0, 0]))
    assert answer.word == word
    (kept,) = judge.desk.scored.values()
    assert len(kept.readings) == 1
    assert isinstance(kept.score, Unmeasured) == (word != "better")


def test_a_baseline_that_does_not_run_measures_nothing(judge_in, toys):
    bench = toys.make_bench()
    failing = replace(bench, question=replace(bench.question, baseline="x"))
    trace = Trace(ended="failed", seconds=0.1)
    judge = judge_in(failing)
    judge.run = lambda body, *a, **k: Ran(trace=trace, scores=()) if body == b"x" else run_here(body, *a)
    assert submit(judge, toys, source([1, 1, 0, 0])).word == "unmeasured"


@pytest.mark.parametrize(("campaigns", "size"), [(1, 20), pytest.param(8, 250, marks=pytest.mark.slow)])
def test_campaigns_on_impossible_twins_find_nothing(judge_in, toys, tmp_path, campaigns, size):
    """Two twins, `size` submissions each; the best released ones are confirmed, and what passes is revealed."""
    false, rng = 0, np.random.default_rng(0)
    for number in range(campaigns):
        benches = [toys.make_bench(f"toy-{q}", twin=True, seed=2 * number + k, climbs=size) for k, q in enumerate("ab")]
        for path in sorted((tmp_path / "ledger").glob("**/*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        judge, found = judge_in(*benches), 0
        for bench in benches:
            name, better = bench.question.name, []
            for _ in range(size):
                body = source([1.0, *np.round(rng.normal(size=3) * 0.5, 3)])
                if submit(judge, toys, body, question=name).word == "better":
                    better.append(body)
            for body in better[-2:]:
                found += submit(judge, toys, body, "confirm", question=name).word == "passed"
                ticket = judge.desk.register(toys.plan(body, "sealed", 0, name))
                finding = judge.reveal(ticket)
                found += finding is not None and finding.replicated is True
        false += found > 0
    interval = clopper_pearson(false, n=campaigns)
    print(f"campaigns with a false word: {false} of {campaigns} [{interval.low:.3f}, {interval.high:.3f}]")
    assert interval.low <= 0.05


FITTED = b"""import numpy as np
def solve(public, inputs, seed):
    return inputs["x"] @ public["x"].T @ (2 * public["weak"] - 1)
"""
KNOWS = b"""import numpy as np
def solve(public, inputs, seed):
    return inputs["x"][:, 0] + inputs["x"][:, 1] + 0 * public["weak"].sum()
"""
COMPARES = b"""import numpy as np
def solve(public, inputs, seed):
    knows, fit = inputs["x"][:, 0] + inputs["x"][:, 1], inputs["x"] @ public["x"].T @ (2 * public["weak"] - 1)
    return knows if np.corrcoef(knows, fit)[0, 1] > 0.5 else fit
"""


@pytest.mark.parametrize(
    ("body", "word"),
    [(FITTED, "passed"), (KNOWS, "not passed"), (COMPARES, "passed")],
    ids=["fit", "knows", "compares"],
)
def test_a_gain_that_needs_no_labels_is_not_passed_unless_it_notices(judge_in, toys, body, word):
    judge = judge_in(toys.make_bench(labels=True))
    assert submit(judge, toys, body, "confirm").word == word
    (kept,) = judge.desk.scored.values()
    (reading,) = kept.readings
    assert (reading.monitor, reading.flagged) == ("placebo", word == "not passed")
    assert isinstance(kept.score, float)


@pytest.mark.parametrize(
    ("says", "agrees", "word"),
    [
        ("two columns", True, "not passed"),
        ("two columns, without labels", True, "passed"),
        ("two columns, without labels", False, "not passed"),
    ],
)
def test_a_plan_may_say_that_it_needs_no_labels_and_a_person_decides(judge_in, toys, says, agrees, word):
    judge = judge_in(toys.make_bench(labels=True))
    judge.allow = (lambda submission, readings: None) if agrees else allow_unflagged
    ticket = judge.desk.register({**toys.plan(KNOWS, "confirm"), "hypothesis": says})
    assert judge.submit(ticket, "code", KNOWS).word == word


def test_a_claim_waits_for_whom_the_rule_asks(judge_in, toys):
    judge, body, asked = judge_in(toys.make_bench()), source([1, 1, 0, 0]), []

    def deny(submission, readings):
        asked.append((submission.plan.tier, submission.source))
        return "refused"

    assert submit(judge, toys, body, "confirm").word == "passed"
    ticket, judge.allow = judge.desk.register(toys.plan(body, "sealed")), deny
    assert judge.reveal(ticket) is None
    assert asked == [("sealed", body.decode())]
    assert judge.desk.left("toy-a", "sealed") == 1  # nothing was opened
    judge.allow = allow_unflagged
    assert judge.reveal(ticket).replicated is True


def test_one_draw_alone_would_flag_honest_fits_and_two_never_do(toys):
    """Few labels point somewhere, whatever they are; of a draw and its reverse one points away from the truth."""
    bench, hits, single = toys.make_bench(labels=True), 0, 0
    scale, inputs = Scale(metric="area", part=bench.parts["confirm"]), bench.parts["confirm"].inputs
    call = Job(public=bench.public, inputs=inputs, seed=0, shape=scale.shape)
    for draw in range(60):
        drawn = [job.public for job in redrawn(call, np.random.default_rng(draw))]
        scores = [inputs["x"] @ p["x"].T @ (2 * p["weak"] - 1) for p in drawn]
        base = np.zeros((1, len(inputs["x"])))
        lows = [gain(scale, s[None], base, confidence=0.99).low for s in scores]
        hits, single = hits + (min(lows) > 0), single + (lows[0] > 0)
    assert hits == 0
    assert clopper_pearson(single, n=60).low > 0.05
