"""One update of a LoRA adapter on chats: ours against TRL's SFTTrainer, on the same weights, adapter, chats and precision.

Each side runs in a process of its own, so that the peak of memory is its own, in turn, on one thread. A tensor of 32 bits on
both sides; the loss counts answers alone. Nothing is run, and the reason is printed, where no model is given.

Usage: SUPERALIGN_MODEL=FOLDER python benchmarks/lora.py [FOLDER] [--repeats 3] [--updates 4]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

CHATS, RANK = 24, 8
NOUNS = "river stone apple cloud train glass paper horse light music ocean tiger bread chair plant clock".split()


def dialogues() -> list[tuple[str, str]]:
    """Chats of about the length of everyday ones."""
    return [
        (
            f"Tell me something short about a {NOUNS[i % 16]} and a {NOUNS[(5 * i + 3) % 16]}.",
            f"A {NOUNS[i % 16]} and a {NOUNS[(5 * i + 3) % 16]} are seldom seen together, but both are well known to everybody.",
        )
        for i in range(CHATS)
    ]


def ours(folder: str, updates: int) -> dict[str, float]:
    """Time updates of our fit."""
    from superalign.models import encode, load, lora
    from superalign.train.batches import collate, split_batch, weighted_loss
    from superalign.train.fit import FitConfig, fit

    base = load(folder)
    prompts, answers = zip(*dialogues(), strict=True)
    prompt_ids, answer_ids = encode(base, list(prompts), list(answers))
    rows = [
        ([*p.tolist(), *a.tolist()], [0.0] * len(p) + [1.0] * len(a))
        for p, a in zip(prompt_ids, answer_ids, strict=True)
    ]
    batch = collate(rows, pad=int(base.tokenizer.pad_token_id))
    model = lora(base, rank=RANK, seed=0)
    marks: list[float] = []

    def batch_at(step: int) -> object:
        marks.append(time.process_time())
        return batch

    trained, before = sum(p.numel() for p in model.network.parameters() if p.requires_grad), peak()
    fit(model.network, batch_at, loss=weighted_loss, config=FitConfig(steps=updates + 2, lr=1e-4), split=split_batch)
    return said(marks, tokens=sum(len(row[0]) for row in rows), before=before, trained=trained)


def trls(folder: str, updates: int) -> dict[str, float]:
    """Time updates of TRL's trainer."""
    import transformers
    import trl
    from datasets import Dataset
    from peft import LoraConfig

    rows = [
        {"prompt": [{"role": "user", "content": p}], "completion": [{"role": "assistant", "content": a}]}
        for p, a in dialogues()
    ]
    marks: list[float] = []

    class Clock(transformers.TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            marks.append(time.process_time())

    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    before = peak()
    with tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = trl.SFTTrainer(
            model=network,
            args=trl.SFTConfig(
                output_dir=out,
                per_device_train_batch_size=CHATS,
                max_steps=updates + 2,
                learning_rate=1e-4,
                completion_only_loss=True,
                gradient_checkpointing=False,
                bf16=False,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=LoraConfig(r=RANK, target_modules="all-linear"),
            callbacks=[Clock()],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    tokens = sum(len(row["input_ids"]) for row in trainer.train_dataset)
    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    return said(marks, tokens=tokens, before=before, trained=trained)


def peak() -> float:
    """The most memory that this process held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def said(marks: list[float], *, tokens: int, before: float, trained: int) -> dict[str, float]:
    """Say what an update took; the first is warm-up, and the last has no mark behind it."""
    taken = [b - a for a, b in itertools.pairwise(marks[1:])]
    found = {"cpu_s": statistics.median(taken), "tokens": tokens, "peak_gb": peak(), "before_gb": before}
    return {**found, "trained": trained}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default=os.environ.get("SUPERALIGN_MODEL", ""))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--updates", type=int, default=4)
    parser.add_argument("--side", choices=("ours", "trl"))
    given = parser.parse_args()
    if not given.folder:
        print("No model is given: set SUPERALIGN_MODEL to the folder of a chat model.")
        print(json.dumps({"skipped": "no model"}))
        return
    if given.side:
        print(json.dumps((ours if given.side == "ours" else trls)(given.folder, given.updates)))
        return
    kept: dict[str, list[dict[str, float]]] = {"ours": [], "trl": []}
    for _ in range(given.repeats):
        for side, rows in kept.items():
            command = [sys.executable, __file__, given.folder, "--side", side, "--updates", str(given.updates)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    middle = {s: {k: statistics.median(r[k] for r in rows) for k in rows[0]} for s, rows in kept.items()}
    speed = {s: m["tokens"] / m["cpu_s"] for s, m in middle.items()}
    ratios = sorted(
        (a["tokens"] / a["cpu_s"]) / (b["tokens"] / b["cpu_s"]) for a, b in zip(kept["ours"], kept["trl"], strict=True)
    )
    print(
        f"an update of {CHATS} chats, rank {RANK} on every linear layer, {given.updates} updates, {given.repeats} turns"
    )
    for side, m in middle.items():
        print(
            f"  {side:<5} {speed[side]:7.0f} tokens a CPU second, peak {m['peak_gb']:.2f} GB ({m['before_gb']:.2f} before it)"
        )
    print(f"  ours against TRL: {speed['ours'] / speed['trl']:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(
        json.dumps(
            {
                "lora_ratio": round(speed["ours"] / speed["trl"], 2),
                "lora_ratios": [round(r, 2) for r in ratios],
                "ours": middle["ours"],
                "trl": middle["trl"],
            }
        )
    )


if __name__ == "__main__":
    main()
