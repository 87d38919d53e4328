"""A campaign in real sandboxes before a real vault: walls hold, nothing is counted twice, and cheats find nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from superalign.control.sandbox import check_walls
from superalign.errors import BadInput
from superalign.lab.campaigns import Campaign, Done, campaign, opened
from superalign.lab.zoo_campaign import planted, zoo_campaign
from superalign.monitors.approval import allow_unflagged
from superalign.types import Interval
from superalign.vault.opening import ask
from tests.researcher.standing_in import Bench as Planted
from tests.researcher.test_in_the_sandbox import bench

try:
    check_walls()
    MISSING = ""
except BadInput as error:
    MISSING = str(error)
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "-")
SETTING = Campaign(researchers=("evolution", "random"), submissions=6, minutes=3, seed=0, grid_s=0.05)


def questions() -> list[Any]:
    return [bench(Planted(0)), bench(Planted(100, twin=True, name="toy-q"))]


def searched(folder: Path) -> Done:
    return campaign(questions(), SETTING, folder, stage=lambda _: None)


def test_planted_cheats_before_a_vault_become_no_findings(tmp_path: Path) -> None:
    some = planted(seed=5, rungs=("naive",), kinds=1)
    done = zoo_campaign(some, tmp_path / "zoo", watched=True)
    cheat = next(p for p in some if p.rung == "naive")
    words = [s.answer.word for s in done.sat if s.answer and s.plan.question == cheat.name]
    assert len(words) == len(cheat.drawn.plans)
    assert words[-1] in ("refused", "unchanged", "unmeasured")
    twin = next(p for p in some if p.rung == "twin")
    ran = [s.scored.score for s in done.sat if s.scored and s.plan.question == twin.name]
    assert any(isinstance(score, float) for score in ran)  # the zoo's questions can be answered
    assert done.findings == {}


@pytest.mark.slow
def test_a_campaign_that_is_killed_goes_on_counts_nothing_twice_and_finds_what_is_there(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=searched, args=(tmp_path,))
    child.start()
    ledger = tmp_path / "vault" / "vault" / "ledger"
    until = time.monotonic() + 60
    while time.monotonic() < until and not any((tmp_path / "researcher").glob("*.py")):
        time.sleep(0.2)
    time.sleep(2)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert ledger.exists()
    time.sleep(1)  # whoever it started ends with it
    with opened(tmp_path / "vault", (), allow=allow_unflagged, grid_s=0.05) as vault:
        before = ask(vault.socket, {"do": "history"})
    done = searched(tmp_path)
    climbed = [s for s in done.sat if s.plan.tier == "climb"]
    assert len(climbed) == 12
    assert len({s.plan.digest for s in climbed}) == 12
    kept = {a["ticket"]: a["word"] for a in before["answers"]}
    assert all(s.answer is not None and s.answer.word == kept[s.plan.digest] for s in done.sat if s.plan.digest in kept)
    assert done.ended == "finished"
    assert set(dict(done.totals.spent)) <= {"evolution", "random"}
    assert not [a.name for a in done.attempts if a.escaped]
    assert sum(a.escaped for a in done.bare) >= 60
    assert "toy-q" not in done.findings
    gain = done.findings["toy-k"].gain
    assert isinstance(gain, Interval)
    assert gain.low > 0
    again = searched(tmp_path)  # a finished campaign is only read
    assert [s.plan.digest for s in again.sat] == [s.plan.digest for s in done.sat]
