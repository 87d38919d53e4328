"""An overseer of somebody's own in the comparison: named as MODULE:FUNCTION, and checked before it may take part."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TypeAlias

from superalign.errors import ConfigError
from superalign.grants import Setting
from superalign.lab.arms import Arm, Config
from superalign.lab.half_right import flawed
from superalign.oversight import check_overseer
from superalign.types import Overseer, Rollouts

Maker: TypeAlias = Callable[[Arm], Overseer]
"""Base, seed and settings -> overseer; `arm.labelled()` are the labels that every protocol is given."""


def imported(name: str) -> Maker:
    """Import the function that makes an overseer.

    Args:
        name: MODULE:FUNCTION, as Python would import it.

    Raises:
        ConfigError: If there is no such function.
    """
    module, _, function = name.partition(":")
    try:
        maker: Maker = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{name!r} could not be imported: {error}. Nobody would sit in its place. Give MODULE:FUNCTION as Python imports it; "
            "a module in the working folder is found with PYTHONPATH=. before the command."
        ) from None
    if not callable(maker):
        raise ConfigError(
            f"{name!r} is no function. It should make an overseer from an arm of the study. Give MODULE:FUNCTION."
        )
    return maker


def refuse_broken(name: str, at: Setting) -> None:
    """Refuse an overseer of somebody's own that does not hold to what every overseer must.

    Args:
        name: MODULE:FUNCTION.
        at: What it would judge.

    Raises:
        ConfigError: If it cannot be made, or fails a check; the message says which.
    """
    overseer: object = imported(name)(Arm(arm=name, seed=0, base=at.model(), config=Config(setting=at.name)))
    if not isinstance(overseer, Overseer):
        raise ConfigError(
            f"{name!r} made {type(overseer).__name__}, which cannot be called with problems, rollouts and seed. It would judge "
            "nothing. Return an overseer."
        )
    asked = at.problems("train", 12, 5)
    texts = [at.family.worked(p) if i % 2 else flawed(at, p, 0) for i, p in enumerate(asked)]
    try:
        check_overseer(overseer, asked, Rollouts.of_texts(asked, texts))
    except AssertionError as error:
        raise ConfigError(
            f"{name!r} fails a check that every overseer must pass: {error}. Its numbers would mean something else than the "
            "others'. Mend it; superalign.oversight.check_overseer says when it passes."
        ) from None
