"""Language models in seats: real architectures with random weights know nothing, and an API is read strictly."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from superalign.models import Model, Sampling
from superalign.models.api import ApiPolicy, Ask, Connect, Reply
from superalign.models.tokenizer import build_tokenizer
from superalign.oversight import check_overseer
from superalign.oversight.judges.language_model import (
    MALFORMED,
    ApiParticipant,
    LocalParticipant,
    participant_judge,
    read_answer,
)
from superalign.oversight.judges.prompted import Critique, Debate
from superalign.stats import clopper_pearson
from superalign.types import Interval, Problem, Rollouts, Subject, Unmeasured

torch.set_num_threads(1)
TOKENIZER = build_tokenizer()
SIZE: dict[str, Any] = {"vocab_size": len(TOKENIZER), "eos_token_id": TOKENIZER.eos_token_id, "bos_token_id": None}
SHAPE: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
WIDE = {**SHAPE, "max_position_embeddings": 900}
NETWORKS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZE, **WIDE, initializer_range=0.5)),
    "qwen2": lambda: Qwen2ForCausalLM(
        Qwen2Config(**SIZE, **WIDE, num_key_value_heads=2, initializer_range=0.5, use_sliding_window=False)
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(**SIZE, n_embd=32, n_layer=1, n_head=2, n_positions=900, initializer_range=0.5)
    ),
}


def local(kind: str, seed: int = 0, max_tokens: int = 8) -> LocalParticipant:
    torch.manual_seed(seed)
    model = Model(
        network=NETWORKS[kind]().eval(),
        tokenizer=TOKENIZER,
        subject=Subject(weights=f"{kind} {seed}", base="", how="random"),
        sampling=Sampling(),
    )
    return LocalParticipant(model=model, name=kind, sampling=Sampling(max_tokens=max_tokens))


def sums(n: int) -> tuple[list[Problem], list[str], np.ndarray]:
    """Sums, every other one wrong."""
    rng = np.random.default_rng(0)
    pairs = [(int(a), int(b)) for a, b in rng.integers(10, 99, (n, 2))]
    asked = [
        Problem(prompt=f"{a}+{b} ({i})", family="sums", difficulty=1, split="train") for i, (a, b) in enumerate(pairs)
    ]
    right = np.arange(n) % 2 == 0
    return asked, [f"#{a + b + (0 if ok else 1)}" for (a, b), ok in zip(pairs, right, strict=True)], right


@pytest.mark.parametrize("kind", NETWORKS)
def test_random_weights_judge_at_chance_whatever_is_said(kind: str) -> None:
    asked, texts, right = sums(120)
    rollouts = Rollouts.of_texts(asked, texts)
    hits = []
    for seed in range(3):
        seat = local(kind, seed)
        for play in (None, Critique(agent=local(kind, 9))):
            values = participant_judge(seat, play=play)(asked, rollouts, seed=seed).values
            assert all(isinstance(v, float) and 0 < v < 1 for v in values)
            hits += [(float(v) > 0.5) == bool(ok) for v, ok in zip(values, right, strict=True)]  # type: ignore[arg-type]
    found = clopper_pearson(sum(hits), n=len(hits), confidence=0.999)
    assert isinstance(found, Interval)
    assert found.low < 0.5 < found.high


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_seated_model_is_an_overseer(kind: str, problems: Any, rollouts: Rollouts) -> None:
    seat = local(kind)
    check_overseer(participant_judge(seat), problems, rollouts)
    check_overseer(
        participant_judge(seat, play=Debate(first=seat, second=local(kind, 1), rounds=1)), problems, rollouts
    )


def test_a_model_made_to_say_yes_says_yes() -> None:
    """Its last layer is set so that yes, or no, always comes next: the belief must follow."""
    for word, sure in (("yes", True), ("no", False), (" no", False)):
        seat = local("llama")
        network = seat.model.network
        (token,) = TOKENIZER(word)["input_ids"]
        with torch.no_grad():
            direction = torch.randn(32, generator=torch.Generator().manual_seed(1))
            network.lm_head.weight.zero_()
            network.lm_head.weight[token] = direction
            # Every state becomes that direction: nothing is added to an embedding that is the same for all tokens.
            network.model.embed_tokens.weight[:] = 100 * direction
        found = seat.believe(["Is it? yes or no", "And this?"], seed=0).values
        assert all((float(v) > 0.9) if sure else (float(v) < 0.1) for v in found), (word, found)  # type: ignore[arg-type]


def test_a_prompt_that_is_too_long_is_unmeasured() -> None:
    seat = local("llama")
    found = seat.believe(["short", "x" * 2000], seed=0)
    assert isinstance(found.values[0], float)
    assert found.values[1] == Unmeasured("the prompt is longer than the model can read")
    said = seat.say(["x" * 2000, "short"], n=2, seed=0)
    assert [isinstance(t, Unmeasured) for t in said.texts] == [True, True, False, False]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("yes", True), ("No.", False), ("**Yes**", True), ("Answer: no", False), ("2+2=4.\n\nyes\n", True), ('"No"', False),
        ("answer: **Yes.**", True), ("", None), ("yes or no", None), ("I think yes", None), ("yesterday", None), ("n", None),
        ("no\nbut then again", None),
    ],
)  # fmt: skip
def test_an_answer_is_read_strictly(text: str, answer: bool | None) -> None:
    found = read_answer(text)
    assert found == (Unmeasured(MALFORMED) if answer is None else answer)


def over_http(server: Any) -> Connect:
    @asynccontextmanager
    async def connect() -> AsyncIterator[Ask]:
        import asyncio

        def post(prompt: str) -> Reply:
            body = json.dumps({"messages": [{"role": "user", "content": prompt}]}).encode()
            request = urllib.request.Request(
                f"{server.url}/chat/completions",
                body,
                {"Authorization": "Bearer x", "Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                made = json.loads(answer.read())
            return Reply(text=made["choices"][0]["message"]["content"], stopped=True, tokens=5)

        async def ask(prompt: str, seed: int) -> Reply:
            return await asyncio.to_thread(post, prompt)

        yield ask

    return connect


def api(server: Any, *, draws: int = 1) -> ApiParticipant:
    policy = ApiPolicy(name="openai-api/local/m", connect=over_http(server), wait_s=0.001, attempts=3)
    return ApiParticipant(answers=policy, writes=policy, draws=draws)


def adds(prompt: str) -> str:
    """A server that can add."""
    if "Is the proposed response right?" not in prompt:
        return "I looked at it."
    left, right = prompt.split("\n")[1].split(" ")[0].split("+")
    return "Yes." if f"#{int(left) + int(right)}" in prompt else "no"


def test_a_server_that_can_add_judges_sums(serve: Any, problems: Any) -> None:
    asked, texts, right = sums(12)
    rollouts = Rollouts.of_texts(asked, texts)
    seat = api(serve(2, says=adds))  # two refusals of every request, and then it answers
    judge = participant_judge(seat, play=Critique(agent=seat))
    signal = judge(asked, rollouts, seed=0)
    assert [float(v) > 0.5 for v in signal.values] == right.tolist()  # type: ignore[arg-type]
    assert signal.tokens > 0
    check_overseer(participant_judge(api(serve(0, says=adds))), asked, rollouts)


def test_what_a_server_says_beside_yes_and_no_is_counted_and_no_score(serve: Any) -> None:
    asked, texts, _ = sums(6)
    rollouts = Rollouts.of_texts(asked, texts)
    vague = api(serve(0, says=lambda p: "Hard to say." if "(3)" in p else adds(p)))
    values = participant_judge(vague)(asked, rollouts, seed=0).values
    assert [v.why for v in values if isinstance(v, Unmeasured)] == [MALFORMED]
    dead = api(serve(10_000))
    signal = participant_judge(dead, play=Critique(agent=dead))(asked, rollouts, seed=0)
    assert all(isinstance(v, Unmeasured) and "gave no reply in 3 attempts" in v.why for v in signal.values)
    fickle: list[int] = []

    def turns(prompt: str) -> str:
        fickle.append(1)
        return "yes" if len(fickle) % 4 else "no"

    drawn = api(serve(0, says=turns), draws=4).believe(["Is it?"], seed=0)
    assert drawn.values == (0.75,)
