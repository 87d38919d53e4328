"""Real preferences: pairs of responses out of data files, read in the middle of a model.

Shape suffixes: P pairs, N responses, K features, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superalign import problems
from superalign.errors import DataError
from superalign.interp.reward_parts import text_features
from superalign.kit.evidence import Array
from superalign.kit.run import Run
from superalign.models import activations, in_half, open_weights
from superalign.models.taps import layers_of
from superalign.problems.family import split_of
from superalign.problems.table_family import Row, TableFamily
from superalign.stats.streams import stream
from superalign.types import Record

ASKED, SAID, AT_ONCE = 200, 400, 24  # characters of a prompt and of a response that are read, responses of a job


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingJob(Record):
    """Responses to read."""

    policy: str
    layer: float  # how far up
    half: bool  # whether in 16 bits: decided once, for all of a run
    prompts: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs that were read; the better response of pair i stands at 2 i."""

    states_ND: np.ndarray
    x_NK: np.ndarray  # features of the texts, and last whether it is the better one
    question_N: np.ndarray
    difficulty_P: np.ndarray


def drawn_rows(name: str, split: str, n: int, seed: int) -> list[Row]:
    """Draw pairs of one split, one for each question."""
    rows = [r for r in _family(name).rows.values() if split_of(r.question) == split]
    order = stream(seed, "questions", split).permutation(len(rows))
    return list({rows[i].question: rows[i] for i in order}.values())[:n]


def whole_questions(name: str, n: int, seed: int) -> list[Row]:
    """Draw questions, and take every pair of each."""
    every = list(_family(name).rows.values())
    questions = list(dict.fromkeys(r.question for r in every))
    chosen = {questions[i] for i in stream(seed, "questions").permutation(len(questions))[:n]}
    return [r for r in every if r.question in chosen]


def short_names(names: Sequence[str]) -> list[str]:
    """Call each file what it is called, with as many folders before that as tell it from the others.

    Example:
        >>> short_names(["preferences:a/x/p.jsonl", "preferences:b/x/p.jsonl", "preferences:b/q.jsonl"])
        ['a/x/p.jsonl', 'b/x/p.jsonl', 'q.jsonl']
    """
    parts = {name: Path(name.partition(":")[2].partition("?")[0]).absolute().parts for name in names}
    ways = {n: [*("/".join(p[-k:]) for k in range(1, len(p) + 1)), n] for n, p in parts.items()}
    return [next((w for w in ways[n] if sum(w in some for some in ways.values()) == 1), n) for n in names]


def _family(name: str) -> TableFamily:
    family = problems.named(name)
    if not isinstance(family, TableFamily):
        raise DataError(f"{name} holds no pairs. No head could be trained on it. Name a file as preferences:PATH.")
    return family


def read_pairs(rows: Sequence[Row], *, policy: str, layer: float, half: bool, run: Run) -> Pairs:
    """Read both responses of each pair; a response that stands in several pairs is read once."""
    both = [(r, o) for r in rows for o in (r.options if r.right == "A" else r.options[::-1])]
    asked = [(r.text[-ASKED:], o[:SAID]) for r, o in both]
    each = list(dict.fromkeys(asked))
    parts = [tuple(zip(*each[i : i + AT_ONCE], strict=True)) for i in range(0, len(each), AT_ONCE)]
    todo = [ReadingJob(policy=policy, layer=layer, half=half, prompts=p, texts=t) for p, t in parts]
    found = run.map(read_states, todo, name="states", progress="reading")
    states_MD = np.concatenate(found)
    place = {pair: i for i, pair in enumerate(each)}
    better_N1 = np.arange(len(both))[:, None] % 2 == 0
    return Pairs(
        states_ND=states_MD[[place[a] for a in asked]],
        x_NK=np.concatenate([text_features([t for _, t in asked]), better_N1], axis=1),
        question_N=np.array([r.question for r, _ in both]),
        difficulty_P=np.array([r.difficulty for r in rows]),
    )


def read_states(item: ReadingJob) -> Array:
    """Read mean states of responses in the middle of a model; layers above are left out."""
    model = open_weights(item.policy)
    layers = layers_of(model.network)
    at = max(1, round(item.layer * len(layers)))
    del layers[at:]
    model.network.config.num_hidden_layers = at
    site = f"residual.{at - 1}"
    model = in_half(model, faster=0.0).model if item.half else model
    read = activations(model, list(item.prompts), list(item.texts), sites=[site])
    return read[site].astype(np.float64)
