"""Who has to agree, and that silence, and a second opinion, change nothing."""

import threading
import time
from pathlib import Path
from typing import get_args

import pytest

from superalign.errors import BadInput
from superalign.monitors.approval import Request, Risk, ask, decide, risk_of, waiting
from superalign.monitors.reading import Reading, Submission
from superalign.types import Plan, Tier, Unmeasured, digest_of


def submission(tier: Tier = "climb") -> Submission:
    plan = Plan(
        question="q1",
        researcher="r",
        hypothesis="ridge",
        family="ridge",
        predicted=0.1,
        artefact="0" * 64,
        tier=tier,
        number=0,
    )
    return Submission(plan=plan, source="def solve(public, inputs, seed): ...")


def reading(suspicion: float | Unmeasured, *, flagged: bool = False) -> Reading:
    return Reading(monitor="m", suspicion=suspicion, flagged=flagged, why="")


PASS, FLAG, FAILED = reading(0.1), reading(0.9, flagged=True), reading(Unmeasured("it raised"))


@pytest.mark.parametrize(
    ("tier", "readings", "risk"),
    [
        ("climb", [], "auto"),
        ("climb", [PASS, PASS], "auto"),
        ("confirm", [PASS], "auto"),
        ("sealed", [PASS], "ask"),
        ("climb", [PASS, FLAG], "ask"),
        ("climb", [FLAG, FLAG], "refuse"),
        ("climb", [PASS, FAILED], "refuse"),
        ("sealed", [FAILED], "refuse"),
    ],
)
def test_who_has_to_agree(tier: Tier, readings: list[Reading], risk: Risk) -> None:
    assert risk in get_args(Risk)
    assert risk_of(submission(tier), readings) == risk
    assert tier != "sealed" or risk_of(submission(tier), [PASS], asked=()) == "auto"


REQUEST = Request(submission=submission(), readings=(FLAG, FAILED))
TICKET = digest_of(REQUEST.submission.plan)


def test_silence_is_a_denial_and_on_record(tmp_path: Path) -> None:
    decision = ask(tmp_path, REQUEST, within_s=0.1)
    assert (decision.ticket, decision.allowed, decision.by) == (TICKET, False, "")
    assert decision.why == "nobody said anything for 0.1 s"
    assert isinstance(decision.human_s, Unmeasured)
    assert waiting(tmp_path) == ()
    with pytest.raises(BadInput, match="decided before"):
        decide(tmp_path, TICKET, allowed=True, by="me", why="too late")
    assert ask(tmp_path, REQUEST, within_s=0.1) == decision


@pytest.mark.parametrize("allowed", [True, False])
def test_a_person_decides_once_and_the_time_is_counted(allowed: bool, tmp_path: Path) -> None:
    answers = []
    asking = threading.Thread(target=lambda: answers.append(ask(tmp_path, REQUEST, within_s=20)))
    asking.start()
    while not (shown := waiting(tmp_path)):
        time.sleep(0.01)
    assert shown == ((TICKET, REQUEST),)
    time.sleep(0.2)
    said = decide(tmp_path, TICKET, allowed=allowed, by="me", why="I read it")
    asking.join(20)
    assert answers == [said]
    assert (said.allowed, said.by, said.why) == (allowed, "me", "I read it")
    assert isinstance(said.human_s, float)
    assert 0.2 <= said.human_s < 10
    with pytest.raises(BadInput, match="once and is not taken back"):
        decide(tmp_path, TICKET, allowed=not allowed, by="me", why="I changed my mind")


@pytest.mark.parametrize("ticket", ["", "a" * 64, "../" + "a" * 61, TICKET[:-1]])
def test_what_nobody_asked_is_not_decided(ticket: str, tmp_path: Path) -> None:
    (tmp_path / "x.asked").touch()
    with pytest.raises(BadInput, match="Nothing waits under the ticket"):
        decide(tmp_path, ticket, allowed=True, by="me", why="")
