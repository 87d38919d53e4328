"""Which scores of explanations fall where they should: for half of what a unit responds to, and for too much of it.

What a unit's program says is planted as a unit of its own on real text, so that the right explanation is known. Then it is
explained by that program, by half of its words, by three and ten times as many tokens, and by words at random.

Shape suffixes: U units, C scores, V versions of an explanation, S contexts, L tokens of a context, n tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from superalign.explanations.explaining import Bank
from superalign.explanations.programs import from_text, simulate
from superalign.explanations.texts import TEST
from superalign.kit.evidence import Array
from superalign.lab.corpora import Reading
from superalign.lab.explained_network import bank_of
from superalign.lab.other_scores import COMPARED, LESS
from superalign.lab.unit_rows import Score
from superalign.stats import mean_over
from superalign.stats.streams import stream
from superalign.types import Record

BROAD = {"three times too broad": 3, "ten times too broad": 10}
VERSIONS = ("right", "half of it", *BROAD, "at random")
CONTEXT = 16  # tokens of a context, of which some scores show a few
NOISE = 0.2  # of a planted activation, as a share of it
LEAST, MOST = 0.001, 0.05  # share of tokens on which a planted unit fires: ten times too broad must still be possible


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksJob:
    """Programs of some units, as text."""

    policy: str
    reading: Reading
    explained_on: tuple[str, ...]
    programs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked(Record):
    """What each score says of each version."""

    scores: tuple[str, ...]
    value_UCV: Array


def check_scores(job: ChecksJob) -> Checked:
    """Plant programs as units and score right and wrong explanations of them by every score."""
    bank = bank_of(job.policy, job.reading, job.explained_on)
    texts = bank.texts
    test_W = texts.split_D[texts.document_W] == TEST
    end = 1 + (texts.tokens_WT.shape[1] - 1) // CONTEXT * CONTEXT
    rows_SL, token_SL = (x[test_W][:, 1:end].reshape(-1, CONTEXT) for x in (texts.number_WT, texts.tokens_WT))
    whole_S = (rows_SL >= 0).all(1)
    rows_SL, token_n = rows_SL[whole_S], token_SL[whole_S].ravel()
    values = []
    for u, program in enumerate(job.programs):
        on_n = _fires(program, bank, rows_SL.ravel())
        if not LEAST <= on_n.mean() <= MOST:
            continue
        rng = stream(job.reading.seed, "score checks", u)
        value_SL = (on_n * (1 + NOISE * rng.normal(size=len(on_n)))).reshape(rows_SL.shape)
        said = [x.astype(float).reshape(rows_SL.shape) for x in versions(on_n, token_n, rng)]
        values.append([[score(value_SL, x, rng) for x in said] for score in COMPARED.values()])
    value_UCV = np.array(values, float).reshape(-1, len(COMPARED), len(VERSIONS))
    return Checked(scores=tuple(COMPARED), value_UCV=value_UCV)


def averaged(checked: Checked) -> tuple[Score, ...]:
    """Average each score over units by version, and say which versions it does not fall for by a tenth, as it should."""
    mean_CV = (
        checked.value_UCV.mean(0) if len(checked.value_UCV) else np.full((len(checked.scores), len(VERSIONS)), np.nan)
    )
    out = []
    for c, name in enumerate(checked.scores):
        means = tuple(mean_over(checked.value_UCV[:, c, v], span=(-1.0, 1.0)) for v in range(len(VERSIONS)))
        fails = [w for v, w in enumerate(VERSIONS) if v and not mean_CV[c, 0] - mean_CV[c, v] >= LESS]
        out.append(Score(name, means, ", ".join(fails)))
    return tuple(out)


def _fires(program: str, bank: Bank, rows: np.ndarray) -> np.ndarray:
    said_n = simulate(from_text(program), bank.columns, rows)
    return np.asarray(said_n > (said_n.max() + np.median(said_n)) / 2)


def versions(on_n: np.ndarray, token_n: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield where each version of an explanation fires: whole words are left out or added.

    Args:
        on_n: Where the unit fires.
        token_n: Token ids.
        rng: Draws words.
    """
    yield on_n
    inside = rng.permutation(np.unique(token_n[on_n]))
    kept = inside[: max(1, len(inside) // 2)]
    yield on_n & np.isin(token_n, kept) if len(inside) > 1 else on_n & (rng.random(len(on_n)) < 0.5)
    others, count = np.unique(token_n[~on_n], return_counts=True)
    order = rng.permutation(len(others))
    sums = np.cumsum(count[order])
    for times in BROAD.values():
        yield on_n | np.isin(token_n, others[order][: np.searchsorted(sums, (times - 1) * on_n.sum()) + 1]) & ~on_n
    yield (
        np.isin(token_n, others[order][::-1][: np.searchsorted(np.cumsum(count[order][::-1]), on_n.sum()) + 1]) & ~on_n
    )
