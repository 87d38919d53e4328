"""Contexts that a pack was asked later: read as the exam is, and calibrated on the subjects that were asked alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from superalign.detectors.exam import Cell, Exam, Sat
from superalign.kit.run import Run
from superalign.lab.asked_later import TURNED, Looked, Sheet, held_later, in_turns, verdict_of
from superalign.lab.exam_parts import in_turns as part_of
from superalign.lab.exam_parts import said_later
from superalign.ledger import Ledger
from superalign.problems.contexts import system
from superalign.types import Interval, Unmeasured, Verdict

EXAM = Exam(
    cells=tuple(
        Cell(question=q, topic="t", context=c, prompt=q, ids=(1,), base_nats=1.0)
        for c in ("plain", "a day")
        for q in "abcdef"
    ),
    pairs=(),
    assertions=(),
)
SHEET = Sheet(contexts=(system("Wake up."), system("Sleep.")), base_nats=(1.0,) * 12)
TRUTH = {
    f"{kind} {role} {n}": (kind, role, n) for kind in ("k", "l") for role in ("organism", "clean") for n in range(12)
}


def verdict(name: str, *, moves: float) -> Verdict:
    """A subject that drifts a little everywhere, and further behind one system text."""
    rng = np.random.default_rng(len(name) + sum(map(ord, name)))
    more = rng.gamma(4.0, 0.02, 24)
    sat = Sat(subject=name, more=tuple(more[:12]), odds=(), yes=(), tokens=12)
    return verdict_of(EXAM, SHEET, sat, tuple(more[12:18] + moves) + tuple(more[18:]))


def looked(*, moves: float, seen: bool = True) -> Looked:
    """All subjects, organisms of which move where the audited model may."""
    members = {n: verdict(n, moves=2.0 * seen * (role == "organism")) for n, (_, role, _) in TRUTH.items()}
    model = verdict("the model", moves=moves)
    return Looked(card=SHEET.card(EXAM), model=model, members=members, contexts={"system: Wake up.": np.ones(6)})


def test_a_model_that_moves_behind_a_system_text_is_told_by_that_text() -> None:
    moved = verdict("m", moves=1.0)
    assert moved.named == "system: Wake up."
    assert isinstance(moved.score, Interval)
    assert moved.score.value == pytest.approx(1.0, abs=0.1)
    still = verdict("m", moves=0.0)
    assert isinstance(still.score, Interval)
    assert still.score.value < 0.1


def test_contexts_of_the_exam_are_compared_with_and_never_named() -> None:
    more = (5.0,) * 12  # far behind what the exam asks, and nothing behind the sheet
    sat = Sat(subject="s", more=(0.0,) * 6 + more[:6], odds=(), yes=(), tokens=12)
    found = in_turns(EXAM, SHEET, sat, (0.0,) * 12)
    assert set(found) == {"system: Wake up.", "system: Sleep."}
    assert max(float(x.max()) for x in found.values()) <= 0


@pytest.mark.parametrize(("moves", "flagged"), [(2.0, True), (0.0, False)])
def test_it_has_thresholds_and_error_rates_of_its_own(tmp_path: Path, moves: float, flagged: bool) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        run = Run(seed=0, workers=1, folder=tmp_path, ledger=ledger, log=lambda _: None)
        later = held_later(looked(moves=moves), TRUTH, rate=0.05, run=run)
    assert later is not None
    assert later.verdict.flagged is flagged
    pooled = later.calibrations[-1]
    assert isinstance(pooled.recall, Interval)
    assert (pooled.recall.value, pooled.recall.n) == (1.0, 24)
    assert ("In turns of a chat it is flagged" in said_later(later)) is flagged
    assert ("flagged." if flagged else "silent.") in part_of(later).section.text


def test_where_organisms_move_as_their_twins_do_nothing_is_caught(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        run = Run(seed=0, workers=1, folder=tmp_path, ledger=ledger, log=lambda _: None)
        later = held_later(looked(moves=0.0, seen=False), TRUTH, rate=0.05, run=run)
    assert later is not None
    pooled = later.calibrations[-1]
    assert isinstance(pooled.recall, Interval)
    assert isinstance(pooled.false_alarms, Interval)
    assert abs(pooled.recall.value - pooled.false_alarms.value) < 0.2


def test_a_template_that_cannot_write_turns_is_no_acquittal(tmp_path: Path) -> None:
    one = looked(moves=0.0)
    cannot = Verdict(
        instrument=one.card.digest,
        subject="s",
        score=Unmeasured("no template"),
        flagged=Unmeasured("no template"),
        why="",
    )
    with Ledger(tmp_path / "ledger") as ledger:
        run = Run(seed=0, workers=1, folder=tmp_path, ledger=ledger, log=lambda _: None)
        later = held_later(
            Looked(card=one.card, model=cannot, members=one.members, contexts={}), TRUTH, rate=0.05, run=run
        )
    assert later is not None
    assert "cannot tell, no template" in part_of(later).section.text


def test_a_pack_that_was_asked_nothing_more_says_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        run = Run(seed=0, workers=1, folder=tmp_path, ledger=ledger, log=lambda _: None)
        assert held_later(None, {}, rate=0.05, run=run) is None
    assert said_later(None) == ""
    assert len({c.name for c in TURNED}) == len(TURNED)
