"""A real chat model: sampling against `generate`, scoring against a plain forward, what 16 bits and common beginnings bring.

Both sides of a ratio run in turn in one process, on one thread, with the same weights and precision; ratios are of
medians of CPU time. Sampling: 64 tokens to each prompt, none ends earlier, with log-probs (`generate` runs a forward for them).
Nothing is run, and the reason is printed, where no model is given.

Usage: SUPERALIGN_MODEL=FOLDER python benchmarks/real_model.py [FOLDER] [--repeats 3] [--batches 1,16,64]
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

import numpy as np
import torch
import transformers

from superalign.models import Model, Sampling, encode, in_half, load, response_logprobs, sample_prompts, with_sampling
from superalign.models import decoder as D
from superalign.models.forward import pad

TOKENS = 64
NOUNS = "river stone apple cloud train glass paper horse light music ocean tiger bread chair plant clock".split()


def cpu_seconds(repeats: int, *runs: Callable[[], object]) -> list[float]:
    """Median CPU time of each run, over repeats that alternate between the runs."""
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, kept in zip(runs, taken, strict=True):
            began = time.process_time()
            run()
            kept.append(time.process_time() - began)
    return [statistics.median(kept) for kept in taken]


def asked(count: int) -> list[str]:
    return [f"Tell me something about a {NOUNS[i % 16]} and a {NOUNS[(5 * i + i // 16) % 16]}." for i in range(count)]


def sampling(model: Model, batch: int, *, repeats: int) -> dict[str, Any]:
    prompts = asked(batch)
    rendered, pad_id = encode(model, prompts)[0], int(model.tokenizer.pad_token_id or 0)
    width = max(map(len, rendered))
    ids = torch.tensor([[pad_id] * (width - len(row)) + row.tolist() for row in rendered])
    mask = (torch.arange(width) >= width - torch.tensor([[len(row)] for row in rendered])).long()

    def theirs() -> None:
        with torch.no_grad():
            out = model.network.generate(
                ids, attention_mask=mask, max_new_tokens=TOKENS, do_sample=True, top_k=0, eos_token_id=None, pad_token_id=pad_id,
            )  # fmt: skip
            assert out.shape[1] == width + TOKENS
            logprobs(model, out, torch.cat([mask, torch.ones_like(out[:, width:])], 1), width)

    def ours() -> None:
        assert (sample_prompts(model, prompts, n=1, seed=0).length_R == TOKENS).all()

    return row(f"sampling, batch {batch}", batch * TOKENS, *cpu_seconds(repeats, theirs, ours))


def logprobs(model: Model, ids: torch.Tensor, mask: torch.Tensor, width: int) -> torch.Tensor:
    """What a plain forward says of each token from `width` on."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    # Its output layer is asked only for the places that count.
    wanted = ids.shape[1] - width + 1
    logits = model.network(ids, attention_mask=mask, position_ids=positions, logits_to_keep=wanted).logits
    return torch.log_softmax(logits[:, :-1].float(), -1).gather(2, ids[:, width:, None]).squeeze(2)


def scoring(model: Model, *, repeats: int) -> dict[str, Any]:
    prompts = asked(32)
    responses = [" ".join(NOUNS[(i * j + j) % 16] for j in range(32)) for i in range(32)]
    joined = [np.concatenate(pair) for pair in zip(*encode(model, prompts, responses), strict=True)]
    first = min(map(len, encode(model, prompts)[0]))
    padded, length = pad(joined)
    ids, mask = torch.from_numpy(padded), torch.from_numpy(np.arange(padded.shape[1]) < length[:, None]).long()

    def theirs() -> None:
        with torch.no_grad():
            logprobs(model, ids, mask, first)

    times = cpu_seconds(repeats, theirs, lambda: response_logprobs(model, prompts, responses))
    return row("scoring, 32 responses", int(length.sum()), *times)


def without_common_beginnings(run: Callable[[], object]) -> Callable[[], None]:
    def wrapped() -> None:
        before, D.SPARED = D.SPARED, 1 << 62
        try:
            run()
        finally:
            D.SPARED = before

    return wrapped


def row(case: str, tokens: int, theirs_s: float, ours_s: float) -> dict[str, Any]:
    return {
        "case": case,
        "plain_per_cpu_s": tokens / theirs_s,
        "ours_per_cpu_s": tokens / ours_s,
        "ratio_cpu": theirs_s / ours_s,
    }


def measured(model: Model, precision: str, batches: list[int], repeats: int) -> list[dict[str, Any]]:
    rows = [sampling(model, batch, repeats=repeats) for batch in batches] + [scoring(model, repeats=repeats)]
    prompts = asked(16)
    one = with_sampling(model, Sampling(max_tokens=1))

    def first_token() -> None:
        sample_prompts(one, prompts, n=1, seed=0)

    times = cpu_seconds(repeats, without_common_beginnings(first_token), first_token)
    rows.append(row("reading 16 prompts, plain against common beginning read once", 16, *times))
    for line in rows:
        print(
            {"precision": precision} | {k: round(v, 2) if isinstance(v, float) else v for k, v in line.items()},
            flush=True,
        )
    return [{"precision": precision, **line} for line in rows]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SUPERALIGN_MODEL", ""))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", default="1,16,64")
    args = parser.parse_args()
    about: dict[str, Any] = {"benchmark": "real_model", "repeats": args.repeats}
    if not os.path.isdir(args.folder):
        reason = "no folder of a chat model was given, as argument or as SUPERALIGN_MODEL"
        print(f"skipped: {reason}")
        print(json.dumps({**about, "skipped": reason, "rows": []}))
        return
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    model = with_sampling(load(args.folder), Sampling(max_tokens=TOKENS))
    model.tokenizer.eos_token, model.network.generation_config.eos_token_id = (
        None,
        None,
    )  # every rollout goes to the limit
    batches = [int(b) for b in args.batches.split(",")]
    rows = measured(model, "float32", batches, args.repeats)
    found = in_half(model)
    half = {
        "speedup_of_products": found.speedup,
        "rounded": found.rounded,
        "largest_nats": found.largest_nats if found.rounded else None,
    }
    print({"16 bits": half}, flush=True)
    if found.rounded:
        rows += measured(found.model, "bfloat16", batches, args.repeats)
    machine = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    print(json.dumps({**about, **machine, "half": half, "rows": rows}))


if __name__ == "__main__":
    main()
