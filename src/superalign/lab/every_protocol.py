"""Every protocol of scalable oversight by its name: who makes its overseer, of how many labels, and what it can judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from superalign.grants import Setting
from superalign.lab.arms import Arm, overseer_of
from superalign.lab.chain_overseers import amplification_overseer, recursive_overseer
from superalign.lab.critique_overseers import self_critique_overseer, written_critique_overseer
from superalign.lab.labelled_overseers import debate_overseer, market_overseer, prover_overseer, sandwich_overseer
from superalign.lab.own_overseer import Maker, imported, refuse_broken
from superalign.trials import JUDGE
from superalign.types import Overseer

MANY = "critique of many labels"
FREE = ("ground truth", "coin")  # paid by the answer key, or by chance: the ceiling and the null of every protocol


def as_arm(name: str) -> Callable[[Arm], Overseer]:
    """Return the maker of an overseer that `overseer_of` knows by another name."""
    return lambda spec: overseer_of(replace(spec, arm=name))


MAKERS: Mapping[str, Maker] = {
    JUDGE: as_arm("judge alone"),
    "critique": as_arm("judge + critic"),
    "critic's score": as_arm("critic alone"),
    "debate": debate_overseer,
    "market": market_overseer,
    "verifier": prover_overseer,
    "sandwich": sandwich_overseer,
    "amplification": amplification_overseer,
    "recursive reward": recursive_overseer,
    MANY: as_arm("judge + critic"),
    "self-critique": self_critique_overseer,
    "written critique": written_critique_overseer,
    **dict.fromkeys(FREE, overseer_of),
}
# Training responses whose steps were labelled for a protocol, where that is not `arms.Config.labelled`.
LABELLED: Mapping[str, int] = {JUDGE: 0, "recursive reward": 0, MANY: 500}
# They read or work a chain through, symbol by symbol.
CHAINS_ONLY = ("debate", "sandwich", "amplification", "recursive reward", "written critique")


def maker_of(name: str) -> Maker:
    """Return the function that makes a protocol's overseer; one of the user's own is imported.

    Raises:
        ConfigError: If there is no such function.
    """
    return MAKERS[name] if name in MAKERS else imported(name)


def refuse(protocols: Sequence[str], at: Setting) -> None:
    """Refuse protocols that would fail only after minutes of work.

    Raises:
        ConfigError: If one cannot judge these problems, or one of the user's own is no overseer.
    """
    for name in protocols:
        if name in CHAINS_ONLY:
            at.depth(f"The protocol {name}")
        if name not in MAKERS:
            refuse_broken(name, at)


def made_of(spec: Arm, overseer: Any) -> int:
    """Count the steps that somebody labelled or checked to make an overseer."""
    if spec.arm in FREE:
        return 0
    labelled = sum(map(len, spec.labelled()[2])) if spec.config.labelled else 0
    return labelled + int(dict(overseer.card.settings).get("steps checked to make it", 0))
