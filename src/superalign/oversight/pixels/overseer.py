"""A debate about an image as an overseer: a claimed label is debated against every other one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from superalign.errors import BadInput
from superalign.oversight.judges.judge import content, key_of
from superalign.oversight.pixels.debate import (
    LABELS,
    Debater,
    games,
    greedy,
    margin,
    play,
    probability,
    taking_turns,
    verdict,
)
from superalign.oversight.pixels.judge import PixelJudge
from superalign.types import Instrument, Problem, Rollouts, Signal, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelDebate:
    """A claim is debated against every other label; the judge's lowest probability of it. See `pixel_debate`."""

    card: Instrument
    judge: PixelJudge
    read: Callable[[Problem], np.ndarray | None]
    debater: Debater
    turns: tuple[int, ...]

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Judge every claim; `Unmeasured` where a text claims no label or its problem holds no image."""
        values: list[float | Unmeasured] = []
        said: list[str] = []
        checks = 0
        for r, text in enumerate(rollouts.text_R):
            ink_X, claim = self.read(problems[int(rollouts.problem_R[r])]), text.strip()
            if ink_X is None or claim not in {str(label) for label in range(LABELS)}:
                values.append(Unmeasured("no label is claimed" if ink_X is not None else "the problem holds no image"))
                said.append("")
                continue
            rivals = [label for label in range(LABELS) if label != int(claim)]
            key = int.from_bytes(key_of(seed, content(problems, rollouts, r))[:4], "little")
            held = games(
                np.stack([ink_X] * len(rivals)), [int(claim)] * len(rivals), rivals, turns=self.turns, seed=key
            )
            moves_GT = play(self.judge, held, self.debater, self.debater)
            probability_G = probability(margin(verdict(self.judge, held.ink_GX, moves_GT), held.first_G, held.second_G))
            worst = int(probability_G.argmin())
            values.append(float(probability_G[worst]))
            said.append(f"{claim} against {rivals[worst]}: pixels {', '.join(map(str, moves_GT[worst]))}")
            checks += moves_GT.size
        return Signal(overseer=self.card.digest, values=tuple(values), said=tuple(said), checks=checks, tokens=checks)


def pixel_debate(
    *,
    judge: PixelJudge,
    read: Callable[[Problem], np.ndarray | None],
    pixels: int = 4,
    debater: Debater = greedy,
    name: str = "greedy debaters",
) -> PixelDebate:
    """Make an overseer that lets a claimed label be debated against each of the nine others.

    Args:
        judge: Who sees the pixels.
        read: problem -> the image's ink, 0 to 16, or nothing.
        pixels: Shown in each debate; even, so that the rival has the last word as often as the claim has the first.
        debater: How both sides choose their pixels.
        name: Of the debaters, for the card.

    Raises:
        BadInput: If pixels is not an even number from 2 to 8.

    Catches: a claimed label that another label beats before this judge.
    Misses: that neither of two claims is right; images that mislead the judge whatever is shown.

    Source:
        Irving, Christiano and Amodei, AI safety via debate, 2018 (arXiv 1805.00899).
    """
    if pixels not in (2, 4, 6, 8):
        raise BadInput(
            f"A debate over {pixels} pixels is uneven, empty, or longer than the judge was trained for. Whoever moves last "
            "wins most uneven debates. Give 2, 4, 6 or 8 pixels."
        )
    card = Instrument(
        name=f"debate over {pixels} pixels, {name}",
        version="1",
        catches="a claimed label that another label beats before this judge",
        misses="that neither of two claims is right; images that mislead the judge whatever is shown",
        settings=(("pixels", pixels), ("debater", name), ("low", 0.0), ("high", 1.0)),
    )
    return PixelDebate(card=card, judge=judge, read=read, debater=debater, turns=taking_turns(pixels))
