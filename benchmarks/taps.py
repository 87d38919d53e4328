"""Taps: a forward with reducing taps on every site against the plain one, on the same weights, one thread.

Every repeat runs plain, read, plain; a row is the median ratio of CPU times within repeats, its quartiles, and that of
the two plain runs, which shows the noise. Sites: the residual stream before the first layer and after each, every
attention, every MLP. Each entry into the block, with its hooks, is part of the cost.

Peers read the same sites of the same weights, where they are installed: nnsight's trace reduces as ours does;
TransformerLens' `run_with_cache` keeps whole activations, of the same sites or, as it does by default, of all of its
own. Before a peer is timed, its numbers are compared with ours.

Usage: python benchmarks/taps.py [--repeats 11] [--shapes 8x40,32x60] [--model middle]    (sequences x tokens; a bundled base
or smollm2 in place of random weights)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers
from torch import Tensor

from superalign.models import Model, open_weights, sites, tapped
from superalign.models.taps import Reducer, layers_of, reducer
from superalign.models.tokenizer import build_tokenizer
from superalign.types import Subject

WIDTH, LAYERS = 128, 5  # 1.0 million parameters
FIRST = 13  # the response's first token
KINDS = ("embedding", "residual", "attention", "mlp")
Read = Callable[[], dict[str, Tensor]]
Peer = Callable[[Model, Tensor, Tensor], dict[str, Read]]


def model_of(width: int, layers: int) -> Model:
    tokenizer = build_tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=int(width * 2.75), max_position_embeddings=256, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    network = transformers.LlamaForCausalLM(config).eval()
    return Model(network=network, tokenizer=tokenizer, subject=Subject(weights="", base="", how="random"))


def compare(plain: Callable[[], object], read: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median ratio of CPU times within triples (plain, read, plain), and of the two plain ones."""
    ratios, noise, plain_ms = [], [], []
    with torch.no_grad():
        for run in (plain, read, plain):
            run()
        for _ in range(repeats):
            times = []
            for run in (plain, read, plain):
                start = time.process_time()
                run()
                times.append(time.process_time() - start)
            ratios.append(2 * times[1] / (times[0] + times[2]))
            noise.append(times[2] / times[0])
            plain_ms.append(1e3 * times[0])
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "ratio": middle,
        "quartile_low": low,
        "quartile_high": high,
        "plain_to_plain": statistics.median(noise),
        "plain_to_plain_quartiles": statistics.quantiles(noise, n=4)[2] - statistics.quantiles(noise, n=4)[0],
        "plain_ms": statistics.median(plain_ms),
    }


def read_sites(model: Model) -> list[str]:
    """Name the sites that all are timed at: those that peers read."""
    return [site for site in sites(model) if site.partition(".")[0] in KINDS]


def ours(model: Model, tokens_BT: Tensor, mask_BT: Tensor) -> dict[str, Read]:
    names = read_sites(model)

    def reading(reduce: Reducer) -> Read:
        def read() -> dict[str, Tensor]:
            kept: dict[str, Tensor] = {}
            readers = {s: (lambda v, s=s: kept.__setitem__(s, reduce(v, mask_BT))) for s in names}  # type: ignore[misc]
            with tapped(model.network, readers):
                model.network(tokens_BT)
            return kept

        return read

    return {f"superalign, {name}": reading(reducer(name)) for name in ("mean", "last")}  # type: ignore[arg-type]


def nnsights(model: Model, tokens_BT: Tensor, mask_BT: Tensor) -> dict[str, Read]:
    import nnsight

    wrapped, reduce = nnsight.NNsight(model.network), reducer("mean")

    def trace() -> dict[str, Tensor]:
        with wrapped.trace(tokens_BT):
            kept = nnsight.save({})
            for i, layer in enumerate(wrapped.model.layers):
                if i == 0:
                    kept["embedding"] = reduce(layer.input, mask_BT)
                kept[f"attention.{i}"] = reduce(layer.self_attn.output[0], mask_BT)
                kept[f"mlp.{i}"] = reduce(layer.mlp.output, mask_BT)
                kept[f"residual.{i}"] = reduce(layer.output, mask_BT)
        return kept

    return {"nnsight trace, mean": trace}


def lenses(model: Model, tokens_BT: Tensor, mask_BT: Tensor) -> dict[str, Read]:
    from transformer_lens.model_bridge import TransformerBridge

    with tempfile.TemporaryDirectory() as folder:
        model.network.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(folder, device="cpu", tokenizer=model.tokenizer)
    reduce = reducer("mean")
    names = {"embedding": "blocks.0.hook_resid_pre"}
    for i in range(len(layers_of(model.network))):
        places = (("attention", "attn_out"), ("mlp", "mlp_out"), ("residual", "resid_post"))
        names |= {f"{kind}.{i}": f"blocks.{i}.hook_{hook}" for kind, hook in places}

    def same() -> dict[str, Tensor]:
        _, cache = bridge.run_with_cache(tokens_BT, names_filter=list(names.values()))
        return {site: reduce(cache[name], mask_BT) for site, name in names.items()}

    def everything() -> dict[str, Tensor]:
        _, cache = bridge.run_with_cache(tokens_BT)
        return {site: reduce(cache[name], mask_BT) for site, name in names.items()}

    def nothing() -> dict[str, Tensor]:
        bridge(tokens_BT)
        return {}

    return {
        "TransformerLens run_with_cache, the same sites": same,
        "TransformerLens run_with_cache, all": everything,
        "TransformerLens, its own plain forward": nothing,
    }


PEERS: dict[str, Peer] = {"nnsight": nnsights, "transformer-lens": lenses}


def peers(model: Model, tokens_BT: Tensor, mask_BT: Tensor) -> Iterator[tuple[str, Read | str]]:
    """Each peer's reads; or, where it is missing or reads something else, why it is not timed."""
    (mean, *_) = ours(model, tokens_BT, mask_BT).values()
    want = mean()
    for name, peer in PEERS.items():
        try:
            reads = peer(model, tokens_BT, mask_BT)
            for case, read in reads.items():
                got = read()
                off = max((float((got[s] - want[s]).abs().max()) for s in got), default=0.0)
                yield case, read if off < 1e-3 else f"reads other numbers (by {off:.2g})"
        except Exception as error:  # a peer may fail in its own ways; the others are still to be measured
            yield name, f"missing peer: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--shapes", default="8x40,32x60")
    parser.add_argument("--model", default="", help="a bundled base or smollm2; random weights if not given")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    model = open_weights(args.model) if args.model else model_of(WIDTH, LAYERS)
    parameters = sum(p.numel() for p in model.network.parameters())
    print(
        f"{parameters / 1e6:.2f} million parameters, {len(read_sites(model))} sites; CPU time over that of a plain forward"
    )
    rows: list[dict[str, Any]] = []
    for shape in args.shapes.split(","):
        B, T = map(int, shape.split("x"))
        tokens_BT = torch.randint(3, 220, (B, T), generator=torch.Generator().manual_seed(0))
        mask_BT = torch.arange(T).expand(B, -1) >= FIRST
        with torch.no_grad():
            cases = [*ours(model, tokens_BT, mask_BT).items(), *peers(model, tokens_BT, mask_BT)]
        for case, read in cases:
            if isinstance(read, str):
                print(f"{shape} {case}: {read}", flush=True)
                rows.append({"shape": shape, "case": case, "missing": read})
                continue
            found = compare(lambda tokens=tokens_BT: model.network(tokens), read, args.repeats)
            rows.append({"shape": shape, "case": case, **found})
            print(
                f"{shape} {case}: {found['ratio']:.3f} ({found['quartile_low']:.3f} to {found['quartile_high']:.3f}); "
                f"plain to plain {found['plain_to_plain']:.3f} (quartiles {found['plain_to_plain_quartiles']:.3f} apart); "
                f"plain {found['plain_ms']:.1f} ms",
                flush=True,
            )
    machine = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    print(
        json.dumps(
            {"benchmark": "taps", "model": args.model or "random", "repeats": args.repeats, **machine, "rows": rows}
        )
    )


if __name__ == "__main__":
    main()
