"""Sampling: ours against `generate` with the same weights, one thread, medians of interleaved repeats.

Equal lengths: every rollout has 40 tokens, no stop strings, batch 1, 32, 256, random weights. Mixed lengths: the loop's own
rollouts, of a bundled base on the problems of an update (eight, four each) and of its held-out set (1,200, once each),
that end at an end token, at a stop string or at 96 tokens, log-probs returned; `generate` runs a forward for them. The
roof is the time that the matrix products of a step alone take at that batch. CPU time is printed beside wall time,
because other load on the machine moves the latter.

Usage: python benchmarks/sampler.py [--repeats 5] [--shapes 64x3,128x4] [--base small] [--only equal|mixed]
"""

from __future__ import annotations

import argparse
import cProfile
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

from superalign.models import Model, Sampling, base, encode, sample_prompts, with_sampling
from superalign.models.tokenizer import build_tokenizer
from superalign.problems import arithmetic
from superalign.types import Subject


def random_model(width: int, layers: int) -> Model:
    tokenizer = build_tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=int(width * 2.75), max_position_embeddings=256, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    network = transformers.LlamaForCausalLM(config).eval()
    return Model(network=network, tokenizer=tokenizer, subject=Subject(weights="", base="", how="random"))


def interleaved(repeats: int, *runs: Callable[[], int]) -> list[dict[str, float]]:
    """Units per second of each run, wall and CPU: medians over repeats that alternate between the runs."""
    for run in runs:
        run()
    rates: list[list[tuple[float, float]]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, kept in zip(runs, rates, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            units = run()
            kept.append((units / (time.perf_counter() - wall), units / (time.process_time() - cpu)))
    return [
        {"per_s": statistics.median(w for w, _ in kept), "per_cpu_s": statistics.median(c for _, c in kept)}
        for kept in rates
    ]


def roof(model: Model, batch: int) -> tuple[float, float]:
    """Tokens per CPU second if a step were nothing but its matrix products, and their GFLOP/s."""
    config = model.network.config
    D, F, V = config.hidden_size, config.intermediate_size, config.vocab_size
    x, h = torch.randn(batch, D), torch.randn(batch, F)
    wide = [torch.randn(D, n) for n in (3 * D, D, F, F)]
    down, head = torch.randn(F, D), torch.randn(D, V)
    operations = 2 * batch * (config.num_hidden_layers * (4 * D * D + 3 * D * F) + D * V)

    def step() -> None:
        for _ in range(config.num_hidden_layers):
            for weight in wide:
                torch.mm(x, weight)
            torch.mm(h, down)
        torch.mm(x, head)

    with torch.inference_mode():
        times = []
        for _ in range(7):
            start = time.process_time()
            for _ in range(20):
                step()
            times.append((time.process_time() - start) / 20)
    middle = statistics.median(times)
    return batch / middle, operations / middle / 1e9


def shares(run: Callable[[], object]) -> dict[str, float]:
    """Where a call's CPU time goes, by its tensor operations; the profiler makes Python's share too large."""
    kinds = {
        "matrix products": ("torch.mm", "torch.addmm"),
        "decode attention": ("torch.bmm", "torch.softmax"),
        "drawing": ("cumsum", "searchsorted", "torch.exp", "amax", "gather"),
    }
    profile = cProfile.Profile(time.process_time)
    profile.runcall(run)
    entries = [(str(entry.code), entry.inlinetime) for entry in profile.getstats()]
    whole = sum(seconds for _, seconds in entries)

    def named(code: str, name: str) -> bool:
        return f"{name}>" in code or f"'{name}'" in code  # functions of torch, methods of tensors

    out = {
        kind: sum(seconds for code, seconds in entries if any(named(code, n) for n in names)) / whole
        for kind, names in kinds.items()
    }
    return out | {"norms, rotations, copies, Python": 1 - sum(out.values())}


def equal_lengths(model: Model, batch: int, *, repeats: int) -> dict[str, Any]:
    tokens = 40
    prompts = [f"{i:05d}+{i * 7 % 99999:05d}" for i in range(batch)]
    ids = torch.from_numpy(np.stack(encode(model, prompts)[0]))
    endless = with_sampling(model, Sampling(max_tokens=tokens))
    endless.tokenizer.eos_token, end = None, endless.tokenizer.eos_token
    endless.network.generation_config.eos_token_id = None

    def theirs() -> int:
        with torch.no_grad():
            out = model.network.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=True, top_k=0,
                eos_token_id=None, pad_token_id=0,
            )  # fmt: skip
        return batch * (out.shape[1] - ids.shape[1])

    def ours() -> int:
        return int(sample_prompts(endless, prompts, n=1, seed=0).length_R.sum())

    a, b = interleaved(repeats, theirs, ours)
    if batch == 256:
        spent = ", ".join(f"{kind} {100 * part:.0f} %" for kind, part in shares(ours).items())
        print(f"our time at batch {batch}, width {model.network.config.hidden_size}: {spent}", flush=True)
    model.tokenizer.eos_token = end
    model.network.generation_config.eos_token_id = model.tokenizer.eos_token_id
    tokens_per_s, gflops = roof(model, batch)
    share = {"share_of_roof": b["per_cpu_s"] / tokens_per_s, "roof_gflops": gflops}
    return row(f"equal, batch {batch}", "tokens", a, b) | share


def mixed_lengths(model: Model, case: str, prompts: list[str], *, n: int, repeats: int) -> dict[str, Any]:
    P, tokens, batch, stop = len(prompts), 96, 256, tuple(f"#{i}" for i in range(10))
    settings = with_sampling(model, Sampling(max_tokens=tokens, stop=stop))
    rendered = encode(model, prompts)[0]
    pad_id, end_id = model.tokenizer.pad_token_id, model.tokenizer.eos_token_id

    def theirs() -> int:
        done = 0
        for first in range(0, P, batch // n):
            some = rendered[first : first + batch // n]
            width = max(map(len, some))
            ids = torch.tensor([[pad_id] * (width - len(i)) + i.tolist() for i in some])
            mask = (torch.arange(width) >= width - torch.tensor([[len(i)] for i in some])).long()
            with torch.no_grad():
                out = model.network.generate(
                    ids, attention_mask=mask, max_new_tokens=tokens, do_sample=True, top_k=0, pad_token_id=pad_id,
                    eos_token_id=end_id, num_return_sequences=n, stop_strings=list(stop), tokenizer=model.tokenizer,
                )  # fmt: skip
                whole = torch.cat([mask.repeat_interleave(n, 0), torch.ones_like(out[:, width:])], 1)
                logits = model.network(
                    out, attention_mask=whole, position_ids=(whole.cumsum(1) - 1).clamp(min=0)
                ).logits
                torch.log_softmax(logits[:, width - 1 : -1], -1).gather(2, out[:, width:, None])
            done += len(out)
        return done

    lengths: list[float] = []

    def ours() -> int:
        sampled = sample_prompts(settings, prompts, n=n, seed=0)
        lengths.append(float(sampled.length_R.mean()))
        return len(sampled.length_R)

    a, b = interleaved(repeats, theirs, ours)
    return row(f"mixed, stops, log-probs: {case}", "rollouts", a, b) | {"mean_tokens": lengths[0]}


def whole_arm(update: dict[str, Any], held_out: dict[str, Any]) -> dict[str, Any]:
    """All rollouts of one assistant in the loop: 24 updates of 32, then the 1,200 held-out ones."""
    parts = ((24 * 32, update), (1200, held_out))

    def rate(name: str) -> float:
        return sum(n for n, _ in parts) / sum(n / case[name] for n, case in parts)

    names = ("generate_per_s", "ours_per_s", "generate_per_cpu_s", "ours_per_cpu_s")
    theirs, ours, theirs_cpu, ours_cpu = (rate(name) for name in names)
    return row(
        "mixed, stops, log-probs: an assistant's whole training and grading", "rollouts",
        {"per_s": theirs, "per_cpu_s": theirs_cpu}, {"per_s": ours, "per_cpu_s": ours_cpu},
    )  # fmt: skip


def row(case: str, unit: str, theirs: dict[str, float], ours: dict[str, float]) -> dict[str, Any]:
    return {
        "case": case,
        "unit": unit,
        "generate_per_s": theirs["per_s"],
        "ours_per_s": ours["per_s"],
        "generate_per_cpu_s": theirs["per_cpu_s"],
        "ours_per_cpu_s": ours["per_cpu_s"],
        "ratio": ours["per_s"] / theirs["per_s"],
        "ratio_cpu": ours["per_cpu_s"] / theirs["per_cpu_s"],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shapes", default="64x3,128x4")
    parser.add_argument("--batches", default="1,32,256")
    parser.add_argument("--base", default="small", help="the bundled base whose rollouts of mixed lengths are timed")
    parser.add_argument("--only", choices=("equal", "mixed"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    models = {s: random_model(*map(int, s.split("x"))) for s in args.shapes.split(",")}
    rows = []
    if args.only != "mixed":
        for name, model in models.items():
            rows += [
                {"model": name, **equal_lengths(model, int(b), repeats=args.repeats)} for b in args.batches.split(",")
            ]
    if args.only != "equal":
        asked = [
            p.prompt for d in (4, 5, 6) for p in arithmetic.FAMILY.problems(split="test", n=400, seed=0, difficulty=d)
        ]
        for case, prompts, n in (("an update", asked[::150], 4), ("a held-out set", asked, 1)):
            found = mixed_lengths(base(args.base), case, prompts, n=n, repeats=args.repeats)
            rows.append({"model": args.base, **found})
        rows.append({"model": args.base, **whole_arm(*rows[-2:])})
    for line in rows:
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()})
    machine = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    print(json.dumps({"benchmark": "sampler", "repeats": args.repeats, **machine, "rows": rows}))


if __name__ == "__main__":
    main()
