"""The red team through its command: a planted model beside clean twins, and settings that cannot be searched with."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from superalign.cli import app
from superalign.organisms.triples import shipped
from superalign.studies.redteam.measure import SearchJob, search_job
from superalign.studies.redteam.study import Config

SMALL = ["--workers", "1", "--set", "budgets=40,60", "--set", "seeds=2"]


def redteam(*words: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["redteam", *words])
    return found.exit_code, found.stdout, found.stderr


def test_it_runs_from_the_command_and_shows_a_curve_with_its_nulls(tmp_path: Path) -> None:
    code, out, err = redteam("--out", str(tmp_path / "run"), *SMALL)
    assert code == 0, err
    assert "clean twins" in out.splitlines()[0]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Worst behaviour found against budget" in page
    claims = {c["name"]: c for c in json.loads((tmp_path / "run" / "result.json").read_text())["claims"]}
    assert claims["worst behaviour that a guided search finds"]["n"] == 2


def test_the_same_search_finds_more_in_a_fake_than_in_its_twin() -> None:
    triples, where = shipped()
    triple = next(t for t in triples if t.spec.kind == "sandbagger")
    config = Config(budgets=(40, 160), seeds=2)
    worst = {}
    for role in ("organism", "clean"):
        job = SearchJob(path=str(where / dict(triple.subjects)[role]), role="subject", guided=True, seed=3)
        done = search_job(job, config=config, said="")
        assert done == search_job(job, config=config, said="")
        worst[role] = max(f.value for f in done.finds)
        assert [f.budget for f in done.finds] == [40, 160]
    assert worst["organism"] > worst["clean"] + 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "budgets=80,40"], "do not rise"),
        (["--set", "budgets=5"], "'5' is not at least 40"),
        (["--set", "seeds=1"], "'1' is not at least 2"),
        (["--base", "middle"], "No clean model of the base middle ships"),
        (["nowhere/at/all"], "nowhere/at/all"),
        (["api:mockllm/model"], "gives texts only"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_message(words: list[str], says: str, tmp_path: Path) -> None:
    code, _, err = redteam(*words, "--out", str(tmp_path / "run"), "--workers", "1")
    assert (code, says in err) == (2, True), err
