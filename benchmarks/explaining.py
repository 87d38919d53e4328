"""How many units a second are explained and scored, and how many test examples of delphi's own sampler stood in its train set.

Units: all neurons and heads of two middle bases over what bundled bases read, on two processes, a network each, as `run explain`
does with a network and its random twin; the forward is in it. The target is 500 a second on two cores.

Leak: delphi draws train and test examples of a latent from one list. Its sampler runs here, where it is installed, on contexts of
the same neurons; an explanation that only remembers its train contexts is then asked which of its test contexts activate. Ours
splits by document, so the same memory is of little use.

Usage: python benchmarks/explaining.py [--tokens 10000] [--units 40]
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superalign import jobs
from superalign.explanations.texts import TEST, TRAIN
from superalign.interp.layers import calls_of, embedded, run_layer
from superalign.lab.corpora import Reading
from superalign.lab.explained_network import NetworkJob, bank_of, explain_network, faster_in_half
from superalign.lab.unit_rows import NetworkDone
from superalign.models import open_weights

POLICY, OTHER = "middle", "middle-1"
CONTEXT, TRAINED, TESTED, QUANTILES = 32, 40, 50, 10  # delphi's defaults


def whole(job: NetworkJob) -> tuple[NetworkDone, float]:
    torch.set_num_threads(1)
    warm = Path(str(job.folder)) / "warm"
    warm.mkdir(parents=True)
    small = NetworkJob(
        policy="small", reading=Reading(tokens=2000, window=64), explained_on=(), folder=jobs.Into(warm), each=4
    )
    explain_network(small)  # what is compiled once is compiled here
    bank_of(job.policy, job.reading, job.explained_on)
    began = time.perf_counter()
    done = explain_network(job)
    return done, time.perf_counter() - began


def speed(tokens: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2) as pool:
        reading, fast = Reading(tokens=tokens, window=64), faster_in_half(POLICY)
        both = [
            NetworkJob(policy=name, reading=reading, explained_on=(), folder=jobs.Into(Path(folder, name)), half=fast)
            for name in (POLICY, OTHER)
        ]
        found = list(pool.map(whole, both))
    units = sum(done.units for done, _ in found)
    return {
        "units": units,
        "tokens": sum(found[0][0].tokens),
        "wall_s": max(s for _, s in found),
        "per_s": units / max(s for _, s in found),
        "search_cpu_s": sum(done.search_s for done, _ in found),
        "forward_cpu_s": sum(done.forward_s for done, _ in found),
    }


def contexts(units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens and activations of windows of some neurons, and the split of each window's document."""
    model = open_weights(POLICY)
    bank = bank_of(POLICY, Reading(tokens=60_000, window=CONTEXT), ())
    texts = bank.texts
    calls, stream = calls_of(model, texts), embedded(model, texts)
    for number in range(2):
        layer = run_layer(model, number, calls, stream, texts)
    values_WTU = np.zeros((*texts.tokens_WT.shape, units), np.float32)
    values_WTU[texts.scored_WT] = np.maximum(layer.neurons_NU[:, :units].astype(np.float32), 0)
    return texts.tokens_WT, values_WTU, texts.split_D[texts.document_W]


def remembered(train: list[Any]) -> set[tuple[int, ...]]:
    """All that an explanation could know which only copies its train contexts."""
    return {tuple(example.tokens.tolist()) for example in train}


def leak(units: int) -> dict[str, Any]:
    try:
        samplers = importlib.import_module("delphi.latents.samplers")
        latents = importlib.import_module("delphi.latents.latents")
    except ImportError as error:
        return {"missing": f"delphi is not installed ({error.name or error})"}
    tokens_WT, values_WTU, split_W = contexts(units)
    shares, copied, fresh, spent = [], [], [], []
    for u in range(units):
        active = np.flatnonzero(values_WTU[..., u].max(1) > 0)
        order = active[np.argsort(-values_WTU[active, :, u].max(1), kind="stable")]
        some = [
            latents.ActivatingExample(
                tokens=torch.from_numpy(tokens_WT[w]), activations=torch.from_numpy(values_WTU[w, :, u])
            )
            for w in order
        ]
        most = float(values_WTU[..., u].max())
        began = time.process_time()
        train = samplers.train(some, most, TRAINED, "quantiles", QUANTILES)
        test = samplers.test(some, most, TESTED, QUANTILES, "quantiles")
        spent.append(time.process_time() - began)
        known = remembered(train)
        shares.append(sum(tuple(e.tokens.tolist()) in known for e in test) / len(test))
        # Detection on 50 that activate and 50 that do not: a memory says yes to what it has seen, and to nothing else.
        copied.append((shares[-1] + 1) / 2)
        ours = {tuple(tokens_WT[w].tolist()) for w in order if split_W[w] == TRAIN}
        held = [w for w in order if split_W[w] == TEST]
        fresh.append((np.mean([tuple(tokens_WT[w].tolist()) in ours for w in held]) + 1) / 2)
    return {
        "units": units,
        "examples": len(order),
        "leaked": statistics.mean(shares),
        "memory_detects": statistics.mean(copied),
        "memory_detects_by_document": float(np.mean(fresh)),
        "ms_a_unit": 1e3 * statistics.median(spent),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=40)
    given = parser.parse_args()
    found = speed(given.tokens)
    print(
        f"{found['units']} units of {POLICY} and {OTHER} over {found['tokens']:,} tokens: {found['per_s']:.0f} a second on two "
        f"processes (wanted: 500); CPU seconds: search {found['search_cpu_s']:.1f}, forward {found['forward_cpu_s']:.1f}"
    )
    peer = leak(given.units)
    print(
        f"delphi: {peer['missing']}"
        if "missing" in peer
        else f"delphi's sampler, {peer['units']} neurons: {peer['leaked']:.0%} of test examples stood in train; a memory of "
        f"train contexts detects at {peer['memory_detects']:.2f}, split by document at "
        f"{peer['memory_detects_by_document']:.2f} (.50 is chance)"
    )
    print(json.dumps({"speed": found, "delphi": peer}))


if __name__ == "__main__":
    main()
