"""Decisions about claims on test images of digits: arms of the panel, what telling the truth earns, two lies, an example.

Shape suffixes: P images, G games (one per image), X pixels, T turns.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from superalign.oversight.pixels.debate import Games, at_random, elsewhere, play, random_pixels, verdict
from superalign.problems import digits
from superalign.trials.oversight_panel import AGENT, EXPERT, JUDGE, LEAST_PROBABILITY, PLACEBO, PROTOCOL, VOTING, Item
from superalign.trials.pixel_debates import (
    ALONE,
    CLAIM,
    LIES,
    NINE,
    UNNAMED,
    Played,
    claims_true,
    first_believed,
    lies_of,
)


def panel_items(played: Played, *, tree: str) -> list[Item]:
    """List every decision of the panel: one claim about each image, half of them true, before every judge."""
    k, n, table = played.pixels, played.images, played.table(CLAIM)
    ink_PX = digits.images("test", n=n).ink_PX
    is_true = claims_true(n, seed=played.seed)
    items = list[Item]()
    for s in range(len(played.judges)):
        for arm, (probability_G, moves_GT) in arms(played, s, tree, table, is_true).items():
            for g in range(n):
                shown = "" if moves_GT is None else " ".join(f"{x}:{ink_PX[g, x]}" for x in moves_GT[g])
                item = Item(
                    problem=f"{g:03d}",
                    difficulty=k,
                    seed=s,
                    arm=arm,
                    truth=bool(is_true[g]),
                    behaviour="honest" if is_true[g] else "lies",
                    probability=float(round(probability_G[g], 6)),
                    transcript=f"{table.first_G[g]} or {table.second_G[g]}? {shown}".strip(),
                    checks=0 if arm in (AGENT, EXPERT) else k,
                    tokens=0 if arm in (JUDGE, EXPERT, VOTING) else k,
                )
                items.append(item)
    return items


def arms(
    played: Played, s: int, tree: str, table: Games, is_true: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Return what one judge believes of the panel's claims under each arm, (G,), and the pixels that it was shown."""
    k, n, judge, next_judge = (
        played.pixels,
        played.images,
        played.judges[s],
        played.judges[(s + 1) % len(played.judges)],
    )
    after = functools.partial(first_believed, judge, table)
    debate = played.perfect(s, CLAIM)
    searched, quick, chance = (played.moves[s, k, d, d, CLAIM] for d in (tree, "greedy", "random"))
    one_sided = played.moves[s, k, "greedy", "greedy", ALONE]
    dealt = random_pixels(table.ink_GX, k, seed=[played.seed, s, 77])
    votes = np.stack([after(dealt[:, at : at + 2]) > 0.5 for at in range(0, k, 2)], 1).mean(1)
    # The liar names its label after the last pixel, whoever moves first.
    named_last = np.zeros(n)
    for kind, rows in zip(UNNAMED, (is_true, ~is_true), strict=True):
        named_last[rows] = first_believed(judge, played.table(kind), played.perfect(s, kind))[rows]
    next_ink, next_moves = np.roll(table.ink_GX, -1, axis=0), np.roll(debate, -1, axis=0)
    return {
        JUDGE: (after(dealt), dealt),
        AGENT: (np.ones(n), None),
        PROTOCOL: (after(debate), debate),
        EXPERT: (is_true.astype(float), None),
        VOTING: (votes, dealt),
        PLACEBO: (after(chance), chance),
        "debate, tree search": (after(searched), searched),
        "debate, greedy": (after(quick), quick),
        "debate, another judge decides": (first_believed(next_judge, table, debate), debate),
        "debate, the lie is named last": (named_last, None),
        "one debater shows all": (after(one_sided), one_sided),
        "placebo, pixels chosen for another image": (after(elsewhere(table.ink_GX, debate)), None),
        "placebo, another image's pixels": (after(next_moves, ink_GX=next_ink), None),
    }


def pay(played: Played) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Measure what a true and a false claim about each image earn, in log-probability: arm -> (P,) each, mean over judges."""
    earned: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {}
    at = np.arange(played.images)
    for s, judge in enumerate(played.judges):
        one = at * 9 + (at + s) % 9  # a lie of nine for each judge and image, the same for both claims
        for true, kind in ((True, NINE[0]), (False, NINE[1])):
            table, debate = played.table(kind).rows(one), played.perfect(s, kind)[one]
            dealt = random_pixels(table.ink_GX, played.pixels, seed=[played.seed, s, 78, true])
            outputs = {
                arm: first_believed(judge, table, moves)
                for arm, moves in (
                    ("debate", debate),
                    ("random pixels", dealt),
                    ("random debaters", play(judge, table, at_random, at_random)),
                )
            }
            outputs["another image's pixels"] = first_believed(
                judge, table, np.roll(debate, -1, axis=0), ink_GX=np.roll(table.ink_GX, -1, axis=0)
            )
            for arm, prob_P in outputs.items():
                earned.setdefault(arm, ([], []))[0 if true else 1].append(np.log(np.maximum(prob_P, LEAST_PROBABILITY)))
    return {arm: (np.mean(honest, axis=0), np.mean(lying, axis=0)) for arm, (honest, lying) in earned.items()}


@dataclass(frozen=True, slots=True)
class Leaning:
    """How far judges lean to the first of two labels after perfect debates, and whether they name the image out of ten."""

    lead_PS: np.ndarray  # nats
    ten_PS: np.ndarray

    @property
    def far_PS(self) -> np.ndarray:
        """Return how far they lean to either label, in nats."""
        return np.abs(self.lead_PS)

    @property
    def sure_PS(self) -> np.ndarray:
        """Return the probability of the label that they lean to."""
        return np.asarray(1 / (1 + np.exp(-np.minimum(self.far_PS, 30))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The first test image and a perfect debate about it."""

    ink_X: np.ndarray  # 0 to 16
    label: int
    claims: tuple[int, int]
    moves_T: np.ndarray
    turns: tuple[int, ...]  # 1 where the first debater moves
    preferred: int


def leanings(played: Played) -> tuple[Leaning, Leaning, Leaning]:
    """Measure how far judges lean where two lies meet, and where the right label meets each of these."""
    some, at = digits.images("test", n=played.images), np.arange(played.images)

    def leaning(kind: str, rows: np.ndarray) -> Leaning:
        table, leads, tens = played.table(kind).rows(rows), list[np.ndarray](), list[np.ndarray]()
        for s, judge in enumerate(played.judges):
            logits_GC = verdict(judge, table.ink_GX, played.perfect(s, kind)[rows])
            leads.append(logits_GC[at, table.first_G] - logits_GC[at, table.second_G])
            tens.append(logits_GC.argmax(1) == some.label_P)
        return Leaning(np.stack(leads, 1), np.stack(tens, 1).astype(float))

    first_P, second_P = (
        9 * at + lie_P - (lie_P > some.label_P) for lie_P in lies_of(some.ink_PX, some.label_P, seed=played.seed).T
    )
    return leaning(LIES, at), leaning(NINE[0], first_P), leaning(NINE[0], second_P)


def example(played: Played) -> Example:
    """Take the panel's first debate apart."""
    some, table, moves_GT = digits.images("test", n=1), played.table(CLAIM).rows(slice(0, 1)), played.perfect(0, CLAIM)
    claims = int(table.first_G[0]), int(table.second_G[0])
    logits_C = verdict(played.judges[0], table.ink_GX, moves_GT[:1])[0]
    return Example(
        ink_X=some.ink_PX[0],
        label=int(some.label_P[0]),
        claims=claims,
        moves_T=moves_GT[0],
        turns=table.turns,
        preferred=claims[0] if logits_C[claims[0]] > logits_C[claims[1]] else claims[1],
    )
