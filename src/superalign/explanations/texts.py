"""Text to run units over: documents cut into windows of one length, and split by what the documents say.

The first token of a window is run and not scored: language models keep huge activations there, which say nothing of the text.

Shape suffixes: W windows, T tokens of a window, D documents, N tokens that are scored, V vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int, Int32

from superalign.errors import BadInput

TRAIN, VALID, TEST = 0, 1, 2
SPLITS = (TRAIN,) * 6 + (VALID,) * 2 + (TEST,) * 2
LEAST = 8  # texts that should excite a unit, and that should not: half of them choose what counts as firing
LEAST_DOCUMENTS = 2  # of a corpus in each split: fewer give no interval over documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Windows of documents of some corpora, with the split of each document."""

    tokens_WT: Int32[np.ndarray, "W T"] = field(repr=False)
    scored_WT: Bool[np.ndarray, "W T"] = field(repr=False)  # neither padding nor the first of its window
    document_W: Int32[np.ndarray, " W"] = field(repr=False)
    split_D: Int[np.ndarray, " D"] = field(repr=False)
    corpus_D: Int[np.ndarray, " D"] = field(repr=False)
    corpora: tuple[str, ...]
    words: tuple[str, ...] = field(repr=False)  # text of each token id

    @property
    def document_N(self) -> Int32[np.ndarray, " N"]:
        """Return the document of each scored token."""
        return np.repeat(self.document_W, self.scored_WT.sum(1)).astype(np.int32)

    @property
    def number_WT(self) -> Int[np.ndarray, "W T"]:
        """Number the scored tokens in their order; -1 at the others."""
        return np.where(self.scored_WT, self.scored_WT.cumsum().reshape(self.scored_WT.shape) - 1, -1)


def split_of_document(text: str) -> int:
    """Return the split of a document, by the hash of its text: 6 in 10 train, 2 validation, 2 test.

    Example:
        >>> split_of_document("It was a bright cold day.") == split_of_document("It was a bright cold day.")
        True
    """
    return SPLITS[int.from_bytes(hashlib.sha256(text.strip().encode()).digest()[:8]) % len(SPLITS)]


def cut(
    documents: Mapping[str, Sequence[Sequence[int]]],
    texts: Mapping[str, Sequence[str]],
    *,
    words: Sequence[str],
    window: int = 128,
    most: int = 0,
) -> Texts:
    """Cut tokenised documents into windows.

    Args:
        documents: Token ids of each document, by corpus.
        texts: What the same documents say, which decides the split; a document that stands twice is in one split.
        words: Text of each token id.
        window: Tokens of a window.
        most: Tokens of a corpus that are taken, whole documents and the last one cut; 0 for all.

    Returns:
        The windows; the last of a document is padded.

    Raises:
        BadInput: If a split of a corpus holds fewer than two documents.

    Example:
        >>> said = {"a": [f"text {i}" for i in range(40)]}
        >>> cut({"a": [[1, 2, 3]] * 40}, said, words=["", "x", "y", "z"], window=4).tokens_WT.shape
        (40, 4)
    """
    rows: list[np.ndarray] = []
    scored: list[np.ndarray] = []
    owner: list[int] = []
    split: list[int] = []
    corpus: list[int] = []
    for c, (name, some) in enumerate(documents.items()):
        left = most or sum(map(len, some))
        for ids, text in zip(some, texts[name], strict=True):
            ids = ids[:left]
            if len(ids) < 2:
                continue
            left -= len(ids)
            for start in range(0, len(ids), window):
                part = np.asarray(ids[start : start + window], np.int32)
                rows.append(np.pad(part, (0, window - len(part))))
                scored.append((np.arange(window) > 0) & (np.arange(window) < len(part)))
                owner.append(len(split))
            split.append(split_of_document(text))
            corpus.append(c)
    split_D, corpus_D = np.array(split), np.array(corpus)
    for c, name in enumerate(documents):
        _check_documents(name, split_D[corpus_D == c])
    return Texts(
        tokens_WT=np.array(rows),
        scored_WT=np.array(scored),
        document_W=np.array(owner, np.int32),
        split_D=split_D,
        corpus_D=corpus_D,
        corpora=tuple(documents),
        words=tuple(words),
    )


def _check_documents(name: str, split_D: np.ndarray) -> None:
    for which, called in ((TRAIN, "train"), (VALID, "validation"), (TEST, "test")):
        have = int((split_D == which).sum())
        if have < LEAST_DOCUMENTS:
            raise BadInput(
                f"The corpus {name} has {have} documents in its {called} split, and {LEAST_DOCUMENTS} are the least. An "
                "interval is over documents. Give more documents, or cut long ones into chapters."
            )


def check_texts(excite: Sequence[str], neutral: Sequence[str], literal: str) -> None:
    """Refuse too few texts that should excite a unit, or should not, and a literal that is not in all of the first sort.

    Raises:
        BadInput: In that case.
    """
    if min(len(excite), len(neutral)) < LEAST:
        raise BadInput(
            f"There are {len(excite)} different texts that should excite the unit and {len(neutral)} that should not. A rate of "
            f"so few says nothing. Give at least {LEAST} of each."
        )
    without = next((t for t in excite if literal not in t), None)
    if without is not None:
        raise BadInput(
            f"{without[:40]!r} should excite the unit but does not hold the literal {literal!r}. It could not be taken out. "
            "Leave such texts out, or give no literal."
        )
