"""A model that vLLM runs in this process: many samples with log-probs at once, and no weights to look into.

Written against vLLM's documented interface (`LLM.generate`, `SamplingParams`, `CompletionOutput`) and tested with `fake_vllm`,
which keeps to it: the engine itself wants an accelerator, and was never run with this. Log-probs are asked for after temperature
and top-p (`logprobs_mode="processed_logprobs"`), as `Rollouts` hold them.

Shape suffixes: R rollouts, T tokens.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from transformers import PreTrainedTokenizerBase

from superalign.errors import BadInput
from superalign.models.api import ApiPolicy
from superalign.models.loading import prompted
from superalign.models.model import render
from superalign.models.sampler import Sampling
from superalign.models.thinking import thinking_and_answer
from superalign.policy_names import VLLM
from superalign.prompting import AS_IT_IS, Prompting
from superalign.types import Problem, Rollouts, Subject

GREEDY = Sampling(temperature=0.0, max_tokens=256)


@runtime_checkable
class LogProb(Protocol):
    """What vLLM says of one token."""

    logprob: float


@runtime_checkable
class Completion(Protocol):
    """One response of a request."""

    text: str
    token_ids: Sequence[int]
    logprobs: Sequence[Mapping[int, LogProb]] | None
    finish_reason: str | None


@runtime_checkable
class Request(Protocol):
    """One request, done."""

    outputs: Sequence[Completion]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The three parts of vLLM that are used: its sampler, its settings for one request, and its tokenizer."""

    generate: Callable[..., Sequence[Request]]
    params: Callable[..., Any]
    tokenizer: PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmPolicy:
    """A model that an engine runs. A `Policy` that only samples. Made by `vllm_policy`."""

    name: str
    engine: Engine = field(repr=False)
    sampling: Sampling = GREEDY
    prompting: Prompting = AS_IT_IS

    @property
    def subject(self) -> Subject:
        """What can be known of it: its name and how it is prompted; the engine does not show its weights."""
        return Subject(weights="", base="", how=f"{VLLM}{self.name}, run by vLLM", config=self.prompting.config)

    def sample(self, problems: Sequence[Problem], *, n: int, seed: int) -> Rollouts:
        """Return n rollouts of each problem, those of one problem side by side.

        Args:
            problems: What is asked.
            n: Rollouts per problem.
            seed: Each request carries one made of this and its index among the n. Same engine and batch, same rollouts; other
                batches may differ in the last bits, as with any engine.

        Raises:
            BadInput: If the engine returns something else than was asked for.
        """
        tokenizer, how = prompted(self.engine.tokenizer, self.prompting), self.sampling
        rendered = render(tokenizer, [p.prompt for p in problems]) if problems else []
        ids = [list(map(int, tokenizer(text, add_special_tokens=False)["input_ids"])) for text in rendered]
        asked = [({"prompt_token_ids": row}, k) for row in ids for k in range(n)]
        params = [
            self.engine.params(
                n=1,
                temperature=how.temperature,
                top_p=how.top_p,
                max_tokens=how.max_tokens,
                stop=list(how.stop) or None,
                include_stop_str_in_output=True,
                seed=seed * 1009 + k,
                logprobs=0,  # the sampled token's alone
            )
            for _, k in asked
        ]
        done = self.engine.generate([prompt for prompt, _ in asked], params, use_tqdm=False) if asked else []
        if len(done) != len(asked):
            raise BadInput(
                f"vLLM returned {len(done)} of {len(asked)} requests. Which of them are missing is not known, so none was used. "
                "Look at what it printed."
            )
        said = [request.outputs[0] for request in done]
        tokens_RT, logprobs_RT, length_R = _columns(said)
        parted = [thinking_and_answer(one.text) for one in said]
        return Rollouts(
            problems=tuple(problems),
            problem_R=np.repeat(np.arange(len(problems)), n),
            text_R=[answer for _, answer in parted],
            thinking_R=[thinking for thinking, _ in parted],
            policy=self.subject.digest,
            tokens_RT=tokens_RT,
            logprobs_RT=logprobs_RT,
            length_R=length_R,
            stopped_R=np.array([one.finish_reason == "stop" for one in said], bool),
            seed=seed,
        )


Served: TypeAlias = ApiPolicy | VllmPolicy  # what answers, and shows no weights


def _columns(said: Sequence[Completion]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay tokens and their log-probs out as rollouts hold them."""
    length_R = np.array([len(one.token_ids) for one in said], np.int32)
    tokens_RT = np.zeros((len(said), int(length_R.max(initial=0))), np.int32)
    logprobs_RT = np.zeros(tokens_RT.shape, np.float32)
    for r, one in enumerate(said):
        if one.logprobs is None or len(one.logprobs) != len(one.token_ids):
            raise BadInput(
                "vLLM returned tokens without their log-probs. What is computed from them would be made up. Use a version that "
                "takes logprobs_mode, 0.10 or newer."
            )
        tokens_RT[r, : length_R[r]] = one.token_ids
        logprobs_RT[r, : length_R[r]] = [of[t].logprob for t, of in zip(one.token_ids, one.logprobs, strict=True)]
    return tokens_RT, logprobs_RT, length_R


def vllm_policy(name: str, *, sampling: Sampling | None = None, prompting: Prompting = AS_IT_IS) -> VllmPolicy:
    """Start an engine for a folder or a hub id.

    Args:
        name: `vllm:PATH` or `vllm:ORG/MODEL`.
        sampling: How it samples; greedily if not given.
        prompting: A system text, switches of the chat template, or another template.

    Raises:
        BadInput: If the engine cannot be started.
    """
    model = name.removeprefix(VLLM)
    vllm = importlib.import_module("vllm")
    try:
        served = vllm.LLM(model=model, logprobs_mode="processed_logprobs", trust_remote_code=False)
    except (RuntimeError, ValueError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(
            f"vLLM could not start {model} ({first}). Nothing was sampled. Open it without vllm: in front, or see what it needs."
        ) from error
    engine = Engine(generate=served.generate, params=vllm.SamplingParams, tokenizer=served.get_tokenizer())
    return VllmPolicy(name=model, engine=engine, sampling=sampling or GREEDY, prompting=prompting)
