"""Inputs of real models, circuits of them, and the whole study on a model of random weights."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.errors import DataError
from superalign.interp.patching import components
from superalign.lab.circuit_inputs import inputs
from superalign.models import open_weights
from superalign.problems.text_pairs import TextPair, read_pairs
from superalign.studies.circuits.measure import ModelJob, effects, gradients, kept

WORDS = "cat dog car book tree house bird horse cup door road king".split()
JOB = ModelJob(policy="middle", pairs="", train=4, test=6, seed=0, steps=2, recheck=4)


def pairs_file(folder: Path, words: list[str]) -> str:
    rows = [
        {"clean_prefix": f"The {a}", "patch_prefix": f"The {b}", "clean_answer": " is", "patch_answer": " are"}
        for w in words
        for a, b in ((w, f"{w}s"), (f"{w}s", w))
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(folder / "pairs.jsonl")


def test_chains_are_read_before_the_result_of_their_first_step() -> None:
    model = open_weights("middle")
    some = {s: inputs(model, "", split=s, n=12, seed=0) for s in ("train", "test")}
    clean = {s: {tuple(row) for row in p.clean_BT.tolist()} for s, p in some.items()}
    assert not clean["train"] & clean["test"]
    logits = model.network(input_ids=some["test"].clean_BT).logits
    assert (some["test"].metric(logits) > 0).float().mean() > 0.9  # the base knows which result is right


def test_pairs_that_differ_in_the_same_words_are_one_unit() -> None:
    first = TextPair(clean="The men", corrupt="The man", right=" go", wrong=" goes")
    assert first.unit == TextPair(clean="The man", corrupt="The men", right=" is", wrong=" are").unit


def test_units_of_a_file_are_halved_and_too_few_are_refused(tiny_chat: str, tmp_path: Path) -> None:
    model, path = open_weights(tiny_chat), pairs_file(tmp_path, WORDS)
    halves = [inputs(model, path, split=s, n=99, seed=0) for s in ("train", "test")]
    seen = [
        {tuple(sorted(p)) for p in zip(h.clean_BT[:, -1].tolist(), h.corrupt_BT[:, -1].tolist(), strict=True)}
        for h in halves
    ]
    assert not seen[0] & seen[1]
    assert len(seen[0]) == len(halves[0].at_B) >= 4
    with pytest.raises(DataError, match="at least 8 different words"):
        inputs(model, pairs_file(tmp_path, WORDS[:3]), split="train", n=4, seed=0)


def test_pairs_without_two_answers_are_refused(tmp_path: Path) -> None:
    row = {"clean_prefix": "a", "patch_prefix": "b", "clean_answer": " is", "patch_answer": " is"}
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="Line 1 of"):
        read_pairs(tmp_path / "p.jsonl")


def test_a_real_model_is_patched_attributed_and_kept_in_part() -> None:
    names = components(open_weights("middle").network)
    job = ModelJob(
        policy="middle", pairs="", train=4, test=6, seed=0, steps=2, recheck=4, names=names, sizes=(0, 10, 20)
    )
    exact_CB = effects(job)
    assert exact_CB.shape == (20, 4)
    some = gradients(JOB)
    assert some.atp_CB.shape == (20, 4)
    assert some.edges == 479
    metrics_2KB = kept(job)
    assert np.allclose(metrics_2KB[0, 0], metrics_2KB[1, 2])  # nothing kept, and everything taken away
    assert np.allclose(metrics_2KB[0, 2], metrics_2KB[1, 0])
    assert metrics_2KB[0, 2].mean() > metrics_2KB[0, 0].mean()


@pytest.mark.slow
def test_it_runs_on_a_model_of_random_weights_and_finds_no_behaviour_to_keep(
    superalign: Callable[..., Any], tiny_chat: str, tmp_path: Path
) -> None:
    given = {"policy": tiny_chat, "pairs": pairs_file(tmp_path, WORDS)}
    words = ["run", "circuits", "--quick", "--workers", "1", "--out", str(tmp_path / "run")]
    done = superalign(*words, *(part for k, v in given.items() for part in ("--set", f"{k}={v}")))
    assert done.returncode == 0, done
    claims = json.loads((tmp_path / "run" / "result.json").read_text())["claims"]
    assert any("exact patching" in c["name"] for c in claims)


def real_pairs() -> str:
    repository = Path(__file__).resolve().parents[3]
    for folder in (repository.parent / "shared" / "data", Path(os.environ.get("SUPERALIGN_DATA", "/nowhere"))):
        path = folder / "feature-circuits" / "simple_train.jsonl"
        if path.is_file():
            return str(path)
    pytest.skip("feature-circuits is neither in ../shared/data nor in $SUPERALIGN_DATA")


@pytest.mark.slow
def test_it_finds_what_carries_agreement_in_a_real_model_by_few_pairs(
    superalign: Callable[..., Any], smollm2: str, tmp_path: Path
) -> None:
    given = {"policy": smollm2, "pairs": real_pairs(), "train": 4, "test": 4, "size": 0.25}
    words = ["run", "circuits", "--quick", "--workers", "1", "--out", str(tmp_path / "run")]
    done = superalign(*words, *(part for k, v in given.items() for part in ("--set", f"{k}={v}")))
    assert done.returncode == 0, done
    claims = json.loads((tmp_path / "run" / "result.json").read_text())["claims"]
    exact = next(c for c in claims if "by exact patching keep more" in c["name"])
    assert exact["value"] > 0.0
