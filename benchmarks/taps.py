"""Taps: a forward with reducing taps on every site against the plain one, one thread, medians of alternating repeats.

Peers, where they are installed: TransformerLens' `run_with_cache` and nnsight's trace, on the same weights; each is
compared with its own plain forward. Beside the ratio stands that of two plain forwards, which shows the noise.

Usage: python benchmarks/taps.py [--repeats 20] [--batch 32] [--tokens 60]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers

from superalign.models import tapped
from superalign.models.taps import _places, reducer


def network_of(width: int, layers: int) -> Any:
    config = transformers.LlamaConfig(
        vocab_size=220, hidden_size=width, num_hidden_layers=layers, num_attention_heads=4, max_position_embeddings=256,
        intermediate_size=int(width * 2.75), tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(config).eval()


def compare(plain: Callable[[], object], read: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median ratio of CPU times within triples (plain, read, plain), and of the two plain ones."""
    ratios, noise = [], []
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
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {"ratio": middle, "quartile_low": low, "quartile_high": high, "plain_to_plain": statistics.median(noise)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=60)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    network = network_of(128, 4)
    tokens_BT = torch.randint(3, 220, (args.batch, args.tokens))
    mask_BT = torch.arange(args.tokens).expand(args.batch, -1) >= 13
    sites = list(_places(network))
    rows = {}
    for name in ("mean", "last"):
        reduce = reducer(name)  # type: ignore[arg-type]

        def read(reduce: Callable[..., Any] = reduce) -> None:
            kept: dict[str, torch.Tensor] = {}
            readers = {s: (lambda v, s=s: kept.__setitem__(s, reduce(v, mask_BT))) for s in sites}  # type: ignore[misc]
            with tapped(network, readers):
                network(tokens_BT)

        rows[f"superalign, {len(sites)} sites, {name}"] = compare(lambda: network(tokens_BT), read, args.repeats)
    rows |= peers(network, tokens_BT, args.repeats)
    for case, values in rows.items():
        print(case, {k: round(v, 3) for k, v in values.items()})
    machine = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    print(json.dumps({"benchmark": "taps", "repeats": args.repeats, **machine, "rows": rows}))


def peers(network: Any, tokens_BT: torch.Tensor, repeats: int) -> dict[str, dict[str, float]]:
    rows = {}
    try:
        from nnsight import NNsight

        wrapped = NNsight(network)

        def trace() -> None:
            with wrapped.trace(tokens_BT):
                for layer in wrapped.model.layers:
                    layer.output[0].mean(1).save()

        rows["nnsight trace, residual, mean"] = compare(lambda: network(tokens_BT), trace, repeats)
    except ImportError:
        print("nnsight is not installed: skipped")
    try:
        from transformer_lens import HookedTransformer, HookedTransformerConfig

        c = network.config
        lens = HookedTransformer(
            HookedTransformerConfig(
                n_layers=c.num_hidden_layers, d_model=c.hidden_size, n_ctx=256, d_head=c.hidden_size // 4, n_heads=4,
                d_mlp=c.intermediate_size, d_vocab=c.vocab_size, act_fn="silu", normalization_type="RMS",
                gated_mlp=True,
                positional_embedding_type="rotary", rotary_dim=c.hidden_size // 4, device="cpu",
            )
        )  # fmt: skip
        rows["TransformerLens run_with_cache"] = compare(
            lambda: lens(tokens_BT), lambda: lens.run_with_cache(tokens_BT), repeats
        )
    except ImportError:
        print("transformer_lens is not installed: skipped")
    return rows


if __name__ == "__main__":
    main()
