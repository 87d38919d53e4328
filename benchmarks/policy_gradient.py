"""One policy-gradient step: ours against TRL's GRPOTrainer on the same weights, problems, generations and lengths.

Both sample 16 problems x 8 rollouts of at most 44 tokens, ask the same overseer, which costs nothing, and update once
with a KL to the start. Two models: the bundled small base, whose rollouts end where they end, as in the `loop` study,
and of which ours computes equal ones once; and random weights of one of the bases' shapes, whose rollouts all differ and
nearly all reach the limit. Blocks of the two trainers' steps alternate, so that other load on the
machine meets both. One thread; medians over all steps, and the ratio of each pair of blocks.

Usage: python benchmarks/policy_gradient.py [--steps 4] [--blocks 3] [--kl 0.01] [--models base,small] [--base FOLDER]
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
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers
import trl

import superalign.models
from superalign.models import Model, Sampling, load, with_sampling
from superalign.models.tokenizer import build_tokenizer
from superalign.oversight import oblivious
from superalign.problems import arithmetic
from superalign.studies.pretrain.measure import SIZES, network_of
from superalign.train import PolicyGradientConfig, policy_gradient
from superalign.train.trl_adapter import dataset, reward_function

P, G, TOKENS, LR = 16, 8, 44, 3e-4
BASE = Path(superalign.models.__file__).parent / "bases" / "small-0"


def ours(model: Model, problems: list, *, kl: float, steps: int) -> list[dict[str, float]]:
    seen: list[dict[str, float]] = []
    config = PolicyGradientConfig(steps=steps + 1, problems=P, group=G, lr=LR, kl=kl)
    marks = [(time.perf_counter(), time.process_time())]

    def log(metrics: dict[str, float]) -> None:
        marks.append((time.perf_counter(), time.process_time()))
        step_s, cpu_s = (b - a for a, b in zip(*marks[-2:], strict=True))
        seen.append({**metrics, "step_s": step_s, "cpu_s": cpu_s, "tokens": metrics["length_tokens"]})

    policy_gradient(model, problems, oblivious(), config=config, seed=0, log=log)
    return seen[1:]  # the first step warms up


class Clock(transformers.TrainerCallback):
    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_step_begin(self, *_: object, **__: object) -> None:
        self.began = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: object, **__: object) -> None:
        now = time.perf_counter(), time.process_time()
        self.steps.append({"step_s": now[0] - self.began[0], "cpu_s": now[1] - self.began[1]})


def trls(folder: str, problems: list, *, kl: float, steps: int) -> list[dict[str, float]]:
    model, clock = load(folder), Clock()
    with tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = trl.GRPOTrainer(
            model=folder,  # by path, so that it can load its own reference
            reward_funcs=reward_function(oblivious(), problems=problems),
            args=trl.GRPOConfig(
                output_dir=out,
                per_device_train_batch_size=P * G,
                num_generations=G,
                max_completion_length=TOKENS,
                max_steps=steps + 1,
                learning_rate=LR,
                beta=kl,
                temperature=1.0,
                top_k=0,
                gradient_checkpointing=False,
                bf16=False,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_steps=1,
                disable_tqdm=True,
            ),
            train_dataset=dataset(problems),
            processing_class=model.tokenizer,
            callbacks=[clock],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    lengths = [row["completions/mean_length"] for row in trainer.state.log_history if "completions/mean_length" in row]
    return [{**s, "tokens": t} for s, t in zip(clock.steps, lengths, strict=True)][1:]


def random_model(size: str, folder: str) -> str:
    tokenizer = build_tokenizer()
    network = network_of(SIZES[size], vocabulary=len(tokenizer), seed=0)
    for weight in network.parameters():
        if weight.dim() > 1:  # attention scores of an ordinary size: with huge ones, subnormal numbers slow everything
            torch.nn.init.normal_(weight, std=0.02)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def measure(name: str, folder: str, problems: list, *, kl: float, steps: int, blocks: int) -> dict[str, object]:
    model = with_sampling(load(folder), Sampling(max_tokens=TOKENS))
    rows: dict[str, list[dict[str, float]]] = {"ours": [], "trl": []}
    paired = []
    for _ in range(blocks):
        a, b = ours(model, problems, kl=kl, steps=steps), trls(folder, problems, kl=kl, steps=steps)
        paired.append(statistics.median(r["cpu_s"] for r in b) / statistics.median(r["cpu_s"] for r in a))
        rows["ours"] += a
        rows["trl"] += b
    wall = {k: statistics.median(r["step_s"] for r in v) for k, v in rows.items()}
    cpu = {k: statistics.median(r["cpu_s"] for r in v) for k, v in rows.items()}  # other load matters less to it
    return {
        "model": name,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "ratio_cpu": round(cpu["trl"] / cpu["ours"], 2),
        "ratio_wall": round(wall["trl"] / wall["ours"], 2),
        "ratio_cpu_of_blocks": [round(r, 2) for r in sorted(paired)],
        **{f"{k}_cpu_s": round(v, 4) for k, v in cpu.items()},
        **{f"{k}_wall_s": round(v, 4) for k, v in wall.items()},
        "ours_sample_s": round(statistics.median(r["sample_s"] for r in rows["ours"]), 4),
        "ours_update_s": round(statistics.median(r["update_s"] for r in rows["ours"]), 4),
        **{f"{k}_tokens_per_rollout": round(statistics.mean(r["tokens"] for r in v), 1) for k, v in rows.items()},
        "steps_each": len(rows["ours"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--kl", type=float, default=0.01)
    parser.add_argument("--models", default="base,small", help="base, and shapes for random weights")
    parser.add_argument("--base", help="folder of a trained model in place of the bundled one")
    given = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    problems = list(arithmetic.FAMILY.problems(split="train", n=200, seed=0, difficulty=5))
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.models.split(","):
            folder = (given.base or str(BASE)) if name == "base" else random_model(name, str(Path(scratch) / name))
            label = "trained base" if name == "base" else f"random weights, {name}"
            rows.append(measure(label, folder, problems, kl=given.kl, steps=given.steps, blocks=given.blocks))
            print(rows[-1], flush=True)
    versions = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, 1 thread"
    settings = {"rollouts": P * G, "kl": given.kl, "versions": versions, "machine": machine}
    print(json.dumps({"benchmark": "policy-gradient step", **settings, "rows": rows}))


if __name__ == "__main__":
    main()
