"""Run a race: planters are trained to be missed by a critic of flawed chains, and the critic is retrained on their flaws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from superalign.lab import flawed_chains as chains
from superalign.lab.critic_race import CONTROL, OURS, Looks, Race, Round
from superalign.lab.flawed_chains import EDITS, LENGTH, Solutions, edited
from superalign.lab.trained_critics import Critics, to_retrain_on, train_again
from superalign.oversight.critique.flaw_planter import Flags, PlanterConfig, PlanterPolicy, planted_flaws, train_planter
from superalign.oversight.critique.frontier import caught, drawn_anew, flags_of, nitpicks
from superalign.oversight.critique.written import CriticPolicy
from superalign.problems.chain_symbols import PLACES, SYMBOLS
from superalign.stats.streams import seed_for
from superalign.types import Record

POOL = 2000  # chains of the train split that planters are trained on
SHARP = 0.03  # nats' worth of diversity for a planter that may put all on its best flaws
Retrained: TypeAlias = dict[str, CriticPolicy]  # what it was retrained on -> the critic of the last round


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceSettings(Record):
    """How planters and critics race."""

    rounds: int  # in which the critic is retrained
    planted: int  # flaws that it is retrained on in each round
    planter_updates: int
    nitpicks: float  # a solution, at which critics are set
    entropy: float  # what a planter earns for each nat of variety


def looks(edit_B: np.ndarray, none: float) -> Looks:
    """Describe edits."""
    step_B, slot_B = chains.parts_of(edit_B)
    return Looks(
        slots={name: float((slot_B == k).mean()) for k, name in enumerate(chains.SLOTS)},
        first_half=float((step_B < LENGTH // 2).mean()),
        different=float(len(np.unique(edit_B))),
        none=none,
    )


def run_race(
    job: RaceSettings, trained: Critics, test: Solutions, *, seed: int
) -> tuple[Race, Retrained, PlanterPolicy]:
    """Run several rounds: a fresh planter is trained against a critic, then the critic is retrained on its flaws.

    A second critic is retrained on as many flaws by hand, and has fresh planters trained against it too.

    Args:
        job: Settings.
        trained: The critics of the seed.
        test: Test solutions, in whose problems planters' flaws are measured.
        seed: Of the critics.

    Returns:
        The race, the critics of the last round, and the first planter.
    """
    right, held = (
        chains.worked(p) for p in (chains.asked("train", POOL, seed_for(seed, "chains to plant in")), test.problems)
    )
    blank = PlanterPolicy(SYMBOLS, PLACES, LENGTH, EDITS)
    base_x, base_wrong, base_edits, base_none = planted_flaws(blank, held, edit=edited, seed=seed)
    by_hand = test.x_BSK[torch.from_numpy(test.flawed_B)], test.wrong_BS[test.flawed_B]
    rounds, critics, planters = list[Round](), dict[str, CriticPolicy](), list[PlanterPolicy]()
    for arm in (OURS, CONTROL):
        critic, seen = trained.rl, [(trained.labelled.x_BSK, trained.labelled.wrong_BS)]
        against = {"untrained": (base_x, base_wrong), "hand": by_hand}
        for r in range(job.rounds + 1):
            bias = trained.bias(critic, job.nitpicks)
            # Each arm has planters of its own, from the first round on: what they differ by there is the null.
            key, flags = seed_for(seed, "race", r, arm), drawn_anew(critic, bias)

            def planter(flags: Flags, entropy: float, key: int = key) -> PlanterPolicy:
                config = PlanterConfig(updates=job.planter_updates, entropy=entropy)
                return train_planter(blank, right, edit=edited, flags=flags, config=config, seed=key)

            def flaws(of: PlanterPolicy, key: int = key) -> tuple[Tensor, np.ndarray]:
                return planted_flaws(of, held, edit=edited, seed=key + 1)[:2]

            # Paid by what the critic says of another edit: what training does to flaws when it learns nothing of the critic.
            def elsewhere(x: Tensor, flags: Flags = flags) -> Tensor:
                return torch.roll(flags(x), len(x) // 2, 0)

            planters.append(planter(flags, job.entropy))
            fresh_x, fresh_wrong, edits, none = planted_flaws(planters[-1], held, edit=edited, seed=key + 1)
            against["fresh"] = fresh_x, fresh_wrong
            if r in (0, job.rounds):
                against["sharp"] = flaws(planter(flags, SHARP))
            if r == 0 and arm == OURS:
                against["blind"] = flaws(planter(elsewhere, job.entropy))
            hits = _hits(critic, against, seed=seed_for(seed, "flags on planted flaws"), bias=bias)
            own = flags_of(critic, test.x_BSK, seed=seed_for(seed, "flags on test solutions"), bias=bias)
            picks = nitpicks(own, test.wrong_BS)
            rounds.append(Round(arm=arm, round=r, caught=hits, nitpicks_P=picks, looks=looks(edits, none)))
            against = {"untrained": (base_x, base_wrong), "hand": by_hand, "before": (fresh_x, fresh_wrong)}
            if r < job.rounds:
                planter_of = planters[-1] if arm == OURS else None
                seen.append(to_retrain_on(job.planted, planter_of, right, seed=key))
                critic = train_again(critic, seen, seed=key)
        critics[arm] = critic
    return Race(rounds=tuple(rounds), untrained=looks(base_edits, base_none)), critics, planters[0]


def _hits(
    critic: CriticPolicy, against: Mapping[str, tuple[Tensor, np.ndarray]], *, seed: int, bias: float
) -> dict[str, np.ndarray]:
    """Say which flaws of whom a critic flags."""
    return {
        whose: caught(flags_of(critic, x, seed=seed, bias=bias), wrong).astype(float)
        for whose, (x, wrong) in against.items()
    }
