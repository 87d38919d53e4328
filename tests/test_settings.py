from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le
from hypothesis import given
from hypothesis import strategies as st

from superalign import settings
from superalign.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings."""

    n: int = 1
    """How many."""
    rates: tuple[float, ...] = (0.1, 0.2)
    pair: tuple[int, str] = (1, "a")
    mode: Literal["fast", 2] = "fast"
    """Two lines
    of words."""
    flag: bool = True
    maybe: float | None = None
    text: str = ""


@given(
    st.builds(
        Config,
        n=st.integers(),
        rates=st.lists(st.floats(-1e9, 1e9)).map(tuple),
        flag=st.booleans(),
        mode=st.sampled_from(["fast", 2]),
        maybe=st.none() | st.floats(-1e9, 1e9),
    )
)
def test_what_is_shown_can_be_typed_back(config: Config) -> None:
    names = ("n", "rates", "pair", "mode", "flag", "maybe")
    words = [f"{name}={settings.show(getattr(config, name))}" for name in names]
    assert settings.apply(Config(), words=words, study="r") == config


@given(
    st.text(max_size=12),
    st.sampled_from([int, float, bool, tuple[int, ...], tuple[int, str], Literal["a"], int | None]),
)
def test_any_text_is_a_value_or_a_value_error_and_nothing_else(text: str, kind: Any) -> None:
    with contextlib.suppress(ValueError):
        settings.show(settings.of_kind(settings.typed(text, kind=kind), kind=kind))


def test_a_refusal_by_the_config_itself_passes_through() -> None:
    @dataclass(frozen=True)
    class Fussy:
        n: int = 1

        def __post_init__(self) -> None:
            if self.n < 1:
                raise ConfigError("n is 0. a. b.")

    with pytest.raises(ConfigError, match="n is 0"):
        settings.apply(Fussy(), words=["n=0"], study="r")


def test_the_line_under_each_field_is_shown() -> None:
    said = settings.describe(Config())
    assert "  n = 1  [a whole number (int)]" in said
    assert "      How many." in said
    assert "      Two lines of words." in said


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """Settings with bounds."""

    seeds: Annotated[int, Ge(2)] = 5
    """Of whom."""
    shares: tuple[Annotated[float, Gt(0), Le(1)], ...] = (0.5,)
    """Some."""


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("seeds=1", "'1' is not at least 2. The field 'seeds' of the study r takes a whole number (int), at least 2."),
        ("seeds=2.5", "'2.5' is not a whole number"),
        ("shares=0.5,1.5", "'1.5' is not at most 1. .* each above 0 and at most 1"),
        ("shares=0", "'0' is not above 0"),
    ],
)
def test_a_bound_stands_on_its_field(word: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("(", r"\(").replace(")", r"\)")):
        settings.apply(Bounded(), words=[word], study="r")
    assert settings.apply(Bounded(), words=["seeds=2", "shares=1"], study="r") == Bounded(seeds=2, shares=(1.0,))


def test_what_was_made_in_python_is_held_against_the_same_bounds() -> None:
    assert settings.validated(Bounded(seeds=2), study="r") == Bounded(seeds=2)
    with pytest.raises(ConfigError, match="seeds=1: 1 is not at least 2"):
        settings.validated(Bounded(seeds=1), study="r")


def test_a_config_that_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for config in (Config(n=3, maybe=0.5, rates=(), text="a: b"), Bounded(shares=(0.25, 1.0))):
        path.write_text(settings.written(config))
        assert settings.read(path, config=type(config)(), study="r") == config


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seeds: 1", "seeds: 1: 1 is not at least 2"),
        ("seeds: true", "True is not a whole number"),
        ("shares: [0.5, true]", "True is not a number"),
        ("seed: 3", "no field 'seed'. Did you mean seeds?"),
        ("- 1", "holds no `field: value` lines"),
        ("{", "cannot be read"),
    ],
)
def test_a_file_of_settings_that_cannot_be_used_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        settings.read(path, config=Bounded(), study="r")
    assert says in str(refused.value)


def test_the_schema_names_types_bounds_defaults_and_lines() -> None:
    found = json.loads(settings.schema(Bounded()))
    assert found["properties"]["seeds"] == {
        "default": 5, "description": "Of whom.", "minimum": 2, "title": "Seeds", "type": "integer",
    }  # fmt: skip
