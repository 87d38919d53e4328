"""The sandwich study: what advisers say is what the chains say, the nulls are null, and a person can take the judge's place."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from superalign import settings
from superalign.cli import app
from superalign.errors import ConfigError
from superalign.grants import chains
from superalign.kit.run import codec_of
from superalign.lab.advice import AdviceJob, advise, shuffled, written
from superalign.lab.arms import Arm
from superalign.lab.arms import Config as ArmsConfig
from superalign.lab.labelled_overseers import sandwich_overseer
from superalign.lab.people import apart, assigned
from superalign.ledger import Ledger
from superalign.oversight import check_overseer
from superalign.oversight.sandwich.dialogue import Hostile
from superalign.problems import parse
from superalign.report import Findings
from superalign.studies.sandwich.evidence import COMBINED, COPY, HOSTILE, MORE, OWN_PLACEBO
from superalign.studies.sandwich.page import headline
from superalign.studies.sandwich.study import STUDY, Config
from superalign.trials import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, VOTING
from superalign.trials.solver import differs, rest_of
from superalign.types import Claim, Interval, Problem, Rollouts, Unmeasured

TINY = Config(
    agent="small", practice=60, items=60, seeds=2, depths=(4,), most_checks=1, temperatures=(1.0,), questions=12
)


def run(config: Config, folder: Path, *, log: Any = lambda line: None) -> Findings:
    folder.mkdir(exist_ok=True)
    config = settings.validated(config, study="sandwich")
    with Ledger(folder / "ledger") as ledger:
        return STUDY.run(config, seed=0, workers=1, folder=folder, ledger=ledger, log=log)


def test_the_whole_study_in_small(tmp_path: Path) -> None:
    found = run(TINY, tmp_path)
    assert found == run(TINY, tmp_path), "kept work gives the same study"
    claims = {c.name: c for c in found.claims}
    best = claims["The sandwich beats the better of judge alone and agent alone"]
    assert isinstance(best.null, Interval | Unmeasured)
    assert claims["Asking a copy of the judge gains nothing over one check more"].holds is not False
    table = next(t for s in found.sections for t in s.tables if t.title == "Arms")
    assert {r[0] for r in table.rows} >= {
        JUDGE, AGENT, "the sandwich", EXPERT, VOTING, PLACEBO, COMBINED, COPY, MORE, HOSTILE, OWN_PLACEBO,
    }  # fmt: skip
    assert all(r[6] <= 2 for r in table.rows), "nobody checks more than he may"
    assert {s.title for s in found.sections} >= {
        "Calibration before and after",
        "How strong the judge and the agent are",
    }


def job(**changes: Any) -> AdviceJob:
    made = AdviceJob(
        writer="small", agent="small", temperature=0.0, manner="honest", seed=3, draw=0, depths=(4,), practice=12, items=40,
        checks=5, votes=2,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def test_an_agent_that_is_always_right_finds_every_wrong_response_and_a_shuffled_one_knows_nothing() -> None:
    good = advise(job()).test
    assert good.votes is not None
    assert good.votes.right > 0.98
    pointed = [bool(d) and d[-1][0] is not None for d in good.dialogues]
    wrong = [not r for r in good.right]
    assert sum(wrong) > 5
    assert all(p for p, w in zip(pointed, wrong, strict=True) if w)
    assert good.texts == advise(job(manner="hostile")).test.texts, "every adviser is asked about the same"
    shuffled = advise(job(manner="shuffled")).test
    assert sum(d[0][0] is not None for d in shuffled.dialogues) > 35


def test_practice_and_test_share_no_problem() -> None:
    found = advise(job(manner="copy", seed=0))
    practice, test = ({p.prompt for p in heard.problems} for heard in (found.practice, found.test))
    assert not practice & test


def test_advice_is_kept_as_it_is() -> None:
    codec, found = codec_of(advise), advise(job(items=12))
    assert codec.validate_json(codec.dump_json(found)) == found


def test_an_adversary_says_the_opposite() -> None:
    asked = Problem(prompt="5+3*2", family="arithmetic", difficulty=2, split="test")
    advice = Hostile(correct=chains().answered)([(asked, "5+3=8;8*2=6;#6", 0), (asked, "5+3=9;9*2=8;#8", 0)], seed=0)
    assert advice.units == (0, None)


@pytest.mark.parametrize(
    ("text", "start", "own", "unit"),
    [
        ("5+3=8;8*2=6;#6", 0, "5+3=8;8*2=6;#6", None),
        ("5+3=8;8*2=6;#6", 0, "3+5=8;2*8=6;#6", None),  # the other way round
        ("5-3=2;#2", 0, "3-5=2;#2", 0),  # which is not the same of a difference
        ("5+3=8;8*2=6;#6", 0, "5+3=8;8*2=7;#7", 1),
        ("5+3=8;8*2=6;#7", 0, "5+3=8;8*2=6;#6", 2),  # the answer
        ("5+3=8;#8", 0, "5+3=8;8*2=6;#6", 1),  # the answer, since a step is missing
        ("5+3=8;8*2=6;#6", 0, "5+3=8;#8", 1),
        ("5+3=8;8*2=6;#6", 1, "8*2=6;#6", None),
        ("5+3=8;8*2=6;#6", 2, None, None),
        ("5+3=8;8*2=6;#7", 2, None, 2),
        ("#7", 0, "5+3=8;#8", 0),
    ],
)
def test_where_two_ways_differ(text: str, start: int, own: str | None, unit: int | None) -> None:
    assert differs(text, start, None if own is None else parse(own)) == unit


def test_the_rest_starts_from_what_is_written() -> None:
    chain = Problem(prompt="5+3*2-4", family="arithmetic", difficulty=3, split="test")
    assert rest_of(chain, "5+3=9;9*2=8;", 1) == "9*2-4"
    assert rest_of(chain, "", 0) == "5+3*2-4"
    assert rest_of(chain, "5+3=8", 2) == ""


def test_everybody_is_dealt_another_problem_of_the_same_length() -> None:
    problems = written("small", (3, 4), 20, "test", 0, 0).problems
    other = shuffled(problems, 0)
    assert all(other[p.prompt] != p and other[p.prompt].difficulty == p.difficulty for p in problems)
    assert sorted(o.prompt for o in other.values()) == sorted(other)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"judge": "api:x/y"}, "sit|judge in the study prompted"),
        ({"judge": "file:"}, "names no folder"),
        ({"judge": "human"}, "there is none here"),
        ({"seeds": 1}, "seeds=1"),
        ({"checks": 3}, "do not fit together"),
    ],
)
def test_what_cannot_be_run_is_refused(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        run(dataclasses.replace(TINY, **changes), tmp_path)


def test_a_model_that_is_no_choice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--set agent=gpt: .* is not one of the choices"):
        settings.apply(Config(), words=["agent=gpt"], study="sandwich")


def command(*words: str) -> tuple[int, str, str]:
    sets = [f"--set={w}" for w in ("agent=small", "questions=12", "depths=4", *words)]
    found = CliRunner().invoke(app, ["run", "sandwich", *sets])
    return found.exit_code, found.stdout, found.stderr


def test_a_person_answers_a_file_and_the_same_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("judge=file:desk",)
    code, _, err = command(*words)
    assert code == 2
    assert "12 questions wait in desk" in err
    asked = json.loads((tmp_path / "desk" / "questions.json").read_text())["questions"]
    assert len({q["id"] for q in asked}) == 12
    assert not any("protocol" in json.dumps(q) or "placebo" in json.dumps(q) for q in asked), (
        "nobody says which arm it is"
    )
    assert sum(bool(q["said"]) for q in asked) == 8
    answers: dict[str, Any] = {q["id"]: {"answer": "right", "confidence": 60 + i} for i, q in enumerate(asked)}
    answers[asked[0]["id"]] = "perhaps"
    del answers[asked[1]["id"]]
    (tmp_path / "desk" / "answers.json").write_text(json.dumps(answers))
    code, out, err = command(*words)
    assert code == 0, err
    assert "One person with the model against alone" in out
    page = (tmp_path / "runs" / "sandwich-0" / "report.html").read_text()
    assert "nobody answered this question" in page
    assert "is none of right, wrong, cannot tell" in page


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # threads of libraries, at a fork
def test_a_person_answers_on_a_terminal_from_the_command_line(tmp_path: Path) -> None:
    pid, pipe = pty.fork()
    if pid == 0:
        code = 1
        try:
            os.chdir(tmp_path)
            sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w", buffering=1)
            sys.stderr = os.fdopen(2, "w", buffering=1)
            sets = [f"--set={w}" for w in ("agent=small", "questions=6", "depths=4", "judge=human")]
            app(["run", "sandwich", *sets], standalone_mode=False)
            code = 0
        finally:
            os._exit(code)
    shown, sent, end = "", 0, time.monotonic() + 60
    # What draws the page's pictures does not outlive a fork; by then everything is recorded.
    while "drawing the report" not in shown:
        assert time.monotonic() < end, shown
        if select.select([pipe], [], [], 0.2)[0]:
            shown += os.read(pipe, 4096).decode(errors="replace")
        if shown.count("[q]uit: ") + shown.count("Enter for 80): ") > sent:
            os.write(pipe, b"r\n" if sent % 2 == 0 else b"70\n")
            sent += 1
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(pipe)
    assert sent == 12
    assert "--- 6 of 6 ---" in shown
    asking = shown[shown.index("--- 1 of 6 ---") : shown.index("--- 6 of 6 ---")]
    assert "\x1b[2K" not in asking, "the progress bar was drawn over a question"
    kept = (tmp_path / "runs" / "sandwich-0" / "answers.jsonl").read_text().splitlines()
    assert len(kept) == 6
    assert json.loads((tmp_path / "runs" / "sandwich-0" / "result.json").read_text())["claims"]


def test_arms_are_drawn_in_equal_numbers_and_differences_between_them_have_intervals() -> None:
    names = [str(i) for i in range(30)]
    drawn = assigned(("a", "b", "c"), names, seed=0)
    assert sorted(drawn.values()).count("a") == 10
    assert drawn != assigned(("a", "b", "c"), names, seed=1)
    assert isinstance(apart({"a": [1.0], "b": [0.0, 1.0]}, "a", "b"), Unmeasured)
    same = apart({"a": [1.0] * 9, "b": [1.0] * 9}, "a", "b")
    assert isinstance(same, Interval)
    assert (same.value, same.n) == (0.0, 18)  # nothing varies: either arm may hide as many others as nine draws miss
    assert same.high == -same.low == pytest.approx(1 - 0.025 ** (1 / 9))
    found = apart({"a": [1.0] * 30 + [0.0] * 10, "b": [1.0] * 10 + [0.0] * 30}, "a", "b")
    assert isinstance(found, Interval)
    assert 0.2 < found.low < found.value == 0.5


def test_the_base_advises_on_responses_of_others_as_an_overseer() -> None:
    at = chains()
    agent = at.model()
    made = sandwich_overseer(Arm(arm="sandwich", seed=3, base=agent, config=ArmsConfig()))
    asked = at.problems("train", 24, 11)
    rollouts = agent.sample(asked, n=1, seed=12)
    check_overseer(made, asked, Rollouts.of_texts(asked, list(rollouts.text_R)))
    right = np.array([at.answered(p, t) for p, t in zip(asked, rollouts.text_R, strict=True)])
    told = np.array([0.5 if isinstance(v, Unmeasured) else v for v in made(asked, rollouts, seed=0).values])
    assert told[right].mean() > told[~right].mean() + 0.2


def test_an_agent_of_the_writers_weights_is_warned_of(tmp_path: Path) -> None:
    tiny = dataclasses.replace(TINY, practice=12, items=12)
    for agent, warned in (("small", True), ("middle", False)):
        heard: list[object] = []
        found = run(dataclasses.replace(tiny, agent=agent), tmp_path / agent, log=heard.append)
        assert any("has the weights of whoever wrote" in str(line) for line in heard) is warned
        assert any("asked about its own work" in line for line in found.uncertain) is warned


def test_quick_is_smaller() -> None:
    assert STUDY.quick["items"] < Config().items
    assert PROTOCOL == "protocol"


@pytest.mark.parametrize("beats", [(True, True), (True, False), (False, False)])
def test_the_headline_is_a_whole_sentence(beats: tuple[bool, bool]) -> None:
    best, combined = (
        Claim(name="n", value=0.1, low=-0.1, high=0.2, n=9, unit="share", null=Unmeasured("none"), holds=h, why="w")
        for h in beats
    )
    assert headline(best, combined).endswith(".")
