"""docs/map.md says where everything stands, and is true of the tree."""

import importlib.util
from pathlib import Path
from types import ModuleType

from superalign.studies import STUDIES

ROOT = Path(__file__).parents[1]


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("map_of_studies", ROOT / "tools" / "map.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_map_is_of_this_tree() -> None:
    """If this fails: `python tools/map.py` writes it anew."""
    assert (ROOT / "docs" / "map.md").read_text() == tool().text()


def test_one_name_everywhere() -> None:
    for name, module in STUDIES.items():
        folder = name.replace("-", "_")
        assert module == f"superalign.studies.{folder}.study"
        assert (ROOT / "src" / "superalign" / "studies" / folder / "study.py").exists()
    folders = {p.parent.name for p in (ROOT / "src" / "superalign" / "studies").glob("*/study.py")}
    assert folders == {name.replace("-", "_") for name in STUDIES}
    assert {p.name for p in (ROOT / "tests" / "studies").iterdir() if p.name != "__pycache__"} <= folders
    # How to write a study, and what the pack that ships shows: pages of no study.
    pages = {p.stem for p in (ROOT / "docs" / "studies").glob("*.md")} - {"README", "own", "smollm2"}
    assert pages <= set(STUDIES)


def test_the_map_test_can_fail(tmp_path: Path) -> None:
    made = tool()
    for name, text in (
        ("a", "DESCRIPTION = 'Is it?'\nfrom superalign.lab.x import f\n"),
        ("b", "DESCRIPTION = 'Or not?'\n"),
    ):
        (tmp_path / "src" / "superalign" / "studies" / name).mkdir(parents=True)
        (tmp_path / "src" / "superalign" / "studies" / name / "study.py").write_text(text)
    (tmp_path / "src" / "superalign" / "lab").mkdir()
    (tmp_path / "src" / "superalign" / "lab" / "x.py").write_text("")
    made.ROOT, made.SOURCE = tmp_path, tmp_path / "src" / "superalign"
    rows = [line.split(" | ") for line in made.text().splitlines() if line.startswith("| `superalign")]
    assert [(r[1], r[4]) for r in rows] == [("Is it?", "2"), ("Or not?", "1")]
