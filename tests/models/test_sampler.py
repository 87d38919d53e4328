from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from superalign.errors import BadInput, ConfigError
from superalign.models import (
    Model,
    Sampling,
    encode,
    engines,
    response_logprobs,
    sample_prompts,
    sampler,
    with_sampling,
)
from superalign.models.noise import rollout_keys, uniforms
from superalign.models.sampler import choose
from superalign.types import Policy, Problem

PROMPTS = ("5+3*2-4", "1+1", "is it so?", "9*8-7+6-5", "7", "ab c")


def generate(model: Model, prompt: str, tokens: int) -> np.ndarray:
    ids = torch.from_numpy(encode(model, [prompt])[0][0])[None]
    out = model.network.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, pad_token_id=0, eos_token_id=2
    )
    return out[0, ids.shape[1] :].numpy()


@pytest.mark.parametrize("rows", [2, 256])
def test_greedy_equals_generate(model: Model, rows: int) -> None:
    greedy = with_sampling(model, Sampling(temperature=0, max_tokens=24))
    sampled = sample_prompts(greedy, PROMPTS, n=1, seed=0, rows=rows)
    for r, prompt in enumerate(PROMPTS):
        assert sampled.tokens_RT[r, : sampled.length_R[r]].tolist() == generate(model, prompt, 24).tolist()
    assert (sampled.logprobs_RT == 0).all()  # a greedy choice was certain


@pytest.mark.parametrize("engine", ["decoder", "module"])
def test_logprobs_equal_a_fresh_forward(model: Model, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine == "module":
        monkeypatch.setattr(engines.weights, "supported", lambda _: False)
    sampled = sample_prompts(with_sampling(model, Sampling(max_tokens=24)), PROMPTS, n=3, seed=1, rows=7)
    monkeypatch.undo()
    prompts = [PROMPTS[p] for p in sampled.prompt_R]
    tokens = [row[:size].tolist() for row, size in zip(sampled.tokens_RT, sampled.length_R, strict=True)]
    fresh_RT, length_R = response_logprobs(model, prompts, tokens)
    assert (length_R == sampled.length_R).all()
    assert np.abs(fresh_RT - sampled.logprobs_RT[:, : fresh_RT.shape[1]]).max() < 2e-5
    assert sampled.length_R.max() == 24
    shifted = np.abs(fresh_RT[1:] - sampled.logprobs_RT[:-1, : fresh_RT.shape[1]]).max()
    assert shifted > 1e-2  # the comparison can fail


@pytest.mark.parametrize("engine", ["decoder", "module"])
def test_rollouts_share_a_row_until_they_part(model: Model, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = {"decoder": engines.DecoderEngine, "module": engines.CacheEngine}[engine]
    if engine == "module":
        monkeypatch.setattr(engines.weights, "supported", lambda _: False)
    stepped: list[int] = []
    step = kind.step

    def counted(self: engines.Engine, token_B: np.ndarray) -> torch.Tensor:
        stepped.append(len(token_B))
        return step(self, token_B)

    monkeypatch.setattr(kind, "step", counted)
    cool = with_sampling(model, Sampling(temperature=0.1, max_tokens=24))
    sampled = sample_prompts(cool, PROMPTS[:3], n=8, seed=1, rows=16)
    monkeypatch.undo()
    tokens = [row[:size].tolist() for row, size in zip(sampled.tokens_RT, sampled.length_R, strict=True)]
    fresh_RT, _ = response_logprobs(model, [PROMPTS[p] for p in sampled.prompt_R], tokens)
    assert np.abs(fresh_RT - sampled.plain_RT[:, : fresh_RT.shape[1]]).max() < 2e-5  # also behind the parting
    assert min(stepped) < max(stepped) <= 16
    assert sum(stepped) < 0.9 * (sampled.length_R - 1).sum()
    assert len({tuple(t) for t in tokens}) > 3


def test_a_rollout_does_not_depend_on_its_company(model: Model) -> None:
    model = with_sampling(model, Sampling(max_tokens=24))
    whole = sample_prompts(model, PROMPTS, n=4, seed=5).tokens_RT.reshape(len(PROMPTS), 4, -1)
    order = [3, 0, 5, 1, 4, 2]
    permuted = sample_prompts(model, [PROMPTS[i] for i in order], n=4, seed=5, rows=5)
    assert (permuted.tokens_RT.reshape(len(PROMPTS), 4, -1) == whole[order]).all()
    for p, prompt in enumerate(PROMPTS[:2]):
        alone = sample_prompts(model, [prompt], n=2, seed=5)
        assert (alone.tokens_RT == whole[p, :2]).all()
    other = sample_prompts(model, PROMPTS, n=4, seed=6).tokens_RT.reshape(len(PROMPTS), 4, -1)
    assert (other != whole).any(2).mean() > 0.9
    assert (whole[:, 0] != whole[:, 1]).any()


def test_any_other_architecture_samples_too(make: Callable[[str], Model]) -> None:
    model = make("olmo2")
    greedy = with_sampling(model, Sampling(temperature=0, max_tokens=12))
    sampled = sample_prompts(greedy, PROMPTS[:3], n=1, seed=0)
    for r, prompt in enumerate(PROMPTS[:3]):
        assert sampled.tokens_RT[r, : sampled.length_R[r]].tolist() == generate(model, prompt, 12).tolist()


@pytest.mark.parametrize("pairs", [sampler.PAIRS, 0], ids=["small vocabulary", "large vocabulary"])
def test_stop_strings_end_a_rollout(make: Callable[[str], Model], pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "PAIRS", pairs)
    free = with_sampling(make("llama"), Sampling(max_tokens=40))
    cut = with_sampling(free, Sampling(max_tokens=40, stop=("e", "0+", "}")))
    before, after = (sample_prompts(m, PROMPTS, n=8, seed=2) for m in (free, cut))
    hits = 0
    for r, (long, short) in enumerate(zip(before.text_R, after.text_R, strict=True)):
        ends = [long.index(s) + len(s) for s in cut.sampling.stop if s in long]
        assert short == (long[: min(ends)] if ends else long)
        if ends:
            hits += 1
            assert after.stopped_R[r]
            assert short.endswith(cut.sampling.stop)
    assert 0 < hits < len(after.text_R)
    assert (after.logprobs_RT[np.arange(40)[None] >= after.length_R[:, None]] == 0).all()


def test_end_token_is_part_of_the_rollout_but_not_of_the_text(make: Callable[[str], Model]) -> None:
    sampled = sample_prompts(with_sampling(make("llama"), Sampling(max_tokens=60)), PROMPTS, n=8, seed=0)
    ended = np.flatnonzero(sampled.stopped_R)
    assert 0 < len(ended) < len(sampled.stopped_R)
    for r in ended:
        assert sampled.tokens_RT[r, sampled.length_R[r] - 1] == 2
        assert len(sampled.text_R[r]) <= sampled.length_R[r] - 1
    assert (sampled.length_R[~sampled.stopped_R] == 60).all()


def truncated(logits_V: np.ndarray, temperature: float, top_p: float) -> np.ndarray:
    """The distribution of temperature and top-p by the definition, one token at a time."""
    p_V = np.exp(logits_V / temperature - np.max(logits_V / temperature))
    p_V /= p_V.sum()
    kept, mass = [], 0.0
    for v in np.argsort(-p_V, kind="stable"):
        if mass >= top_p:
            break
        kept.append(v)
        mass += p_V[v]
    out_V = np.zeros_like(p_V)
    out_V[kept] = p_V[kept] / mass
    return out_V


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (1.0, 0.8), (1.5, 0.5), (1.0, 0.05)])
def test_draws_follow_the_exact_distribution(temperature: float, top_p: float) -> None:
    logits_V = np.random.default_rng(3).normal(0, 2, 30)
    exact_V = truncated(logits_V, temperature, top_p)
    n = 40_000
    logits_BV = torch.from_numpy(logits_V.astype(np.float32)).expand(n, -1)
    grid_B = (np.arange(n) + 0.5) / n  # an even grid turns the draw into the distribution itself
    token_B, logprob_B, plain_B = choose(logits_BV, grid_B, sampling=Sampling(temperature=temperature, top_p=top_p))
    share_V = np.bincount(token_B.numpy(), minlength=30) / n
    assert np.abs(share_V - exact_V).max() < 2 / n
    assert np.allclose(np.exp(logprob_B.numpy()), exact_V[token_B.numpy()], rtol=1e-5)
    plain_V = truncated(logits_V, 1.0, 1.0)
    assert np.allclose(np.exp(plain_B.numpy()), plain_V[token_B.numpy()], rtol=1e-5)


def test_extreme_numbers_pick_tokens_with_probability() -> None:
    logits_BV = torch.tensor([[-torch.inf, 0.0, -1.0, -torch.inf]]).expand(2, -1)
    top = uniforms(np.zeros(1, np.uint64), tokens=1).max() * 0 + (1 - 2.0**-52)
    token_B, _, _ = choose(logits_BV, np.array([1e-300, top]), sampling=Sampling())
    assert token_B.tolist() == [1, 2]


def test_a_model_is_a_policy(make: Callable[[str], Model]) -> None:
    model = with_sampling(make("llama"), Sampling(max_tokens=8, temperature=0.8))
    assert isinstance(model, Policy)
    problems = tuple(Problem(prompt=p, family="f", difficulty=1, split="test") for p in PROMPTS)
    rollouts = model.sample(problems, n=2, seed=3)
    assert len(rollouts) == 12
    row = rollouts[3]
    assert row.problem == problems[1].digest
    assert row.policy == model.subject.digest
    assert len(row.tokens) == len(row.logprobs) == rollouts.length_R[3]


def test_plain_logprobs_are_the_trainers(make: Callable[[str], Model]) -> None:
    model = with_sampling(make("llama"), Sampling(max_tokens=12, temperature=0.6, top_p=0.9))
    sampled = sample_prompts(model, PROMPTS, n=2, seed=0)
    tokens = [row[:size].tolist() for row, size in zip(sampled.tokens_RT, sampled.length_R, strict=True)]
    fresh_RT, _ = response_logprobs(model, [PROMPTS[p] for p in sampled.prompt_R], tokens)
    assert np.abs(fresh_RT - sampled.plain_RT[:, : fresh_RT.shape[1]]).max() < 2e-5
    assert (sampled.logprobs_RT >= sampled.plain_RT - 1e-5).mean() > 0.6


def test_no_prompts_no_rollouts(make: Callable[[str], Model]) -> None:
    assert len(sample_prompts(make("llama"), [], n=3, seed=0).text_R) == 0


def test_bad_settings_are_refused(make: Callable[[str], Model]) -> None:
    with pytest.raises(ConfigError):
        Sampling(temperature=-1)
    with pytest.raises(ConfigError):
        Sampling(stop=("",))
    with pytest.raises(BadInput, match="positions"):
        sample_prompts(with_sampling(make("gpt2"), Sampling(max_tokens=95)), PROMPTS, n=1, seed=0)
    with pytest.raises(BadInput, match="one prompt per character"):
        sample_prompts(make("llama"), "abc", n=1, seed=0)


def test_keys_reach_the_draw() -> None:
    u = uniforms(rollout_keys([1], n=2, seed=0), tokens=3)
    token_B, _, _ = choose(torch.zeros(2, 10), u[:, 0], sampling=Sampling())
    assert token_B.tolist() == np.floor(u[:, 0] * 10).astype(int).tolist()
