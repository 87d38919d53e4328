from __future__ import annotations

import dataclasses
import html.parser
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from superalign.report import Findings, Plot, Row, Section, Table, render
from superalign.types import Unmeasured, digest_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def fake() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fake_study", Path(__file__).with_name("fake_study.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(fake: ModuleType) -> str:
    study = fake.study()
    return render(study, meta=fake.meta(), ledger_index=fake.rows(study))


class Outline(html.parser.HTMLParser):
    """Ids, links and open tags of a page; fails on tags that are closed in the wrong order."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [v for k, v in attrs if k == "id" and v]
        self.links += [v for k, v in attrs if k in ("href", "src", "xlink:href") and v]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def order(page: str, *anchors: str) -> list[int]:
    return [page.index(f'id="{anchor}"') for anchor in anchors]


def test_the_page_is_whole_and_stands_alone(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert not {"script", "iframe", "object", "img"} & set(outline.tags)
    assert {link for link in outline.links if not link.startswith("#")} == {"data:,"}
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\((?!#)", page)


def test_every_link_ends_at_something_on_the_page(page: str) -> None:
    outline = Outline(page)
    inside = [link[1:] for link in outline.links if link.startswith("#")]
    assert len(inside) > 60
    assert set(inside) <= set(outline.ids)


def test_the_verdict_comes_first_then_doubt_then_evidence(page: str) -> None:
    places = [
        page.index("<h1>"),
        *order(page, "decisions", "uncertain", "claims", "s1", "s2", "cost", "again", "ledger"),
    ]
    assert places == sorted(places)


def test_claims_that_fail_or_cannot_be_told_stand_with_what_is_uncertain(page: str, fake: ModuleType) -> None:
    start, end = order(page, "uncertain", "claims")
    doubt = page[start:end]
    for claim in fake.claims():
        unsettled = isinstance(claim.holds, Unmeasured) or not claim.holds
        assert (f"<h3>{claim.name}</h3>" in doubt) == unsettled
    assert "“Organisms are wrong when active” holds without a null control" in doubt
    assert "A fourth kind could be missed" in doubt


def test_every_claim_decision_and_table_row_names_its_record(page: str, fake: ModuleType) -> None:
    study = fake.study()
    places = {row.digest: row.index for row in fake.rows(study)}
    wanted = [*map(digest_of, study.claims), *map(digest_of, study.decisions), digest_of(study)]
    wanted += [digest for section in study.sections for table in section.tables for digest in table.records]
    for digest in wanted:
        assert f'href="#r{places[digest]}"' in page
    assert "could not be traced" not in page


def test_a_row_is_linked_in_its_first_cell_and_a_cell_to_its_own_record(fake: ModuleType) -> None:
    table = Table(
        title="T", columns=("a", "b"), rows=(("x", 0.5), ("y", 0.6)), records=("r0", ""), sources=(("", "c"), ("", ""))
    )
    study = Findings(headline="h", claims=(), sections=(Section(title="s", text="", tables=(table,)),))
    rows = [Row(index=i, noun="Note", digest=d) for i, d in enumerate(("r0", "c", digest_of(study)))]
    cells = re.findall(
        r"<td[^>]*>(.*?)</td>", render(study, meta=fake.meta(), ledger_index=rows).partition("</table>")[0]
    )
    linked = [(cell.partition("<")[0], re.findall(r'href="#r(\d+)"', cell)) for cell in cells]
    assert linked == [("x", ["0"]), ("0.500", ["1"]), ("y", ["2"]), ("0.600", [])]


def test_many_links_are_folded_away_and_none_is_lost(fake: ModuleType) -> None:
    rows = [Row(index=i, noun="Note", digest=f"d{i}") for i in range(60)]
    for count in (4, 60):
        plot = Plot(
            kind="bars",
            title="P",
            x="x",
            y="",
            rows=({"label": "a", "value": 1},),
            records=tuple(f"d{i}" for i in range(count)),
        )
        study = Findings(headline="h", claims=(), sections=(Section(title="s", text="", plots=(plot,)),))
        page = render(study, meta=fake.meta(), ledger_index=rows)
        assert page.count('<a class="ref" href="#r') == count
        assert ("60 records</summary>" in page) == (count == 60)


def test_what_a_record_says_is_shown_where_the_page_refers_to_it(fake: ModuleType) -> None:
    table = Table(title="T", columns=("a",), rows=((1,),), records=("cited",))
    study = Findings(headline="h", claims=(), sections=(Section(title="s", text="", tables=(table,)),))
    rows = [
        Row(index=0, noun="Note", digest="cited", body="the cited <body>"),
        Row(index=1, noun="Note", digest="other", body="the other body"),
        Row(index=2, noun="Findings", digest=digest_of(study), body="the page itself"),
    ]
    page = render(study, meta=fake.meta(), ledger_index=rows)
    assert "the cited &lt;body&gt;" in page
    assert "the other body" not in page
    assert "the page itself" not in page


def test_a_number_without_a_record_is_shown_as_such(fake: ModuleType) -> None:
    study = Findings(headline="h", claims=fake.claims()[3:5])
    page = render(study, meta=fake.meta(), ledger_index=[row for row in fake.rows(study) if row.noun != "Claim"])
    assert page.count("not in the ledger") == 2
    assert "2 references on this page could not be traced to a record." in page


def test_a_long_ledger_is_listed_only_as_far_as_the_page_refers_to_it(fake: ModuleType) -> None:
    study = Findings(headline="Short.", claims=fake.claims()[:1])
    rows = [Row(index=i, noun="Rollout", digest=digest_of(i)) for i in range(1000)]
    rows += [Row(index=1000, noun="Claim", digest=digest_of(study.claims[0]))]
    rows += [Row(index=1001, noun="Findings", digest=digest_of(study))]
    page = render(study, meta=fake.meta(), ledger_index=rows)
    assert "1,002 records in all" in page
    assert 'id="r1000"' in page
    assert 'id="r999"' not in page
    assert "Rollout: 1,000" in page


def test_words_from_a_study_are_never_markup(fake: ModuleType) -> None:
    bad = "<script>alert(1)</script>"
    claim = dataclasses.replace(fake.claims()[0], name=bad, why=bad, unit=bad)
    page = render(
        Findings(headline=bad, claims=(claim,), uncertain=(bad,), means=bad), meta=fake.meta(), ledger_index=()
    )
    assert "script" not in Outline(page).tags
    assert "&lt;script&gt;" in page


def test_quick_runs_say_that_they_decide_nothing(fake: ModuleType) -> None:
    study = Findings(headline="h", claims=())
    quick = dataclasses.replace(fake.meta(), quick=True)
    assert "too wide to decide" in render(study, meta=quick, ledger_index=())
    assert "too wide to decide" not in render(study, meta=fake.meta(), ledger_index=())


def test_same_study_same_page(page: str, fake: ModuleType) -> None:
    short = Findings(headline="h", claims=fake.claims()[:1], decisions=fake.decisions())
    one, two = (render(short, meta=fake.meta(), ledger_index=fake.rows(short)) for _ in range(2))
    assert one == two
    assert one != page


def said_by_chromium(page: str, folder: Path) -> tuple[list[str], bytes]:
    """Open a page offline in a real browser; return what its console said and a picture of it."""
    assert CHROMIUM is not None
    (folder / "page.html").write_text(page)
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr"
    command = [
        CHROMIUM,
        *flags.split(),
        f"--user-data-dir={folder / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ]
    command += [f"--screenshot={folder / 'page.png'}", "--window-size=1200,3000", (folder / "page.html").as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    lines = [line for line in found.stderr.splitlines() if "CONSOLE" in line]
    return lines, (folder / "page.png").read_bytes()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; install one to open the page in a real browser")
def test_a_real_browser_opens_it_offline_without_a_word(page: str, tmp_path: Path) -> None:
    lines, picture = said_by_chromium(page, tmp_path)
    assert lines == []
    assert picture[:4] == b"\x89PNG"
    assert len(picture) > 50_000


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; install one to open the page in a real browser")
def test_that_the_browser_test_can_fail(page: str, tmp_path: Path) -> None:
    lines, _ = said_by_chromium(page.replace("<main>", '<main><img src="https://example.invalid/x.png">'), tmp_path)
    assert any("Content Security Policy" in line for line in lines)


TOOL = Path(__file__).parents[2] / "tools" / "figure.py"


def figure(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOOL), *words], capture_output=True, text=True, timeout=120, check=False)


def test_a_picture_of_a_report_can_be_taken_as_a_file(page: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    titles = figure(str(tmp_path)).stdout.splitlines()
    assert len(titles) == len(set(titles)) >= 3
    out = tmp_path / "one.png"
    assert figure(str(tmp_path), titles[0], str(out)).returncode == 0
    made = out.read_bytes()
    assert made.startswith(b"\x89PNG")
    width = int.from_bytes(made[16:20], "big")
    assert width > 700  # the wide form, not the one for narrow screens


def test_a_picture_that_is_not_there_is_refused(page: str, tmp_path: Path) -> None:
    assert figure(str(tmp_path)).returncode == 2
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    found = figure(str(tmp_path), "no such picture", str(tmp_path / "one.png"))
    assert found.returncode == 2
    assert "has no picture" in found.stderr
    assert not (tmp_path / "one.png").exists()
