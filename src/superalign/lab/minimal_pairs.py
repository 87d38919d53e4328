"""One token of a test window is changed, and a neuron held to what its program says of it: does it fire now, has it stopped?

Each edit that flips what the program says is paired with one in the same window, at the same distance or the next, that does
not. New tokens come from training contexts. A token behind the neuron's own is never changed: the model has not read it yet.

Shape suffixes: P places, C candidates, T tokens of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.explanations.columns import columns_at
from superalign.explanations.explaining import Bank
from superalign.explanations.programs import from_text, simulate
from superalign.interp.replaced import neuron_at
from superalign.kit.evidence import Estimate
from superalign.lab.explained_network import bank_of, clusters_of
from superalign.lab.replaced_neurons import ReplaceJob, opened
from superalign.lab.unit_rows import Edits
from superalign.stats import difference
from superalign.stats.streams import stream
from superalign.types import Record, Unmeasured

BACK = 4  # places where a token is changed: the neuron's own, and those before it
DONORS = 8  # new tokens that are tried at each from where the program says what is wanted, and as many from anywhere
MEASURES = ("sufficiency", "necessity", "correlation")
LEAST = 3  # pairs of edits: of fewer there is no share


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Record):
    """What became of one neuron's edits."""

    unit: str
    own: tuple[float | None, ...]  # by measure; None of too few pairs, or where the neuron was not as it had to be
    other: tuple[float | None, ...]  # the same pairs, each in the order in which another neuron's program puts it
    windows: tuple[int, ...]  # whose tokens were changed; none if no pair has an edit that flips the program
    counter: str  # the edit that contradicts the program most, in standard deviations


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs of edits; three are in the order as it was, flipped, left; two are by the own program and by another's."""

    wanted_P: np.ndarray  # whether the neuron should fire afterwards, or have stopped
    window_P: np.ndarray
    at_P: np.ndarray  # place of the neuron's token
    tokens_3PT: np.ndarray
    said_23P: np.ndarray


def change_tokens(job: ReplaceJob) -> tuple[Held, ...]:
    """Change one token of some test windows for each neuron, run the model on them, and compare with what programs say."""
    bank, model = bank_of(job.policy, job.reading, job.explained_on), opened(job.policy)
    clusters_V, found = clusters_of(model), []
    for u, neuron in enumerate(job.neurons):
        pairs = pairs_of(job, u, bank, clusters_V)
        tokens_ET, at_E = np.concatenate(pairs.tokens_3PT), np.tile(pairs.at_P, 3)
        real_E = neuron_at(model, tokens_ET, at_E, layer=job.layer, neuron=neuron)
        seen_3P = ((real_E - job.means[u]) / job.spreads[u]).reshape(3, -1)
        found.append(_held(job, u, pairs, seen_3P, bank.texts.words))
    return tuple(found)


def pairs_of(job: ReplaceJob, u: int, bank: Bank, clusters_V: np.ndarray | None) -> Pairs:
    """Find edits after which a program says that its neuron fires, or has stopped, and edits to pair them with."""
    rng, texts = stream(job.reading.seed, "edits", job.layer, job.neurons[u]), bank.texts
    (side, _, cut), (window_N, place_N) = job.active[u], np.nonzero(texts.scored_WT)
    programs = [from_text(job.programs[i % len(job.programs)]) for i in (u, u + 1)]
    test, train = map(rng.permutation, (bank.test_n, bank.train_R))
    fires_n, fires_R = (side * simulate(programs[0], bank.columns, rows) > cut for rows in (test, train))
    both = (test[~fires_n], test[fires_n])
    some = [x[np.sort(np.unique(window_N[x], return_index=True)[1])][: job.windows] for x in both]
    rows_P, wanted_P = np.concatenate(some), np.repeat([True, False], list(map(len, some)))
    place_C, back_C, donor_C = (x.ravel() for x in np.indices((len(rows_P), BACK, 2 * DONORS)))
    drawn = [rng.choice(x if len(x) else train, len(donor_C)) for x in (train[fires_R], train[~fires_R], train)]
    row_C = np.select([donor_C >= DONORS, wanted_P[place_C]], [drawn[2], drawn[0]], drawn[1])
    at_C, window_C = place_N[rows_P[place_C]], window_N[rows_P[place_C]]
    new_C = texts.tokens_WT[window_N[row_C], np.maximum(place_N[row_C] - back_C, 0)]
    able_C = (at_C > back_C) & (texts.tokens_WT[window_C, at_C - back_C] != new_C)
    place_C, back_C, at_C, window_C, new_C = (x[able_C] for x in (place_C, back_C, at_C, window_C, new_C))
    tokens_CT = texts.tokens_WT[window_C]
    tokens_CT[np.arange(len(at_C)), at_C - back_C] = new_C
    changed = columns_at(texts, tokens_CT, at_C, like=bank.columns, clusters_V=clusters_V)
    said_2C = np.stack([simulate(p, changed, np.arange(len(at_C))) for p in programs])
    flips_C = (side * said_2C[0] > cut) == wanted_P[place_C]
    chosen = []
    for p in range(len(rows_P)):
        mine = rng.permutation(np.flatnonzero(place_C == p))
        flip, left = mine[flips_C[mine]], mine[~flips_C[mine]]
        if len(flip) and len(left):  # at one distance if possible: where one word is right, any other flips
            c, d = divmod(int(np.abs(back_C[flip][:, None] - back_C[left]).argmin()), len(left))
            chosen.append((p, flip[c], left[d]))
    p_P, flip_P, left_P = np.array(chosen, int).reshape(-1, 3).T
    before_2P = np.stack([simulate(program, bank.columns, rows_P[p_P]) for program in programs])
    return Pairs(
        wanted_P=wanted_P[p_P],
        window_P=window_C[flip_P],
        at_P=at_C[flip_P],
        tokens_3PT=np.stack([texts.tokens_WT[window_C[flip_P]], tokens_CT[flip_P], tokens_CT[left_P]]),
        said_23P=np.stack([before_2P, said_2C[:, flip_P], said_2C[:, left_P]], 1),
    )


def _held(job: ReplaceJob, u: int, pairs: Pairs, seen_3P: np.ndarray, words: Sequence[str]) -> Held:
    """Compare what was said of both edits of each pair with what was seen."""
    side_2 = np.array([job.active[i % len(job.active)][0] for i in (u, u + 1)])
    moved_2P, said_22P = seen_3P[1:] - seen_3P[0], pairs.said_23P[:, 1:] - pairs.said_23P[:, :1]
    right_3P = (side_2[0] * seen_3P > job.active[u][1]) == pairs.wanted_P
    # By the own program the first of a pair is always the one after which the neuron should be as wanted.
    first_2P = np.sign((said_22P[:, 0] - said_22P[:, 1]) * np.where(pairs.wanted_P, 1, -1) * side_2[:, None])
    gain_2P = first_2P * (right_3P[1].astype(float) - right_3P[2])
    can = [~right_3P[0] & (pairs.wanted_P == wanted) for wanted in (True, False)]  # where it was not so before
    found: list[tuple[float | None, ...]]
    found = [tuple(map(float, gain_2P[:, c].mean(1))) if c.sum() >= LEAST else (None, None) for c in can]
    moved_E, said_2E = moved_2P.ravel(), said_22P.reshape(2, -1)
    enough = len(moved_E) >= 2 * LEAST and moved_E.std() > 0
    found.append(tuple(float(np.corrcoef(x, moved_E)[0, 1]) if enough and x.std() > 0 else None for x in said_2E))
    own, other = zip(*found, strict=True)
    counter = ""
    for worst in np.abs(said_2E[0] - moved_E).argsort()[-1:]:  # none where there are no edits
        e, i = divmod(int(worst), len(pairs.at_P))
        shown = pairs.tokens_3PT[[0, e + 1], i, max(0, pairs.at_P[i] - 9) : pairs.at_P[i] + 1]
        counter = " -> ".join("".join(words[k] for k in line) for line in shown)
        counter += f": {said_2E[0, worst]:+.1f} said, {moved_E[worst]:+.1f} seen"
    windows = tuple(map(int, np.unique(pairs.window_P)))
    return Held(unit=f"L{job.layer}.N{job.neurons[u]}", own=own, other=other, windows=windows, counter=counter)


def over_neurons(held: Sequence[Held]) -> tuple[Edits, ...]:
    """Average each measure over the neurons that have it."""

    def mean(values: Sequence[float | None]) -> Estimate:
        some = [x for x in values if x is not None]
        return difference(some) if some else Unmeasured(f"no edits could be made for any of {len(held)} neurons")

    return tuple(
        Edits(m, mean([h.own[i] for h in held]), mean([h.other[i] for h in held])) for i, m in enumerate(MEASURES)
    )
