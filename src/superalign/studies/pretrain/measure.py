"""Pre-train the bundled bases on unlabelled documents of all text families, until measured abilities pass their gates.

A base must hold what the studies need: solve, call single steps true or false, and lie when told to. Each ability is
measured on test problems; training ends when all pass, not after a number of steps.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from superalign.inputs import code
from superalign.kit.run import Run
from superalign.lab.abilities import abilities, encode, gated
from superalign.models.tokenizer import PAD, build_tokenizer
from superalign.problems import corpus
from superalign.stats.streams import stream
from superalign.studies.pretrain.evidence import Evidence, Measured
from superalign.studies.pretrain.study import Config
from superalign.train.batches import Batch, collate, weighted_loss
from superalign.train.fit import FitConfig, fit

INIT = 0.1  # at widths of 64 to 192 the usual 0.02 costs a thousand updates before anything is learned
EASY_STEPS = 2_500  # elementary documents give way to the whole mixture over this many updates
POOL = 16  # batches drawn together and sorted by length, to waste little on padding
CHECK_EVERY = 500  # updates between two checks of whether all gates are passed


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


def batches(tokenizer: PreTrainedTokenizerFast, *, size: int, seed: int) -> Callable[[int], Batch]:
    """Return batch i of the corpus as a pure function of i, so that a resumed run reads on where it stopped."""
    pad = int(tokenizer.get_vocab()[PAD])

    @functools.lru_cache(maxsize=2)
    def pool(number: int) -> list[Batch]:
        rng = stream(seed, "documents", number)
        easy = min(1.0, max(0.0, 1.5 * (1.0 - number * POOL / EASY_STEPS)))
        drawn = [corpus.document(rng, easy=easy) for _ in range(POOL * size)]
        rows = sorted(encode(tokenizer, drawn), key=lambda r: len(r[0]))
        collated = [collate(rows[k * size : (k + 1) * size], pad=pad) for k in range(POOL)]
        return [collated[k] for k in rng.permutation(POOL)]

    return lambda step: pool(step // POOL)[step % POOL]


def measure(config: Config, run: Run) -> Evidence:
    """Train one base and write it to `run.folder / "base"`: weights, configuration, tokenizer and a card."""
    size, tokenizer, target = SIZES[config.size], build_tokenizer(), run.folder / "base"
    network = network_of(size, vocabulary=len(tokenizer), seed=run.seed)
    untrained = abilities(network, tokenizer, n=config.measured)
    reached = trained(config, run, network, tokenizer)
    network.half().float()  # what is measured is what is kept: 16 bits a weight
    after = abilities(network, tokenizer, n=config.measured)
    network.half().save_pretrained(target)
    tokenizer.save_pretrained(target)
    card = {
        "size": config.size,
        "seed": run.seed,
        "updates": reached,
        "documents": reached * size.batch,
        "abilities": {name: ability.share for name, ability in after.items()},
    }
    (target / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n")
    measured = tuple(
        Measured(
            name=name,
            share=now.share,
            untrained=untrained[name].share,
            n=now.n,
            gate=gate_of(name, config),
            gated=name in gated(after),
        )
        for name, now in sorted(after.items())
    )
    run.keep(*measured)
    return Evidence(abilities=measured, gate=config.gate)


def trained(config: Config, run: Run, network: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> int:
    """Train a network in place until all gates are passed at two checks in a row; return its updates."""
    size = SIZES[config.size]
    steps = config.steps or size.steps
    work = run.folder / "work" / code()[:16]  # a fit that other code began is not gone on with
    work.mkdir(parents=True, exist_ok=True)

    def done(step: int) -> bool:
        """Say whether every gate is passed twice in a row, on other problems than the card reports."""
        if step % CHECK_EVERY or step < EASY_STEPS:
            return False
        measured = gated(abilities(network, tokenizer, n=config.measured, seed=8))
        missed = {name: ability.share for name, ability in measured.items() if ability.share < gate_of(name, config)}
        run.log({"step": step, "missed": len(missed), **dict(sorted(missed.items(), key=lambda kv: kv[1])[:6])})
        if not missed:
            (work / f"passed-{step}").touch()  # a file, so that a killed run ends where it would have
        return not missed and (work / f"passed-{step - CHECK_EVERY}").exists()

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
    read = batches(tokenizer, size=size.batch, seed=run.seed)
    checkpoint = work / "fit.pt"
    return fit(network, read, loss=weighted_loss, config=fitting, log=run.log, checkpoint=checkpoint, done=done)


def gate_of(name: str, config: Config) -> float:
    """Say what an ability must reach."""
    return config.truth_gate if name.startswith("truth") else config.gate
