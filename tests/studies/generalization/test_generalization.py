"""The page of all studies of generalization: what ledgers say, refusals, and claims that are not counted as what they are not."""

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.errors import BadInput, ConfigError, DataError
from superalign.kit.run import Run
from superalign.ledger import Ledger
from superalign.report import Findings
from superalign.runs.shown import shown
from superalign.studies.generalization.measure import measure
from superalign.studies.generalization.page import page
from superalign.studies.generalization.study import Config, check
from superalign.types import Claim, Interval, Unmeasured


def claim(name: str, holds: Any) -> Claim:
    null = Interval(value=0.0, low=-0.1, high=0.1, n=9)
    return Claim(
        name=name, value=0.5, low=0.4, high=0.6, n=9, unit="share", null=null, holds=holds, why="it was measured"
    )


def finished(folder: Path, study: str, *, quick: bool = False, seed: int = 0, done: bool = True) -> Path:
    """Write a run's folder as runs do: a manifest that the ledger knows, and findings in the ledger."""
    folder.mkdir(parents=True)
    data = json.dumps({"study": study, "seed": seed, "quick": quick, "settings": {"problems": "worked"}}).encode()
    claims = (claim("It carries over", True), claim("It beats noise", False), claim("It lasts", Unmeasured("one seed")))
    with Ledger(folder / "ledger") as ledger:
        ledger.append(shown({"run.json": data}))
        if done:
            ledger.append(Findings(headline=f"{study} found something.", claims=claims, uncertain=("Little.",)))
    (folder / "run.json").write_bytes(data)
    return folder


def of(config: Config, tmp_path: Path) -> Findings:
    with Ledger(tmp_path / "own") as ledger:
        return page(measure(config, Run(seed=0, workers=1, folder=tmp_path, ledger=ledger, log=lambda _: None)))


def test_runs_that_lie_there_are_put_together_and_others_left_out(tmp_path: Path) -> None:
    finished(tmp_path / "runs" / "a", "weak-to-strong")
    finished(tmp_path / "runs" / "b", "belief", quick=True)
    finished(tmp_path / "runs" / "c", "debate")
    finished(tmp_path / "runs" / "d", "crossing", done=False)
    found = of(Config(under=str(tmp_path / "runs")), tmp_path)
    assert found.headline.startswith(
        "2 runs of 2 of 5 studies of generalization: of 6 claims 2 hold, 2 do not, 2 cannot"
    )
    rows = found.sections[1].tables[0].rows
    assert [r[-1] for r in rows] == ["does not hold", Unmeasured("one seed"), "holds"]  # failing ones first
    assert any("Quick runs, which decide nothing: belief" in u for u in found.uncertain)
    assert any("easy-to-hard" in u and "crossing" in u for u in found.uncertain)
    assert any("2 folders" in u for u in found.uncertain)


def test_a_changed_manifest_is_refused(tmp_path: Path) -> None:
    folder = finished(tmp_path / "a", "belief", quick=True)
    (folder / "run.json").write_text((folder / "run.json").read_text().replace("true", "false"))
    with pytest.raises(DataError, match=r"run\.json was changed"):
        of(Config(runs=(str(folder),)), tmp_path)


def test_a_run_of_another_study_is_refused_by_name(tmp_path: Path) -> None:
    folder = finished(tmp_path / "a", "debate")
    with pytest.raises(DataError, match="holds debate"):
        of(Config(runs=(str(folder),)), tmp_path)


def test_nothing_to_show_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no finished run"):
        of(Config(under=str(tmp_path / "nowhere")), tmp_path)
    with pytest.raises(ConfigError, match="twice"):
        check(Config(runs=("a", "a")))
