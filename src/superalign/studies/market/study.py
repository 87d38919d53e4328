"""AI safety via market making, trained: does the price before any argument come to say what is true?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from annotated_types import Ge, Le

from superalign.kit.study import Count, Seeds, Share, Study

# With two numbers the judge needs no help, and beyond eight no search here finds an argument.
Length: TypeAlias = Annotated[int, Ge(3), Le(8)]
Kind: TypeAlias = Literal["at least", "xor", "product"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on other seeds of training, and never on which test claims are true."""

    numbers: Length = 4
    """Numbers in a row, in the main setting."""
    seeds: Seeds = 5
    """Trainings of each kind, in the main setting."""
    sweep_seeds: Seeds = 3
    """Trainings of each kind elsewhere: longer rows, other claims, a judge who errs."""
    held_out: Annotated[int, Ge(20)] = 300
    """Test rows with one claim each; no row was seen in training with any claim."""
    longer: tuple[Length, ...] = (5, 6)
    """Longer rows; those that are not longer than the main ones are left out."""
    ways: bool = True
    """Whether the longest rows are tried in every way."""
    kinds: tuple[Kind, ...] = ("at least", "xor", "product")
    """Other claims than sums."""
    slips: tuple[Share, ...] = (0.05, 0.12)
    """How often the judge gets an addition wrong; the last one also with the same slips every time."""
    updates: Count = 500
    """Updates of market and adversary."""
    questions: Count = 128
    """Questions of an update."""
    proposals: Count = 12
    """Games proposed for each question, of which the one that moves the price most is played."""
    width: Count = 64
    """Width of the market's reading of a question."""
    hidden: Count = 128
    """Hidden units of market and adversary."""


STUDY = Study(
    question="Market making: does a price trained to foresee a weak judge's belief come to say what is true?",
    paper="Hubinger, AI safety via market making, 2020",
    config=Config,
    quick={
        "numbers": 3,
        "seeds": 3,
        "sweep_seeds": 2,
        "held_out": 120,
        "longer": (),
        "ways": False,
        "kinds": ("xor",),
        "slips": (0.12,),
        "updates": 200,
    },
)
