"""What can be asked of a token and its context: columns of categories, of which a program names some.

Each category of a column is a predicate ("the token before is `the`"), so a few columns are tens of thousands of predicates, and
the sums of a unit's activations over each category, one sparse product, give its correlation with every one of them.

Shape suffixes: W windows, T tokens of a window, N scored tokens, V vocabulary, C categories of all columns, K columns.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int, Int32
from scipy.sparse import csr_array

from superalign.explanations.texts import Texts

NEAR = 16  # tokens whose punctuation and capitals say what kind of text this is
BANDS = (1, 2, 3, 5, 9, 17, 33, 65)
OPEN, CLOSE = "([{", ")]}"
RARE, NONE = "(rare)", "(none)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Categories of every scored token; those of a column stand side by side, so that one number names a predicate."""

    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...] = field(repr=False)
    place: tuple[dict[str, int], ...] = field(repr=False)  # where a label stands in its column
    start_K: Int[np.ndarray, " K"] = field(repr=False)  # number of a column's first category
    code_KN: Int32[np.ndarray, "K N"] = field(repr=False)

    @property
    def size(self) -> int:
        """Return how many predicates there are."""
        return sum(map(len, self.labels))

    def of(self, name: str) -> Int32[np.ndarray, " N"]:
        """Return the category of each token in one column, from 0."""
        k = self.names.index(name)
        return np.asarray(self.code_KN[k] - self.start_K[k], np.int32)

    def adds(self, name: str, among: Sequence[str], adds: Sequence[float]) -> tuple[int, Float[np.ndarray, " C"]]:
        """Return the number of a column and what some of its labels add, NaN for the others."""
        k = self.names.index(name)
        place = self.place[k]
        add_C = np.full(len(place), np.nan)
        for label, add in zip(among, adds, strict=True):
            if label in place:
                add_C[place[label]] = add
        return k, add_C

    def without(self, *names: str) -> Columns:
        """Leave columns out."""
        keep = [k for k, name in enumerate(self.names) if name not in names]
        return _joined({self.names[k]: (self.labels[k], self.of(self.names[k])) for k in keep})

    def common(self, rows: Int[np.ndarray, " n"], *, least: int) -> Columns:
        """Put categories that fewer of some tokens have together as rare: of these nothing can be learned."""
        named = {}
        for k, name in enumerate(self.names):
            code_N = self.of(name)
            often = np.bincount(code_N[rows], minlength=len(self.labels[k])) >= least
            new_C = np.where(often, np.cumsum(often), 0)
            labels = (RARE, *(label for label, kept in zip(self.labels[k], often, strict=True) if kept))
            named[name] = (labels, new_C[code_N].astype(np.int32))
        return _joined(named)

    def named_as(self, other: Columns) -> Columns:
        """Name categories as other columns of the same vocabulary do, unknown ones as rare: programs of those can then be run."""
        named = {}
        for name, labels, known in zip(other.names, other.labels, other.place, strict=True):
            # The words of a cluster's label are the commonest of its text; its number stays.
            own = (lambda label: label.partition(":")[0]) if name.startswith("cluster") else str
            place = {own(label): i for label, i in known.items()}
            mine = self.labels[self.names.index(name)]
            to_C = np.array([place.get(own(label), place.get(RARE, 0)) for label in mine], np.int32)
            named[name] = (labels, to_C[self.of(name)])
        return _joined(named)

    def one_hot(self, rows: Int[np.ndarray, " n"]) -> csr_array:
        """Return a 0/1 matrix (C, n) of which token has which category: times activations it gives all sums."""
        return one_hot(self.code_KN[:, rows], self.size)


def one_hot(code_Kn: Int[np.ndarray, "K n"], size: int) -> csr_array:
    """Return a 0/1 matrix (size, n) of which of n tokens has which of some categories: one in each of K rows of codes."""
    K, n = code_Kn.shape
    ones, at = np.ones(n * K, np.float32), np.arange(0, n * K + 1, K)
    return csr_array((ones, code_Kn.T.ravel(), at), shape=(n, size)).T.tocsr()


def columns_of(texts: Texts, *, clusters_V: Int[np.ndarray, " V"] | None = None) -> Columns:
    """Ask everything of every scored token.

    Args:
        texts: Windows of tokens.
        clusters_V: Groups of alike token ids, such as clusters of the embedding; none if not given.

    Returns:
        The token itself and its neighbours, how it is written, and where it stands.

    Example:
        >>> from superalign.explanations.texts import cut
        >>> said = {"a": [f"text {i}" for i in range(40)]}
        >>> columns_of(cut({"a": [[1, 2, 1]] * 40}, said, words=["", " the", " cat"])).of("seen before").tolist()[:2]
        [0, 1]
    """
    tokens_WT, keep = texts.tokens_WT, texts.scored_WT
    named: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}

    def of_ids(name: str, back: int, group: Callable[[str], str] | None = None) -> None:
        """Add a column by token id, so many tokens back, perhaps only by how it is written."""
        ids_WT = _back(tokens_WT, back)
        words = [NONE, *texts.words]
        seen, code_N = np.unique(ids_WT[keep] + 1, return_inverse=True)
        labels = [group(words[i]) if group else words[i] for i in seen]
        distinct = sorted(set(labels))
        place = {label: i for i, label in enumerate(distinct)}
        named[name] = (tuple(distinct), np.array([place[x] for x in labels], np.int32)[code_N])

    for name, back in (
        ("token", 0),
        ("token before", 1),
        ("token 2 before", 2),
        ("token 3 before", 3),
        ("next token", -1),
    ):
        of_ids(name, back)
    for name, back in (("form", 0), ("form before", 1), ("form next", -1)):
        of_ids(name, back, written)
    for name, back in (("word", 0), ("word before", 1)):
        of_ids(name, back, lambda w: w.strip().lower() or written(w))
    of_ids("ending", 0, lambda w: "-" + w.strip().lower()[-3:] if w.strip().isalpha() and len(w.strip()) > 3 else NONE)
    of_ids(
        "beginning", 0, lambda w: w.strip().lower()[:3] + "-" if w.strip().isalpha() and len(w.strip()) > 3 else NONE
    )
    if clusters_V is not None:
        for name, back in (("cluster", 0), ("cluster before", 1)):
            named[name] = _clustered(_back(tokens_WT, back)[keep], np.asarray(clusters_V), texts.words)
    for name, (labels, code_WT) in _places(texts).items():
        named[name] = (labels, code_WT[keep])
    return _joined(named)


def columns_at(
    texts: Texts,
    tokens_WT: Int[np.ndarray, "W T"],
    at_W: Int[np.ndarray, " W"],
    *,
    like: Columns,
    clusters_V: Int[np.ndarray, " V"] | None = None,
) -> Columns:
    """Ask everything of one token of each window.

    Args:
        texts: Of the same vocabulary.
        tokens_WT: Windows, such as changed ones.
        at_W: Which token of each.
        like: Whose categories are named; see `Columns.named_as`.
        clusters_V: Groups of alike token ids, as these have them.
    """
    alone_WT, document_W = np.arange(tokens_WT.shape[1]) == at_W[:, None], np.zeros(len(at_W), np.int32)
    alone = replace(texts, tokens_WT=tokens_WT, scored_WT=alone_WT, document_W=document_W)
    return columns_of(alone, clusters_V=clusters_V).named_as(like)


def written(word: str) -> str:
    """Say how a token is written: blank in front, capitals, small letters, digits, signs; runs count once.

    Example:
        >>> written(" Hello"), written("42"), written(");"), written("NASA")
        (' Xx', '9', ');', 'XX')
    """
    if not word.strip():
        return repr(word[:4])[1:-1] if word else NONE
    shape = re.sub(r"[A-Z]{2,}", "XX", word.strip(" "))
    shape = re.sub(r"[A-Z](?![X])", "X", re.sub(r"[a-zß-ÿ]+", "x", shape.replace("XX", "\0")))
    shape = re.sub(r"\d+", "9", shape).replace("\0", "XX")
    return (" " if word.startswith(" ") else "") + shape[:5]


def _back(tokens_WT: np.ndarray, back: int) -> np.ndarray:
    """Token ids so many places earlier (later if negative), -1 beyond the window."""
    out = np.full_like(tokens_WT, -1)
    if back >= 0:
        out[:, back:] = tokens_WT[:, : tokens_WT.shape[1] - back]
    else:
        out[:, :back] = tokens_WT[:, -back:]
    return out


def _joined(named: Mapping[str, tuple[tuple[str, ...], np.ndarray]]) -> Columns:
    labels = tuple(v[0] for v in named.values())
    start_K = np.array([0, *itertools.accumulate(map(len, labels))][:-1], np.int64)
    code_KN = np.stack([v[1] + s for v, s in zip(named.values(), start_K, strict=True)]).astype(np.int32)
    place = tuple({label: i for i, label in enumerate(some)} for some in labels)
    return Columns(names=tuple(named), labels=labels, place=place, start_K=start_K, code_KN=code_KN)


def _clustered(ids_N: np.ndarray, clusters_V: np.ndarray, words: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Groups of tokens, each named by its commonest in this text."""
    count_V = np.bincount(ids_N[ids_N >= 0], minlength=len(words))
    code_N = np.where(ids_N >= 0, clusters_V[ids_N], clusters_V.max() + 1)
    labels = []
    for c in range(int(clusters_V.max()) + 1):
        members = np.flatnonzero(clusters_V == c)
        best = members[np.argsort(-count_V[members], kind="stable")[:3]]
        labels.append(f"{c}: " + " ".join(words[i].strip() or repr(words[i])[1:-1] for i in best))
    return (*labels, NONE), code_N.astype(np.int32)


def _banded(values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Whole numbers in bands that double."""
    labels = ("0", *(f"{a}" if b == a + 1 else f"{a}-{b - 1}" for a, b in itertools.pairwise(BANDS)), f"{BANDS[-1]}+")
    return labels, np.searchsorted(np.array(BANDS), values, side="right").astype(np.int32)


def _since(hit_WT: np.ndarray) -> np.ndarray:
    """Tokens since the last hit, 0 on it; since the window began where there was none."""
    at = np.arange(hit_WT.shape[1])
    return np.asarray(at - np.maximum.accumulate(np.where(hit_WT, at, 0), axis=1))


def _places(texts: Texts) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Columns that ask where a token stands, over whole windows."""
    tokens_WT, words = texts.tokens_WT, texts.words
    line_V = np.array(["\n" in w for w in words])
    stop_V = np.array([w.strip() in {".", "!", "?", ";", ":"} for w in words])
    sign_V = np.array([bool(w.strip()) and not any(c.isalnum() for c in w) for w in words])
    capital_V = np.array([w.strip()[:1].isupper() for w in words])
    digit_V = np.array([any(c.isdigit() for c in w) for w in words])
    at = np.broadcast_to(np.arange(tokens_WT.shape[1]), tokens_WT.shape)
    out = {
        "position": _banded(at),
        "since line break": _banded(_since(line_V[tokens_WT])),
        "since stop": _banded(_since(stop_V[tokens_WT])),
    }
    for name, hit_V in (("signs near", sign_V), ("capitals near", capital_V), ("digits near", digit_V)):
        total = np.cumsum(hit_V[tokens_WT], 1)
        total[:, NEAR:] = total[:, NEAR:] - total[:, :-NEAR]
        out[name] = _banded(total)
    seen, copied, word_so_far, nesting = (np.zeros(tokens_WT.shape, np.int32) for _ in range(4))
    spelled: dict[str, int] = {NONE: 0}
    depth_V = np.array([sum(w.count(c) for c in OPEN) - sum(w.count(c) for c in CLOSE) for w in words])
    quote_V = np.array([w.count('"') % 2 for w in words])
    for w, row in enumerate(tokens_WT):
        _walk(row.tolist(), words, spelled, (seen[w], copied[w], word_so_far[w]))
        depth = np.maximum(np.cumsum(depth_V[row]), 0)
        nesting[w] = np.minimum(depth, 2) + 3 * (np.cumsum(quote_V[row]) % 2)
    out["seen before"] = (("no", "yes"), seen)
    out["goes on as before"] = (("no", "after a token seen before", "as it went on before"), copied)
    out["nesting"] = (
        ("none", "one bracket", "more brackets", "quotes", "quotes, bracket", "quotes, more brackets"),
        nesting,
    )
    out["word so far"] = (tuple(spelled), word_so_far)
    return out


def _walk(row: list[int], words: Sequence[str], spelled: dict[str, int], into: tuple[np.ndarray, ...]) -> None:
    """Go through a window once: was the token there, was what follows there, and which word is being spelled."""
    seen, copied, word_so_far = into
    before: set[int] = set()
    pairs: set[tuple[int, int]] = set()
    spelling = ""
    for t, token in enumerate(row):
        word = words[token]
        seen[t] = token in before
        if t:
            pair = (row[t - 1], token)
            copied[t] = 2 if pair in pairs else seen[t - 1]
            pairs.add(pair)
        before.add(token)
        joined = word[:1].isalpha() and bool(spelling)
        spelling = (spelling + word if joined else word.strip()).lower() if word.strip()[-1:].isalpha() else ""
        word_so_far[t] = spelled.setdefault(spelling[:24], len(spelled)) if joined else 0
