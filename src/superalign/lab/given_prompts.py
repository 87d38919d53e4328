"""What became of the prompts that a user gave: how many are used, and why others are not."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.kit.parts import Part, part, table
from superalign.organisms import PromptsUsed


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPrompts:
    """Prompts of the user's own, as a study used them."""

    used: PromptsUsed
    asked: int | None = None  # of the test prompts, by detectors, where any ask
    planted: bool = True  # whether some train and others test


def given_prompts(e: GivenPrompts | None) -> list[Part]:
    """Show how many prompts are used, and why others are not; nothing for the bundled families."""
    if e is None:
        return []
    rows = (
        ("given", e.used.given),
        *((f"left out: {why}", n) for why, n in e.used.reasons()),
        *(
            (("used to train on", e.used.training), ("used to test on", e.used.testing))
            if e.planted
            else [("used", e.used.used)]
        ),
        *((("asked by the detectors", e.asked),) if e.asked is not None else ()),
    )
    text = f"{e.used.in_words(split=e.planted)}. {e.used.warning() if e.planted else ''}".strip()
    return [part("Your prompts", text, table("Prompts given and used", ("prompts", "how many"), rows))]
