"""Debate on handwritten digits: two debaters show pixels to a judge who sees nothing else (Irving et al., 2018).

Truth is the image's label. The judge is trained on random pixels of 1,297 images; debaters see a test image, know the judge's
weights and search for the pixels that make it prefer their claim. How hard they search is the pressure that the judge is
under; exact play is its limit.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superalign import jobs
from superalign.errors import ConfigError
from superalign.lab.memo import memo
from superalign.ledger import Ledger
from superalign.oversight.pixels.judge import unpacked
from superalign.oversight.pixels.overseer import pixel_debate
from superalign.problems import digits
from superalign.report import Findings
from superalign.studies.pixel_debate import page as digits_page
from superalign.studies.pixel_debate.play import (
    ALONE,
    CLAIM,
    EVERYTHING,
    LIGHT,
    NINE,
    ONE,
    OPEN_FIRST,
    OPEN_LAST,
    Match,
    Training,
    joined,
    match_job,
    strengths_of,
    train_job,
)
from superalign.studies.pixel_debate.read import Played

DESCRIPTION = "Debate on 8 x 8 digits: what two debaters can make a judge of a few pixels believe"
CHUNK = 50  # images a job
DEEP_CHUNK = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; the judge's and the search's were chosen on training images."""

    images: int = 500
    """Test images, at most 500."""
    judges: int = 3
    """Judges trained from different seeds; every number is over images and judges."""
    pixels: int = 4
    """Pixels shown in a debate of the panel: 2 or 4."""
    simulations: tuple[int, ...] = (10, 40, 160)
    """Positions that a tree search looks at before each move, rising."""
    sweep_images: int = 100
    """Images that every pair of debaters plays, each strength against each."""
    deep_images: int = 30
    """Images that more than four pixels are played perfectly on; 0 for none."""
    judge_steps: int = 3000
    """Updates of each judge's training."""


def quick(config: Config) -> Config:
    """Fewer images, weaker search, shorter training."""
    return dataclasses.replace(
        config,
        images=60,
        simulations=(10, 40),
        sweep_images=25,
        deep_images=0,
        judge_steps=1500,
    )


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Train the judges, play every debate, and count who was believed.

    Raises:
        ConfigError: If a setting leaves nothing to measure.
    """
    _check(config)
    log({"stage": "training the judges"})
    trainings = [Training(steps=config.judge_steps, seed=1000 * seed + j) for j in range(config.judges)]
    packed = jobs.run(train_job, trainings, workers=workers, memo=memo(folder, "judges"), progress="training judges")
    ledger.append_once(pixel_debate(judge=unpacked(packed[0]), read=digits.read, pixels=config.pixels).card)
    plans = [plan for j, judge in enumerate(packed) for plan in matches(config, judge, j, seed=seed)]
    log({"stage": f"{len(plans)} matches"})
    done = jobs.run(match_job, plans, workers=workers, memo=memo(folder, "matches"), progress="debating")
    played = Played(
        judges=tuple(map(unpacked, packed)),
        seed=seed,
        images=config.images,
        pixels=config.pixels,
        moves=gathered(plans, done),
    )
    lines = (
        json.dumps({"match": dataclasses.asdict(p) | {"judge": p.who}, "moves": d})
        for p, d in zip(plans, done, strict=True)
    )
    record = digits_page.DigitsEvidence(
        moves=ledger.put_blob("\n".join(lines).encode()),
        judges=tuple(ledger.put_blob(text.encode()) for text in packed),
    )
    ledger.append_once(record)
    return digits_page.page(config, played, ledger=ledger, record=record.digest)


def matches(config: Config, judge: str, who: int, *, seed: int) -> list[Match]:
    """Everything that is played before one judge."""

    def match(
        start: int, stop: int, pixels: int, kinds: tuple[str, ...], honest: str, lying: str = "", **more: int
    ) -> Match:
        return Match(judge=judge, who=who, seed=seed, start=start, stop=stop, pixels=pixels, kinds=kinds, honest=honest,
                     lying=lying or honest, **more)  # fmt: skip

    all_, main = config.images, config.pixels
    best = f"tree {config.simulations[-1]}"
    chunks = [(at, min(at + CHUNK, all_)) for at in range(0, all_, CHUNK)]
    plans = [match(a, b, main, (*EVERYTHING, CLAIM), "exact") for a, b in chunks]
    plans += [match(0, all_, main, (ALONE,), "greedy"), match(0, all_, main, (CLAIM,), best)]
    lengths = (2, 3, 4, 5, 6)
    plans += [match(0, all_, k, (*NINE, OPEN_FIRST, OPEN_LAST), d) for k in lengths for d in ("greedy", "random")]
    plans += [match(0, all_, k, NINE, "exact") for k in (2, 3) if k != main]
    plans += [match(0, all_, main, (CLAIM,), d) for d in ("greedy", "random")]
    few = config.deep_images
    deep = [(at, min(at + DEEP_CHUNK, few)) for at in range(0, few, DEEP_CHUNK)]
    plans += [match(a, b, k, NINE, "exact", most_ink=LIGHT) for a, b in deep for k in (5, 6)]
    plans += [match(0, config.sweep_images, k, NINE, best) for k in (4, 6)]
    strengths = strengths_of(config.simulations)
    plans += [match(0, config.sweep_images, main, ONE, h, w) for h in strengths for w in strengths]
    return plans


def gathered(plans: list[Match], done: list[dict[str, Any]]) -> dict[Any, Any]:
    """Moves by judge, pixels, debaters, number of images and kind, the images in order."""
    parts: dict[Any, list[tuple[int, dict[str, Any]]]] = {}
    for plan, moves in zip(plans, done, strict=True):
        for kind in plan.kinds:
            parts.setdefault((plan.who, plan.pixels, plan.honest, plan.lying, kind), []).append(
                (plan.start, {kind: moves[kind]})
            )
    return {
        key: joined([moves for _, moves in sorted(some, key=lambda s: s[0])])[key[-1]] for key, some in parts.items()
    }


def _check(config: Config) -> None:
    """Refuse settings that leave nothing to measure."""
    if config.pixels not in (2, 4):
        raise ConfigError(
            f"pixels={config.pixels} cannot be the panel's. Uneven debates are won by whoever moves last, and more than four "
            "pixels cannot be played perfectly on every image. Give 2 or 4."
        )
    if config.judges < 2:
        raise ConfigError(
            f"judges={config.judges} gives no spread over judges. No number would have an interval. Give 2 or more."
        )
    if not 10 <= config.images <= digits.TEST or not 2 <= config.sweep_images <= config.images:
        raise ConfigError(
            f"images={config.images} and sweep_images={config.sweep_images} do not fit the {digits.TEST} test images. The same "
            "images stand in every arm. Give 10 to 500 images, and at most as many to the sweep."
        )
    if config.judge_steps < 1:
        raise ConfigError(
            f"judge_steps={config.judge_steps} trains no judge. Debaters would play before random weights. Give 1 or more."
        )
    if not 0 <= config.deep_images <= 100:
        raise ConfigError(
            f"deep_images={config.deep_images} would take hours: one image of six pixels takes seconds. Nothing else would "
            "be played meanwhile. Give 0 to 100."
        )
    rising = list(config.simulations) == sorted(set(config.simulations))
    if not config.simulations or not rising or config.simulations[0] < 1:
        raise ConfigError(
            f"simulations={config.simulations} do not rise from 1 or more. The curve over search would have no order. Give "
            "rising numbers."
        )
