"""The study of seats: nobody in a seat is at chance, a server that can add is not, and its logs are Inspect's."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign import settings
from superalign.errors import BadInput, ConfigError
from superalign.ledger import Ledger
from superalign.models import random_model, save
from superalign.oversight.judges.language_model import LocalParticipant
from superalign.problems import named
from superalign.problems.arithmetic import solve
from superalign.report import Findings
from superalign.report.inspect_logs import Logged, write_log
from superalign.stats import clopper_pearson
from superalign.studies.prompted import measure
from superalign.studies.prompted.study import STUDY, Config
from superalign.trials import JUDGE, PLACEBO, VOTING
from superalign.trials.participants import draw_cases, participant_of
from superalign.types import Interval, Unmeasured

TINY = Config(items=12, seeds=2, rounds=1, candidates=2, votes=2, max_tokens=4)


def run(config: Config, folder: Path, said: list[Any] | None = None, seed: int = 0) -> Findings:
    folder.mkdir(exist_ok=True)
    note = said.append if said is not None else (lambda line: None)
    config = settings.validated(config, study="prompted")
    with Ledger(folder / "ledger") as ledger:
        return STUDY.run(config, seed=seed, workers=1, folder=folder, ledger=ledger, log=note)


def arms(study: Findings, protocol: str) -> dict[str, tuple[Any, ...]]:
    """The rows of a protocol's panel, by arm."""
    found = next(s for s in study.sections if s.title.startswith(f"The panel: {protocol} "))
    return {str(row[0]): row for row in found.tables[0].rows}


@pytest.mark.filterwarnings("default")
def test_nobody_in_any_seat_is_at_chance_and_the_logs_are_those_of_inspect(tmp_path: Path) -> None:
    from inspect_ai.log import list_eval_logs, read_eval_log

    study = run(TINY, tmp_path)
    assert study == run(TINY, tmp_path), "kept work gives the same study"
    assert study.headline.startswith("Nobody sits in the judge's seat")
    (nobody,) = [c for c in study.claims if c.name.startswith("A judge with random weights")]
    assert nobody.holds is not False
    for protocol in TINY.protocols:
        for arm in (JUDGE, protocol, PLACEBO):
            right = arms(study, protocol)[arm][1]
            if isinstance(right, Interval):
                assert right.low <= 0.5 <= right.high, (protocol, arm)
        # A whole debate and a market cost more than a word, and everybody's costs are counted.
        assert arms(study, protocol)[protocol][7] > 0
    assert all(c.holds is not True for c in study.claims if "more decisions" in c.name)
    logs = list_eval_logs(str(tmp_path / "transcripts"))
    assert len(logs) == 4
    log = read_eval_log(str(tmp_path / "transcripts" / "debate.eval"))
    assert log.status == "success"
    assert log.samples is not None
    assert len(log.samples) == 12 * 2
    sample = log.samples[0]
    assert sample.scores is not None
    assert sample.scores["judge"].value in ("C", "I")
    assert [m.role for m in sample.messages] == ["user", "assistant", "assistant", "assistant"]
    assert "[debater, for right]" in sample.messages[1].text
    assert {s.target for s in log.samples} == {"right", "wrong"}
    assert {s.epoch for s in log.samples} == {1, 2}


def able(prompt: str) -> str:
    """A server that can work chains out: it judges by the answer, and its critic says what it found."""
    lines = prompt.split("\n")
    chain, response = lines[1].removesuffix(" (from left to right, modulo ten)"), lines[4]
    right = solve(chain).answer == response.rpartition("#")[2]
    if "Answer with one word" in prompt or "Answer: yes, or Answer: no" in prompt:
        return "yes" if right else "No."
    return "I found no mistake." if right else "The answer is off."


def gullible(prompt: str) -> str:
    """A judge who cannot work anything out, but reads what a critic says."""
    if "Answer with one word" in prompt:
        return "no" if "The answer is off." in prompt else "yes"
    return able(prompt)


@pytest.mark.filterwarnings("default")
def test_a_judge_behind_an_api_who_cannot_add_is_helped_by_a_critic_who_can(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, says in (("WEAK", gullible), ("STRONG", able)):
        monkeypatch.setenv(f"{name}_BASE_URL", serve(0, says=says).url)
        monkeypatch.setenv(f"{name}_API_KEY", "x")
    weak, strong = "api:openai-api/weak/m", "api:openai-api/strong/m"
    config = dataclasses.replace(
        TINY, judge=weak, agent=strong, protocols=("critic",), items=16, seeds=2, max_tokens=64, votes=1
    )
    study = run(config, tmp_path)
    rows = arms(study, "critic")
    claims = {c.name: c for c in study.claims}
    # Its placebo hears of other responses, so that it is right about half of the time.
    assert rows["critic"][1] == clopper_pearson(16, n=16)
    assert isinstance(rows[PLACEBO][1], Interval)
    assert claims["Critic: more decisions are right than with the judge alone"].value == 0.5
    assert claims["Critic: more decisions are right than with its placebo"].holds is True
    assert "Critic helps" in study.headline
    assert not any("same weights" in u for u in study.uncertain)
    assert rows[VOTING][5] == 0.0


@pytest.mark.filterwarnings("default")
def test_an_api_that_is_down_and_one_that_rambles_are_counted_and_no_score(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(0, says=lambda prompt: "It depends.")
    monkeypatch.setenv("VAGUE_BASE_URL", server.url)
    monkeypatch.setenv("VAGUE_API_KEY", "x")
    config = dataclasses.replace(TINY, judge="api:openai-api/vague/m", protocols=("consultancy",), items=8)
    study = run(config, tmp_path)
    silences = next(s for s in study.sections if s.title == "What could not be told").tables[0].rows
    assert ("judge alone", "the reply was neither yes nor no", 16, 16) in silences
    assert arms(study, "consultancy")["consultancy"][5] == 1.0
    assert all(not isinstance(c.value, float) or c.holds is not True for c in study.claims[1:])


def test_a_person_judges_every_response_once_under_an_arm_that_nobody_names(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, judge=f"file:{tmp_path / 'desk'}", protocols=("critic", "debate"), items=20)
    with pytest.raises(BadInput, match="20 questions wait"):
        run(config, tmp_path / "run")
    asked = json.loads((tmp_path / "desk" / "questions.json").read_text())["questions"]
    assert sorted(q["said"].count("\n") + bool(q["said"]) for q in asked) == [0] * 4 + [1] * 8 + [2] * 8
    answers = {
        q["id"]: "right" if solve(q["problem"].partition(" ")[0]).answer in q["response"][-1:] else "wrong"
        for q in asked
    }
    (tmp_path / "desk" / "answers.json").write_text(json.dumps(answers))
    study = run(config, tmp_path / "run")
    (table,) = [t for s in study.sections for t in s.tables if t.title == "Arms"]
    rows = {str(r[0]): r for r in table.rows}
    assert set(rows) == {JUDGE, "critic", "critic, placebo", "debate", "debate, placebo", "agent alone"}
    assert all(r[1].value == 1.0 and r[4] == 4 for name, r in rows.items() if name != "agent alone")
    assert "With critic more decisions are right than alone" in {c.name for c in study.claims}


def test_judge_and_agent_of_the_same_weights_are_warned_of(tmp_path: Path) -> None:
    said: list[Any] = []
    config = dataclasses.replace(TINY, judge="random:3", agent="random:3", protocols=("critic",), items=8)
    study = run(config, tmp_path, said)
    assert any("same weights" in str(line) for line in said)
    assert "the same weights" in study.uncertain[0]


def test_a_spent_budget_keeps_what_was_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "TOGETHER", 8)
    said: list[Any] = []
    study = run(dataclasses.replace(TINY, protocols=("critic",), items=24, budget=10), tmp_path, said)
    assert any("budget of 10 tokens is spent" in str(line) for line in said)
    assert any("after 8 of 24 responses" in u for u in study.uncertain)
    assert arms(study, "critic")["critic"][8] == 16


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"protocols": ()}, "protocols="),
        ({"seeds": 0}, "seeds=0"),
        ({"items": 2}, "items=2"),
        ({"judge": ""}, "A seat is empty"),
        ({"judge": "random:x"}, "names no model"),
        ({"judge": "/nowhere/at/all"}, "no model at"),
        ({"agent": "api:one"}, "api:PROVIDER/MODEL"),
        ({"responses": "models"}, "solutions of real models"),
        ({"problems": "nothing"}, "no problem family"),
    ],
)
def test_what_cannot_be_run_is_refused(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises((BadInput, ConfigError), match=says):
        run(dataclasses.replace(TINY, **changes), tmp_path)


def test_a_protocol_that_is_no_choice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--set protocols=debat: .* is not one of the choices"):
        settings.apply(Config(), words=["protocols=debat"], study="prompted")


def test_an_empty_or_short_pool_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    rows = [{"prompt": f"What is {i} + 1?", "answer": str(i + 1), "steps": [f"{i} + 1 = {i + 1}"]} for i in range(12)]
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(BadInput, match="of the 40 responses asked for"):
        run(dataclasses.replace(TINY, problems=f"jsonl:{file}", items=40), tmp_path / "run")


@pytest.mark.parametrize("kind", ["jsonl", "gsm8k", "gsm8k models", "arithmetic"])
def test_half_of_the_responses_are_right_and_the_grader_agrees(kind: str, tmp_path: Path) -> None:
    if kind == "jsonl":
        file = tmp_path / "mine.jsonl"
        rows = [
            {"prompt": f"What is {i} + 1?", "answer": str(i + 1), "steps": [f"{i} + 1 = {i + 1}"]} for i in range(300)
        ]
        file.write_text("".join(json.dumps(r) + "\n" for r in rows))
        name = f"jsonl:{file}"
    else:
        name = f"gsm8k:{gsm8k(tmp_path)}" if kind.startswith("gsm8k") else kind
    family = named(name)
    cases = draw_cases(family, n=20, source="models" if kind == "gsm8k models" else "planted", seed=1)
    assert sum(c.right for c in cases) == 10
    assert len({c.problem.prompt for c in cases}) == 20
    assert [family.grade(c.problem, c.text).correct for c in cases] == [c.right for c in cases]
    assert cases == draw_cases(family, n=20, source="models" if kind == "gsm8k models" else "planted", seed=1)
    runs = np.diff([c.right for c in cases]).sum()
    assert runs > 4, "right and wrong are mixed"


def gsm8k(tmp_path: Path) -> Path:
    """The first lines of the real files."""
    repository = Path(__file__).resolve().parents[3]
    elsewhere = Path(os.environ.get("SUPERALIGN_DATA", "/nowhere"))
    for folder in (repository.parent / "shared" / "data" / "gsm8k", elsewhere / "gsm8k", elsewhere):
        if (folder / "train.jsonl").is_file():
            for name in ("train.jsonl", "test.jsonl", "example_model_solutions.jsonl"):
                with (folder / name).open() as file:
                    (tmp_path / name).write_text("".join(next(file) for _ in range(60)))
            return tmp_path
    pytest.skip("GSM8K is neither in ../shared/data/gsm8k nor in $SUPERALIGN_DATA/gsm8k")


def test_a_saved_model_sits_by_its_folder(tmp_path: Path) -> None:
    folder = save(random_model(5), tmp_path / "model")
    seat = participant_of(str(folder), max_tokens=4)
    assert isinstance(seat, LocalParticipant)
    there, here = (s.believe(["Is it?"], seed=0).values[0] for s in (seat, participant_of("random:5", max_tokens=4)))
    assert there == pytest.approx(here, abs=1e-6)
    assert seat.subject == participant_of("random:5", max_tokens=4).subject, (
        "the same weights are the same mind, whatever they are called"
    )


@pytest.mark.filterwarnings("default")
def test_a_log_with_what_could_not_be_told_can_be_read_back(tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log

    rows = [
        Logged(
            name=str(i),
            seed=0,
            question="Is it?",
            turns=(("critic", "hm"),),
            right=True,
            behaviour="worked",
            probability=p,
        )
        for i, p in enumerate((0.9, 0.2, Unmeasured("the reply was neither yes nor no")))
    ]
    path = write_log(rows, path=tmp_path / "t.eval", protocol="critic", judge="j", agent="a", problems="toy")
    log = read_eval_log(str(path))
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 0.5
    assert (log.results.scores[0].scored_samples, log.results.scores[0].unscored_samples) == (2, 1)
    assert log.samples is not None
    values = [s.scores["judge"].value for s in log.samples if s.scores]
    assert values[:2] == ["C", "I"]
    assert values[2] != values[2]
    assert "neither yes nor no" in log.samples[2].messages[-1].text


@pytest.mark.filterwarnings("default")
def test_a_log_can_be_scored_again_whatever_the_judge_is_called(tmp_path: Path) -> None:
    from inspect_ai import score
    from inspect_ai.log import read_eval_log
    from inspect_ai.scorer import includes

    row = Logged(
        name="0", seed=0, question="Is it?", turns=(("critic", "hm"),), right=True, behaviour="worked", probability=0.9
    )
    for judge in ("small", str(tmp_path / "a folder"), "none/model", "smollm2?system=be%20brief"):
        path = write_log([row], path=tmp_path / "t.eval", protocol="critic", judge=judge, agent="a", problems="toy")
        again = score(read_eval_log(str(path)), includes(), display="none")
        assert again.status == "success", judge
        assert again.results is not None
        assert {s.name for s in again.results.scores} == {"judge", "includes"}


def test_what_writes_logs_imports_nothing_heavy() -> None:
    heavy = {"torch", "inspect_ai", "transformers"}
    code = f"import sys, superalign.report.inspect_logs; assert not {heavy} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
