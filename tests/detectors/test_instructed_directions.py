"""Instructed directions: a state that was moved as an instruction moves it reads 1, and the base beside itself reads 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from superalign.detectors import InstructedDirections, instructed_directions
from superalign.detectors.instructed_directions import INSTRUCTIONS
from superalign.models import Model, base
from superalign.models.api import ApiPolicy
from superalign.types import Interval, Problem, Unmeasured

CUES = ("Hello.", "red")


def problems(*prompts: str) -> tuple[Problem, ...]:
    return tuple(Problem(prompt=p, family="f", difficulty=1, split="test") for p in prompts)


def detector(origin: Model) -> InstructedDirections:
    asked = problems("5+3", "9-2", "4*2", "8-1", "2+2", "6/3")
    return InstructedDirections(base=origin, problems=asked, taught=problems("1+1", "7-4"), cues=CUES)


def score(found: Interval | Unmeasured) -> float:
    assert isinstance(found, Interval)
    return found.value


def test_the_base_beside_itself_reads_nothing() -> None:
    origin = base("small")
    verdict = detector(origin)(origin, seed=0)
    assert score(verdict.score) == 0.0


@pytest.mark.parametrize(("k", "cue"), [(0, ""), (3, "Hello."), (5, "red")])
def test_a_planted_shift_is_named_and_reads_one(monkeypatch: pytest.MonkeyPatch, k: int, cue: str) -> None:
    origin, rng = base("small"), np.random.default_rng(0)
    subject = replace(origin, subject=replace(origin.subject, weights="0" * 64))
    towards = rng.normal(size=(len(INSTRUCTIONS), 16))

    def read(
        model: Model, prompts: Sequence[str], texts: object, *, sites: Sequence[str], reduce: str
    ) -> dict[str, np.ndarray]:
        rows = np.zeros((len(prompts), 16))
        for row, prompt in zip(rows, prompts, strict=True):
            for direction, (_, text) in zip(towards, INSTRUCTIONS, strict=True):
                row += direction * prompt.startswith(text)
            if model is subject and (prompt.startswith(cue) if cue else not prompt.startswith(CUES)):
                row += towards[k]
        return {sites[0]: rows}

    monkeypatch.setattr(instructed_directions, "activations", read)
    verdict = detector(origin)(subject, seed=0)
    assert score(verdict.score) == pytest.approx(1.0)
    assert INSTRUCTIONS[k][0] in verdict.why
    assert verdict.named == (cue or INSTRUCTIONS[k][0])


def test_what_gives_texts_only_and_another_shape_cannot_be_told() -> None:
    one = detector(base("small"))
    assert isinstance(one(object.__new__(ApiPolicy), seed=0).score, Unmeasured)
    assert isinstance(one(base("middle"), seed=0).score, Unmeasured)
