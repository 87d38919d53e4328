"""The explorer: what is read, what is refused, and what a real browser makes of the page."""

from __future__ import annotations

import base64
import csv
import gzip
import importlib.util
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import typer.testing

from superalign.cli_units import explore
from superalign.errors import DataError
from superalign.report.explorer import pages, read_units


def beside(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HERE = Path(__file__)
browsers = beside(HERE.parents[2] / "tools" / "browser.py")
made_units = beside(HERE.with_name("made_units.py"))
app = typer.Typer()
app.command()(explore)
PER_LAYER = (60, 20, 4)  # neurons, directions, heads
EVIL = "<img src=x onerror=\"document.title='run'\"></script><script>document.title='run'</script>"
needs_browser = pytest.mark.skipif(
    browsers.CHROMIUM is None, reason="no Chromium here; install one to open the page in a real browser"
)


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explored") / "run"
    made_units.made(folder, layers=2, per_layer=PER_LAYER, examples=3, tokens=6)
    assert said(folder)[0] == 0
    return folder


@pytest.fixture
def folder(explored: Path, tmp_path: Path) -> Path:
    """A folder of one's own, with a page in it."""
    return shutil.copytree(explored, tmp_path / "run")


def said(folder: Path) -> tuple[int, str]:
    found = typer.testing.CliRunner().invoke(app, [str(folder)])
    return found.exit_code, found.output


def change_rows(folder: Path, change: Callable[[list[list[str]]], object]) -> None:
    path = folder / "units.csv.gz"
    rows = list(csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
    change(rows)
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path.write_bytes(gzip.compress(text.getvalue().encode()))


def change_example(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "examples" / "L1.jsonl.gz"
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    change(lines[2])
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))


def put(row: int, name: str, value: str) -> Callable[[list[list[str]]], None]:
    def change(rows: list[list[str]]) -> None:
        rows[row][rows[0].index(name)] = value

    return change


def test_numbers_and_texts_reach_the_page_as_they_were_and_empty_cells_are_no_numbers(folder: Path) -> None:
    change_rows(folder, put(5, "auprc", ""))
    files = dict(pages(folder))
    assert list(files)[-1] == "index.html"
    held = json.loads(files["data/units.js"].removeprefix("explorerUnits(").removesuffix(");\n"))
    shape = (len(held["columns"]), -1)
    values_CN = np.frombuffer(base64.b64decode(held["numbers"]), "<f4").reshape(shape)
    rows = list(csv.DictReader(io.StringIO(gzip.decompress((folder / "units.csv.gz").read_bytes()).decode())))
    units = [text.split("\x1f") for text in held["texts"].split("\x1e")]
    assert [units[0][0], units[-1][0]] == ["L0.N0", "L1.D19"]
    at = {unit: i for i, (unit, _, _) in enumerate(units)}
    for row in rows:
        assert units[at[row["unit"]]][1:] == [row["explanation"], row["program"]]
        for name in ("r", "auprc", "corpus:code", "effect"):
            found = values_CN[held["columns"].index(name), at[row["unit"]]]
            assert np.isnan(found) if row[name] == "" else abs(found - float(row[name])) < 1e-6
    chunk = values_CN[held["columns"].index("chunk"), at["L1.N3"]]
    assert '"unit": "L1.N3"' in files[f"data/{held['chunks'][int(chunk)]}.js"]


def test_a_layer_is_cut_into_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superalign.report.explorer.CHUNK", 5_000)
    names = [name for name, _ in pages(folder)]
    assert len(names) == len(set(names)) > 6


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no table": lambda f: (f / "units.csv.gz").unlink(),
    "no facts": lambda f: (f / "about.json").unlink(),
    "facts are a list": lambda f: (f / "about.json").write_text("[1]"),
    "half a file": lambda f: (f / "units.csv.gz").write_bytes((f / "units.csv.gz").read_bytes()[:800]),
    "no gzip": lambda f: (f / "examples" / "L0.jsonl.gz").write_text("{}"),
    "a column less": lambda f: change_rows(f, lambda rows: [row.pop(7) for row in rows]),
    "a cell less": lambda f: change_rows(f, lambda rows: rows[4].pop()),
    "no row": lambda f: change_rows(f, lambda rows: rows.__delitem__(slice(1, None))),
    "a word for a number": lambda f: change_rows(f, put(3, "r", "high")),
    "no number": lambda f: change_rows(f, put(3, "gain", "nan")),
    "found is a share": lambda f: change_rows(f, put(3, "found", "0.5")),
    "another layer": lambda f: change_rows(f, put(3, "layer", "7")),
    "another kind": lambda f: change_rows(f, put(3, "kind", "expert")),
    "twice": lambda f: change_rows(f, lambda rows: rows.append(rows[3])),
    "a value less": lambda f: change_example(f, lambda line: line["examples"][0]["values"].pop()),
    "a missing value": lambda f: change_example(f, lambda line: line["examples"][0]["values"].__setitem__(0, None)),
    "an infinite value": lambda f: change_example(f, lambda line: line["examples"][0]["values"].__setitem__(0, 1e999)),
    "tokens are numbers": lambda f: change_example(f, lambda line: line["examples"][0]["tokens"].__setitem__(0, 3)),
    "a token beyond the end": lambda f: change_example(f, lambda line: line["examples"][0].update(at=6)),
    "chosen by nobody": lambda f: change_example(f, lambda line: line["examples"][0].update(chosen="nice")),
    "examples without a card": lambda f: change_example(f, lambda line: line.update(unit="L1.N999")),
    "examples twice": lambda f: change_example(f, lambda line: line.update(unit="L1.N0")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_refused_with_one_message_and_the_old_page_stays(
    folder: Path, damage: Callable[[Path], object]
) -> None:
    before = {p: p.read_bytes() for p in (folder / "explorer").rglob("*") if p.is_file()}
    damage(folder)
    code, words = said(folder)
    assert code == 2
    assert words.startswith("superalign: ")
    assert words.count("\n") == 1
    assert "Run `superalign run explain`" in words
    assert {p: p.read_bytes() for p in (folder / "explorer").rglob("*") if p.is_file()} == before
    assert {p.name for p in folder.iterdir()} <= {"about.json", "units.csv.gz", "examples", "explorer"}


def test_no_folder_and_a_folder_of_somebody_else_are_refused(folder: Path, tmp_path: Path) -> None:
    assert said(tmp_path / "nowhere")[0] == 2
    (folder / "explorer" / "index.html").unlink()
    (folder / "explorer" / "thesis.txt").write_text("mine")
    assert said(folder)[0] == 2
    assert (folder / "explorer" / "thesis.txt").read_text() == "mine"


def test_a_page_is_replaced_whole(folder: Path) -> None:
    (folder / "explorer" / "data" / "old.js").write_text("")
    assert said(folder)[0] == 0
    assert not (folder / "explorer" / "data" / "old.js").exists()


def test_units_without_examples_or_scores_are_shown_as_that(folder: Path) -> None:
    for path in (folder / "examples").iterdir():
        path.unlink()
    change_rows(folder, lambda rows: [row.__setitem__(slice(6, None), [""] * (len(row) - 6)) for row in rows[1:]])
    assert np.isnan(read_units(folder / "units.csv.gz").numbers["found"]).all()
    index = dict(pages(folder))["index.html"]
    assert index.count("none of the three tests was measured") == 3
    assert "cannot tell" in index


def test_the_null_is_said_to_be_missing_where_it_is(folder: Path) -> None:
    assert "No null was recorded" not in dict(pages(folder))["index.html"]
    (folder / "about.json").write_text(json.dumps({"model": "<b>"}))
    index = dict(pages(folder))["index.html"]
    assert "No null was recorded" in index
    assert "<title>&lt;b&gt;: 168 units" in index


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("explained") / "run"
    made_units.made(folder, layers=2, per_layer=PER_LAYER, examples=3, tokens=6)
    change_rows(folder, put(2, "explanation", EVIL + " zebra"))
    change_rows(folder, put(2, "minimum", ""))
    change_rows(folder, put(3, "r", "-0.9"))
    change_example(folder, lambda line: line["examples"][0]["tokens"].__setitem__(slice(0, 2), [EVIL, "</script>"]))
    assert said(folder)[0] == 0
    with browsers.browser() as tab:
        tab.size(1200, 900)
        tab.address = (folder / "explorer" / "index.html").as_uri()
        yield tab


def fresh(page: Any, behind: str = "") -> None:
    """Open the page anew, as a change of what stands behind # alone would not."""
    page.open("about:blank")
    page.complaints.clear()
    page.open(page.address + behind)
    page.until("document.querySelectorAll('.row').length > 5")


def first(page: Any, cell: int = 1) -> str:
    return str(page.run(f"document.querySelector('[aria-posinset=\"1\"] :nth-child({cell})').textContent"))


def type_in(page: Any, name: str, value: str) -> None:
    page.run(f"(() => {{ const i = document.getElementById({name!r}); i.value = {value!r}; i.dispatchEvent(new Event("
             "i.tagName === 'INPUT' ? 'input' : 'change')); })()")  # fmt: skip


@needs_browser
def test_it_opens_offline_without_a_complaint_and_holds_rows_in_sight_alone(page: Any) -> None:
    fresh(page)
    assert page.complaints == []
    assert page.run("document.getElementById('count').textContent").startswith("168 of 168 units")
    assert page.run("document.querySelectorAll('.row').length") < 40
    assert first(page) == "L0.N0"
    page.run("document.getElementById('table').scrollTop = 1e9")
    page.until("[...document.querySelectorAll('.row')].some((row) => row.textContent.startsWith('L1.D19'))")


@needs_browser
def test_it_searches_filters_and_sorts(page: Any) -> None:
    fresh(page)
    type_in(page, "words", "ZEBRA l0.n1")
    assert page.run("view.length") == 1
    assert first(page, 5) == "not measured"
    type_in(page, "words", "nothing of the kind")
    assert page.run("view.length") == 0
    type_in(page, "words", "")
    type_in(page, "kind", "head")
    type_in(page, "layer", "1")
    assert page.run("view.length") == 4
    assert first(page) == "L1.H0"
    type_in(page, "kind", "")
    type_in(page, "layer", "")
    page.run("[...document.querySelectorAll('#head button')].find((b) => b.textContent === 'r').click()")
    rs = page.run("[...view].map((row) => column.r[row])")
    assert rs == sorted(rs, reverse=True)
    page.run("document.getElementById('turn').click()")
    assert [first(page), first(page, 3)] == ["L0.N2", "−0.900"]
    for turn in ("", "document.getElementById('turn').click()"):
        page.run(f"sort('minimum', true); {turn}")
        assert page.run("view[view.length - 1]") == 1  # what was not measured is last, either way
    type_in(page, "least", "0.3")
    assert page.run("view.length > 0 && [...view].every((row) => column.minimum[row] > 0.3)")


@needs_browser
def test_a_unit_opens_by_keys_with_its_card_its_null_and_examples_and_texts_stay_texts(page: Any) -> None:
    fresh(page)
    page.press("/")
    assert page.run("document.activeElement.id") == "words"
    page.press("Escape")
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        page.press(key)
    page.until("document.querySelectorAll('.example').length === 3")
    assert page.run("location.hash") == "#L0.N1"
    text = page.run("document.getElementById('unit').textContent")
    assert all(part in text for part in (EVIL, "unigram baseline", "program on code", "random twin", "necessity"))
    assert page.run("[...document.querySelectorAll('#unit svg text')].some((t) => t.textContent === 'not measured')")
    page.open(page.address + "#L1.N2")
    page.until("document.querySelector('#unit h2').textContent.startsWith('L1.N2')")
    page.until("document.querySelectorAll('.example').length === 3")
    assert page.run("document.querySelector('.tokens i').textContent") == EVIL
    assert page.run("document.title") != "run"
    assert page.complaints == []


@needs_browser
def test_counter_examples_are_told_by_words_a_frame_and_a_line_and_not_by_colour_alone(page: Any) -> None:
    fresh(page, "#L0.N3")
    page.until("document.querySelectorAll('.example').length === 3")
    text = page.run("document.getElementById('examples').textContent")
    assert "Counter-examples: the program says active, the unit is not" in text
    assert "the program does not say so" + "None among the test tokens" in text
    assert page.run("document.querySelectorAll('.counter').length") == 1
    assert "at the framed token: unit" in page.run("document.querySelector('.counter').textContent")
    style = "getComputedStyle(document.querySelector('.counter .values .at'))"
    assert page.run(f"[{style}.outlineStyle, {style}.fontWeight]") == ["solid", "600"]


@needs_browser
def test_a_permalink_opens_its_unit_and_a_wrong_one_says_so(page: Any) -> None:
    fresh(page, "#L1.D3")
    page.until("document.querySelectorAll('.example').length === 3")
    assert page.run("document.querySelector('#unit h2').textContent").startswith("L1.D3 direction, layer 1")
    fresh(page, "#L9.N9")
    assert "There is no unit L9.N9" in page.run("document.getElementById('unit').textContent")


@needs_browser
@pytest.mark.parametrize("width", [1200, 600, 400])
def test_nothing_stands_beyond_the_edge(page: Any, width: int) -> None:
    page.size(width, 900)
    fresh(page, "#L0.N0")
    assert page.run("document.documentElement.scrollWidth") <= width


@needs_browser
def test_that_the_browser_test_can_fail(page: Any) -> None:
    fresh(page)
    page.run("document.body.append(Object.assign(new Image(), { src: 'https://example.invalid/x.png' }))")
    page.until("true")
    page.run("new Promise((done) => setTimeout(done, 200))")
    assert any("Content Security Policy" in line for line in page.complaints)


def test_an_unreadable_number_names_its_line(folder: Path) -> None:
    change_rows(folder, put(3, "r", "high"))
    with pytest.raises(DataError, match="line 4: r is 'high'"):
        read_units(folder / "units.csv.gz")
