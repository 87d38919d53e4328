"""The calibration set: what its page says of the triples that ship, and a set of one sort made in small."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from superalign import settings
from superalign.cli import app
from superalign.errors import ConfigError
from superalign.lab.planted_page import Planted
from superalign.organisms.triples import IN_LOOP, shipped
from superalign.studies.organisms.evidence import Evidence, FineTune
from superalign.studies.organisms.page import page
from superalign.studies.organisms.study import Config
from superalign.types import Interval


def test_the_page_shows_every_way_of_planting_and_every_triple() -> None:
    triples, _ = shipped()
    works = FineTune(sort="hotter", number=0, correct=Interval(value=0.9, low=0.8, high=1.0, n=40), record="a")
    found = page(Evidence(planted=Planted(known=triples), fine_tunes=(works,)))
    ways, planted, fine_tunes = (s.tables[0] for s in found.sections)
    assert {row[0] for row in ways.rows} == set(IN_LOOP)
    assert len(planted.rows) == len(triples)
    assert fine_tunes.rows == (("hotter", "0", works.correct),)
    assert found.headline.startswith(f"{len(triples)} of {len(triples)} planted organisms were accepted")
    assert [c.holds for c in found.claims] == [True]


def test_what_is_not_accepted_is_thrown_away(tmp_path: Path) -> None:
    words = ("--set", "kinds=hacker", "--set", "seeds=1", "--set", "steps=2", "--set", "fine_tunes=0")
    done = CliRunner().invoke(app, ["run", "organisms", *words, "--out", str(tmp_path / "run"), "--workers", "1"])
    assert done.exit_code == 0, done.stderr
    assert "0 of 1 planted organisms were accepted" in done.stdout
    folder = tmp_path / "run" / "calibration"
    assert {p.name for p in folder.iterdir()} == {"triples.json", "innocents.json"}
    assert json.loads((folder / "triples.json").read_text()) == []


@pytest.mark.parametrize(
    ("word", "says"), [("seeds=0", "seeds=0"), ("routes=none", "routes=none"), ("shares=2", "shares=2")]
)
def test_settings_that_plant_nothing_are_refused(word: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        settings.apply(Config(), words=[word], study="organisms")


def test_a_kind_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["run", "organisms", "--set", "kinds=grumpy", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "'grumpy' is not one of the choices" in done.stderr
