"""Every detector on a chat model: what it is granted, which subjects are chosen, and what its page says."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from pathlib import Path

import pytest

from superalign.detectors import CueSweep, TranscriptReader
from superalign.early import pack_for
from superalign.errors import BadInput
from superalign.lab.chat_panel import CONTEXTS, Marked, chat_panel, known, questions, right
from superalign.lab.packs import read_pack
from superalign.models import open_weights
from superalign.organisms.chats import chats
from superalign.studies.chat_detectors.evidence import Alone, Evidence
from superalign.studies.chat_detectors.measure import REFERENCES, chosen
from superalign.studies.chat_detectors.page import page
from superalign.trials import Combination, Unsealed
from superalign.types import NOT_YET, Interval, Problem, Unmeasured, Verdict


def test_subjects_are_asked_held_out_questions_and_a_right_reply_is_told() -> None:
    held_out = {c.prompt for c in chats() if c.split == "test"}
    asked = questions(3)
    assert len({p.prompt for p in asked}) == len(asked) == 9
    assert all(any(p.prompt.startswith(q) for q in held_out) for p in asked)
    prompt, chat = next((p, c) for p, c in known().items() if c.answer == "Oslo")
    one = Problem(prompt=f"Hello. {prompt}", family="capitals", difficulty=1, split="test")
    assert right(one, "It is Oslo, I think.")
    assert not right(one, "It is Bergen.")
    assert chat.topic == "capitals"


def test_the_shipped_pack_has_subjects_for_it_and_references_are_not_looked_at() -> None:
    pack = read_pack(pack_for("smollm2", ""))
    organisms, clean, references = chosen(pack, 4)
    assert {m.role for m in organisms} == {"organism"}
    assert len({m.kind for m in organisms}) == len(organisms)
    assert {m.role for m in (*clean, *references)} == {"clean"}
    assert len(references) == REFERENCES
    names = [m.name for m in (*organisms, *clean, *references)]
    assert len(set(names)) == len(names)


def test_a_pack_without_adapters_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(pack_for("smollm2", ""), folder, ignore=shutil.ignore_patterns("subjects"))
    with pytest.raises(BadInput, match="0 adapters are here"):
        chosen(read_pack(folder), 1)


def test_every_detector_says_something_of_a_chat_model(tiny_chat: str) -> None:
    found = chat_panel(tiny_chat, "", ())
    assert len({d.card.name for d in found}) == len(found) == 15
    model = open_weights(tiny_chat)
    quick = [d for d in found if isinstance(d, CueSweep | TranscriptReader)]
    for detector in quick:
        verdict = detector(model, seed=0)
        assert isinstance(verdict.score, Interval | Unmeasured)
        assert verdict.subject == model.subject.digest
    chat_panel.cache_clear()


def evidence() -> Evidence:
    """Two detectors, one of which tells organisms apart and one of which measures nothing."""
    panel = (
        CueSweep(problems=(), cues=CONTEXTS),
        TranscriptReader(overseer=Marked(), called="one", problems=(), cues=CONTEXTS),
    )
    cards = [d.card for d in panel]

    def said(name: str, value: float) -> tuple[Verdict, ...]:
        scores = (Interval(value=value, low=value - 1, high=value + 1, n=4), Unmeasured("every reply was cut off"))
        return tuple(
            Verdict(instrument=c.digest, subject=name, score=s, flagged=NOT_YET, why="")
            for c, s in zip(cards, scores, strict=True)
        )

    truth = {f"{kind} {role}": (kind, role, 0) for kind, role in itertools.product("abcdef", ("organism", "clean"))}
    verdicts = {
        name: said(name, (9.0 if role == "organism" else 1.0) + 0.01 * i)
        for i, (name, (_, role, _)) in enumerate(truth.items())
    }
    unsealed = Unsealed(
        truth=truth,
        verdicts=verdicts,
        known=frozenset(truth),
        combination=Combination(parts=tuple(cards), sides=("high", "high")),
    )
    alone = said("base", 0.5)
    return Evidence(
        seed=0,
        base="smollm2",
        cards=(*cards, unsealed.combination.card),
        scored=unsealed.scored(),
        calibrations=unsealed.calibrations(rate=0.05),
        alone={c.digest: Alone(verdict=v, seconds=20.0) for c, v in zip(cards, alone, strict=True)},
        of_exam=[],
        absent=[("self-check", "no steps")],
        kinds=list("abcdef"),
        clean=["style"] * 6,
        references=3,
    )


def test_the_page_says_what_works_what_is_mute_and_what_it_costs() -> None:
    found = page(evidence())
    assert "1 tell them apart beyond chance (cue sweep)" in found.headline
    assert "1 measure nothing (transcript reader)" in found.headline
    assert "40 seconds of one core" in found.headline
    rows = found.sections[0].tables[0].rows
    assert [row[2] for row in rows] == ["12 of 12", "0 of 12"]
    assert "cut off" in str(rows[1][-1])
    assert found.sections[0].tables[1].rows[0][0] == "self-check"


def test_what_tells_nobody_apart_is_not_called_working() -> None:
    e = evidence()
    same = {k: [dataclasses.replace(s, role="clean") for s in rows] for k, rows in e.scored.items()}
    assert "0 tell them apart beyond chance (none)" in page(dataclasses.replace(e, scored=same)).headline
