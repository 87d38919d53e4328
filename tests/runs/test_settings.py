from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.errors import ConfigError
from superalign.runs import settings


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
        settings.show(settings.parse(text, kind=kind))


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
