"""Search for the program of a unit: a tree of questions, each the best there is and worth more bits than it takes.

A question is a set of categories of one column, each with a value of its own. What a category saves adds up, so the best set of
a column is found exactly: its categories in the order of what they save, as far as they pay for being written down. No set of a
column can save more than all its categories that pay, so columns are tried in that order until none can be better: the bound is
admissible.

Shape suffixes: N tokens, C categories, K columns, U units, S categories of a set, Q questions, G groups of columns, J joint
categories of a group that occur, M memberships of categories in joint ones.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import numba
import numpy as np
from jaxtyping import Float, Int, UInt
from numba.typed import List as TypedList
from scipy.sparse import csr_array
from scipy.special import gammaln

from superalign.explanations.columns import Columns
from superalign.explanations.programs import LABELS, VALUE_BITS, Ask, End, Program

SHRINK = 2.0  # tokens at the mean of all that a category's mean is taken with: rare ones come first by chance
LEAST = 4  # tokens of a category: of fewer nothing is known
FEWEST = 8  # tokens that a question is asked of
USUAL = 1 / 64  # share of the tokens that are summed at a time, about
FINE = 2.0**26  # to this part of a standard deviation values are rounded: then a sum is exact and the same in any order


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """Training tokens as the search wants them: categories by token, and what a set of each column costs."""

    code_KN: UInt[np.ndarray, "K N"] = field(repr=False)
    joint_NG: UInt[np.ndarray, "N G"] = field(repr=False)  # columns that go together, as one: fewer sums
    part_M2: Int[np.ndarray, "M 2"] = field(repr=False)  # joint category, and a category that it is part of
    start_K: Int[np.ndarray, " K1"] = field(repr=False)  # first category of each column, and the end of the last
    price_KS: Float[np.ndarray, "K S"] = field(repr=False)  # bits of a question with 1 to S categories
    one_hot: csr_array = field(repr=False)
    count_C: Float[np.ndarray, " C"] = field(repr=False)


def prepare(columns: Columns, rows_N: Int[np.ndarray, " N"]) -> Searched:
    """Lay training tokens out for the search."""
    one_hot = columns.one_hot(rows_N)
    # Small and without a sign: twice as fast.
    code_KN = columns.code_KN[:, rows_N].astype(np.min_scalar_type(columns.size))
    joint_NG, part_M2 = _together(code_KN)
    return Searched(
        code_KN=code_KN,
        joint_NG=joint_NG,
        part_M2=part_M2,
        start_K=np.array([*columns.start_K, columns.size], np.int64),
        price_KS=np.stack([question_bits(len(x), len(columns.names)) for x in columns.labels]),
        one_hot=one_hot,
        count_C=np.asarray(one_hot.sum(1), np.float64).ravel(),
    )


def _together(code_KN: UInt[np.ndarray, "K N"]) -> tuple[np.ndarray, np.ndarray]:
    """Join columns of which few combinations occur (a token says how it is written): sums over those give the sums of each.

    Returns:
        The joint category of each token in each group of columns, (N, G), numbered through; and which categories each is part
        of, (M, 2).
    """
    groups: list[tuple[np.ndarray, list[int]]] = []  # a token's number in the group, and the columns
    # Sums that one group less saves; more of joint categories are not to be put apart again.
    saves = USUAL * code_KN.shape[1]
    for k in sorted(range(len(code_KN)), key=lambda k: -int(np.ptp(code_KN[k]))):
        own_N, best, least = np.unique(code_KN[k], return_inverse=True)[1], -1, saves
        for g, (in_group_N, members) in enumerate(groups):
            many = int(in_group_N.max()) + 1
            pairs = in_group_N.astype(np.int64) * (int(own_N.max()) + 1) + own_N
            found = np.unique(pairs)
            more = len(found) * (len(members) + 1) - many * len(members) - int(own_N.max()) - 1
            if more < least:
                best, least, joint_N = g, more, np.searchsorted(found, pairs)
        if best < 0:
            groups.append((own_N, [k]))
        else:
            groups[best] = (joint_N, [*groups[best][1], k])
    start, joint, parts = 0, [], []
    for in_group_N, members in groups:
        many, first_J = int(in_group_N.max()) + 1, np.unique(in_group_N, return_index=True)[1]
        joint.append(in_group_N + start)
        parts += [np.stack([np.arange(start, start + many), code_KN[k][first_J]], 1) for k in members]
        start += many
    whole_NG = np.stack(joint, 1)
    return whole_NG.astype(np.min_scalar_type(start)), np.concatenate(parts).astype(np.int64)


@functools.lru_cache(maxsize=1024)
def question_bits(of: int, columns: int) -> Float[np.ndarray, " S"]:
    """Count the bits of a question with 1 to LABELS of so many categories: the column, how many, which, and all values."""
    n = np.minimum(np.arange(1, LABELS + 1), of)
    which = np.asarray(gammaln(of + 1) - gammaln(n + 1) - gammaln(of - n + 1), np.float64) / math.log(2)
    return math.log2(columns) + math.log2(max(of, 2)) + which + VALUE_BITS * (n + 2)


def bits_of(program: Program, columns: Columns) -> float:
    """Count the bits that a program takes to write down."""
    if isinstance(program, End):
        return 0.0
    of = len(columns.labels[columns.names.index(program.column)])
    own = float(question_bits(of, len(columns.names))[len(program.among) - 1])
    return own + bits_of(program.yes, columns) + bits_of(program.no, columns)


def sums_of(one_hot_CN: csr_array, values_NU: Float[np.ndarray, "N U"]) -> Float[np.ndarray, "C U"]:
    """Sum the activations of all units over every category: one product for all questions."""
    return np.asarray(one_hot_CN @ values_NU)


def find(
    columns: Columns,
    searched: Searched,
    values_N: Float[np.ndarray, " N"],
    sum_C: Float[np.ndarray, " C"],
    *,
    most: int,
) -> Program:
    """Find a program for one unit on training tokens.

    Args:
        columns: What can be asked.
        searched: Training tokens, from `prepare`.
        values_N: The unit's activation at them, with mean 0.
        sum_C: Their sum over each category, from `sums_of`.
        most: Ends of the program.

    Returns:
        The program; one end if nothing pays for itself.

    Source:
        Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984; Rissanen, 1978, for the price.
    """
    total = float(values_N @ values_N)
    if total <= 0 or not math.isfinite(total):
        return End(0.0)
    sums_2C = np.stack([sum_C, searched.count_C])
    column_Q, child_Q2, mean_Q, among_Q, code_QS, add_QS = _grow(
        searched.joint_NG,
        searched.part_M2,
        searched.code_KN,
        searched.start_K,
        searched.price_KS,
        values_N,
        sums_2C,
        most,
    )

    def build(at: int) -> Program:
        k = int(column_Q[at])
        if k < 0:
            return End(float(mean_Q[at]))
        n, labels = among_Q[at], columns.labels[k]
        among = tuple(labels[c] for c in (code_QS[at, :n] - columns.start_K[k]).tolist())
        yes, no = (build(int(c)) for c in child_Q2[at])
        return Ask(columns.names[k], among, tuple(add_QS[at, :n].tolist()), yes, no)

    return build(0)


@numba.njit(cache=True)
def _sums(joint_NG, part_M2, rows, values_N, size):  # type: ignore[no-untyped-def]
    """Sum values, and count tokens, over every category; indices without a sign take half the time."""
    many = part_M2[-1, 0] + 1
    sum_J, count_J, out_2C = np.zeros(many), np.zeros(many, np.int32), np.zeros((2, size))
    for row in rows:
        i = np.uint64(row)
        for g in range(joint_NG.shape[1]):
            j = np.uint64(joint_NG[i, g])
            sum_J[j] += values_N[i]
            count_J[j] += np.int32(1)
    for m in range(len(part_M2)):
        j, c = part_M2[m]
        out_2C[0, c] += sum_J[j]
        out_2C[1, c] += count_J[j]
    return out_2C


@numba.njit(cache=True)
def _best(start_K, price_KS, sums_2C, total, n, mse):  # type: ignore[no-untyped-def]
    """Return the best question of some tokens: squared error less, bits, column, categories and their values."""
    K, mean, bit = len(price_KS), total / n, 2.0 * math.log(2.0) * mse
    sum_C, count_C = sums_2C
    gain, price, column = 0.0, 0.0, -1
    codes, adds = np.empty(0, np.int64), np.empty(0)
    bound_K2 = np.zeros((K, 2))
    value_C, saved_C = np.zeros(len(sum_C)), np.zeros(len(sum_C))
    for k in range(K):
        least = bit * (math.log2(start_K[k + 1] - start_K[k] + 1.0) + VALUE_BITS)
        over, held = np.zeros(2), np.zeros(2)
        for c in range(start_K[k], start_K[k + 1]):
            apart = sum_C[c] - count_C[c] * mean
            value = apart / (count_C[c] + SHRINK)
            saved = value * (2.0 * apart - count_C[c] * value)
            if saved > least:
                value_C[c], saved_C[c] = value, saved
                side = 0 if apart > 0 else 1
                bound_K2[k, side] += saved
                over[side] += abs(apart)
                held[side] += count_C[c]
        for side in range(2):  # what is left of the tokens moves too, by no more than this
            if bound_K2[k, side] > 0:
                bound_K2[k, side] += over[side] ** 2 / max(n - held[side], 1.0) - bit * price_KS[k, 0]
    best_net = 0.0
    for place in np.argsort(-bound_K2.ravel()):
        k, side = place // 2, place % 2
        if bound_K2[k, side] <= best_net:
            break
        sign = 1.0 if side == 0 else -1.0
        some = np.flatnonzero(saved_C[start_K[k] : start_K[k + 1]] > 0) + start_K[k]
        some = some[sign * value_C[some] > 0]
        some = some[np.argsort(-saved_C[some], kind="mergesort")][: price_KS.shape[1]]
        kept, over1, held1 = 0.0, 0.0, 0.0
        for j in range(len(some)):
            c = some[j]
            kept += saved_C[c]
            over1 += sum_C[c] - count_C[c] * mean
            held1 += count_C[c]
            if held1 >= n:
                break
            total_gain = kept + over1**2 / max(n - held1, 1.0)
            net = total_gain - bit * price_KS[k, j]
            if net > best_net:
                best_net, gain, price, column = net, total_gain, price_KS[k, j], k
                codes, adds = some[: j + 1].copy(), value_C[some[: j + 1]].copy()
    return gain, price, column, codes, adds


@numba.njit(cache=True)
def _grow(joint_NG, part_M2, code_KN, start_K, price_KS, given_N, sums_2C, most):  # type: ignore[no-untyped-def]
    """Grow a tree best first: parts with their rows, tables and best questions, until none pays or there are enough ends.

    No question saves more than the squared error of its part: where that would not do, the best question is not looked for.
    """
    N, Q, size = len(given_N), 2 * most, sums_2C.shape[1]
    values_N, unknown = np.rint(given_N * FINE) / FINE, np.zeros((2, 0))
    left = (values_N**2).sum()
    rows, sums = TypedList([np.arange(N, dtype=np.uint32)]), TypedList([sums_2C])
    code_QS, add_QS = np.zeros((Q, price_KS.shape[1]), np.int64), np.zeros((Q, price_KS.shape[1]))
    among_Q = np.zeros(Q, np.int64)
    column_Q, child_Q2, mean_Q = np.full(Q, -1), np.zeros((Q, 2), np.int64), np.full(Q, values_N.mean())
    gain_Q, price_Q, total_Q = np.full(Q, left), np.full(Q, price_KS.min()), np.full(Q, values_N.sum())
    mse_Q, open_Q, known_Q = np.full(Q, left / N), np.ones(Q, np.bool_), np.zeros(Q, np.bool_)
    for ends in range(1, most):
        while True:
            best, worth = -1, 0.0
            for q in range(len(rows)):
                if open_Q[q]:
                    saves = N / 2.0 * math.log2(left / max(left - gain_Q[q], 1e-9 * left)) - price_Q[q]
                    if saves > worth:
                        best, worth = q, saves
            if best < 0 or known_Q[best]:
                break
            if not sums[best].shape[1]:
                sums[best] = _sums(joint_NG, part_M2, rows[best], values_N, size)
            gain_Q[best], price_Q[best], column, codes, adds = _best(
                start_K, price_KS, sums[best], total_Q[best], len(rows[best]), mse_Q[best]
            )
            among_Q[best], code_QS[best, : len(codes)], add_QS[best, : len(codes)] = len(codes), codes, adds
            known_Q[best], open_Q[best], column_Q[best] = True, column >= 0, column
        if best < 0:
            break
        open_Q[best], code_N = False, code_KN[column_Q[best]]
        left = max(left - gain_Q[best], 1e-12)
        add_C = np.full(size, np.nan)
        for j in range(among_Q[best]):
            add_QS[best, j] = np.rint(add_QS[best, j] * FINE) / FINE
            add_C[code_QS[best, j]] = add_QS[best, j]
        (yes, no), total_2, square_2 = _parted(rows[best], code_N, add_C, values_N)
        rest = unknown
        if ends < most - 1:  # only the smaller part is summed as it was, and nothing behind the last question
            smaller = _sums(joint_NG, part_M2, no if len(no) < len(yes) else yes, values_N, size)
            rest = smaller if len(no) < len(yes) else sums[best] - smaller
        for row in yes:
            i = np.uint64(row)
            values_N[i] -= add_C[code_N[i]]
        child_Q2[best, 0], child_Q2[best, 1] = len(rows), len(rows) + 1
        for part, part_sums, total, square in (
            (yes, unknown, total_2[0], square_2[0]),
            (no, rest, total_2[1], square_2[1]),
        ):
            at, n = len(rows), len(part)
            mean_Q[at], total_Q[at], mse_Q[at], open_Q[at] = total / max(n, 1), total, left / N, n >= FEWEST
            gain_Q[at] = (1 + 1e-9) * square - total**2 / max(n, 1)
            rows.append(part)
            sums.append(part_sums)
    return np.where(child_Q2[:, 0] > 0, column_Q, -1), child_Q2, mean_Q, among_Q, code_QS, add_QS


@numba.njit(cache=True)
def _parted(rows, code_N, add_C, values_N):  # type: ignore[no-untyped-def]
    """Part tokens whose category adds a value from the others, and sum what is then left of each part, and its square."""
    yes, no = np.empty(len(rows), np.uint32), np.empty(len(rows), np.uint32)
    n, total_2, square_2 = 0, np.zeros(2), np.zeros(2)
    for j in range(len(rows)):
        no[j - n] = yes[n] = rows[j]
        i = np.uint64(rows[j])
        add, value = add_C[code_N[i]], values_N[i]
        if np.isnan(add):
            total_2[1] += value
            square_2[1] += value * value
        else:
            n += 1
            total_2[0] += value - add
            square_2[0] += (value - add) ** 2
    return (yes[:n].copy(), no[: len(rows) - n].copy()), total_2, square_2
