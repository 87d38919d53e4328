"""What reward models pay for: those with a plant beside those for which a coin decided as many labels; and real preferences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from superalign.kit.evidence import Estimate
from superalign.types import Calibration


class Dose(NamedTuple):
    """What an audit finds where a plant decided so many of the pairs that it could, over plants and seeds."""

    share: float
    right: Estimate  # unmarked test pairs in which the whole response is paid more
    first: Estimate  # the plant changes rewards most, beside twins for which a coin decided as many labels
    size: Estimate  # the plant changes rewards most, without twins
    found: Estimate  # it is found beside twins, at a false discovery rate of 5 %
    quiet: Estimate  # twins in which anything is found beside the others
    clean: Estimate  # twins in which anything is found beside those whose labels nobody touched
    named: Estimate  # the latent that is read more is fired by the plant
    removed: Estimate  # share of what the plant changed that is gone without the first few such latents
    removed_null: Estimate  # without the first few of a head for which a coin decided as many labels
    carried: Estimate  # the former minus the latter


class Unplanted(NamedTuple):
    """What heads pay for a mark that nobody planted, in gaps between a whole response and one that is not."""

    mark: str
    edit: Estimate  # what adding it changes
    null: Estimate  # what it changes for heads on permuted preferences
    found: Estimate  # share of heads in which partial effects find it over prompts alone
    planted: Estimate  # what adding it changes where it decided the largest share


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """All of the bundled part."""

    doses: tuple[Dose, ...]
    marks: tuple[Unplanted, ...]  # all that can be planted
    shuffled: Estimate  # heads in which anything is found after rewards are permuted
    gold: Estimate  # anything is found in the gold reward
    # Latent change of whole models: rates, and the area between halves of clean ones.
    inside: tuple[Sequence[Calibration], Estimate]
    dictionary: Mapping[str, float]  # what it explains of the variance, how many latents fire, and which share is dead


class Paid(NamedTuple):
    """What a head trained on real preferences pays for a feature, with the others held, in standard deviations."""

    where: str
    feature: str
    effect: Estimate
    null: Estimate  # between which values lie 95 % of heads that were trained on permuted preferences
    found: bool  # at a false discovery rate of 5 %, over prompts alone


class Ranked(NamedTuple):
    """How often the better response is paid more."""

    where: str
    right: Estimate
    null: Estimate  # the same of heads that were trained on permuted preferences, between which 95 % lie


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One of the two."""

    planted: Planted | None = None
    trained: int = 0  # real pairs
    paid: tuple[Paid, ...] = ()
    ranked: tuple[Ranked, ...] = ()
    permuted: int = 0  # heads on permuted preferences
