"""A person as an overseer: nothing is lost, nothing is named, and what cannot be read is no answer."""

import functools
import json
import os
import pty
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from superalign.errors import DataError
from superalign.oversight import check_overseer
from superalign.oversight.conformance import failures
from superalign.oversight.judges.human import (
    Answer,
    Question,
    as_text,
    ask_in_files,
    ask_on_terminal,
    in_random_order,
    keep_answer,
    person,
    read_answers,
)
from superalign.oversight.judges.prompted import Played, Turn
from superalign.types import Rollouts, Unmeasured

SOME = [Question(problem=f"{i}+1", response=f"#{i + 1}", said="A critic: fine." * (i % 2)) for i in range(6)]


class Terminal:
    """A process with a terminal of its own; what it shows is read, and keys are sent to it."""

    def __init__(self, path: Path) -> None:
        self.pid, self.pipe = pty.fork()
        if self.pid == 0:
            try:
                sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w", buffering=1)
                ask_on_terminal(SOME, path=path, seed=3)
                print("THE END", flush=True)
            finally:
                os._exit(0)
        self.shown = ""

    def until(self, text: str, *, within_s: float = 30.0) -> str:
        """Read until a text is shown; return what came before and it."""
        end = time.monotonic() + within_s
        while text not in self.shown:
            assert time.monotonic() < end, f"{text!r} was not shown: {self.shown!r}"
            if select.select([self.pipe], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self.pipe, 4096).decode()
                except OSError:  # the other side is closed
                    assert text in self.shown, self.shown
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def type(self, keys: str) -> None:
        os.write(self.pipe, keys.encode())

    def end(self, how: int | None = None) -> None:
        if how is not None:
            os.kill(self.pid, how)
        os.waitpid(self.pid, 0)
        os.close(self.pipe)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # threads of libraries, at a fork
def test_on_a_real_terminal_a_kill_loses_nothing_and_the_next_start_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    first = Terminal(path)
    for word, sure in (("r\n", "90\n"), ("w\n", "\n")):
        first.until("[q]uit: ")
        first.type(word)
        first.until("Enter for 80): ")
        first.type(sure)
    first.until("[q]uit: ")  # the third question is shown and not answered
    first.end(signal.SIGKILL)
    order = in_random_order(SOME, seed=3)
    kept = read_answers(path)
    assert [kept[q.digest] for q in order[:2]] == [
        Answer(word="right", confidence=90),
        Answer(word="wrong", confidence=80),
    ]
    assert len(kept) == 2
    with path.open("ab") as file:  # and had the kill come in the middle of a line
        file.write(b'{"question": "ab')
    second = Terminal(path)
    shown = second.until("[q]uit: ")
    assert "4 questions are left of 6" in shown
    assert f"Problem:\r\n{order[2].problem}" in shown
    second.type("perhaps\n")
    second.until("Please answer r, w, c or q.")
    for _ in range(4):
        second.type("c\n")
    second.until("THE END")
    second.end()
    again = read_answers(path)
    assert {d: again[d] for d in kept} == kept
    assert [again[q.digest].word for q in order[2:]] == ["cannot tell"] * 4


def test_stopping_keeps_what_was_answered_and_leaves_the_rest_unmeasured(tmp_path: Path) -> None:
    lines = iter(["right", "100%", "r", "12", "60", "q"])
    shown: list[str] = []
    found = ask_on_terminal(SOME, path=tmp_path / "a", seed=0, read=lambda _: next(lines), show=shown.append)
    words = [a.why if isinstance(a, Unmeasured) else (a.word, a.confidence) for a in found.values()]
    assert words == [("right", 100), ("right", 60), *["nobody answered this question"] * 4]
    assert any("whole number from 50 to 100" in s for s in shown)

    def closed(_: str) -> str:
        raise EOFError

    assert ask_on_terminal(SOME, path=tmp_path / "a", seed=0, read=closed, show=shown.append) == found
    everything = dict.fromkeys(SOME, "right")
    for question in everything:
        keep_answer(tmp_path / "b", question, Answer(word="right"))
    assert len(ask_on_terminal(SOME, path=tmp_path / "b", seed=0, read=closed, show=shown.append)) == 6


def test_the_order_is_random_the_same_for_a_seed_and_names_no_arm() -> None:
    orders = {tuple(q.problem for q in in_random_order(SOME, seed=s)) for s in range(20)}
    assert len(orders) > 15
    assert in_random_order(SOME, seed=1) == in_random_order(SOME[::-1] + SOME, seed=1)
    assert set(Question.__dataclass_fields__) == {"problem", "response", "said"}  # nowhere to name an arm


def test_a_response_cannot_command_the_terminal() -> None:
    assert "\x1b" not in as_text(Question(problem="p", response="\x1b[2J\x07#2"))


def critic(problems: Any, rollouts: Rollouts, *, seed: int) -> Played:
    turn = Turn(round=0, side="", who="critic", text="look twice")
    return Played(transcripts=tuple((turn,) for _ in rollouts.text_R), tokens=3)


critic.name = "critic"  # type: ignore[attr-defined]


def answered(folder: Path) -> None:
    """Answer every question of a folder by its letters: right if no n is in the response."""
    asked = json.loads((folder / "questions.json").read_text())["questions"]
    made = {q["id"]: {"answer": "wrong" if "n" in q["response"] else "right", "confidence": 75} for q in asked}
    (folder / "answers.json").write_text(json.dumps(made))


def test_a_complete_answer_file_is_an_overseer(tmp_path: Path, problems: Any, rollouts: Rollouts) -> None:
    for play in (None, critic):
        folder = tmp_path / str(play is None)
        ask = functools.partial(ask_in_files, folder=folder, seed=0)
        judge = person(ask, play=play, through="files")
        assert all(v == Unmeasured("nobody answered this question") for v in judge(problems, rollouts, seed=0).values)
        answered(folder)
        check_overseer(judge, problems, rollouts)
        signal = judge(problems, rollouts, seed=0)
        assert signal.values == tuple(0.25 if "n" in t else 0.75 for t in rollouts.text_R)
        assert signal.checks == 8
        assert (play is None) == (signal.said[0] == "")


def test_a_broken_person_fails_the_check(problems: Any, rollouts: Rollouts) -> None:
    def by_place(questions: Any) -> Any:
        return {q.digest: Answer(word="right", confidence=50 + i) for i, q in enumerate(questions)}

    assert "order does not matter" in failures(person(by_place), problems, rollouts)


def test_bad_and_missing_answers_are_unmeasured_and_counted(tmp_path: Path) -> None:
    ask_in_files(SOME, folder=tmp_path, seed=0)
    asked = json.loads((tmp_path / "questions.json").read_text())["questions"]
    assert [q["id"] for q in asked] == [q.digest for q in in_random_order(SOME, seed=0)]
    said: list[Any] = ["right", "yes", {"answer": "wrong", "confidence": 20}, {"answer": "cannot tell"}, None]
    made = {q.digest: a for q, a in zip(SOME, said, strict=False)}
    (tmp_path / "answers.json").write_text(json.dumps(made))
    found = ask_in_files(SOME, folder=tmp_path, seed=0)
    told = [found[q.digest] for q in SOME]
    assert told[0] == Answer(word="right")
    assert told[3] == Answer(word="cannot tell")
    why = [t.why for t in told if isinstance(t, Unmeasured)]
    assert why == [
        "the answer 'yes' is none of right, wrong, cannot tell",
        "the confidence '20' is no number from 50 to 100",
        "nobody answered this question",
        "nobody answered this question",
    ]
    (tmp_path / "answers.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        ask_in_files(SOME, folder=tmp_path, seed=0)


def test_later_questions_are_added_to_the_file(tmp_path: Path) -> None:
    ask_in_files(SOME[:2], folder=tmp_path, seed=0)
    ask_in_files(SOME, folder=tmp_path, seed=0)
    asked = json.loads((tmp_path / "questions.json").read_text())["questions"]
    assert len(asked) == len({q["id"] for q in asked}) == 6
