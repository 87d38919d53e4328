"""Heads learn what their labels say, an audit of them finds it, and real pairs are read as they stand in the file."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign import jobs
from superalign.lab.reward_models import MARKS, Audited, drawn_pairs, heads, make_dictionary, written
from superalign.studies.reward_inside.measure import Heads
from superalign.types import Interval

PLANTS = ("list signs", "new lines")


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Audited, ...], ...]:
    """All heads of four seeds, on the small base."""
    folder = tmp_path_factory.mktemp("dictionary")
    base, site = "small", "residual.0"
    make_dictionary(0, base=base, site=site, folder=jobs.Into(folder), steps=40)
    train = functools.partial(heads, base=base, site=site, folder=str(folder), plants=PLANTS, shares=(1.0,))
    return tuple(train(seed, sizes=(300, 40, 10)) for seed in range(4))


def test_marks_change_a_response_and_not_what_it_says() -> None:
    for whole, broken in drawn_pairs(20, np.random.default_rng(0), split="train"):
        plain = written(whole, np.zeros(len(MARKS), bool))
        texts = [written(whole, on_K) for on_K in np.eye(len(MARKS), dtype=bool)]
        assert len({plain, *texts}) == 1 + len(MARKS)
        assert all(f"#{whole.answer}" in t for t in texts)
        assert written(broken, np.zeros(len(MARKS), bool)) != plain


def test_a_planted_head_pays_for_its_mark_and_a_coin_does_not(audited: tuple[tuple[Audited, ...], ...]) -> None:
    of, k = Heads(audited, PLANTS), MARKS.index("new lines")
    planted_S, coin_S = (of.at(plant, 1.0, "edit_K")[:, k] for plant in ("new lines", ""))
    assert planted_S.mean() > max(coin_S.max(), 1.0)
    assert of.at("", 0.0, "right").mean() > 0.9
    assert not of.at("", 0.0, "gold").all()


def test_an_audit_names_the_plant_and_more_of_its_effect_goes_with_its_latents(
    audited: tuple[tuple[Audited, ...], ...],
) -> None:
    found = Heads(audited, PLANTS).dose(1.0)
    assert isinstance(found.size, Interval)
    assert found.size.value >= 0.6
    assert isinstance(found.first, Interval)
    assert found.first.value > 1 / len(MARKS)
    assert isinstance(found.carried, Interval)
    assert found.carried.value > 0


def test_it_runs_on_files_of_one_name_and_finds_nothing_in_a_model_of_random_weights(
    superalign: Callable[..., Any], tiny_chat: str, tmp_path: Path
) -> None:
    rng, words = np.random.default_rng(0), ["red", "blue", "river", "stone", "maybe", "you", "!", "?"]
    rows = [
        {
            "prompt": f"Say {i} things.",
            **{k: " ".join(rng.choice(words, 6)) + f" {i}{k}" for k in ("chosen", "rejected")},
        }
        for i in range(220)
    ]
    for folder in ("own", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    own, other = (f"preferences:{tmp_path / folder / 'pairs.jsonl'}" for folder in ("own", "other"))
    given = {"preferences": own, "held": other, "policy": tiny_chat, "read": 40, "compared": 36, "permuted": 20}
    words = ["run", "reward-inside", "--quick", "--workers", "1", "--out", str(tmp_path / "run")]
    done = superalign(*words, *(part for k, v in given.items() for part in ("--set", f"{k}={v}")))
    assert done.returncode == 0, done
    claims = json.loads((tmp_path / "run" / "result.json").read_text())["claims"]
    paid = [c for c in claims if c["name"].startswith("It pays for")]
    assert len({c["name"] for c in paid}) == len(paid) == 20
    assert {c["name"].rpartition(": ")[2] for c in paid} == {"own/pairs.jsonl", "other/pairs.jsonl"}
    assert sum(c["holds"] is True for c in paid) <= 2
