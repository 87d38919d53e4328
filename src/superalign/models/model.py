"""The model: a frozen pair of a Hugging Face causal LM and its tokenizer, that samples.

Shape suffixes: P problems, R rollouts, T tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from superalign.errors import BadInput, ConfigError
from superalign.types import Problem, Rollouts, Subject

_MARK = "\u2042Prompt  \n of Letters\u2042"  # shows whether a template changes case or blanks


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a model samples.

    Example:
        >>> Sampling(stop=(";",)).max_tokens
        64
    """

    temperature: float = 1.0  # 0 takes the likeliest token
    top_p: float = 1.0  # sample within the likeliest tokens that hold this much probability
    max_tokens: int = 64
    stop: tuple[
        str, ...
    ] = ()  # a rollout ends with the token that completes one of these; the string stays in its text

    def __post_init__(self) -> None:
        if not (self.temperature >= 0 and 0 < self.top_p <= 1 and self.max_tokens >= 1 and all(self.stop)):
            raise ConfigError(
                f"{self} cannot be sampled with. The temperature must be 0 or more, top_p in (0, 1], max_tokens "
                "at least 1 "
                "and stop strings not empty, or the distribution is not defined. Change the setting that is outside."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A causal LM with its tokenizer, the record of where it came from, and how it samples. A `Policy`."""

    network: Any = field(repr=False)  # a PreTrainedModel, or a PeftModel around one
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    subject: Subject
    sampling: Sampling = Sampling()

    def sample(self, problems: Sequence[Problem], *, n: int, seed: int) -> Rollouts:
        """Return n rollouts of each problem, those of one problem side by side.

        Args:
            problems: What is asked.
            n: Rollouts per problem.
            seed: A rollout depends on this, its prompt and its index among the n, not on the rest of the batch. Two
                problems with one prompt therefore get the same rollouts.

        Returns:
            Rollouts whose log-probs are those of the distribution that was sampled from.
        """
        from superalign.models.sampler import sample_prompts

        sampled = sample_prompts(self, [p.prompt for p in problems], n=n, seed=seed)
        return Rollouts(
            problems=tuple(problems),
            problem_R=sampled.prompt_R,
            text_R=sampled.text_R,
            policy=self.subject.digest,
            tokens_RT=sampled.tokens_RT,
            logprobs_RT=sampled.logprobs_RT,
            length_R=sampled.length_R,
            stopped_R=sampled.stopped_R,
            seed=seed,
        )


def with_sampling(model: Model, sampling: Sampling) -> Model:
    """Return the same model with other sampling settings."""
    return dataclasses.replace(model, sampling=sampling)


def end_tokens(model: Model) -> tuple[int, ...]:
    """Return the ids that end a response: the tokenizer's and those of the generation settings."""
    config = getattr(model.network, "generation_config", None)
    more = getattr(config, "eos_token_id", None)
    ids = [model.tokenizer.eos_token_id, *(more if isinstance(more, list | tuple) else [more])]
    return tuple(sorted({int(i) for i in ids if i is not None}))


def render(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[str]:
    """Wrap prompts in the chat template, up to where the response begins.

    The template is run once; where it uses the prompt verbatim, the other prompts are put in its place.
    """
    check_template(tokenizer)

    def one(prompt: str) -> str:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        return str(text)

    framed = one(_MARK)
    before, mark, after = framed.partition(_MARK)
    verbatim = bool(mark) and _MARK not in after
    out = []
    for prompt in prompts:
        # Templates may strip their input, so a prompt with blank edges goes the long way.
        out.append(before + prompt + after if verbatim and prompt == prompt.strip() else one(prompt))
    if out and out[0] != one(prompts[0]):
        return [one(prompt) for prompt in prompts]
    return out


def check_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer without a chat template."""
    if not getattr(tokenizer, "chat_template", None):
        raise BadInput(
            "This model's tokenizer has no chat template. Without one nobody knows where a prompt ends and a response "
            "begins, so every log-prob and every study would be about another text than the model was trained on. "
            "Use the chat or instruct version of the model, or set `chat_template` in its tokenizer_config.json."
        )


def encode(
    model: Model,
    prompts: Sequence[str],
    responses: Sequence[str] | Sequence[Sequence[int]] | None = None,
    *,
    end: bool = True,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Turn prompts and responses into token ids.

    Args:
        model: Whose tokenizer and chat template to use.
        prompts: Texts, without template.
        responses: Texts, or token ids that are kept as they are (those of a rollout).
        end: Close response texts with the end token.

    Returns:
        Token ids of the templated prompts, and of the responses (an empty list without responses).
    """
    tokenizer = model.tokenizer
    if isinstance(prompts, str):
        raise BadInput(
            "Prompts came as one string. It would be read as one prompt per character. Pass a list of strings."
        )
    prompt_ids = _ids(tokenizer, render(tokenizer, prompts)) if len(prompts) else []
    if responses is None:
        return prompt_ids, []
    if len(responses) != len(prompts):
        raise BadInput(
            f"{len(responses)} responses for {len(prompts)} prompts. They are matched by position, so a missing "
            "one would "
            "be scored under the wrong prompt. Pass one response per prompt."
        )
    if all(isinstance(r, str) for r in responses):
        tail = [tokenizer.eos_token_id] if end and tokenizer.eos_token_id is not None else []
        ids = _ids(tokenizer, [str(r) for r in responses]) if len(responses) else []
        return prompt_ids, [np.concatenate([i, np.asarray(tail, i.dtype)]) for i in ids]
    return prompt_ids, [np.asarray(r, np.int64) for r in responses]


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[np.ndarray]:
    ids = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False)[
        "input_ids"
    ]
    return [np.asarray(row, np.int64) for row in ids]
