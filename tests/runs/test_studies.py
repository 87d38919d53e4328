"""Every study in the table is what the command line needs it to be."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
import typing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from superalign.runs import settings
from superalign.studies import STUDIES

PARAMETERS = ["config", "seed", "workers", "folder", "ledger", "log"]


def faults(module: ModuleType | SimpleNamespace) -> list[str]:
    """What a module lacks to be a study."""
    out = []
    if not (isinstance(getattr(module, "DESCRIPTION", None), str) and "\n" not in module.DESCRIPTION):
        out.append("DESCRIPTION is not one line")
    config: Any = getattr(module, "Config", None)
    if config is None or not dataclasses.is_dataclass(config) or not config.__dataclass_params__.frozen:
        return [*out, "Config is not a frozen dataclass"]
    kinds = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        try:
            shown = settings.show(getattr(config(), field.name))
            settings.parse("" if shown == "empty" else shown, kind=kinds[field.name])
        except (TypeError, ValueError) as error:
            out.append(f"{field.name} cannot be set: {error}")
    documented = settings.field_lines(config)
    out += [f"{f.name} has no line under it" for f in dataclasses.fields(config) if f.name not in documented]
    if not isinstance(module.quick(config()), config):
        out.append("quick does not return a Config")
    if list(inspect.signature(module.study).parameters) != PARAMETERS:
        out.append(f"study does not take {PARAMETERS}")
    return out


@pytest.mark.parametrize("name", sorted(STUDIES))
def test_a_study_of_the_table_is_one(name: str) -> None:
    assert faults(importlib.import_module(STUDIES[name])) == []


def test_that_the_test_can_fail() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        fake = importlib.import_module("fake_study")
    finally:
        sys.path.pop(0)
    assert faults(fake) == [f"{name} has no line under it" for name in ("scale", "names", "loud", "note", "limit")]
    assert faults(SimpleNamespace(DESCRIPTION="two\nlines")) == [
        "DESCRIPTION is not one line",
        "Config is not a frozen dataclass",
    ]
