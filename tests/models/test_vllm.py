"""vLLM behind the seam, against a fake that keeps to its documented interface and samples with our own model."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from superalign import models
from superalign.detectors import BaseDifference, CueSweep
from superalign.errors import BadInput, ConfigError
from superalign.models import Sampling, base, fake_vllm, with_sampling
from superalign.models.vllm import VllmPolicy
from superalign.policy_names import bundled, check_weights, kind_of
from superalign.types import Interval, Problem, Unmeasured

ASKED = tuple(
    Problem(prompt=p, family="arithmetic", difficulty=1, split="test")
    for p in ("5+3", "9-2", "4*2", "8-1", "7+1", "6-3")
)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> VllmPolicy:
    monkeypatch.setitem(sys.modules, "vllm", fake_vllm)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    policy = models.open(f"vllm:{bundled('small')}", over_api=Sampling(temperature=0.0, max_tokens=48))
    assert isinstance(policy, VllmPolicy)
    return policy


def test_greedy_rollouts_are_those_of_the_model_itself(served: VllmPolicy) -> None:
    ours = with_sampling(base("small"), served.sampling).sample(ASKED, n=2, seed=0)
    theirs = served.sample(ASKED, n=2, seed=0)
    assert list(theirs.text_R) == list(ours.text_R)
    width = theirs.tokens_RT.shape[1]
    assert np.array_equal(theirs.tokens_RT, ours.tokens_RT[:, :width])
    assert np.array_equal(theirs.length_R, ours.length_R)
    assert np.array_equal(theirs.stopped_R, ours.stopped_R)
    assert np.allclose(theirs.logprobs_RT, ours.logprobs_RT[:, :width], atol=1e-5)
    assert theirs.policy == served.subject.digest != ours.policy


def test_log_probs_are_of_the_distribution_that_was_sampled_from(served: VllmPolicy) -> None:
    hot = replace(served, sampling=Sampling(temperature=1.7, max_tokens=24))
    found = hot.sample(ASKED, n=3, seed=1)
    again = hot.sample(ASKED, n=3, seed=1)
    assert np.array_equal(found.tokens_RT, again.tokens_RT)
    assert len(set(found.text_R)) > len(ASKED)
    assert (found.logprobs_RT[found.tokens_RT > 0] <= 0).all()
    plain = replace(served, sampling=Sampling(temperature=1.7, max_tokens=24))
    raw = fake_vllm.LLM(model=str(bundled("small")), logprobs_mode="raw_logprobs")
    wrong = replace(plain, engine=replace(plain.engine, generate=raw.generate)).sample(ASKED, n=3, seed=1)
    assert np.array_equal(wrong.tokens_RT, found.tokens_RT)
    assert not np.allclose(wrong.logprobs_RT, found.logprobs_RT, atol=1e-3)


def test_detectors_that_need_texts_alone_look_at_it_and_others_say_why_not(served: VllmPolicy) -> None:
    reads = BaseDifference(base=base("small"), problems=ASKED, cues=(), max_tokens=48)
    assert isinstance(reads(served, seed=0).score, Interval | Unmeasured)
    sweeps = CueSweep(problems=ASKED, cues=("red",))(served, seed=0).score
    assert isinstance(sweeps, Unmeasured)
    assert "only samples" in sweeps.why


@pytest.mark.parametrize("lost", ["a request", "log-probs"])
def test_what_an_engine_leaves_out_is_refused(served: VllmPolicy, lost: str) -> None:
    whole = served.engine.generate

    def less(prompts: object, params: object, *, use_tqdm: bool) -> list[fake_vllm.RequestOutput]:
        done = whole(prompts, params, use_tqdm=use_tqdm)
        if lost == "a request":
            return list(done[1:])
        return [
            fake_vllm.RequestOutput(outputs=[replace(one, logprobs=None) for one in request.outputs])  # type: ignore[type-var]
            for request in done
        ]

    broken = replace(served, engine=replace(served.engine, generate=less))
    with pytest.raises(BadInput, match="vLLM returned"):
        broken.sample(ASKED, n=1, seed=0)


def test_names_are_refused_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not installed"):
        kind_of(f"vllm:{bundled('small')}")
    with pytest.raises(BadInput, match="no model at"):
        kind_of(f"vllm:{tmp_path / 'nowhere'}")
    with pytest.raises(ConfigError, match="whole weights"):
        kind_of("vllm:small")
    with pytest.raises(ConfigError, match="needs its weights"):
        check_weights(f"vllm:{bundled('small')}")


def test_an_engine_that_does_not_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: object) -> None:
        raise RuntimeError("no accelerator was found\nand more")

    monkeypatch.setattr(fake_vllm, "LLM", fails)
    monkeypatch.setitem(sys.modules, "vllm", fake_vllm)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(BadInput, match=r"could not start .* \(no accelerator was found\)"):
        models.open(f"vllm:{bundled('small')}")
