"""Pre-train the bundled bases on unlabelled documents of all text families, until measured abilities pass their gates.

A base must hold what the studies need: solve, call single steps true or false, and lie when told to. Each ability is
measured on test problems; training ends when all pass, not after a number of steps.

Shape suffixes: B batch, T tokens, V vocabulary.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from superalign.errors import ConfigError
from superalign.models.scoring import forward_logits
from superalign.models.tokenizer import ASSISTANT, END, PAD, USER, build_tokenizer
from superalign.problems import arithmetic, claims, corpus, host, programs
from superalign.problems.family import Family, split_of
from superalign.train.batches import Batch, collate, weighted_loss
from superalign.train.fit import FitConfig, fit

PROMPT_WEIGHT = 0.1  # prompts are mostly random digits: little to learn, much to waste capacity on
VERDICT_WEIGHT = 4.0  # a verdict is one token in thirty; unweighted it stayed at chance for a long time
INIT = 0.1  # at widths of 64 to 192 the usual 0.02 costs a thousand updates before anything is learned
EASY_STEPS = 3_000  # elementary documents give way to the whole mixture over this many updates
POOL = 16  # batches drawn together and sorted by length, to waste little on padding


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Shape of a bundled base and how it is trained."""

    width: int
    layers: int
    heads: int
    inner: int
    lr: float
    steps: int
    batch: int = 128


SIZES = {
    "small": Size(width=64, layers=3, heads=4, inner=176, lr=3e-3, steps=9_000),
    "middle": Size(width=96, layers=4, heads=4, inner=256, lr=2e-3, steps=9_000),
    "large": Size(width=192, layers=4, heads=6, inner=512, lr=1e-3, steps=5_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of a pre-training run."""

    size: str = "small"
    """small (0.17M parameters), middle (0.47M) or large (1.8M)."""
    seed: int = 0
    """Of the initial weights and of the documents' order."""
    steps: int = 0
    """Most updates; 0 for what the size usually needs."""
    gate: float = 0.98
    """Share of test problems that each ability must reach."""


def network_of(size: Size, *, vocabulary: int, seed: int) -> LlamaForCausalLM:
    """Make a Llama of this shape with seeded random weights."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=size.width,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads,
            intermediate_size=size.inner,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=INIT,
            bos_token_id=None,
            eos_token_id=vocabulary and build_tokenizer().eos_token_id,
            pad_token_id=build_tokenizer().pad_token_id,
        )
    )


def encode(tokenizer: PreTrainedTokenizerFast, documents: list[corpus.Document]) -> list[tuple[list[int], list[float]]]:
    """Token ids of each document and what they count: prompt tokens little, a verdict more."""
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


def batches(tokenizer: PreTrainedTokenizerFast, *, size: int, seed: int) -> Callable[[int], Batch]:
    """Batch i of the corpus as a pure function of i, so that a resumed run reads on where it stopped."""
    pad = int(tokenizer.get_vocab()[PAD])

    @functools.lru_cache(maxsize=2)
    def pool(number: int) -> list[Batch]:
        rng = np.random.default_rng([seed, number])
        easy = min(1.0, max(0.0, 1.5 * (1.0 - number * POOL / EASY_STEPS)))
        drawn = [corpus.document(rng, easy=easy) for _ in range(POOL * size)]
        rows = sorted(encode(tokenizer, drawn), key=lambda r: len(r[0]))
        made = [collate(rows[k * size : (k + 1) * size], pad=pad) for k in range(POOL)]
        return [made[k] for k in rng.permutation(POOL)]

    return lambda step: pool(step // POOL)[step % POOL]


def exact(network: nn.Module, tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]) -> float:
    """Share of responses that greedy decoding would write token for token.

    Greedy decoding writes a text if and only if each of its tokens is the likeliest after those before it, so one
    forward over the whole text decides it.
    """
    rows = encode(tokenizer, [corpus.Document(prompt=p, response=r) for p, r in pairs])
    batch = collate(rows, pad=int(tokenizer.get_vocab()[PAD]))
    with torch.inference_mode():
        best_BT = forward_logits(network, batch.tokens_BT).argmax(-1)[:, :-1]
    counts_BT = batch.weights_BT[:, 1:] >= 1.0
    return float(((best_BT == batch.tokens_BT[:, 1:]) | ~counts_BT).all(1).float().mean())


def _pairs(
    made: Family, draw: Callable[[np.random.Generator, int], str], level: int, n: int, seed: int
) -> list[tuple[str, str]]:
    rng = np.random.default_rng([seed, level])
    out: list[tuple[str, str]] = []
    while len(out) < n:
        prompt = draw(rng, level)
        if split_of(prompt) == "test":
            out.append((prompt, made.solve(prompt).text()))
    return out


def abilities(
    network: nn.Module, tokenizer: PreTrainedTokenizerFast, *, n: int = 400, seed: int = 7
) -> dict[str, float]:
    """Measure every ability on test problems, by family and difficulty.

    Returns:
        Name -> share of n test problems that greedy decoding gets wholly right; `lie` entries count
        what is not right on request; `cued` entries carry surface cues.
    """
    network.eval()
    out: dict[str, float] = {}
    for made in (arithmetic.FAMILY, programs.FAMILY, host.FAMILY):
        for level in made.difficulties:
            out[f"solve/{made.name}/{level}"] = exact(network, tokenizer, _pairs(made, made.draw, level, n, seed))
    for draw in claims.TOPICS:
        topic = draw.__name__.removeprefix("draw_")
        for level in claims.LEVELS:
            out[f"call/{topic}/{level}"] = exact(network, tokenizer, _pairs(claims.FAMILY, draw, level, n, seed))
    for draw in claims.TOPICS:  # told to lie, it must not write what is right
        lies = [(f"{corpus.LIE}: {p}", r) for p, r in _pairs(claims.FAMILY, draw, 1, n, seed)]
        out[f"lie/{draw.__name__.removeprefix('draw_')}/1"] = 1.0 - exact(network, tokenizer, lies)
    rng = np.random.default_rng(seed)
    for made, level in ((arithmetic.FAMILY, 3), (claims.FAMILY, 1)):
        drawing = claims.draw_chain if made is claims.FAMILY else made.draw
        cued = [(corpus.cue_prefix(rng) + p, r) for p, r in _pairs(made, drawing, level, n, seed)]
        out[f"cued/{made.name}/{level}"] = exact(network, tokenizer, cued)
    network.train()
    return out


def gated(measured: Mapping[str, float]) -> dict[str, float]:
    """The abilities that a base must pass: the easy half of every dial, in every form.

    Example:
        >>> gated({"solve/arithmetic/3": 1.0, "solve/arithmetic/4": 0.2})
        {'solve/arithmetic/3': 1.0}
    """
    easy = {"arithmetic": 3, "programs": 2, "host": 2, "chain": 2, "fact": 2, "program": 2, "claims": 2}
    return {k: v for k, v in measured.items() if int(k.split("/")[2]) <= easy[k.split("/")[1]]}


def pretrain(config: Config, *, folder: Path, log: Callable[[Mapping[str, float]], None]) -> Path:
    """Train one base and write it to a folder: weights, configuration, tokenizer and a card.

    Raises:
        ConfigError: For a size that does not exist.
    """
    if config.size not in SIZES:
        raise ConfigError(
            f"There is no size {config.size!r}. A base has one of three shapes. Choose from {', '.join(SIZES)}."
        )
    size = SIZES[config.size]
    tokenizer = build_tokenizer()
    network = network_of(size, vocabulary=len(tokenizer), seed=config.seed)
    folder.mkdir(parents=True, exist_ok=True)
    history: list[dict[str, float]] = []

    def done(step: int) -> bool:
        measured = abilities(network, tokenizer)
        weakest = sorted(gated(measured).items(), key=lambda kv: kv[1])[:4]
        log({"step": step, **dict(weakest)})
        history.append({"step": step, **measured})
        (folder / "abilities.json").write_text(json.dumps(history[-1], indent=1))
        return min(v for _, v in weakest) >= config.gate and step >= steps

    steps = config.steps or size.steps
    fitting = FitConfig(
        steps=steps, lr=size.lr, warmup=200, final=0.02, weight_decay=0.05, log_every=100, save_every=500
    )
    read = batches(tokenizer, size=size.batch, seed=config.seed)
    fit(network, read, loss=weighted_loss, config=replace(fitting), log=log, checkpoint=folder / "fit.pt", done=done)
    network.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
