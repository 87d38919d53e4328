"""An overseer of somebody's own in the comparison: named as MODULE:FUNCTION, and checked before it may take part."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TypeAlias

from superalign.errors import ConfigError
from superalign.lab.arms import Arm
from superalign.oversight import check_overseer
from superalign.types import Overseer, Problem, Rollouts

Maker: TypeAlias = Callable[[Arm], Overseer]
"""Base, seed and settings -> overseer; `labelled_responses(arm)` are the labels that every protocol is given."""


def is_own(name: str) -> bool:
    """Whether a protocol's name says where its maker is.

    Example:
        >>> is_own("mine.debate:overseer"), is_own("debate")
        (True, False)
    """
    return ":" in name


def maker_of(name: str) -> Maker:
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


def refuse_broken(name: str, overseer: object, problems: tuple[Problem, ...], rollouts: Rollouts) -> None:
    """Refuse an overseer that does not hold to what every overseer must.

    Args:
        name: As it was given, for the message.
        overseer: What its maker made.
        problems: Some training problems.
        rollouts: Responses to them.

    Raises:
        ConfigError: If it fails a check; the message says which.
    """
    if not isinstance(overseer, Overseer):
        raise ConfigError(
            f"{name!r} made {type(overseer).__name__}, which cannot be called with problems, rollouts and seed. It would judge "
            "nothing. Return an overseer."
        )
    try:
        check_overseer(overseer, problems, rollouts)
    except AssertionError as error:
        raise ConfigError(
            f"{name!r} fails a check that every overseer must pass: {error}. Its numbers would mean something else than the "
            "others'. Mend it; superalign.oversight.check_overseer says when it passes."
        ) from None
