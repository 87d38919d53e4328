"""What the digits study measures: whom judges believe after every kind of debate.

Shape suffixes: P images, S judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Estimate
from superalign.kit.panel import Decisions
from superalign.stats import share
from superalign.studies.pixel_debate.study import Config
from superalign.trials.pixel_debates import LIGHT, NINE, NOBODY, UNNAMED, Believed, Key, Orders
from superalign.trials.pixel_panel import Example, Leaning

PAPER = {4: (0.482, 0.852), 6: (0.594, 0.889)}  # Irving et al., 2018, abstract: the judge alone, and after debate


def all_beaten(who: Orders) -> tuple[Estimate, ...]:
    """Return the shares of images on which all lies are beaten, honest side first and liar first."""
    return tuple(share(b.beats_all_PS) for b in who.both)


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

    def compared(self, k: int) -> Iterator[tuple[str, Orders, float | str]]:
        """List the judge alone and debates by strength at one number of pixels: how, who, what the paper reached."""
        alone, reached = PAPER.get(k, ("not run", "not run"))
        tree, light = self.config.trees[-1], k > 4
        perfect = f"perfect, at most {LIGHT} non-blank pixels" if light else "perfect"
        played = [
            ("exact", perfect, reached),
            (tree, tree, reached),
            ("greedy", "greedy", ""),
            ("random", "random", ""),
        ]
        yield "judge alone, random pixels", self.of(NOBODY, pixels=k), alone
        for who, called, paper in played:
            if self.has(k, who):
                yield f"debate, {called}", self.of(who, pixels=k), paper
        if light and self.has(k, "exact"):
            for how, who in (("debate, greedy", "greedy"), ("judge alone", NOBODY)):
                yield f"{how}, the same light images", self.of(who, pixels=k).rows(self.light_P), ""
        for who, called, _ in played:
            if self.has(k, who, UNNAMED):
                yield f"lie named last, {called}", self.of(who, UNNAMED, pixels=k), ""

    def beside_paper(self) -> dict[str, Estimate | float]:
        """Return how often all lies are beaten, honest side first, where the paper says so too, and what it says."""
        out = dict[str, Estimate | float]()
        for k in PAPER:
            for how, who, paper in self.compared(k):
                if "named last" in how or "the same" in how:
                    continue
                out[f"{k} pixels: {how.removeprefix('debate, ').split(',')[0]}"] = all_beaten(who)[0]
                if isinstance(paper, float) and "tree" not in how:
                    out[f"{k} pixels: {'judge alone' if 'alone' in how else 'debate'}, paper"] = paper
        return out
