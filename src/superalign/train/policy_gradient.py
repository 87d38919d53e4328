"""One policy-gradient loop: sample, ask an overseer, follow the advantages, stay near where it started.

A step: G rollouts of each of P problems at the model's own sampling settings; one value per rollout; advantages within
each group; one or more clipped updates. The log-probs of sampler and update come from one forward, which the first
update of a run asserts.

KL is that of the policy to the model that was passed in, per response token: "exact" sums over the whole vocabulary at
each visited state, which is affordable while logits are small; "k3" looks at the sampled token alone.

Shape suffixes: P problems, G group, R rollouts (R = P * G), N response tokens of all rollouts, V vocabulary.
"""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from superalign.errors import ConfigError
from superalign.models import Model, Sampled, check_whole, encode, sample_prompts, weights, weights_digest
from superalign.train.advantages import columns, group_normalised, leave_one_out
from superalign.train.fit import Log, how_far, load_checkpoint, save_checkpoint
from superalign.train.forward import Layout, Opened, lay_out, opened, response_logits
from superalign.train.losses import clipped_gain, kl_exact, kl_k3
from superalign.types import Overseer, Problem, Rollouts, Subject

RATIO_TOLERANCE = 1e-4
TOKENS_AT_ONCE = 16_384  # of one forward and backward; bounds its memory
TOKENS_IN_CACHE = 4096  # the same on a CPU: larger chunks wait for memory, smaller ones for Python


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyGradientConfig:
    """Settings of a policy-gradient run."""

    steps: int = 60
    """Rounds of sampling."""
    problems: int = 16
    """Problems per step (P)."""
    group: int = 8
    """Rollouts per problem (G)."""
    lr: float = 3e-4
    """Learning rate."""
    advantage: Literal["leave one out", "group normalised"] = "leave one out"
    """What a value is compared with."""
    epochs: int = 1
    """Updates per step; the clip matters from the second on."""
    clip_ratio: float = 0.2
    """How far a token's probability ratio may move before its gradient is cut."""
    kl: float = 0.01
    """Weight of the KL to the model that was passed in, in units of value per nat."""
    kl_estimator: Literal["exact", "k3"] = "exact"
    """How the KL is estimated; see the top of the file."""
    clip_norm: float = 1.0
    """Largest norm of a gradient."""
    save_every: int = 20
    """Steps between two checkpoints, where a checkpoint path is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """Some rollouts, their response tokens one after the other."""

    layout: Layout
    token_N: Tensor
    old_N: Tensor  # log-prob as sampled
    advantage_N: Tensor
    weight_N: Tensor  # how many equal rollouts this one stands for
    reference_NV: Tensor | None = None


def _chunks(network: Any, ids_P: Sequence[np.ndarray], sampled: Sampled, advantage_R: np.ndarray) -> Iterator[_Chunk]:
    """Cut a step's rollouts into chunks; equal rollouts with equal advantages are computed once."""
    device = next(network.parameters()).device
    most = TOKENS_IN_CACHE if device.type == "cpu" else TOKENS_AT_ONCE
    responses = [tokens_T[:n].astype(np.int64) for tokens_T, n in zip(sampled.tokens_RT, sampled.length_R, strict=True)]
    keys = list(zip(sampled.prompt_R.tolist(), (r.tobytes() for r in responses), advantage_R.tolist(), strict=True))
    count = collections.Counter(keys)
    earliest = {key: r for r, key in reversed(list(enumerate(keys)))}
    # Those of about one length go together, so that little is padded.
    left = sorted(earliest.values(), key=lambda r: (-len(responses[r]), -len(ids_P[keys[r][0]]), r))
    longest = max(map(len, ids_P))
    while left:
        rows = max(1, most // (longest + len(responses[left[0]])))
        some, left = left[:rows], left[rows:]
        lengths = [len(responses[r]) for r in some]
        old_N = np.concatenate([sampled.logprobs_RT[r, :n] for r, n in zip(some, lengths, strict=True)])
        advantage_N = np.repeat(advantage_R[some], lengths).astype(np.float32)
        weight_N = np.repeat([count[keys[r]] for r in some], lengths).astype(np.float32)
        yield _Chunk(
            layout=lay_out(ids_P, [responses[r] for r in some], of_B=sampled.prompt_R[some], device=device),
            token_N=torch.from_numpy(np.concatenate([responses[r] for r in some])).to(device),
            old_N=torch.from_numpy(old_N).to(device),
            advantage_N=torch.from_numpy(advantage_N).to(device),
            weight_N=torch.from_numpy(weight_N).to(device),
        )


def _logprobs(network: Any, start: Opened | None, chunk: _Chunk, temperature: float) -> Tensor:
    """Log-probs of every token at every response position, as the sampler would draw them: (N, V)."""
    logits_NV = response_logits(network, start, chunk.layout)
    return torch.log_softmax(logits_NV if temperature == 1 else logits_NV / temperature, dim=-1)


def _chunk_loss(logprobs_NV: Tensor, chunk: _Chunk, config: PolicyGradientConfig) -> tuple[Tensor, dict[str, float]]:
    """Sum over a chunk's tokens of the clipped objective and the KL, and what there is to report of it."""
    new_N = logprobs_NV.gather(1, chunk.token_N[:, None]).squeeze(1)
    gain_N, ratio_N = clipped_gain(new_N, chunk.old_N, chunk.advantage_N, clip=config.clip_ratio)
    kl_N = torch.zeros_like(gain_N)
    if chunk.reference_NV is not None and config.kl_estimator == "exact":
        kl_N = kl_exact(logprobs_NV, chunk.reference_NV)
    elif chunk.reference_NV is not None:
        kl_N = kl_k3(new_N, chunk.reference_NV.squeeze(1))
    with torch.no_grad():
        measured = {
            "kl_nats_per_token": float(kl_N @ chunk.weight_N),
            "entropy_nats_per_token": -float((logprobs_NV.exp() * logprobs_NV).sum(1) @ chunk.weight_N),
            "clipped_fraction": float(((ratio_N - 1).abs() > config.clip_ratio).float() @ chunk.weight_N),
            "ratio_deviation": float((ratio_N - 1).abs().max()),
        }
    return -(gain_N - config.kl * kl_N) @ chunk.weight_N, measured


def _with_reference(
    network: Any,
    ids_P: Sequence[np.ndarray],
    chunks: list[_Chunk],
    *,
    temperature: float,
    config: PolicyGradientConfig,
    length: int,
) -> list[_Chunk]:
    """Add to each chunk what the KL compares with."""
    if config.kl == 0:
        return chunks
    out = []
    with torch.inference_mode(), opened(network, ids_P, length=length) as start:
        for chunk in chunks:
            logprobs_NV = _logprobs(network, start, chunk, temperature)
            if config.kl_estimator == "k3":
                logprobs_NV = logprobs_NV.gather(1, chunk.token_N[:, None])
            out.append(dataclasses.replace(chunk, reference_NV=logprobs_NV))
    return out


def _update(
    network: Any,
    optimizer: torch.optim.Optimizer,
    ids_P: Sequence[np.ndarray],
    chunks: list[_Chunk],
    *,
    temperature: float,
    config: PolicyGradientConfig,
    length: int,
) -> dict[str, float]:
    """One pass over a step's rollouts and one step of the optimizer."""
    tokens = sum(float(c.weight_N.sum()) for c in chunks)
    measured: dict[str, float] = {}
    optimizer.zero_grad(set_to_none=True)
    with opened(network, ids_P, length=length) as start:
        for chunk in chunks:
            loss, part = _chunk_loss(_logprobs(network, start, chunk, temperature), chunk, config)
            (loss / tokens).backward()
            worst = max(measured.get("ratio_deviation", 0.0), part["ratio_deviation"])
            measured = {k: measured.get(k, 0.0) + v / tokens for k, v in part.items()} | {"ratio_deviation": worst}
    trainable = [p for p in network.parameters() if p.requires_grad]
    norm = torch.nn.utils.clip_grad_norm_(trainable, config.clip_norm)
    optimizer.step()
    return {**measured, "gradient_norm": float(norm)}


def _updates(
    model: Model,
    policy: Model,
    optimizer: torch.optim.Optimizer,
    ids_P: Sequence[np.ndarray],
    sampled: Sampled,
    advantage_R: np.ndarray,
    config: PolicyGradientConfig,
) -> dict[str, float]:
    """All updates on one step's rollouts."""
    exact = all(p.dtype == torch.float32 for p in policy.network.parameters())
    cut = list(_chunks(policy.network, ids_P, sampled, advantage_R))
    about: dict[str, Any] = {
        "temperature": model.sampling.temperature,
        "config": config,
        "length": max(map(len, ids_P)) + int(sampled.length_R.max()),
    }
    chunks = _with_reference(model.network, ids_P, cut, **about)
    measured: dict[str, float] = {}
    for epoch in range(config.epochs):
        part = _update(policy.network, optimizer, ids_P, chunks, **about)
        measured = {**part, "ratio_deviation": measured.get("ratio_deviation", part["ratio_deviation"])}
        # Another forward in the update than in the sampler would make every later number mean something else.
        assert epoch or not exact or part["ratio_deviation"] < RATIO_TOLERANCE, part["ratio_deviation"]
    return measured


def _check(model: Model, config: PolicyGradientConfig, pool: int) -> None:
    check_whole(model, "training it")
    if model.sampling.temperature == 0 or model.sampling.top_p < 1:
        raise ConfigError(
            f"{model.sampling} does not sample from the policy itself. Gradients are then of another distribution than the "
            "rollouts came from. Set temperature above 0 and top_p to 1."
        )
    if pool < config.problems or config.group < 2 or min(config.steps, config.problems, config.epochs) < 1:
        raise ConfigError(
            f"{config} with {pool} problems cannot run. Each step draws its problems without repeats and compares rollouts "
            "within a group of at least 2. Give more problems, or lower `problems`."
        )


def policy_gradient(
    model: Model,
    problems: Sequence[Problem],
    overseer: Overseer,
    *,
    config: PolicyGradientConfig,
    seed: int,
    log: Log | None = None,
    checkpoint: Path | None = None,
) -> Model:
    """Train a copy of a model to earn what an overseer gives.

    Args:
        model: Where to start, and the reference of the KL. It is left as it is; with LoRA only the adapter is trained.
        problems: The pool that each step draws from.
        overseer: Called once per step with that step's problems and rollouts and a fresh seed.
        config: Steps, sizes, rates.
        seed: Of the draws of problems, the rollouts and the overseer.
        log: Called every step with value_mean (of measured values), unmeasured (rollouts), checks, overseer_tokens,
            kl_nats_per_token, entropy_nats_per_token, length_tokens, ratio_deviation, clipped_fraction, gradient_norm,
            times, and how far the run is.
        checkpoint: File to resume from and to save to; nothing is saved without it.

    Returns:
        The trained model with a `Subject` that says how it came to be.

    Raises:
        ConfigError: If the sampling settings or the sizes cannot be trained with.
        BadInput: If the overseer returns the wrong number of values, or one that is not finite.

    Source:
        Williams, Simple statistical gradient-following algorithms, 1992; Schulman et al., Proximal policy optimization
        algorithms, 2017; Schulman, Approximating KL divergence, 2020 (k3).
    """
    _check(model, config, len(problems))
    frozen = (p for p in model.network.parameters() if not p.requires_grad)
    policy = dataclasses.replace(model, network=weights.beside(model.network, frozen).eval())
    trainable = [p for p in policy.network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=config.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    begun = load_checkpoint(checkpoint, policy.network, optimizer)
    centre = {"leave one out": leave_one_out, "group normalised": group_normalised}[config.advantage]
    began = time.perf_counter()
    for step in range(begun, config.steps):
        rng = np.random.default_rng([seed, step])
        asked = tuple(problems[int(i)] for i in rng.choice(len(problems), config.problems, replace=False))
        sample_seed, overseer_seed = (int(s) for s in rng.integers(0, 2**31, 2))
        started = time.perf_counter()
        ids_P, _ = encode(policy, [p.prompt for p in asked])
        sampled = sample_prompts(policy, [p.prompt for p in asked], n=config.group, seed=sample_seed)
        sampled_at = time.perf_counter()
        signal = overseer(asked, _rollouts(asked, sampled, sample_seed), seed=overseer_seed)
        values_R, measured_R = columns(signal, rollouts=len(sampled.prompt_R))
        shape = (config.problems, config.group)
        advantage_R = centre(values_R.reshape(shape), measured_PG=measured_R.reshape(shape)).ravel()
        judged_at = time.perf_counter()
        measured = _updates(model, policy, optimizer, ids_P, sampled, advantage_R, config)
        ended = time.perf_counter()
        if log is not None:
            log({
                **how_far(step + 1, config.steps, begun, ended - began),
                "value_mean": float(values_R[measured_R].mean()) if measured_R.any() else float("nan"),
                "unmeasured": int((~measured_R).sum()),
                "checks": signal.checks,
                "overseer_tokens": signal.tokens,
                "length_tokens": float(sampled.length_R.mean()),
                **measured,
                "sample_s": sampled_at - started,
                "overseer_s": judged_at - sampled_at,
                "update_s": ended - judged_at,
            })  # fmt: skip
        if checkpoint is not None and ((step + 1) % config.save_every == 0 or step + 1 == config.steps):
            save_checkpoint(checkpoint, step + 1, policy.network, optimizer)
    return dataclasses.replace(policy, subject=_subject(model, policy.network, overseer, config, seed))


def _rollouts(asked: tuple[Problem, ...], sampled: Sampled, seed: int) -> Rollouts:
    return Rollouts(
        problems=asked,
        problem_R=sampled.prompt_R,
        text_R=sampled.text_R,
        thinking_R=sampled.thinking_R,
        tokens_RT=sampled.tokens_RT,
        logprobs_RT=sampled.logprobs_RT,
        length_R=sampled.length_R,
        stopped_R=sampled.stopped_R,
        seed=seed,
    )


def _subject(model: Model, network: Any, overseer: Overseer, config: PolicyGradientConfig, seed: int) -> Subject:
    name = getattr(getattr(overseer, "card", None), "name", type(overseer).__name__)
    settings = tuple((f.name, getattr(config, f.name)) for f in dataclasses.fields(config))
    return Subject(
        weights=weights_digest(network),
        base=model.subject.digest,
        how=f"policy gradient under {name}",
        config=settings,
        seed=seed,
    )
