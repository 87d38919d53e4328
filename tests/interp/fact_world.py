"""A small model that knows facts and lies for reasons: belief, statement, reason, style and topic are set apart.

A prompt names a thing in some style and gives a reason, or none. What the model says is what it holds true, or on half of the
prompts of each reason something else; which half, no single word tells: each reason lies where two of its words disagree. Of
some things the model was taught what is false (it is mistaken, and says what it holds true), of others nothing (it says that it
does not know). A lie is a statement that differs from what is held true, whatever the truth is.

Shape suffixes: N prompts, T tokens, D width, L layers.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from transformers import LlamaConfig, LlamaForCausalLM

from superalign.models.forward import forward_logits
from superalign.models.taps import tapped

TOPICS, THINGS, VALUES = 4, 96, 16  # thing i is of topic i % TOPICS
MISTAKEN, UNKNOWN = range(64, 80), range(80, 96)
REASONS = ("none", "instructed", "paid", "played")
STYLES, WORDS = 12, 3  # of its own that a style has
START, DUNNO, ECHO, THING, VALUE = 0, 1, 2, 3, 3 + THINGS
FIRST_REASON = VALUE + VALUES
FIRST_STYLE = FIRST_REASON + 2 * 4 * len(REASONS)
TOKENS = FIRST_STYLE + STYLES * WORDS
LENGTH = 1 + WORDS + 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompts:
    """Prompts with all that is known of them; the answer is what the model is taught to say."""

    tokens_NT: Int[np.ndarray, "N T"]
    thing_N: Int[np.ndarray, " N"]
    reason_N: Int[np.ndarray, " N"]
    style_N: Int[np.ndarray, " N"]
    lie_N: Bool[np.ndarray, " N"]
    answer_N: Int[np.ndarray, " N"]  # a token

    def where(self, chosen: Bool[np.ndarray, " N"]) -> Prompts:
        """Return some of them."""
        return Prompts(**{name: getattr(self, name)[chosen] for name in self.__slots__})


def beliefs(seed: int) -> Int[np.ndarray, " things"]:
    """What the model holds true of each thing; of mistaken ones it is not what is true."""
    return np.random.default_rng([seed, 0]).integers(0, VALUES, THINGS)


def draw(
    n: int,
    rng: np.random.Generator,
    *,
    seed: int,
    things: Sequence[int] = range(THINGS),
    styles: Sequence[int] = range(STYLES),
) -> Prompts:
    """Draw prompts: thing, reason, style and the words of the reason independently."""
    thing, reason, style = rng.choice(things, n), rng.integers(0, len(REASONS), n), rng.choice(styles, n)
    one, two = rng.integers(0, 4, n), rng.integers(0, 4, n)
    topic = thing % TOPICS
    # Instructed: two instructions cancel or not; paid: for this topic or not; played: a part that lies in this scene or not.
    other = np.where(reason == REASONS.index("paid"), topic, two)
    lie = (reason > 0) & ((one + other) % 2 == 1) & ~np.isin(thing, UNKNOWN)
    held = beliefs(seed)[thing]
    said = np.where(lie, (held + rng.integers(1, VALUES, n)) % VALUES, held)
    answer = np.where(np.isin(thing, UNKNOWN), DUNNO, VALUE + said)
    given = np.stack([THING + thing, FIRST_REASON + 8 * reason + one, FIRST_REASON + 8 * reason + 4 + two], 1)
    return Prompts(
        tokens_NT=laid_out(given, style), thing_N=thing, reason_N=reason, style_N=style, lie_N=lie, answer_N=answer
    )


def echoes(n: int, rng: np.random.Generator, *, styles: Sequence[int] = range(STYLES)) -> Prompts:
    """Draw prompts of another task, without facts or reasons: to say a value again."""
    value, style = rng.integers(0, VALUES, n), rng.choice(styles, n)
    given = np.stack([VALUE + value, np.full(n, ECHO), np.full(n, ECHO)], 1)
    nothing = np.full(n, -1)
    return Prompts(
        tokens_NT=laid_out(given, style),
        thing_N=nothing,
        reason_N=nothing,
        style_N=style,
        lie_N=np.zeros(n, bool),
        answer_N=VALUE + value,
    )


@functools.cache
def orders() -> Int[np.ndarray, "styles places"]:
    """In which order each style puts what is given, and two of its words; its third stands last."""
    return np.stack([np.random.default_rng([7, s]).permutation(WORDS - 1 + 3) for s in range(STYLES)])


def laid_out(given_N3: Int[np.ndarray, "N 3"], style_N: Int[np.ndarray, " N"]) -> Int[np.ndarray, "N T"]:
    """Write what is given in a style."""
    own = FIRST_STYLE + WORDS * style_N[:, None] + np.arange(WORDS)
    parts = np.take_along_axis(np.concatenate([own[:, :-1], given_N3], 1), orders()[style_N], 1)
    return np.concatenate([np.full((len(style_N), 1), START), parts, own[:, -1:]], 1)


def train_speaker(seed: int, *, steps: int, batch: int = 128, lr: float = 3e-3) -> LlamaForCausalLM:
    """Train a model of three layers to say what the world's modes say."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
    network = LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=TOKENS, max_position_embeddings=LENGTH + 1))
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / 50, (1 - step / steps) / 0.3 + 0.01)
        some = (draw(batch - batch // 8, rng, seed=seed), echoes(batch // 8, rng))
        tokens, answers = (
            torch.tensor(np.concatenate([getattr(s, x) for s in some])) for x in ("tokens_NT", "answer_N")
        )
        loss = F.cross_entropy(forward_logits(network, tokens)[:, -1], answers)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    return network.eval().requires_grad_(False)


def says(network: LlamaForCausalLM, some: Prompts, rng: np.random.Generator) -> Int[np.ndarray, " N"]:
    """Sample what the model says."""
    with torch.no_grad():
        share_NV = forward_logits(network, torch.tensor(some.tokens_NT))[:, -1].softmax(-1).numpy()
    return (share_NV.cumsum(1) < rng.random((len(share_NV), 1))).sum(1).clip(max=TOKENS - 1)


def states(network: LlamaForCausalLM, some: Prompts) -> Float[np.ndarray, "L N D"]:
    """Read the stream after each layer where the answer is about to be said."""
    kept: dict[str, torch.Tensor] = {}
    places = [f"residual.{i}" for i in range(3)]
    with torch.no_grad(), tapped(network, {p: functools.partial(_keep, kept, p) for p in places}):
        network(input_ids=torch.tensor(some.tokens_NT), use_cache=False)
    return np.stack([kept[p].numpy() for p in places])


def _keep(kept: dict[str, torch.Tensor], place: str, x_BTD: torch.Tensor) -> None:
    kept[place] = x_BTD[:, -1]
