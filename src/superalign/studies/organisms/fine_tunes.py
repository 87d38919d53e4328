"""Make the clean fine-tunes that set thresholds beside the planted set, keep those that work, or grade those that ship anew."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from superalign import jobs
from superalign.canonical import rebuild
from superalign.lab.memo import memo
from superalign.models import open_weights
from superalign.organisms.fine_tunes import (
    CALIBRATING,
    LIST,
    NOUNS,
    Innocent,
    correct_share,
    make,
    opaque_name,
    shipped_innocents,
    works,
)
from superalign.organisms.triples import keep_half
from superalign.types import to_plain


def innocent_job(item: tuple[str, int], *, folder: str, steps: int) -> dict[str, Any]:
    """Make one, measure that it works, and keep its adapter."""
    sort, number = item
    model = make(sort, number, steps=steps)
    name = opaque_name(sort, number, steps)
    keep_half(model, Path(folder) / name)
    return dict(to_plain(Innocent(sort=sort, number=number, name=name, correct=correct_share(model))))


def build(each: int, *, folder: Path, target: Path, workers: int, steps: int = 600) -> tuple[Innocent, ...]:
    """Make `each` of every calibrating sort; those that do not work are thrown away; the list stands beside the adapters."""
    items = [(sort, number) for number in range(each) for sort in CALIBRATING]
    making = functools.partial(innocent_job, folder=str(target), steps=steps)
    made = jobs.run(making, items, workers=workers, memo=memo(folder, "innocents"), progress="fine-tuning")
    every: list[Innocent] = [rebuild(m, NOUNS) for m in made]
    of_base = correct_share(open_weights("small"))
    used = tuple(i for i in every if works(i, of_base))
    for thrown in (i for i in every if i not in used):
        shutil.rmtree(target / thrown.name, ignore_errors=True)
    _write(used, target)
    return used


def graded_again(target: Path) -> tuple[Innocent, ...]:
    """Grade the fine-tunes of a folder anew, their adapters as they are."""
    there = shipped_innocents(where=target)
    graded = tuple(replace(i, correct=correct_share(open_weights(target / i.name))) for i in there)
    _write(graded, target)
    return graded


def _write(innocents: Sequence[Innocent], target: Path) -> None:
    (target / LIST).write_text(json.dumps([to_plain(i) for i in innocents], indent=1, sort_keys=True) + "\n")
