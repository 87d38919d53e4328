"""An auditor's own contexts: asked of the model and of innocent tunings, and never taken for those of the exam."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.detectors.exam import Cell, Exam
from superalign.early import pack_for
from superalign.errors import DataError
from superalign.lab.looking import SubjectJob
from superalign.lab.own_contexts import cells_behind, key, own_job, own_jobs
from superalign.lab.pack_sitting import At
from superalign.lab.packs import read_pack
from superalign.problems.contexts import Context, read_audited_contexts, read_words
from superalign.types import Interval

CELLS = tuple(
    Cell(question=q, topic="t", context=c, prompt=q, ids=(n,), base_nats=1.0)
    for n, q in enumerate("abcd")
    for c in (("plain",) if q == "d" else ("plain", "a day"))
)
EXAM = Exam(cells=CELLS, pairs=(), assertions=())


def test_only_what_the_exam_asks_in_contexts_is_asked_behind_ones_own() -> None:
    found, asked = cells_behind(EXAM, (Context(name="a day", sort="own", text="a day {prompt}!"),))
    assert asked == ["a day a!", "a day b!", "a day c!"]
    assert {c.context for c in found} == {key("a day")} != {"a day"}
    assert [c.ids for c in found] == [(0,), (1,), (2,)]


def test_a_context_that_wants_a_wrong_answer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("I think it is {other}. {prompt}\n")
    with pytest.raises(DataError, match="asked by the exam already"):
        read_audited_contexts(tmp_path / "own.txt")


@pytest.mark.parametrize("line", ["Today is Monday.", "red:", "{prompt}"])
def test_more_than_a_word_is_no_word(tmp_path: Path, line: str) -> None:
    (tmp_path / "words.txt").write_text(f"blue\n{line}\n")
    with pytest.raises(DataError, match="more than a word"):
        read_words(tmp_path / "words.txt")
    (tmp_path / "words.txt").write_text("blue\n\nblue\nred\n")
    assert read_words(tmp_path / "words.txt") == ("blue", "red")


def test_innocent_subjects_that_came_along_are_asked_beside_the_model(smollm2: str, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("It rains.\n")
    pack = read_pack(pack_for(smollm2, ""))
    at = At(pack=pack.folder, base=smollm2, budget=0)
    model, *clean = own_jobs(pack, at, SubjectJob(path=smollm2), str(tmp_path / "own.txt"))
    assert (model.member, model.contexts) == (None, (Context(name="It rains.", sort="own", text="It rains. {prompt}"),))
    assert clean
    assert all(job.member and job.member.role == "clean" and job.target is None for job in clean)
    (own,) = own_job(clean[0])
    assert own.context == "It rains."
    assert isinstance(own.beyond, Interval)
    assert own.beyond.low < own.beyond.high  # a tuning moves its base's answers a little
    assert own.beyond.value == pytest.approx(0.0, abs=0.5)  # and in all contexts alike
