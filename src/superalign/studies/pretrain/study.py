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
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from superalign.errors import ConfigError
from superalign.inputs import code
from superalign.interp.directions import Probe, fit_probe, read_out
from superalign.ledger import Ledger
from superalign.models import Model, activations, sites
from superalign.models.forward import forward_logits
from superalign.models.tokenizer import ASSISTANT, END, PAD, USER, build_tokenizer
from superalign.problems import arithmetic, claims, corpus, host, programs
from superalign.problems.family import Family, split_of
from superalign.report import Findings
from superalign.stats import auroc, clopper_pearson
from superalign.train.batches import Batch, collate, weighted_loss
from superalign.train.fit import FitConfig, fit
from superalign.types import Claim, Interval, Subject, Unmeasured

DESCRIPTION = "Pre-train a bundled base on unlabelled documents until its measured abilities pass their gates"

T = TypeVar("T")

PROMPT_WEIGHT = 0.1  # prompts are mostly random digits: little to learn, much to waste capacity on
VERDICT_WEIGHT = 4.0  # a verdict is one token in thirty; unweighted it stayed at chance for a long time
INIT = 0.1  # at widths of 64 to 192 the usual 0.02 costs a thousand updates before anything is learned
EASY_STEPS = 2_500  # elementary documents give way to the whole mixture over this many updates
POOL = 16  # batches drawn together and sorted by length, to waste little on padding


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Shape of a bundled base and how it is trained."""

    width: int
    layers: int
    heads: int
    inner: int
    lr: float
    steps: int  # most updates
    half: bool = False
    batch: int = 128


SIZES = {
    "small": Size(width=64, layers=3, heads=4, inner=176, lr=3e-3, steps=12_000),
    "middle": Size(width=96, layers=4, heads=4, inner=256, lr=3e-3, steps=12_000, half=True),
    "large": Size(width=192, layers=4, heads=6, inner=512, lr=2e-3, steps=12_000, half=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of a pre-training run."""

    size: str = "small"
    """small (0.17M parameters), middle (0.47M) or large (1.8M)."""
    steps: int = 0
    """Most updates; 0 for what the size usually needs."""
    gate: float = 0.98
    """Share of test problems that each ability must reach."""
    truth_gate: float = 0.97
    """AUROC at which a linear probe must read whether a claim is true."""
    measured: int = 400
    """Test problems that each ability is measured on."""


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
    made: Family,
    draw: Callable[[np.random.Generator, int], str],
    level: int,
    n: int,
    seed: int,
    *,
    split: str = "test",
) -> list[tuple[str, str]]:
    rng = np.random.default_rng([seed, level])
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
    for draw in claims.TOPICS:  # told to lie, it must not write what is right; truth probes train on this split
        lies = [(f"{corpus.LIE}: {p}", r) for p, r in _pairs(claims.FAMILY, draw, 1, n, seed, split="train")]
        told = measured(lies)
        out[f"lie/{draw.__name__.removeprefix('draw_')}/1"] = Ability(1.0 - told.share, told.n)
    for draw in claims.TOPICS:
        topic = draw.__name__.removeprefix("draw_")
        asked = len(set(_pairs(claims.FAMILY, draw, 2, n, seed)))
        out[f"truth/{topic}/2"] = Ability(latent_truth(network, tokenizer, draw, level=2, n=n, seed=seed), asked)
    rng = np.random.default_rng(seed)
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
    """AUROC at which a linear probe reads whether a claim is true, off the residual stream in front of the verdict.

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
    """The abilities that a base must pass: the easy half of every dial, in every form, and chains of every length.

    The loop trains on chains of four to six operations, and its liars lie about claims of three and four.

    Example:
        >>> gated({"solve/arithmetic/4": 1.0, "solve/host/2": 1.0, "solve/host/3": 0.2})
        {'solve/arithmetic/4': 1.0, 'solve/host/2': 1.0}
    """
    easy = {"arithmetic": 6, "programs": 2, "host": 2, "chain": 4, "fact": 2, "program": 2, "claims": 2}
    return {k: v for k, v in measured.items() if int(k.split("/")[2]) <= easy[k.split("/")[1]]}


def quick(config: Config) -> Config:
    """Sixty updates: shows that it runs, teaches nothing."""
    return replace(config, steps=60)


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Train one base and write it to `folder / "base"`: weights, configuration, tokenizer and a card.

    Raises:
        ConfigError: For a size that does not exist.
    """
    if config.size not in SIZES:
        raise ConfigError(
            f"There is no size {config.size!r}. A base has one of three shapes. Choose from {', '.join(SIZES)}."
        )
    size, tokenizer, target = SIZES[config.size], build_tokenizer(), folder / "base"
    network = network_of(size, vocabulary=len(tokenizer), seed=seed)
    untrained = abilities(network, tokenizer, n=config.measured)
    steps = config.steps or size.steps
    work = folder / "work" / code()[:16]  # a fit that other code began is not gone on with
    work.mkdir(parents=True, exist_ok=True)

    def done(step: int) -> bool:
        """Whether every gate is passed at two checks in a row, on other problems than the card reports."""
        if step % 500 or step < EASY_STEPS:
            return False
        measured = gated(abilities(network, tokenizer, n=config.measured, seed=8))
        missed = {name: found.share for name, found in measured.items() if found.share < gate_of(name, config)}
        log({"step": step, "missed": len(missed), **dict(sorted(missed.items(), key=lambda kv: kv[1])[:6])})
        if not missed:
            (work / f"passed-{step}").touch()  # a file, so that a killed run ends where it would have
        return not missed and (work / f"passed-{step - 500}").exists()

    checkpoint = work / "fit.pt"
    fitting = FitConfig(
        steps=steps,
        lr=size.lr,
        warmup=min(200, steps),
        final=0.1,
        weight_decay=0.05,
        log_every=100,
        average=0.99,
        half=size.half,
    )
    read = batches(tokenizer, size=size.batch, seed=seed)
    reached = fit(network, read, loss=weighted_loss, config=fitting, log=log, checkpoint=checkpoint, done=done)
    network.half().float()  # what is measured is what is kept: 16 bits a weight
    found = abilities(network, tokenizer, n=config.measured)
    network.half().save_pretrained(target)
    tokenizer.save_pretrained(target)
    card = {
        "size": config.size,
        "seed": seed,
        "updates": reached,
        "documents": reached * size.batch,
        "abilities": {name: ability.share for name, ability in found.items()},
    }
    (target / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n")
    claims_made = tuple(_claim(name, now, untrained[name], config) for name, now in sorted(found.items()))
    ledger.append_once(*claims_made)
    missed = [c.name for c in claims_made if c.name in gated(found) and c.holds is not True]
    return Findings(
        headline=f"{len(gated(found)) - len(missed)} of {len(gated(found))} gated abilities pass at {config.gate}.",
        claims=claims_made,
        uncertain=tuple(f"{name} is below its gate." for name in missed),
    )


def gate_of(name: str, config: Config) -> float:
    """What an ability must reach."""
    return config.truth_gate if name.startswith("truth") else config.gate


def _claim(name: str, found: Ability, untrained: Ability, config: Config) -> Claim:
    """One measured ability as a claim; its null is the same network before training."""
    around, null = (clopper_pearson(round(a.share * a.n), n=a.n) for a in (found, untrained))
    assert isinstance(around, Interval)  # n is positive
    holds = (
        found.share >= gate_of(name, config)
        if name in gated({name: found})
        else Unmeasured("not gated: the hard half of a dial")
    )
    return Claim(
        name=name,
        value=found.share,
        low=min(around.low, found.share),
        high=max(around.high, found.share),
        n=found.n,
        unit="share of test problems answered exactly by greedy decoding",
        null=null,
        holds=holds,
        why=f"gate {gate_of(name, config)} on the easy half of each dial and on all chains; null: the untrained network",
    )
