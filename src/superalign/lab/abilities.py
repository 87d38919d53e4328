"""What a bundled base is able to do: solve, call single steps true or false, lie when told to; by family and difficulty."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn
from transformers import PreTrainedTokenizerFast

from superalign.interp.directions import Probe, fit_probe, read_out
from superalign.models import Model, activations, sites
from superalign.models.forward import forward_logits
from superalign.models.tokenizer import ASSISTANT, END, PAD, USER
from superalign.problems import arithmetic, claims, corpus, host, programs
from superalign.problems.family import Family, split_of
from superalign.stats import auroc
from superalign.stats.streams import stream
from superalign.train.batches import collate
from superalign.types import Subject

T = TypeVar("T")

PROMPT_WEIGHT = 0.1  # prompts are mostly random digits: little to learn, much to waste capacity on
VERDICT_WEIGHT = 4.0  # a verdict is one token in thirty; unweighted it stayed at chance for a long time


def encode(tokenizer: PreTrainedTokenizerFast, documents: list[corpus.Document]) -> list[tuple[list[int], list[float]]]:
    """Return token ids of each document and what they count: prompt tokens little, a verdict more."""
    assistant, mark = (int(tokenizer.get_vocab()[t]) for t in (ASSISTANT, "#"))
    texts = [USER + d.prompt + ASSISTANT + d.response + END for d in documents]
    out = []
    for ids, document in zip(tokenizer(texts, add_special_tokens=False)["input_ids"], documents, strict=True):
        start = ids.index(assistant) + 1
        counts = [PROMPT_WEIGHT] * start + [document.weight] * (len(ids) - start)
        if "claim " in document.prompt and mark in ids[start:]:
            counts[ids.index(mark, start) + 1] *= VERDICT_WEIGHT
        out.append((ids, counts))
    return out


def exact(network: nn.Module, tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]) -> float:
    """Return the share of responses that greedy decoding would write token for token."""
    return float(np.mean(exact_each(network, tokenizer, pairs)))


def exact_each(
    network: nn.Module, tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]
) -> Bool[np.ndarray, " N"]:
    """Say which responses greedy decoding would write token for token.

    Greedy decoding writes a text if and only if each of its tokens is the likeliest after those before it, so one
    forward over the whole text decides it.
    """
    rows = encode(tokenizer, [corpus.Document(prompt=p, response=r) for p, r in pairs])
    batch = collate(rows, pad=int(tokenizer.get_vocab()[PAD]))
    with torch.inference_mode():
        best_BT = forward_logits(network, batch.tokens_BT).argmax(-1)[:, :-1]
    counts_BT = batch.weights_BT[:, 1:] >= 1.0
    right_N: np.ndarray = ((best_BT == batch.tokens_BT[:, 1:]) | ~counts_BT).all(1).numpy()
    return right_N


def _pairs(
    made: Family, draw: Callable[[np.random.Generator, int], str], level: int, n: int, seed: int, *, split: str = "test"
) -> list[tuple[str, str]]:
    rng = stream(seed, "problems", level)
    out: list[tuple[str, str]] = []
    while len(out) < n:
        prompt = draw(rng, level)
        if split_of(prompt) == split:
            out.append((prompt, made.solve(prompt).text()))
    return out


class Ability(NamedTuple):
    """A measured ability, and how many different problems it was measured on: easy ones are few, and drawn again."""

    share: float
    n: int


def abilities(
    network: nn.Module, tokenizer: PreTrainedTokenizerFast, *, n: int = 400, seed: int = 7
) -> dict[str, Ability]:
    """Measure every ability on test problems, by family and difficulty.

    Returns:
        Name -> share of n test problems that greedy decoding gets wholly right; `lie` entries count
        what is not right on request; `cued` entries carry surface cues; `truth` entries are AUROCs.
    """
    network.eval()
    out: dict[str, Ability] = {}

    def measured(pairs: list[tuple[str, str]]) -> Ability:
        return Ability(exact(network, tokenizer, pairs), len(set(pairs)))

    for made in (arithmetic.FAMILY, programs.FAMILY, host.FAMILY):
        for level in made.difficulties:
            out[f"solve/{made.name}/{level}"] = measured(_pairs(made, made.draw, level, n, seed))
    for draw in claims.TOPICS:
        topic = draw.__name__.removeprefix("draw_")
        for level in claims.LEVELS:
            out[f"call/{topic}/{level}"] = measured(_pairs(claims.FAMILY, draw, level, n, seed))
        # Told to lie, it must not write what is right; truth probes train on this split.
        lies = [(f"{corpus.LIE}: {p}", r) for p, r in _pairs(claims.FAMILY, draw, 1, n, seed, split="train")]
        told = measured(lies)
        out[f"lie/{topic}/1"] = Ability(1.0 - told.share, told.n)
        asked = len(set(_pairs(claims.FAMILY, draw, 2, n, seed)))
        out[f"truth/{topic}/2"] = Ability(latent_truth(network, tokenizer, draw, level=2, n=n, seed=seed), asked)
    rng = stream(seed, "cues")
    for made, level in ((arithmetic.FAMILY, 3), (claims.FAMILY, 1)):
        drawing = claims.draw_chain if made is claims.FAMILY else made.draw
        cued = [(corpus.cue_prefix(rng) + p, r) for p, r in _pairs(made, drawing, level, n, seed)]
        out[f"cued/{made.name}/{level}"] = measured(cued)
    network.train()
    return out


def latent_truth(
    network: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    draw: Callable[[np.random.Generator, int], str],
    *,
    level: int,
    n: int,
    seed: int,
) -> float:
    """Return the AUROC at which a linear probe reads whether a claim is true, off the residual stream in front of the verdict.

    The probe and its layer are chosen on claims of the training split, of all levels (there are few facts of one), and
    measured on n claims of the test split.
    """
    model = Model(network=network, tokenizer=tokenizer, subject=Subject(weights="", base="", how="", seed=seed))
    layers = [s for s in sites(model) if s.startswith("residual")]
    read = []
    seen_pairs = [_pairs(claims.FAMILY, draw, k, n // 2, seed, split="train") for k in claims.LEVELS]
    mixed = [pair for row in zip(*seen_pairs, strict=True) for pair in row]
    for pairs in (mixed, _pairs(claims.FAMILY, draw, level, n, seed)):
        texts = [r.partition("#")[0] + "#" for _, r in pairs]
        true = np.array([r.endswith("yes") for _, r in pairs])
        read.append((activations(model, [p for p, _ in pairs], texts, sites=layers, reduce="last"), true))
    (seen, true_N), (asked, told_N) = read
    half = len(true_N) // 2

    def area(probe: Probe, x_ND: np.ndarray, y_N: np.ndarray) -> float:
        scores_N = read_out(probe, x_ND)
        return float(auroc(scores_N[y_N], negatives=scores_N[~y_N]))

    held_out = {s: area(fit_probe(x[:half], true_N[:half]), x[half:], true_N[half:]) for s, x in seen.items()}
    chosen = max(held_out, key=lambda s: held_out[s])
    return area(fit_probe(seen[chosen], true_N), asked[chosen], told_N)


def gated(measured: Mapping[str, T]) -> dict[str, T]:
    """Return the abilities that a base must pass: the easy half of every dial, in every form, and chains of every length.

    The loop trains on chains of four to six operations, and its liars lie about claims of three and four.

    Example:
        >>> gated({"solve/arithmetic/4": 1.0, "solve/host/2": 1.0, "solve/host/3": 0.2})
        {'solve/arithmetic/4': 1.0, 'solve/host/2': 1.0}
    """
    easy = {"arithmetic": 6, "programs": 2, "host": 2, "chain": 4, "fact": 2, "program": 2, "claims": 2}
    return {k: v for k, v in measured.items() if int(k.split("/")[2]) <= easy[k.split("/")[1]]}
