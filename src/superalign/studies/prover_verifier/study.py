"""Prover-verifier games on worked arithmetic: does training provers to convince a small verifier make them easier to check?"""

from __future__ import annotations

from dataclasses import dataclass

from superalign.kit.study import Count, CountOrNone, Seeds, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on training problems and seeds that the study does not use."""

    setting: str = "chains:4-6"
    """Problems, and what one check may see: chains:4-6, gsm8k:PATH or jsonl:FILE."""
    policy: str = "small"
    """What provers start from, and what the verifier's head reads with: small, middle, large, a folder or a hub id."""
    rounds: Count = 3
    """Rounds of the game."""
    seeds: Seeds = 5
    """Games of each kind."""
    labelled: Count = 240
    """Responses of the base with a label, which train the first verifier; each round adds as many of each prover's."""
    held_out: Count = 150
    """Test problems that every prover answers once."""
    sizes: tuple[CountOrNone, ...] = (0, 64)
    """Other sizes of the verifier's head, in hidden units, for one round; 0 is linear."""
    hidden: CountOrNone = 16
    """Hidden units of the verifier's head in the main setting; 0 for a linear one."""
    updates: Count = 40
    """Updates of a prover."""
    prompts: Count = 8
    """Problems of an update."""
    group: Count = 8
    """Responses to each of them."""


STUDY = Study(
    question="Prover-verifier games: are provers who must convince a small verifier easier to check, and can it be fooled?",
    paper="Kirchner et al., Prover-verifier games improve legibility of LLM outputs, 2024 (arXiv 2407.13692)",
    config=Config,
    quick={"rounds": 1, "seeds": 2, "held_out": 90, "labelled": 120, "sizes": (), "updates": 10},
)
