"""Explain many units at once and score what was found on documents that were not used.

Values are activations less their training mean, over their training standard deviation, at every scored token: a uniform sample,
so the correlation needs no weights. Intervals resample whole documents.

Shape suffixes: N scored tokens, R training tokens, V validation tokens, n test tokens, U units, C categories, P pairs of tokens,
D test documents, B resamples, K corpora.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numba
import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from superalign.errors import BadInput
from superalign.explanations.columns import Columns, columns_of, one_hot
from superalign.explanations.programs import Program, pruned, simulate
from superalign.explanations.search import LEAST, Searched, bits_of, find, prepare, sums_of
from superalign.explanations.texts import TEST, TRAIN, VALID, Texts
from superalign.stats.streams import stream

ENDS = 8  # of a program: more are not read
DRAWS = 200
ACTIVE = 0.01  # share of training tokens on which a unit counts as active: its strongest
SMOOTH = 4.0  # tokens at the mean of shorter contexts that a table's mean is taken with
MOST = {TRAIN: 100_000, VALID: 30_000, TEST: 100_000}  # tokens of a split that are used, drawn if there are more
LEVELS = 512  # of predictions
SPREAD = 1e-6
FEW = 1_024  # values that say roughly where a quantile lies


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """What units are held against: predicates on all tokens, splits and test documents."""

    texts: Texts = field(repr=False)
    tokens_K: Int[np.ndarray, " K"]  # scored tokens of each corpus
    columns: Columns = field(repr=False)
    train_R: Int[np.ndarray, " R"] = field(repr=False)
    valid_V: Int[np.ndarray, " V"] = field(repr=False)
    test_n: Int[np.ndarray, " n"] = field(repr=False)
    searched: Searched = field(repr=False)  # training tokens
    pair_N: Int[np.ndarray, " N"] = field(repr=False)  # a token's pair with the one before; -1 if not in training
    token_P: Int[np.ndarray, " P"] = field(repr=False)  # category of each pair's token
    begin_D: Int[np.ndarray, " D"] = field(repr=False)  # where each test document begins among test tokens
    corpus_D: Int[np.ndarray, " D"] = field(repr=False)
    weight_BD: Float32[np.ndarray, "B D"] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Programs of some units and how well they hold on test documents."""

    programs: tuple[Program, ...] = field(repr=False)
    r_U3: Float[np.ndarray, "U 3"]  # correlation with the unit, low and high
    over_U3: Float[np.ndarray, "U 3"]  # less that of a table of tokens
    gain_U3: Float[np.ndarray, "U 3"]  # less that of the best of the three baselines
    unigram_U: Float[np.ndarray, " U"]
    bigram_U: Float[np.ndarray, " U"]
    position_U: Float[np.ndarray, " U"]
    r_UK: Float[np.ndarray, "U K"]  # in each corpus
    over_UK: Float[np.ndarray, "U K"]  # less that of the table of tokens there
    auprc_U: Float[np.ndarray, " U"]
    rate_U: Float[np.ndarray, " U"]  # share of test tokens on which the unit is active
    iou_U: Float[np.ndarray, " U"]
    precision_U: Float[np.ndarray, " U"]
    bits_U: Float[np.ndarray, " U"]
    mean_U: Float[np.ndarray, " U"]  # in training
    spread_U: Float[np.ndarray, " U"]  # training standard deviation; 0 of a unit that never changes
    active_U3: Float[
        np.ndarray, "U 3"
    ]  # a unit counts as active where the first, a sign, times its value is above the second;
    # its program says so where the sign times what it says is above the third, chosen in validation


def bank(
    texts: Texts,
    *,
    clusters_V: np.ndarray | None = None,
    explained_on: Sequence[str] = (),
    least: int = LEAST,
    seed: int = 0,
    part: float = 1.0,
) -> Bank:
    """Prepare what units are held against.

    Args:
        texts: Windows with splits.
        clusters_V: Groups of alike token ids.
        explained_on: Corpora whose training documents explanations are searched in; all if none is named.
        least: Training tokens that a category must have.
        seed: Of the resamples.
        part: Share of the training documents that explanations are searched in; the same documents are in any larger one.

    Raises:
        BadInput: If a corpus is named that is not there.
    """
    strange = set(explained_on) - set(texts.corpora)
    if strange:
        raise BadInput(
            f"There is no corpus {', '.join(sorted(strange))}. Nothing could be explained on it. There are: "
            f"{', '.join(texts.corpora)}."
        )
    document_N = texts.document_N
    split_N, corpus_N = texts.split_D[document_N], texts.corpus_D[document_N]
    chosen = [texts.corpora.index(name) for name in explained_on or texts.corpora]
    use_N = np.isin(corpus_N, chosen)
    rng = np.random.default_rng(seed)
    read_N = (stream(seed, "read").random(len(texts.split_D)) < part)[document_N]
    able = {TRAIN: use_N & read_N, VALID: use_N, TEST: np.ones_like(use_N)}
    train, valid, test = (_some(np.flatnonzero((split_N == s) & able[s]), MOST[s], rng) for s in able)
    if set(document_N[train]) & set(document_N[test]):
        raise AssertionError("a document is in two splits")
    columns = columns_of(texts, clusters_V=clusters_V).common(train, least=least)
    here, begin_D = np.unique(document_N[test], return_index=True)
    D = len(here)
    most_tokens = int(columns.of("token").max()) + 1
    pairs = columns.of("token before").astype(np.int64) * most_tokens + columns.of("token")
    known = np.unique(pairs[train])
    at_N = np.searchsorted(known, pairs).clip(max=len(known) - 1)
    return Bank(
        texts=texts,
        tokens_K=np.bincount(corpus_N, minlength=len(texts.corpora)),
        columns=columns,
        train_R=train,
        valid_V=valid,
        test_n=test,
        searched=prepare(columns, train),
        pair_N=np.where(known[at_N] == pairs, at_N, -1),
        token_P=known % most_tokens,
        begin_D=begin_D,
        corpus_D=texts.corpus_D[here],
        weight_BD=rng.multinomial(D, np.full(D, 1 / D), size=DRAWS).astype(np.float32),
    )


def _some(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most so many rows, drawn at random, in their order."""
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def trimmed(bank: Bank) -> Bank:
    """Leave out tokens that nothing is searched, chosen or scored on: their activations would fill gigabytes."""
    texts, columns = bank.texts, bank.columns
    keep_N = texts.split_D[texts.document_N] == TEST
    keep_N[bank.train_R] = keep_N[bank.valid_V] = True
    scored_WT, place_N = texts.scored_WT.copy(), np.cumsum(keep_N) - 1
    scored_WT[scored_WT] = keep_N
    return replace(
        bank,
        texts=replace(texts, scored_WT=scored_WT),
        columns=replace(columns, code_KN=np.ascontiguousarray(columns.code_KN[:, keep_N])),
        train_R=place_N[bank.train_R],
        valid_V=place_N[bank.valid_V],
        test_n=place_N[bank.test_n],
        pair_N=bank.pair_N[keep_N],
    )


def explain(bank: Bank, values_NU: Shaped[np.ndarray, "N U"], *, most: int = ENDS) -> Explained:
    """Find a program for each unit and score it on test documents.

    Args:
        bank: What can be asked, and where.
        values_NU: Activations at every scored token.
        most: Ends of a program.

    Raises:
        BadInput: If an activation is not finite.
    """
    parts = [np.asarray(values_NU[rows], np.float32) for rows in (bank.train_R, bank.valid_V, bank.test_n)]
    if not all(np.isfinite(part).all() for part in parts):
        raise BadInput(
            "An activation is not finite. A mean or correlation would mean nothing. Check the model's weights."
        )
    mean_U, spread_U = parts[0].mean(0, dtype=np.float64), parts[0].std(0, dtype=np.float64)
    spread_U = np.where(spread_U > SPREAD, spread_U, 0.0)
    scale_U = np.where(spread_U > 0, spread_U, 1.0)
    train, valid, test = (_scaled(part, mean_U, scale_U) for part in parts)
    sum_UC = sums_of(bank.searched.one_hot, train).T.astype(np.float64)
    train_UN, valid_UV = (np.ascontiguousarray(x.T, np.float64) for x in (train, valid))
    programs = []
    for line_N, held_V, sum_C in zip(train_UN, valid_UV, sum_UC, strict=True):
        found = find(bank.columns, bank.searched, line_N, sum_C, most=most)
        programs.append(pruned(found, bank.columns, bank.valid_V, held_V))
    return score(bank, programs, train, valid, test, mean_U=mean_U, spread_U=spread_U)


def score(
    bank: Bank,
    programs: Sequence[Program],
    train_RU: Float[np.ndarray, "R U"],
    valid_VU: Float[np.ndarray, "V U"],
    test_nU: Float[np.ndarray, "n U"],
    *,
    mean_U: Float[np.ndarray, " U"],
    spread_U: Float[np.ndarray, " U"],
) -> Explained:
    """Score programs beside tables of one token, of two and of positions, which need no explanation."""
    both = np.concatenate([bank.valid_V, bank.test_n])
    said = np.stack([simulate(p, bank.columns, both).astype(np.float32) for p in programs])
    said_UV, said_Un = said[:, : len(bank.valid_V)], said[:, len(bank.valid_V) :]
    best = _Moments(bank, said_Un.T.copy(), np.arange(len(test_nU)), test_nU)
    tables = {name: _Moments(bank, *x, test_nU) for name, x in _tables(bank, train_RU).items()}
    r_BU, r_U = best.drawn(), best.r()
    corpora = range(len(bank.texts.corpora))
    r_UK = np.stack([best.r(bank.corpus_D == k) for k in corpora], 1)
    flat_U = spread_U == 0
    table_KU = np.stack([t.r() for t in tables.values()])
    rival = table_KU.argmax(0)
    drawn_KBU = np.stack([t.drawn() for t in tables.values()])
    rival_BU = np.take_along_axis(drawn_KBU, rival[None, None, :], 0)[0]
    further_U = (train_RU * train_RU * train_RU).sum(0)
    side_U = np.where(further_U >= 0, 1.0, -1.0).astype(np.float32)  # the side on which a unit goes further
    cut_U = _quantile((side_U * train_RU).T.copy(), 1 - ACTIVE)
    on_UV, on_Un = ((side_U * x > cut_U).T.copy() for x in (valid_VU, test_nU))
    picked = [_picked(side_U[u] * said_UV[u], on_UV[u], side_U[u] * said_Un[u], on_Un[u]) for u in range(len(programs))]
    auprc, rate, iou, precision, said_cut_U = np.array(picked).T

    def known(x: np.ndarray) -> np.ndarray:
        return np.where(flat_U if x.ndim == 1 else flat_U[:, None], np.nan, x)

    return Explained(
        programs=tuple(programs),
        r_U3=known(_with_interval(r_U, r_BU)),
        over_U3=known(_with_interval(r_U - table_KU[0], r_BU - drawn_KBU[0])),
        gain_U3=known(_with_interval(r_U - table_KU.max(0), r_BU - rival_BU)),
        unigram_U=known(table_KU[0]),
        bigram_U=known(table_KU[1]),
        position_U=known(table_KU[2]),
        r_UK=known(r_UK),
        over_UK=known(r_UK - np.stack([tables["unigram"].r(bank.corpus_D == k) for k in corpora], 1)),
        auprc_U=known(auprc),
        rate_U=known(rate),
        iou_U=known(iou),
        precision_U=known(precision),
        bits_U=np.array([bits_of(p, bank.columns) for p in programs]),
        mean_U=mean_U,
        spread_U=spread_U,
        active_U3=np.stack([side_U, cut_U, said_cut_U], 1),
    )


def _tables(bank: Bank, train_RU: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Predict from the token, the pair of tokens, and the position: means in training, and which of them each test token has.

    Rare ones are taken with tokens at the mean of a shorter context; a pair that training has not has its token's mean.
    """
    columns, searched = bank.columns, bank.searched
    means = {}
    for name in ("token", "position"):
        k = columns.names.index(name)
        mine = slice(columns.start_K[k], columns.start_K[k] + len(columns.labels[k]))
        count_C = (searched.count_C[mine, None] + SMOOTH).astype(np.float32)
        means[name] = sums_of(searched.one_hot[mine], train_RU) / count_C, columns.of(name)[bank.test_n]
    token_CU, token_n = means["token"]
    train_pair_R, P = bank.pair_N[bank.train_R], len(bank.token_P)
    count_P1 = np.bincount(train_pair_R, minlength=P).astype(np.float32)[:, None]
    sum_PU = sums_of(one_hot(train_pair_R[None], P), train_RU)
    pair_PU = (sum_PU + SMOOTH * token_CU[bank.token_P]) / (count_P1 + SMOOTH)
    pair_n = bank.pair_N[bank.test_n]
    both = np.concatenate([pair_PU, token_CU]), np.where(pair_n >= 0, pair_n, P + token_n)
    return {"unigram": means["token"], "bigram": both, "position": means["position"]}


class _Moments:
    """Sums over each test document from which correlations of predictions with units follow, for any weights of documents."""

    def __init__(self, bank: Bank, table_CU: np.ndarray, code_n: np.ndarray, test_nU: np.ndarray) -> None:
        self.weight_BD = bank.weight_BD
        ends_D = np.append(bank.begin_D, len(test_nU))
        self.n_D1 = np.diff(ends_D).astype(np.float64)[:, None]
        self.sums = tuple(_moments(table_CU.astype(np.float32), code_n.astype(np.int64), test_nU, ends_D))

    def r(self, of_D: np.ndarray | None = None) -> np.ndarray:
        """Correlation over all documents, or some."""
        keep = slice(None) if of_D is None else of_D
        return _pearson(self.n_D1[keep].sum(0), *(s[keep].sum(0) for s in self.sums))

    def drawn(self) -> np.ndarray:
        """Correlation over resampled documents."""
        return _pearson(self.weight_BD @ self.n_D1, *(self.weight_BD @ s for s in self.sums))


@numba.njit(cache=True)
def _scaled(x_NU, mean_U, scale_U):  # type: ignore[no-untyped-def]
    """Subtract means and divide by spreads, in 64 bits, and return 32."""
    out_NU = np.empty_like(x_NU)
    for i in range(x_NU.shape[0]):
        for u in range(x_NU.shape[1]):
            out_NU[i, u] = (x_NU[i, u] - mean_U[u]) / scale_U[u]
    return out_NU


@numba.njit(cache=True)
def _moments(table_CU, code_n, test_nU, ends_D):  # type: ignore[no-untyped-def]
    """Sum prediction, unit, both squares and the product over each document, for a prediction that is looked up."""
    D, U = len(ends_D) - 1, test_nU.shape[1]
    out = np.zeros((5, D, U))
    for d in range(D):
        for i in range(ends_D[d], ends_D[d + 1]):
            c = code_n[i]
            for u in range(U):
                s, t = table_CU[c, u], test_nU[i, u]
                out[0, d, u] += s
                out[1, d, u] += t
                out[2, d, u] += s * s
                out[3, d, u] += t * t
                out[4, d, u] += s * t
    return out


def _pearson(n: np.ndarray, x: np.ndarray, y: np.ndarray, xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Pearson correlation from sums; 0 where one side does not vary."""
    spread = np.sqrt(np.maximum(n * xx - x * x, 0) * np.maximum(n * yy - y * y, 0))
    return np.asarray(np.where(spread > SPREAD * n * n, (n * xy - x * y) / np.maximum(spread, 1e-30), 0.0))


def _with_interval(value_U: np.ndarray, drawn_BU: np.ndarray) -> np.ndarray:
    low, high = np.quantile(drawn_BU, [0.025, 0.975], axis=0)
    return np.stack([value_U, low, high], 1)


def _quantile(x_UN: np.ndarray, share: float) -> np.ndarray:
    """Return a high quantile of each row, as `np.quantile` does in three times as long: most values are left out unsorted.

    Example:
        >>> _quantile(np.array([[3.0, 1.0, 2.0, 5.0]]), 0.9), np.quantile([3.0, 1.0, 2.0, 5.0], 0.9)
        (array([4.4]), np.float64(4.4))
    """
    N = x_UN.shape[1]
    k, part = divmod(share * (N - 1), 1)
    floor_U = np.quantile(x_UN[:, :: max(1, N // FEW)], max(0.0, share - 0.02), axis=1)
    out_U = np.empty(len(x_UN), x_UN.dtype)
    for u, (x_N, floor) in enumerate(zip(x_UN, floor_U, strict=True)):
        some = x_N[x_N >= floor]
        if len(some) < N - k:  # the few that were looked at lie too high
            some = x_N.copy()
        place = int(k) - (N - len(some))
        some.partition(place)
        out_U[u] = some[place] + (some[place + 1 :].min(initial=np.inf) - some[place]) * part if part else some[place]
    return out_U


def _picked(valid_s: np.ndarray, valid_on: np.ndarray, test_s: np.ndarray, test_on: np.ndarray) -> tuple[float, ...]:
    """Area under precision and recall, rate, intersection over union and precision at a cut chosen in validation, and the cut.

    Predictions are put into LEVELS of equal width: within one, they tie.
    """
    low, high = float(valid_s.min()), float(valid_s.max())
    counts = []
    for s, on in ((valid_s, valid_on), (test_s, test_on)):
        level = ((high - s) * ((LEVELS - 1) / max(high - low, 1e-9))).clip(0, LEVELS - 1).astype(np.int64)
        counts.append(np.bincount(level + LEVELS * on, minlength=2 * LEVELS).reshape(2, LEVELS).cumsum(1))
    (false, hit), (false_test, hit_test) = counts
    total = int(hit_test[-1])
    precision = hit_test / np.maximum(hit_test + false_test, 1)
    auprc = float((np.diff(hit_test, prepend=0) * precision).sum() / total) if total else np.nan
    best = int(np.argmax(hit / np.maximum(hit[-1] + false, 1)))
    cut = high - (best + 1) * max(high - low, 1e-9) / (LEVELS - 1)
    overlap = float(hit_test[best] / max(1, total + false_test[best]))
    return auprc, total / len(test_on), overlap, float(precision[best]), cut


def twin_p(score_U: Float[np.ndarray, " U"], twin_T: Float[np.ndarray, " T"]) -> Float[np.ndarray, " U"]:
    """Return the share of a random twin's units that score at least as high: (1 + count) / (1 + T).

    Example:
        >>> twin_p(np.array([0.5, 0.1]), np.array([0.0, 0.2, 0.3])).tolist()
        [0.25, 0.75]
    """
    twin = np.sort(twin_T[~np.isnan(twin_T)])
    above_U = len(twin) - np.searchsorted(twin, score_U, side="left")
    return np.where(np.isnan(score_U), np.nan, (1 + above_U) / (1 + len(twin)))
