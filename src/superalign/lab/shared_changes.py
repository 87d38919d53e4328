"""What organisms share inside, as a detector of kinds that it never saw: subjects read once each.

Shape suffixes: S subjects, L latents.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from superalign.detectors.latent_change import LatentChange, latent_changes, learned, scores
from superalign.interp.dictionaries import DictionaryConfig, train_dictionary
from superalign.kit.evidence import Estimate
from superalign.models import Model, activations, open_weights
from superalign.organisms.fine_tunes import SORT, shipped_innocents
from superalign.organisms.triples import shipped
from superalign.problems.arithmetic import draw, solve
from superalign.stats import auroc, auroc_delong, range_of_draws
from superalign.trials.calibration import Scored, calibrate, null_auroc
from superalign.types import Calibration, Interval, Record, Unmeasured

DEPTHS, PLACES = (2, 3, 4), 10


@dataclass(frozen=True, slots=True)
class UnseenKind:
    """How well one kind of organism is told from clean models by what other kinds taught."""

    kind: str
    area: Estimate  # of the latents that the other kinds share
    # Between which values lie 95 %, after organisms and clean models of the other kinds are shuffled.
    shuffled: Interval
    size: Estimate  # of how far the subject changed in all, which nothing was learned for


def neutral(n: int, rng: np.random.Generator) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Draw plain problems and their right answers, which no trigger stands in front of."""
    prompts = [draw(rng, int(rng.choice(DEPTHS))) for _ in range(n)]
    return tuple(prompts), tuple(solve(p).text() for p in prompts)


def latent_change(base: Model, site: str, *, n: int = 40, steps: int = 500, seed: int = 0) -> LatentChange:
    """Make the detector of the size of a change: a dictionary of the base, and no weights."""
    rng = np.random.default_rng(seed)
    read = activations(base, *neutral(10 * n, rng), sites=[site], reduce=range(PLACES))[site]
    states_ND = read.reshape(-1, read.shape[-1])
    config = DictionaryConfig(latents=2 * states_ND.shape[1], steps=steps, seed=seed)
    prompts, answers = neutral(n, rng)
    return LatentChange(
        base=base, prompts=prompts, answers=answers, site=site, found=train_dictionary(states_ND, config)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked(Record):
    """A subject that ships, and what is planted in it."""

    name: str
    path: str
    kind: str
    role: str
    seed: int


def shipped_subjects(each: int = 0) -> tuple[Looked, ...]:
    """List organisms, twins and clean fine-tunes of the small base that ship: so many of each kind, all for 0."""
    (triples, where), innocents = shipped(each), shipped_innocents(each)
    truth = {name: (t.spec.kind, str(role), t.spec.seed) for t in triples for role, name in t.subjects}
    truth |= {i.name: (f"{SORT}{i.sort}", "clean", i.number) for i in innocents}
    return tuple(
        Looked(name=n, path=str(where / n), kind=kind, role=role, seed=seed) for n, (kind, role, seed) in truth.items()
    )


@functools.lru_cache(maxsize=1)
def _shipped_detector(seed: int) -> LatentChange:
    return latent_change(open_weights("small"), "residual.1", seed=seed)


def look_inside(subject: Looked, *, seed: int) -> Scored:
    """Let the detector of latent change, made once for each process, look at one subject."""
    verdict = _shipped_detector(seed)(open_weights(subject.path), seed=0)
    return Scored(subject=verdict.subject, kind=subject.kind, role=subject.role, seed=subject.seed, verdict=verdict)


def rates_of(scored: Sequence[Scored], *, rate: float = 0.05, seed: int) -> tuple[tuple[Calibration, ...], Estimate]:
    """Measure how often latent change flags kinds that set no threshold, and the area between halves of the clean models."""
    return calibrate(_shipped_detector(seed).card, scored, rate=rate), null_auroc(scored, seed=seed)


@dataclass(frozen=True, slots=True)
class Changed:
    """How one subject changed on plain problems."""

    change_L: Float[np.ndarray, " L"]  # of each latent, mean over answers
    size: float


def change_of(detect: LatentChange, model: Model) -> Changed:
    """Measure the change of one subject."""
    change_RL = latent_changes(detect, model)
    return Changed(change_RL.mean(0), float(scores(change_RL, None).mean()))


def unseen_kinds(
    changed: Sequence[Changed],
    kind_S: Sequence[str],
    organism_S: Bool[np.ndarray, " S"],
    *,
    shuffles: int = 200,
    seed: int = 0,
) -> tuple[UnseenKind, ...]:
    """Learn from all kinds but one, look at that one, and the same with organisms and clean models shuffled within kinds.

    Args:
        changed: How each subject changed.
        kind_S: What each subject belongs to: a twin to the kind of its organism. A kind without organisms is always learned from.
        organism_S: Which subjects are organisms.
        shuffles: For the null.
        seed: Of the shuffles.
    """
    kinds, rng = np.array(kind_S), np.random.default_rng(seed)
    change_SL, size_S = np.array([c.change_L for c in changed]), np.array([c.size for c in changed])
    part_SL = change_SL / (np.linalg.norm(change_SL, axis=1, keepdims=True) + 1e-9)
    out = []
    for kind in dict.fromkeys(kinds[organism_S].tolist()):
        held_S = kinds == kind
        plus_S, minus_S = held_S & organism_S, held_S & ~organism_S
        if not plus_S.any() or not minus_S.any():
            continue

        def along(organism_R: np.ndarray, held: np.ndarray = held_S) -> np.ndarray:
            found: np.ndarray = part_SL @ learned(change_SL[~held], organism_R)
            return found

        score_S = along(organism_S[~held_S])
        null = []
        for _ in range(shuffles):
            shuffled_S = along(rng.permutation(organism_S[~held_S]))
            area = auroc(shuffled_S[plus_S], negatives=shuffled_S[minus_S])
            null += [] if isinstance(area, Unmeasured) else [area]
        out.append(
            UnseenKind(
                kind=kind,
                area=auroc_delong(score_S[plus_S], negatives=score_S[minus_S]),
                shuffled=range_of_draws(null, value=float(np.mean(null))),
                size=auroc_delong(size_S[plus_S], negatives=size_S[minus_S]),
            )
        )
    return tuple(out)
