"""Debaters who look ahead: Monte Carlo tree search with a budget, and exact play, the ceiling of all search.

Shape suffixes: G games, X pixels (64), N nodes of a tree, T turns, L pairs of claims about one image, M non-blank pixels
not shown yet, S sets of s of them, H hidden units, C labels.
"""

from __future__ import annotations

import functools
import re
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int

from superalign.oversight.pixels.debate import (
    OPEN,
    Debater,
    Games,
    at_random,
    chance,
    greedy,
    legal,
    margin,
    probability,
)
from superalign.oversight.pixels.judge import PixelJudge

AT_ONCE = 500  # games whose trees stand in memory together
SETS_AT_ONCE = 4096


def tree_search(simulations: int, *, exploration: float = 1.0) -> Debater:
    """Make a debater that grows a tree of what may follow and takes the pixel that it came back to most often.

    Args:
        simulations: Positions added to the tree, per move.
        exploration: How much it tries what it has tried little.

    Source:
        Irving, Christiano and Amodei, 2018 (arXiv 1805.00899), section 3.2: PUCT as in Silver et al., Mastering the game
        of Go without human knowledge, 2017, with equal priors. Here a new position is worth what the judge would say
        there, since this judge can speak half-way; in the paper every simulation goes on to the last pixel.
    """

    def choose(judge: PixelJudge, games: Games, shown_GX: Bool[np.ndarray, "G X"], turn: int) -> Int[np.ndarray, " G"]:
        parts = [slice(at, at + AT_ONCE) for at in range(0, len(games), AT_ONCE)]
        return np.concatenate(
            [_searched(judge, games.rows(p), shown_GX[p], turn, simulations, exploration) for p in parts]
        )

    return choose


def _searched(
    judge: PixelJudge, games: Games, shown_GX: np.ndarray, turn: int, simulations: int, exploration: float
) -> Int[np.ndarray, " G"]:
    """Grow one tree per game, all in step, and take the most visited move."""
    G, X = shown_GX.shape
    row, left = np.arange(G), len(games.turns) - turn
    visits, worth = (np.zeros((G, simulations + 1, X), np.float32) for _ in range(2))
    child = np.zeros((G, simulations + 1, X), np.int32)
    root_G = _worth(judge, games, shown_GX)
    for simulation in range(simulations):
        luck_GX = 1e-4 * chance(games.key_G, turn, simulation).astype(np.float32)
        node_G, inside_G, now_GX, path = np.zeros(G, np.int64), np.ones(G, bool), shown_GX.copy(), []
        for depth in range(left):
            n_GX, worth_GX = visits[row, node_G], worth[row, node_G]
            asked_G1 = n_GX.sum(1, keepdims=True)
            # What was never tried is expected to be worth what its siblings are.
            usual_G1 = (worth_GX.sum(1, keepdims=True) + root_G[:, None]) / (asked_G1 + 1)
            mean_GX = np.where(n_GX > 0, worth_GX / np.maximum(n_GX, 1), usual_G1)
            free_GX = legal(games, now_GX)
            even_G1 = exploration * np.sqrt(asked_G1 + 1) / free_GX.sum(1, keepdims=True)
            tried_GX = games.turns[turn + depth] * mean_GX + even_G1 / (1 + n_GX) + luck_GX
            move_G = np.where(free_GX, tried_GX, -np.inf).argmax(1)
            path.append((node_G, move_G, inside_G))
            now_GX[row[inside_G], move_G[inside_G]] = True
            after_G = child[row, node_G, move_G]
            new_G = inside_G & (after_G == 0)
            if depth + 1 < left:
                child[row[new_G], node_G[new_G], move_G[new_G]] = simulation + 1
            node_G, inside_G = np.where(inside_G, after_G, 0), inside_G & ~new_G
            if not inside_G.any():
                break
        value_G = _worth(judge, games, now_GX)
        for node_G, move_G, inside_G in path:
            at = row[inside_G], node_G[inside_G], move_G[inside_G]
            visits[at] += 1
            worth[at] += value_G[inside_G]
    return np.where(legal(games, shown_GX), visits[:, 0] + 0.5 * chance(games.key_G, turn, simulations), -1).argmax(1)


def _worth(judge: PixelJudge, games: Games, shown_GX: np.ndarray) -> Float[np.ndarray, " G"]:
    """The judge's probability of the first claim, were it asked now."""
    logits_GC = judge.logits(games.ink_GX, shown_GX)
    return probability(margin(logits_GC, games.first_G, games.second_G)).astype(np.float32)


PASCAL = np.array([[comb(a, b) for b in range(11)] for a in range(65)], np.int64)


@functools.lru_cache(maxsize=128)
def _sets(m: int, s: int) -> Int[np.ndarray, "S s"]:
    """All sets of s of m things, by their largest, then by their next; so a set's place does not depend on m."""
    if s == 0:
        return np.zeros((1, 0), np.int32)
    smaller = _sets(m - 1, s - 1)
    ends = [(smaller[: comb(largest, s - 1)], largest) for largest in range(s - 1, m)]
    return np.concatenate([np.column_stack([some, np.full(len(some), e, np.int32)]) for some, e in ends])


def _absent(m: int, sets: Int[np.ndarray, "S s"]) -> Int[np.ndarray, "S rest"]:
    """What each set leaves out, rising."""
    absent = np.ones((len(sets), m), bool)
    np.put_along_axis(absent, sets, False, axis=1)
    return np.nonzero(absent)[1].reshape(len(sets), m - sets.shape[1])


@functools.lru_cache(maxsize=128)
def _followers(m: int, s: int) -> Int[np.ndarray, "S rest"]:
    """For each set of s, the places of the m - s sets with one more (the combinatorial number system)."""
    sets, added = _sets(m, s), _absent(m, _sets(m, s))
    below = added - np.arange(m - s)  # how many of the set are smaller than what is added
    sizes = np.arange(s)
    stay, move = PASCAL[sets, sizes + 1], PASCAL[sets, sizes + 2]  # what is larger than the new one moves up a place
    none = np.zeros((len(sets), 1), np.int64)
    low = np.concatenate([none, np.cumsum(stay, 1)], 1)
    high = np.concatenate([np.cumsum(move[:, ::-1], 1)[:, ::-1], none], 1)
    place = np.take_along_axis(low, below, 1) + PASCAL[added, below + 1] + np.take_along_axis(high, below, 1)
    return place.astype(np.int32)


def solve(
    judge: PixelJudge,
    ink_X: Float[np.ndarray, " X"],
    first_L: Int[np.ndarray, " L"],
    second_L: Int[np.ndarray, " L"],
    *,
    turns: tuple[int, ...],
    shown_X: Bool[np.ndarray, " X"] | None = None,
) -> tuple[Float[np.ndarray, " L"], Int[np.ndarray, "L T"]]:
    """Play one image perfectly for several pairs of claims: what the judge sees is a set, so sets are what is counted.

    Args:
        judge: Who decides.
        ink_X: The image, 0 to 1.
        first_L: First claims.
        second_L: Second claims.
        turns: Who makes each of the moves that are left.
        shown_X: What is shown already; nothing by default.

    Returns:
        The judge's margin for the first claim under best play of both, and a line of best play for each pair.
    """
    shown_X = np.zeros(len(ink_X), bool) if shown_X is None else shown_X
    free = np.nonzero((ink_X > 0) & ~shown_X)[0]
    m, T, L = len(free), len(turns), len(first_L)
    start_H = judge.first(ink_X[None], shown_X[None])[0]
    value_SL = _final(judge, start_H, judge.parts(ink_X)[free], _sets(m, T), first_L, second_L)
    levels = [value_SL]
    for s in reversed(range(T)):
        value_SL = _one_back(value_SL, _followers(m, s), turns[s])
        levels.append(value_SL)
    levels.reverse()
    line_LT = np.zeros((L, T), np.int64)
    pair, place_L = np.arange(L), np.zeros(L, np.int64)
    for s in range(T):
        next_LM = _followers(m, s)[place_L]
        best_L = (turns[s] * levels[s + 1][next_LM, pair[:, None]]).argmax(1)
        line_LT[:, s] = free[_absent(m, _sets(m, s)[place_L])[pair, best_L]]
        place_L = next_LM[pair, best_L]
    return levels[0][0], line_LT


def _one_back(value_SL: np.ndarray, followers: np.ndarray, sign: int) -> Float[np.ndarray, "S L"]:
    """What each set is worth to whoever moves there, from what its followers are worth."""
    signed_SL = sign * value_SL
    parts = [followers[at : at + SETS_AT_ONCE] for at in range(0, len(followers), SETS_AT_ONCE)]
    return sign * np.concatenate([signed_SL[part].max(1) for part in parts])


def _final(
    judge: PixelJudge,
    start_H: np.ndarray,
    part_MH: np.ndarray,
    sets: np.ndarray,
    first_L: np.ndarray,
    second_L: np.ndarray,
) -> Float[np.ndarray, "S L"]:
    """The judge's margins after every set of pixels."""
    out = np.empty((len(sets), len(first_L)), np.float32)
    for at in range(0, len(sets), SETS_AT_ONCE):
        some = sets[at : at + SETS_AT_ONCE]
        first_SH = np.repeat(start_H[None], len(some), axis=0)
        for i in range(sets.shape[1]):
            first_SH += part_MH[some[:, i]]
        logits_SC = judge.rest(first_SH)
        if OPEN not in first_L and OPEN not in second_L:
            out[at : at + SETS_AT_ONCE] = logits_SC[:, first_L] - logits_SC[:, second_L]
            continue
        for pair, (a, b) in enumerate(zip(first_L, second_L, strict=True)):
            claims = (np.broadcast_to(c, len(some)) for c in (a, b))
            out[at : at + SETS_AT_ONCE, pair] = margin(logits_SC, *claims)
    return out


def exact(judge: PixelJudge, games: Games, shown_GX: Bool[np.ndarray, "G X"], turn: int) -> Int[np.ndarray, " G"]:
    """Return a debater that plays perfectly, whatever the other does; affordable up to about six pixels."""
    moves_G = np.zeros(len(games), np.int64)
    for rows, (_, line_LT) in _solved(judge, games, shown_GX, turn):
        moves_G[rows] = line_LT[:, 0]
    return moves_G


def perfect_play(judge: PixelJudge, games: Games) -> Int[np.ndarray, "G T"]:
    """Both debaters play perfectly: the pixels shown, in order."""
    moves_GT = np.zeros((len(games), len(games.turns)), np.int64)
    for rows, (_, line_LT) in _solved(judge, games, np.zeros(games.ink_GX.shape, bool), 0):
        moves_GT[rows] = line_LT
    return moves_GT


def _solved(
    judge: PixelJudge, games: Games, shown_GX: np.ndarray, turn: int
) -> list[tuple[list[int], tuple[np.ndarray, np.ndarray]]]:
    """Solve what is left of every game; those that stand alike share the work."""
    alike: dict[bytes, list[int]] = {}
    for g in range(len(games)):
        alike.setdefault(games.ink_GX[g].tobytes() + shown_GX[g].tobytes(), []).append(g)
    return [
        (rows, _once(judge, state, tuple(games.first_G[rows].tolist()), tuple(games.second_G[rows].tolist()), games.turns[turn:]))
        for state, rows in alike.items()
    ]  # fmt: skip


@functools.lru_cache(maxsize=2048)
def _once(
    judge: PixelJudge, state: bytes, first: tuple[int, ...], second: tuple[int, ...], turns: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Remembered, because a perfect debater answers many opponents from the same position."""
    ink_X = np.frombuffer(state[: 64 * 4], np.float32)
    shown_X = np.frombuffer(state[64 * 4 :], bool)
    return solve(judge, ink_X, np.array(first), np.array(second), turns=turns, shown_X=shown_X)


def debater(name: str) -> Debater:
    """Return a debater by name: random, greedy, exact, or tree and how many positions it looks at.

    Example:
        >>> debater("greedy") is greedy
        True
    """
    if match := re.fullmatch(r"tree (\d+)", name):
        return tree_search(int(match[1]))
    return {"random": at_random, "greedy": greedy, "exact": exact}[name]
