from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.canonical import rebuild
from superalign.errors import BadInput, DataError
from superalign.report import NOUNS, Findings, Plot, Section, Table
from superalign.types import Interval, Unmeasured, canonical_json, to_plain


@pytest.fixture(scope="module")
def fake() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fake_study", Path(__file__).with_name("fake_study.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_study_comes_back_from_the_ledgers_plain_values(fake: ModuleType) -> None:
    study = fake.study()
    back = rebuild(to_plain(study), NOUNS)
    assert back == study
    assert canonical_json(back) == canonical_json(study)


cells = st.one_of(
    st.text(max_size=8),
    st.integers(-9, 9),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.builds(Unmeasured, st.text(max_size=8)),
    st.builds(Interval, value=st.floats(0, 1), low=st.floats(0, 1), high=st.floats(0, 1), n=st.integers(0, 9)),
)


@given(st.lists(st.tuples(cells, cells), max_size=4))
def test_any_table_comes_back(rows: list[tuple[object, object]]) -> None:
    table = Table(title="t", columns=("a", "b"), rows=tuple(rows))  # type: ignore[arg-type]
    study = Findings(headline="h", claims=(), sections=(Section(title="s", text="", tables=(table,)),))
    assert rebuild(to_plain(study), NOUNS) == study


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(BadInput, match="1 cells for 2 columns"):
        Table(title="t", columns=("a", "b"), rows=(("x",),))


def test_digests_must_match_rows() -> None:
    with pytest.raises(BadInput, match="2 digests for 1 rows"):
        Table(title="t", columns=("a",), rows=(("x",),), records=("d", "e"))


@pytest.mark.parametrize("sources", [(("d",), ("e",)), (("d", "", ""),)])
def test_sources_must_match_cells(sources: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(BadInput, match="one source for each of its 1 x 2 cells"):
        Table(title="t", columns=("a", "b"), rows=(("x", 1),), sources=sources)


def test_a_plot_row_must_hold_what_its_kind_needs() -> None:
    with pytest.raises(BadInput, match="no 'y'"):
        Plot(kind="roc", title="t", x="x", y="y", rows=({"series": "a", "x": 1.0},))


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        ({"noun": "Organism"}, "'Organism' is not one that this version knows"),
        ({"noun": "Interval", "value": 1.0, "new": 2}, "'Interval' is not one that this version knows"),
        ([{"noun": "Findings", "headline": "h"}], "Findings lacks fields .*'claims'"),
    ],
)
def test_what_this_version_does_not_know_is_refused(plain: object, says: str) -> None:
    with pytest.raises(DataError, match=says):
        rebuild(plain, NOUNS)
