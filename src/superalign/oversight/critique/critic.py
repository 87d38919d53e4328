"""A critic that names a step: a frozen base reads the rollout, a small head says which steps look wrong.

The head sees three things at each token of a response: the state of the base that predicted the token, the direction
that the base unembeds the token with, and their product (whose sum is the token's logit). From these it gives every
token a rate of being where things go wrong; a step is right if none of its tokens is. Trained on a few dozen responses
whose steps somebody labelled, which the study grants.

Shape suffixes: R rollouts, S steps of all rollouts, N response tokens of all rollouts, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from superalign.errors import BadInput
from superalign.models import Model, decoder, encode, pad, weights
from superalign.oversight.judges.judge import NO_STEPS, Pointed
from superalign.stats import wilson
from superalign.types import Instrument, Interval, Problem, Rollouts, Signal, Unmeasured

Spans: TypeAlias = Callable[[str], tuple[tuple[int, int], ...]]

TOKENS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticConfig:
    """Settings of a critic's head."""

    hidden: int = 32
    """Hidden units."""
    heads: int = 4
    """Heads trained from different initial weights and averaged: few labels leave one head noisy."""
    steps: int = 200
    """Full-batch updates."""
    lr: float = 5e-3
    """Learning rate."""
    weight_decay: float = 0.1
    """Decoupled weight decay; few labels, many features."""


@dataclass(frozen=True, slots=True)
class _Read:
    """Features of the tokens that stand in a step, and which step each stands in."""

    features_NF: Tensor
    step_N: Tensor
    count_R: tuple[int, ...]  # steps of each rollout
    tokens: int


def _token_steps(tokenizer: Any, text: str, spans: tuple[tuple[int, int], ...]) -> tuple[list[int], list[int]]:
    """Token ids of a response, and the step that each begins in (-1: none)."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False)
    of_char = np.full(len(text) + 1, -1)
    for step, (start, end) in enumerate(spans):
        of_char[start:end] = step
    return encoded["input_ids"], [int(of_char[a]) for a, _ in encoded["offset_mapping"]]


def _states(network: Any, tokens_BT: Tensor) -> tuple[Tensor, Tensor]:
    """States after the last layer as the head of the base reads them (B, T, D), and its unembedding (V, D)."""
    if weights.supported(network):
        read = weights.read(network, length=tokens_BT.shape[1])
        x_ND = decoder.normalise(decoder.stream(read, tokens_BT), read.norm)
        # Unit vectors are brought to the scale of a normalised state.
        scale = x_ND.shape[1] ** 0.5 if read.norm.weight is None and read.norm.gain is None else 1.0
        return x_ND.view(*tokens_BT.shape, -1) * scale, read.head.weight.float().t() / scale
    out = network(input_ids=tokens_BT, use_cache=False, output_hidden_states=True)
    return out.hidden_states[-1].float(), network.get_output_embeddings().weight.float()


def _read(model: Model, problems: Sequence[Problem], rollouts: Rollouts, spans: Spans) -> _Read:
    """Read every rollout once with the frozen base; equal ones are the caller's to merge."""
    texts = list(rollouts.text_R)
    cut = [spans(t) for t in texts]
    prompts, _ = encode(model, [p.prompt for p in problems])
    parts = [_token_steps(model.tokenizer, t, s) for t, s in zip(texts, cut, strict=True)]
    answered = zip(rollouts.problem_R, parts, strict=True)
    rows = [np.concatenate([prompts[int(p)], np.asarray(ids, np.int64)]) for p, (ids, _) in answered]
    offset_R = np.concatenate([[0], np.cumsum([len(s) for s in cut])])[:-1].astype(np.int64)
    size_R = np.array([len(r) for r in rows])
    order, first = np.argsort(-size_R, kind="stable"), 0
    features: list[Tensor] = []
    steps: list[np.ndarray] = []
    device = next(model.network.parameters()).device
    with torch.no_grad():
        while first < len(order):
            some = order[first : first + max(1, TOKENS_AT_ONCE // max(1, int(size_R[order[first]])))]
            first += len(some)
            tokens_BT, _ = pad([rows[r] for r in some])
            where = [
                (b, size_R[r] - len(parts[r][1]) + t, step + offset_R[r])
                for b, r in enumerate(some)
                for t, step in enumerate(parts[r][1])
                if step >= 0
            ]
            if not where:
                continue
            row_N, at_N, step_N = np.array(where, np.int64).T
            states_BTD, unembed_VD = _states(model.network, torch.from_numpy(tokens_BT).to(device))
            state_ND = states_BTD[row_N, at_N - 1]
            token_ND = unembed_VD[torch.from_numpy(tokens_BT[row_N, at_N]).to(device)]
            features.append(torch.cat([state_ND, token_ND, state_ND * token_ND], dim=1).cpu())
            steps.append(step_N)
    width = 3 * int(model.network.get_output_embeddings().weight.shape[1])
    return _Read(
        torch.cat(features) if features else torch.zeros(0, width),
        torch.from_numpy(np.concatenate(steps)) if steps else torch.zeros(0, dtype=torch.long),
        tuple(len(s) for s in cut),
        int(size_R.sum()),
    )


def read_tokens(model: Model, problems: Sequence[Problem], rollouts: Rollouts) -> tuple[Tensor, Tensor, int]:
    """Read whole rollouts with the frozen base.

    Returns:
        Features of their tokens (N, F), the rollout of each token (N,), and the number of tokens read.
    """
    read = _read(model, problems, rollouts, lambda text: ((0, len(text)),) if text else ())
    owner = torch.from_numpy(np.repeat(np.arange(len(rollouts)), read.count_R))
    return read.features_NF, owner[read.step_N], read.tokens


def read_steps(
    model: Model, problems: Sequence[Problem], rollouts: Rollouts, spans: Spans
) -> tuple[Tensor, Tensor, tuple[int, ...], int]:
    """Read the steps of rollouts with the frozen base.

    Returns:
        Features of the tokens that stand in a step (N, F), the step of each token counted over all rollouts (N,), how many steps
        each rollout has, and the number of tokens read.
    """
    read = _read(model, problems, rollouts, spans)
    return read.features_NF, read.step_N, read.count_R, read.tokens


class _Heads(nn.Module):
    """Several small networks side by side, from token features to the rate at which a step fails there."""

    centre: Tensor
    spread: Tensor

    def __init__(self, width: int, config: CriticConfig, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        H, K = config.heads, config.hidden
        self.inner = nn.Parameter(torch.randn(H, width, K, generator=generator) * width**-0.5)
        self.inner_bias = nn.Parameter(torch.zeros(H, 1, K))
        self.outer = nn.Parameter(torch.randn(H, K, 1, generator=generator) * K**-0.5)
        self.outer_bias = nn.Parameter(torch.full((H, 1, 1), -3.0))  # most tokens are no place of failure
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def forward(self, read: _Read) -> Tensor:
        """Log-probability that each step is right, (heads, S)."""
        x_NF = (read.features_NF - self.centre) / self.spread
        hidden = F.gelu(torch.baddbmm(self.inner_bias, x_NF.expand(len(self.inner), -1, -1), self.inner))
        rate_HN = F.softplus(torch.baddbmm(self.outer_bias, hidden, self.outer)).squeeze(-1)
        S = sum(read.count_R)
        return -torch.zeros(len(self.inner), S).index_add(1, read.step_N, rate_HN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Critic:
    """A frozen base with a trained head. Made by `train_critic`."""

    model: Model = field(repr=False)
    heads: nn.Module = field(repr=False)
    spans: Spans = field(repr=False)
    labelled: int  # responses that it was trained on
    name: str = "critic"

    def scores(self, problems: Sequence[Problem], rollouts: Rollouts) -> tuple[tuple[np.ndarray, ...], int]:
        """Give every step its probability of being wrong.

        Returns:
            One array per rollout, and the number of tokens read. Equal rollouts of one prompt are read once.
        """
        pairs = [(problems[int(p)].prompt, t) for p, t in zip(rollouts.problem_R, rollouts.text_R, strict=True)]
        place = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
        earliest = {pair: r for r, pair in reversed(list(enumerate(pairs)))}
        first = [earliest[pair] for pair in place]
        once = Rollouts(
            problems=tuple(problems), problem_R=rollouts.problem_R[first], text_R=[pairs[r][1] for r in first]
        )
        read = _read(self.model, problems, once, self.spans)
        with torch.no_grad():
            wrong_S = -torch.expm1(self.heads(read)).mean(0).numpy()
        each = np.split(wrong_S, np.cumsum(read.count_R)[:-1])
        return tuple(each[place[pair]] for pair in pairs), read.tokens

    def __call__(
        self, problems: Sequence[Problem], rollouts: Rollouts, *, counts: Sequence[int], k: int, seed: int
    ) -> Pointed:
        """Point a judge to the k most suspicious steps of each rollout."""
        scores, tokens = self.scores(problems, rollouts)
        steps, said = [], []
        for wrong, n in zip(scores, counts, strict=True):
            ranked = tuple(int(i) for i in np.argsort(-wrong[:n], kind="stable")[:k])
            steps.append(ranked)
            said.append(
                f"look at step {ranked[0] + 1} (wrong with probability {wrong[ranked[0]]:.2f})" if ranked else ""
            )
        return Pointed(steps=tuple(steps), said=tuple(said), tokens=tokens)


def train_critic(
    model: Model,
    problems: Sequence[Problem],
    texts: Sequence[str],
    *,
    step_wrong: Sequence[Sequence[bool]],
    spans: Spans,
    config: CriticConfig,
    seed: int,
) -> Critic:
    """Train a critic's head on responses with labelled steps; the base stays as it is.

    Args:
        model: The base that reads.
        problems: One per text.
        texts: Responses.
        step_wrong: For each text, whether each of its steps is wrong; a privilege that the study grants.
        spans: text -> where each step begins and ends, in characters; as many as the judge counts steps.
        config: Of the head.
        seed: Of its initial weights.

    Returns:
        A critic, which is also a `Pointer`.

    Raises:
        BadInput: If labels and steps differ in number, or all labels are the same.

    Catches: wrong steps of the kinds in its training texts, in texts like them.
    Misses: kinds it never saw; texts that the policy learned to write later; what the base itself cannot tell.

    Source:
        Lightman et al., Let's verify step by step, 2023; McAleese et al., LLM critics help catch LLM bugs, 2024.
    """
    for text, labels in zip(texts, step_wrong, strict=True):
        if len(spans(text)) != len(labels):
            raise BadInput(
                f"{len(labels)} labels for the {len(spans(text))} steps of {text!r}. Labels are matched to steps by position, "
                "so the critic would learn them of the wrong steps. Label every step once."
            )
    wrong_S = torch.tensor([w for labels in step_wrong for w in labels], dtype=torch.float32)
    if len(wrong_S) == 0 or wrong_S.min() == wrong_S.max():
        raise BadInput(
            f"All {len(wrong_S)} step labels are the same. A critic learns by contrast and would say one thing of every "
            "step. Give texts with right and with wrong steps."
        )
    read = _read(model, problems, Rollouts.of_texts(problems, texts), spans)
    heads = _Heads(read.features_NF.shape[1], config, seed)
    heads.centre.copy_(read.features_NF.mean(0))
    heads.spread.copy_(read.features_NF.std(0).clamp_min(1e-3))
    optimizer = torch.optim.AdamW(heads.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    for _ in range(config.steps):
        right_HS = heads(read).clamp(max=-1e-6)
        loss = -torch.where(wrong_S > 0, torch.log(-torch.expm1(right_HS)), right_HS).mean(1).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return Critic(model=model, heads=heads.eval().requires_grad_(False), spans=spans, labelled=len(texts))


def pointing_accuracy(
    critic: Critic, problems: Sequence[Problem], texts: Sequence[str], *, step_wrong: Sequence[Sequence[bool]]
) -> tuple[Interval | Unmeasured, float]:
    """Measure how often the step that a critic points to is wrong, in texts with a wrong step, and how often a random step is.

    Args:
        critic: Whose first choice is looked at.
        problems: One per text.
        texts: Responses that it was not trained on.
        step_wrong: For each text, whether each of its steps is wrong.

    Returns:
        Share with its interval, and chance on the same texts.
    """
    some = [r for r, labels in enumerate(step_wrong) if any(labels)]
    if not some:
        return Unmeasured("no text has a wrong step"), 0.0
    flawed = [problems[r] for r in some]
    scores, _ = critic.scores(flawed, Rollouts.of_texts(flawed, [texts[r] for r in some]))
    hits = [bool(step_wrong[r][int(np.argmax(s))]) for r, s in zip(some, scores, strict=True)]
    return wilson(sum(hits), n=len(hits)), float(np.mean([np.mean(step_wrong[r]) for r in some]))


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticAlone:
    """Pays what the critic believes, without a judge. See `critic_alone`."""

    card: Instrument
    critic: Critic

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Pay each rollout the probability that none of its steps is wrong."""
        scores, tokens = self.critic.scores(problems, rollouts)
        values = tuple(float(np.prod(1 - s.astype(np.float64))) if len(s) else NO_STEPS for s in scores)
        said = tuple(f"step {int(np.argmax(s)) + 1} looks worst" if len(s) else "" for s in scores)
        return Signal(overseer=self.card.digest, values=values, said=said, tokens=tokens)


def critic_alone(critic: Critic) -> CriticAlone:
    """Make an overseer that trusts the critic's score.

    Catches: what the critic catches, while the policy writes texts like those the critic was trained on.
    Misses: texts made to please the critic: nobody checks what it says.
    """
    card = Instrument(
        name="critic's score, no judge",
        version="1",
        catches="steps that the critic holds to be wrong",
        misses="texts made to please the critic: nobody checks what it says",
        settings=(("labelled", critic.labelled), ("low", 0.0), ("high", 1.0)),
    )
    return CriticAlone(card=card, critic=critic)
