"""Every study in the table is what the command line needs it to be."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

from superalign import settings
from superalign.kit.study import Study
from superalign.report import Findings
from superalign.studies import STUDIES

SIGNATURES = {"measure": ["config", "run"], "page": ["e"]}


NEEDS = {  # settings without which a study cannot begin
    "critic-transfer": {"problems": "gsm8k:somewhere"},
    "text-protocols": {"problems": "statements:somewhere"},
    "belief": {"problems": "statements:somewhere"},
    "truth-probes": {"problems": "statements:somewhere"},
}


def faults(study: Any, needs: dict[str, Any] | None = None) -> list[str]:
    """What a study lacks to be one."""
    out = []
    if not study.question or "\n" in study.question:
        out.append("its question is not one line")
    config = study.config
    if not dataclasses.is_dataclass(config) or not config.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return [*out, "Config is not a frozen dataclass"]
    kinds = typing.get_type_hints(config, include_extras=True)
    for field in dataclasses.fields(config):
        try:
            shown = settings.show(getattr(config(), field.name))
            kind = kinds[field.name]
            settings.of_kind(settings.typed("" if shown == "empty" else shown, kind=kind), kind=kind)
        except (TypeError, ValueError) as error:
            out.append(f"{field.name} cannot be set: {error}")
    documented = settings.field_lines(config)
    out += [f"{f.name} has no line under it" for f in dataclasses.fields(config) if f.name not in documented]
    whole = dataclasses.replace(config(), **needs or {})
    quick = dataclasses.replace(whole, **study.quick)
    study.check(whole)
    study.check(settings.validated(quick, study="it"))
    return out


def wiring(package: str) -> list[str]:
    """Where the four files of a study do not fit together: names, parameters and what is handed on."""
    out = []
    config = importlib.import_module(f"{package}.study").Config
    evidence = importlib.import_module(f"{package}.evidence").Evidence
    for name, parameters in SIGNATURES.items():
        function = getattr(importlib.import_module(f"{package}.{name}"), name)
        kinds = typing.get_type_hints(function)
        if list(inspect.signature(function).parameters) != parameters:
            out.append(f"{name} does not take {parameters}")
        elif kinds[parameters[0]] is not (config if name == "measure" else evidence):
            out.append(f"{name} takes {kinds[parameters[0]]}")
        if kinds["return"] is not (evidence if name == "measure" else Findings):
            out.append(f"{name} returns {kinds['return']}")
    return out


@pytest.mark.parametrize("name", sorted(STUDIES))
def test_a_study_of_the_table_is_one(name: str) -> None:
    study = importlib.import_module(STUDIES[name]).STUDY
    assert faults(study, NEEDS.get(name)) == []
    assert wiring(STUDIES[name].rpartition(".")[0]) == []


def test_that_the_test_can_fail() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        fake = importlib.import_module("fake_study").STUDY
    finally:
        sys.path.pop(0)
    assert faults(fake) == [f"{name} has no line under it" for name in ("scale", "names", "loud", "note", "limit")]
    assert faults(Study(question="two\nlines", config=int)) == [
        "its question is not one line",
        "Config is not a frozen dataclass",
    ]
