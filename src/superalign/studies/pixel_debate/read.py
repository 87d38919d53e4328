"""What the moves of the digits study come to: who is believed, by image and judge, and the panel's decisions.

Shape suffixes: P images, S judges, G games, R random draws, C labels, T turns.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from superalign.oversight.pixels.debate import Games, at_random, margin, play, probability, verdict
from superalign.oversight.pixels.judge import PixelJudge, ink_of
from superalign.problems import digits
from superalign.studies.pixel_debate.play import (
    ALONE,
    CLAIM,
    HONEST_FIRST,
    NINE,
    OPEN_FIRST,
    OPEN_LAST,
    claims_true,
    layout,
)
from superalign.trials.oversight_panel import AGENT, EXPERT, JUDGE, LEAST, PLACEBO, PROTOCOL, VOTING, Item

DRAWS = 9  # random sets of pixels per image where the judge is alone


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Played:
    """All moves of a study, and whom they were played before."""

    judges: tuple[PixelJudge, ...]
    seed: int
    images: int
    pixels: int
    moves: Mapping[Any, np.ndarray]  # (judge, pixels, honest, lying, kind) -> (G, T)

    def has(self, pixels: int, name: str, kind: str) -> bool:
        """Whether this was played."""
        return (0, pixels, name, name, kind) in self.moves


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """What judges say of some debates, one row per image and one column per judge."""

    beats_all_PS: np.ndarray  # 1 where the right label beats every lie that it met
    beats_PS: np.ndarray  # share of lies that it beats
    paid_PS: np.ndarray  # probability of the right label, of the two, mean over lies
    sure_PS: np.ndarray  # probability of the label that is believed, mean over lies
    ten_PS: np.ndarray  # share of debates after which the right label is the judge's first of ten


@functools.lru_cache(maxsize=512)
def told(
    played: Played, pixels: int, honest: str, kind: str, *, lying: str = "", light: int = 0, other: bool = False
) -> Told:
    """Count who is believed after debates of one kind.

    Args:
        played: All moves.
        pixels: Shown in each debate.
        honest: The debater for the right label.
        kind: Which debates.
        lying: The debater for the lie; the same as the honest one by default.
        light: Only images with at most this many non-blank pixels were played; 0 for all.
        other: Another judge than the one that was searched against decides.
    """
    columns = []
    for s in range(len(played.judges)):
        moves_GT = played.moves[s, pixels, honest, lying or honest, kind]
        image_P = light_images(light)[: len(moves_GT) // (9 if kind in NINE else 1)]
        table = layout(kind, image_P, seed=played.seed, pixels=pixels)
        judge = played.judges[(s + 1) % len(played.judges) if other else s]
        columns.append(_counted(judge, table, moves_GT, kind in HONEST_FIRST, len(image_P)))
    return Told(**{name: np.stack([c[name] for c in columns], 1) for name in columns[0]})


def light_images(most: int) -> np.ndarray:
    """Test images with at most so many non-blank pixels; all of them for 0."""
    ink_PX = digits.images("test").ink_PX
    return np.nonzero(((ink_PX > 0).sum(1) <= most) | (most == 0))[0]


def _counted(
    judge: PixelJudge, table: Games, moves_GT: np.ndarray, honest_first: bool, n: int
) -> dict[str, np.ndarray]:
    logits_GC = verdict(judge, table.ink_GX, moves_GT)
    truth_G = table.first_G if honest_first else table.second_G
    lead_G = margin(logits_GC, table.first_G, table.second_G) * (1 if honest_first else -1)
    paid_G = probability(lead_G)
    by_image = {
        "beats_all_PS": (lead_G > 0).reshape(n, -1).all(1),
        "beats_PS": (lead_G > 0).reshape(n, -1).mean(1),
        "paid_PS": paid_G.reshape(n, -1).mean(1),
        "sure_PS": np.maximum(paid_G, 1 - paid_G).reshape(n, -1).mean(1),
        "ten_PS": (logits_GC.argmax(1) == truth_G).reshape(n, -1).mean(1),
    }
    return {name: values.astype(float) for name, values in by_image.items()}


@functools.lru_cache(maxsize=64)
def alone(played: Played, pixels: int, *, draw: int = 0, n: int = 0, other: bool = False) -> Told:
    """The judge without debaters: random pixels, `DRAWS` sets per image, each compared with all nine lies.

    Unlike in a debate, one set of pixels must do against all lies, so to beat them all is to be first of ten.
    """
    some = digits.images("test", n=n or played.images)
    ink_GX, label_G = np.repeat(some.ink_PX, DRAWS, axis=0), np.repeat(some.label_P, DRAWS)
    columns = []
    for s in range(len(played.judges)):
        judge = played.judges[(s + 1) % len(played.judges) if other else s]
        moves_GT = random_pixels(ink_GX, pixels, seed=[played.seed, s, pixels, draw])
        logits_GC = verdict(judge, ink_of(ink_GX), moves_GT)
        lead_GC = np.take_along_axis(logits_GC, label_G[:, None], 1) - logits_GC
        wrong_GC = np.arange(10)[None] != label_G[:, None]
        lead_G9 = lead_GC[wrong_GC].reshape(-1, 9)
        paid_G9 = probability(lead_G9.ravel()).reshape(lead_G9.shape)
        values = {
            "beats_all_PS": (lead_G9 > 0).all(1),
            "beats_PS": (lead_G9 > 0).mean(1),
            "paid_PS": paid_G9.mean(1),
            "sure_PS": np.maximum(paid_G9, 1 - paid_G9).mean(1),
            "ten_PS": logits_GC.argmax(1) == label_G,
        }
        columns.append({k: v.astype(float).reshape(len(some), DRAWS).mean(1) for k, v in values.items()})
    return Told(**{name: np.stack([c[name] for c in columns], 1) for name in columns[0]})


def both_orders(
    played: Played,
    pixels: int,
    honest: str,
    kinds: tuple[str, str],
    *,
    lying: str = "",
    light: int = 0,
    other: bool = False,
) -> tuple[Told, Told]:
    """What is told where the honest side moves first, and where the liar does; arguments as for `told`."""
    first, last = (told(played, pixels, honest, kind, lying=lying, light=light, other=other) for kind in kinds)
    return first, last


def mean_of(both: Sequence[Told], of: str) -> np.ndarray:
    """The mean over orders of one thing told, by image and judge."""
    return np.mean([getattr(one, of) for one in both], axis=0)


def random_pixels(ink_GX: np.ndarray, pixels: int, *, seed: list[int]) -> np.ndarray:
    """Random non-blank pixels of each image, (G, pixels)."""
    luck_GX = np.random.default_rng(seed).random(ink_GX.shape)
    return np.where(ink_GX > 0, luck_GX, 2.0).argsort(1)[:, :pixels]


def elsewhere(ink_GX: np.ndarray, moves_GT: np.ndarray) -> np.ndarray:
    """Pixels chosen for the next image, on this one: where it is blank, the nearest that is not and was not shown."""
    wanted_GT = np.roll(moves_GT, -1, axis=0)
    place = np.stack(np.divmod(np.arange(64), 8), 1)
    far = ((place[:, None] - place[None]) ** 2).sum(2).astype(float)
    free_GX, out = ink_GX > 0, np.zeros_like(moves_GT)
    for t in range(moves_GT.shape[1]):
        out[:, t] = np.where(free_GX, far[wanted_GT[:, t]], np.inf).argmin(1)
        free_GX = free_GX.copy()
        free_GX[np.arange(len(out)), out[:, t]] = False
    return out


def panel_items(played: Played, *, tree: str) -> list[Item]:
    """Every decision of the panel: one claim about each image, half of them true, before every judge."""
    out: list[Item] = []
    for s in range(len(played.judges)):
        out += _panel_of(played, s, tree)
    return out


def _panel_of(played: Played, s: int, tree: str) -> list[Item]:
    k, judge, n = played.pixels, played.judges[s], played.images
    table = layout(CLAIM, np.arange(n), seed=played.seed, pixels=k)
    ink_GX, is_true = np.round(table.ink_GX * 16).astype(int), claims_true(digits.TEST, seed=played.seed)[:n]

    def after(moves_GT: np.ndarray, *, by: PixelJudge = judge, of: np.ndarray = table.ink_GX) -> np.ndarray:
        return probability(margin(verdict(by, of, moves_GT), table.first_G, table.second_G))

    debate = played.moves[s, k, "exact", "exact", CLAIM]
    searched, quickly, chance = (played.moves[s, k, d, d, CLAIM] for d in (tree, "greedy", "random"))
    dealt = random_pixels(ink_GX, k, seed=[played.seed, s, 77])
    votes = np.stack([after(dealt[:, at : at + 2]) > 0.5 for at in range(0, k, 2)], 1).mean(1)
    one_sided = played.moves[s, k, "greedy", "greedy", ALONE]
    next_ink = np.roll(table.ink_GX, -1, axis=0)
    arms: dict[str, tuple[np.ndarray, np.ndarray | None]] = {
        JUDGE: (after(dealt), dealt),
        AGENT: (np.ones(n), None),
        PROTOCOL: (after(debate), debate),
        EXPERT: (is_true.astype(float), None),
        VOTING: (votes, dealt),
        PLACEBO: (after(chance), chance),
        "debate, tree search": (after(searched), searched),
        "debate, greedy": (after(quickly), quickly),
        "debate, another judge decides": (after(debate, by=played.judges[(s + 1) % len(played.judges)]), debate),
        "debate, the lie is named last": (_uncommitted(played, s, is_true), None),
        "one debater shows all": (after(one_sided), one_sided),
        "placebo, pixels chosen for another image": (after(elsewhere(ink_GX, debate)), None),
        "placebo, another image's pixels": (after(np.roll(debate, -1, axis=0), of=next_ink), None),
    }
    items = []
    for arm, (told_G, moves) in arms.items():
        for g in range(n):
            shown = "" if moves is None else " ".join(f"{x}:{ink_GX[g, x]}" for x in moves[g])
            items.append(
                Item(problem=f"{g:03d}", difficulty=k, seed=s, arm=arm, truth=bool(is_true[g]),
                     behaviour="honest" if is_true[g] else "lies", probability=float(round(told_G[g], 6)),
                     transcript=f"{table.first_G[g]} or {table.second_G[g]}? {shown}".strip(),
                     checks=0 if arm in (AGENT, EXPERT) else k, tokens=0 if arm in (JUDGE, EXPERT, VOTING) else k)
            )  # fmt: skip
    return items


def _uncommitted(played: Played, s: int, is_true: np.ndarray) -> np.ndarray:
    """Probability of the panel's claim where the liar names its label after the last pixel."""
    out = np.zeros(played.images)
    for kind, rows in ((OPEN_FIRST, is_true), (OPEN_LAST, ~is_true)):
        table = layout(kind, np.arange(played.images), seed=played.seed, pixels=played.pixels)
        logits = verdict(played.judges[s], table.ink_GX, played.moves[s, played.pixels, "exact", "exact", kind])
        out[rows] = probability(margin(logits, table.first_G, table.second_G))[rows]
    return out


def both_ways(played: Played) -> dict[str, tuple[list[Item], list[Item]]]:
    """Decisions about a true and a false claim on every image, for the agent score difference: arm -> honest, lying."""
    k, n = played.pixels, played.images
    arms: dict[str, tuple[list[Item], list[Item]]] = {}
    for s, judge in enumerate(played.judges):
        for true, kind in ((True, NINE[0]), (False, NINE[1])):
            table = layout(kind, np.arange(n), seed=played.seed, pixels=k)
            # One lie of nine per image: another for each judge and image, the same for both claims.
            one = np.arange(n) * 9 + (np.arange(n) + s) % 9
            table = table.rows(one)
            ink_GX = np.round(table.ink_GX * 16).astype(int)
            debate = played.moves[s, k, "exact", "exact", kind][one]
            shown = {
                "debate": (table.ink_GX, debate),
                "random pixels": (table.ink_GX, random_pixels(ink_GX, k, seed=[played.seed, s, 78, true])),
                "random debaters": (table.ink_GX, play(judge, table, at_random, at_random)),
                "another image's pixels": (np.roll(table.ink_GX, -1, axis=0), np.roll(debate, -1, axis=0)),
            }
            for arm, (of, moves) in shown.items():
                told_G = probability(margin(verdict(judge, of, moves), table.first_G, table.second_G))
                arms.setdefault(arm, ([], []))[0 if true else 1].extend(
                    Item(
                        problem=f"{g:03d}",
                        difficulty=k,
                        seed=s,
                        arm=arm,
                        truth=true,
                        behaviour="",
                        probability=float(p),
                    )
                    for g, p in enumerate(told_G)
                )
    return arms


def earned(items: Sequence[Item]) -> np.ndarray:
    """Mean log-probability that claims about each image earned, images in sorted order."""
    logs: dict[str, list[float]] = {}
    for item in items:
        if isinstance(item.probability, float):
            logs.setdefault(item.problem, []).append(float(np.log(max(item.probability, LEAST))))
    return np.array([np.mean(logs[p]) for p in sorted(logs)])
