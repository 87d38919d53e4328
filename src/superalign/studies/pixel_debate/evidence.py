"""What the digits study measures: whom judges believe after every kind of debate.

Shape suffixes: P images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from superalign.kit.panel import Decisions
from superalign.studies.pixel_debate.study import Config
from superalign.trials.pixel_debates import NINE, Believed, Key, Orders
from superalign.trials.pixel_panel import Example, Leaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was counted; who is right is said by the image's label."""

    config: Config
    record: str  # digest of the record that holds all moves
    decisions: Decisions
    debates: Mapping[Key, Orders]
    again: Believed  # another draw of random pixels
    elsewhere: Mapping[str, Orders]  # debater -> decided by another judge than the one searched against
    light_P: np.ndarray  # the images that many pixels were played perfectly on
    leanings: tuple[Leaning, Leaning, Leaning]  # two lies; the right label, first, against each of these
    extra: Mapping[str, np.ndarray]  # arm -> what a true claim earns more than a false one, in nats, (P,)
    example: Example

    def has(self, pixels: int, who: str, kinds: tuple[str, str] = NINE) -> bool:
        """Say whether two such debaters played."""
        return (pixels, who, who, kinds) in self.debates

    def of(self, who: str, kinds: tuple[str, str] = NINE, *, pixels: int = 0, liar: str = "") -> Orders:
        """Look up debates; with as many pixels as in the panel, and a liar who plays like the honest debater, by default."""
        return self.debates[pixels or self.config.pixels, who, liar or who, kinds]
