"""A folder of explained units, made up: texts as long as real ones, cells that were not measured, tokens that look like HTML."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

KINDS = (("neuron", "N", 3072), ("direction", "D", 768), ("head", "H", 12))
HEADER = (
    "unit layer kind explanation program bits r r_low r_high gain gain_low gain_high unigram bigram position auprc rate iou "
    "precision corpus:fiction corpus:code corpus:news minimum twin_p found sufficiency necessity effect"
).split()
WORDS = "river stone apple cloud train glass paper horse light music ocean tiger bread chair plant clock".split()
PLACES = (
    "at the start of a line;after an opening bracket;in the names of people;before a full stop;inside quotes".split(";")
)
NASTY = ("</script>", "<b>", "&amp;", "\n", "\u2028", "'\"", "é", "語", "\U0001f600")


def made(folder: Path, *, layers: int, per_layer: Sequence[int], examples: int = 6, tokens: int = 32) -> list[str]:
    """Write the folder; return the names of its units."""
    rng = np.random.default_rng(0)
    (folder / "examples").mkdir(parents=True)
    corpora = {"fiction": 400_000, "code": 300_000, "news": 300_000}
    about = {
        "model": "made-up 12 layers", "corpora": corpora, "splits": "by document, 60 : 20 : 20", "seed": 0, "dtype": "float32",
        "made": "2026-01-01", "false_discovery_rate": 0.05, "null": {"twin pass share": 0.031, "twin units": 46350},
    }  # fmt: skip
    (folder / "about.json").write_text(json.dumps(about))
    text, names = io.StringIO(), []
    table = csv.writer(text)
    table.writerow(HEADER)
    for layer in range(layers):
        with gzip.open(folder / "examples" / f"L{layer}.jsonl.gz", "wt", encoding="utf-8", compresslevel=1) as file:
            for (kind, letter, _), many in zip(KINDS, per_layer, strict=True):
                for i in range(many):
                    name = f"L{layer}.{letter}{i}"
                    names.append(name)
                    table.writerow(_row(name, layer, kind, rng))
                    file.write(json.dumps({"unit": name, "examples": _examples(rng, examples, tokens)}) + "\n")
    (folder / "units.csv.gz").write_bytes(gzip.compress(text.getvalue().encode(), 1))
    return names


def _row(name: str, layer: int, kind: str, rng: np.random.Generator) -> list[Any]:
    a, b, c = rng.choice(WORDS, 3, replace=False)
    place = PLACES[rng.integers(len(PLACES))]
    explanation = f"Active on '{a}' and '{b}' {place}, more so where '{c}' was seen before in the same document."
    program = f"0.{rng.integers(10, 99)} * token_in({a}, {b}) AND context({place!r}) + 0.3 * seen({c}) - 0.02"
    r = float(np.clip(rng.beta(2, 3 + 0.3 * layer), 0, 1))
    unigram, bigram, position = r * rng.uniform(0.3, 1.1), r * rng.uniform(0.3, 1.1), rng.uniform(0, 0.2)
    gain = r - max(unigram, bigram, position)
    corpora = [r * rng.uniform(0.4, 1.05) for _ in range(3)]
    p = rng.uniform(0, 0.02) if gain > 0.05 else rng.uniform(0, 1)
    causal = ["", "", ""] if kind == "head" or rng.uniform() < 0.3 else [r * 0.9, r * 0.8, r * 1.1 - 0.3]
    scores = [10 + 90 * rng.random(), r, r - 0.04, r + 0.04, gain, gain - 0.05, gain + 0.05, unigram, bigram, position]
    more = [0.8 * r, rng.uniform(0, 0.05), 0.5 * r, 0.7 * r, *corpora, min(corpora), p]
    numbers = [f"{v:.5f}" for v in (*scores, *more)] + [str(int(p < 0.02))]
    return [name, layer, kind, explanation, program, *numbers, *(f"{v:.5f}" if v != "" else "" for v in causal)]


def _examples(rng: np.random.Generator, many: int, tokens: int) -> list[dict[str, Any]]:
    out = []
    for i in range(many):
        text = [" " + str(word) for word in rng.choice(WORDS, tokens)]
        text[1 % tokens] = NASTY[int(rng.integers(len(NASTY)))]
        values = np.round(np.where(rng.random(tokens) < 0.15, rng.gamma(2, 1.5, tokens), rng.normal(0, 0.1, tokens)), 3)
        predicted = np.round(np.where(values > 1, values * rng.uniform(0.5, 1.2, tokens), 0), 3)
        chosen = ("top", "random", "false alarm", "missed")[i % 4]
        corpus = ("fiction", "code", "news")[int(rng.integers(3))]
        out.append(
            {
                "tokens": text,
                "values": values.tolist(),
                "predicted": predicted.tolist(),
                "corpus": corpus,
                "chosen": chosen,
                "at": int(np.argmax(np.abs(values - predicted) if i % 4 > 1 else values)),
            }
        )
    return out
