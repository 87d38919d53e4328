"""A stand-in for vLLM that keeps to the part of its interface that is used, and samples with our own model beneath.

For machines without an accelerator: tests put it in the place of the package (`sys.modules["vllm"]`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from superalign.models.model import Model, end_tokens
from superalign.models.open import open_weights
from superalign.models.sampler import Sampler, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """Settings of one request, by vLLM's names."""

    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 16
    stop: list[str] | None = None
    include_stop_str_in_output: bool = False
    seed: int | None = None
    logprobs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logprob:
    """What is said of one token."""

    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionOutput:
    """One response."""

    text: str
    token_ids: Sequence[int]
    logprobs: Sequence[Mapping[int, Logprob]] | None
    finish_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutput:
    """One request, done."""

    outputs: Sequence[CompletionOutput]


class LLM:
    """What `vllm.LLM` is for this purpose."""

    def __init__(self, *, model: str, logprobs_mode: str = "raw_logprobs", trust_remote_code: bool = False) -> None:
        if trust_remote_code:
            raise ValueError("no code of a model is run here")
        self.model: Model = open_weights(model)
        self.processed = logprobs_mode == "processed_logprobs"

    def get_tokenizer(self) -> Any:
        """Return the tokenizer."""
        return self.model.tokenizer

    def generate(
        self, prompts: Sequence[Mapping[str, Any]], params: Sequence[SamplingParams], *, use_tqdm: bool = True
    ) -> list[RequestOutput]:
        """Answer every request."""
        return [self._one(prompt["prompt_token_ids"], how) for prompt, how in zip(prompts, params, strict=True)]

    def _one(self, ids: Sequence[int], how: SamplingParams) -> RequestOutput:
        sampling = Sampling(
            temperature=how.temperature, top_p=how.top_p, max_tokens=how.max_tokens, stop=tuple(how.stop or ())
        )
        sampler = Sampler(
            self.model.network,
            self.model.tokenizer,
            [np.array(ids)],
            sampling,
            ends=end_tokens(self.model),
            n=1,
            seed=how.seed or 0,
            rows=1,
        )
        done = sampler.run()
        length = int(done.length_R[0])
        tokens = done.tokens_RT[0, :length].tolist()
        values = (done.logprobs_RT if self.processed else done.plain_RT)[0, :length].tolist()
        said = [{t: Logprob(logprob=v)} for t, v in zip(tokens, values, strict=True)]
        output = CompletionOutput(
            text=done.text_R[0],
            token_ids=tokens,
            logprobs=None if how.logprobs is None else said,
            finish_reason="stop" if done.stopped_R[0] else "length",
        )
        return RequestOutput(outputs=[output])
