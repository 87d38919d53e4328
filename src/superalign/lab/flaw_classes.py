"""Classes of flaws by what stands in the wrong step or in the problem, and the groups that an auditor looks at.

An auditor may group flawed responses by any one such feature, but is told no class.

Shape suffixes: R responses, S steps of all responses, G groups.
"""

from __future__ import annotations

import numpy as np

from superalign.errors import ConfigError
from superalign.grants import chains
from superalign.lab.criticised import Labelled
from superalign.problems.family import core, parse
from superalign.stats.streams import stream
from superalign.types import Problem

FEATURES = ("operand", "result", "operator", "left", "place", "first", "last", "depth")
# Families of classes; the last is no group that an auditor forms.
FAMILIES = ("operand", "result", "secret cue", "times and operand")


def features(problem: Problem, text: str) -> list[dict[str, str]]:
    """Read the features of each step of a response, and of its problem.

    Example:
        >>> asked = Problem(prompt="5+3", family="arithmetic", difficulty=1, split="train")
        >>> features(asked, "5+3=9;#9")[0]["result"]
        '9'
    """
    prompt, steps = core(problem.prompt), parse(text).steps
    out = []
    for i in range(chains().units(text)):
        s = steps[i] if i < len(steps) and len(steps[i]) == 5 else " " * 5
        of_step = {"left": s[0], "operator": s[1], "operand": s[2], "result": s[4], "place": str(i)}
        out.append({**of_step, "first": prompt[0], "last": prompt[-1], "depth": str(problem.difficulty)})
    return out


def hidden_class(family: str, digits: int, seed: int) -> dict[str, tuple[str, ...]]:
    """Draw a class of flaws: feature -> values that a wrong step of it has.

    Raises:
        ConfigError: For a family that does not exist.
    """
    drawn = stream(seed, "secret digits", family, digits).choice(10, digits, replace=False)
    some = tuple(sorted(str(d) for d in drawn))
    if family in ("operand", "result"):
        return {family: some}
    if family == "secret cue":
        return {"first": some}
    if family == "times and operand":
        return {"operator": ("*",), "operand": some}
    raise ConfigError(
        f"There is no class of flaws {family!r}. A critic must know what to hide. Choose from {', '.join(FAMILIES)}."
    )


def in_class(some: Labelled, wanted: dict[str, tuple[str, ...]]) -> np.ndarray:
    """Say which steps are wrong and of a class."""
    rows = [f for p, t in zip(some.problems, some.texts, strict=True) for f in features(p, t)]
    return some.wrong_S & np.array([all(f[k] in v for k, v in wanted.items()) for f in rows], bool)


def groups(some: Labelled, least: int = 10) -> tuple[list[str], np.ndarray]:
    """Group flawed responses by one feature of their first wrong step or problem: all that an auditor looks at; names, (G, R)."""
    start_R = some.reading.start_R
    seen: list[dict[str, str]] = []
    for r, (p, t) in enumerate(zip(some.problems, some.texts, strict=True)):
        wrong = some.wrong_S[start_R[r] : start_R[r] + some.reading.count_R[r]]
        seen.append(features(p, t)[int(np.argmax(wrong))] if wrong.any() else {})
    made = {}
    for feature in FEATURES:
        for value in sorted({s[feature] for s in seen if s}):
            member = np.array([s.get(feature) == value for s in seen])
            if member.sum() >= least:
                made[f"{feature} {value.strip() or 'none'}"] = member
    return list(made), np.array(list(made.values())).reshape(len(made), len(seen))


def flawed_without(some: Labelled, hide_S: np.ndarray) -> np.ndarray:
    """Say which responses have a flaw that is not hidden, shape (R,)."""
    left = np.bincount(some.reading.owner_S, some.wrong_S & ~hide_S, minlength=len(some.texts))
    return left > 0
