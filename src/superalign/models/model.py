"""The model: a frozen pair of a Hugging Face causal LM and its tokenizer, that samples.

Shape suffixes: P problems, R rollouts, T tokens.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from transformers import PreTrainedTokenizerBase

from superalign.errors import BadInput
from superalign.models import weights
from superalign.models.sampler import Sampled, Sampler, Sampling
from superalign.models.thinking import CLOSE, opens
from superalign.types import Problem, Rollouts, Subject

# (role, text) by turn; roles are system, user and assistant. Where the assistant is last, its reply goes on from that text.
Chat: TypeAlias = Sequence[tuple[str, str]]
Asked: TypeAlias = str | Chat  # a prompt without template, or a chat of several turns
_MARK = "\u2042Prompt  \n of Letters\u2042"  # shows whether a template changes case or blanks
TODAY = datetime.datetime(2025, 1, 1, 12)  # what a template's clock shows: a seed means the same on any day


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A causal LM with its tokenizer, the record of where it came from, and how it samples. A `Policy`."""

    network: Any = field(repr=False)  # a PreTrainedModel, or a PeftModel around one
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    subject: Subject
    sampling: Sampling = field(default_factory=Sampling)
    rounded: bool = False  # by `in_half`: the subject names the weights as they were before

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
        sampled = sample_prompts(self, [p.prompt for p in problems], n=n, seed=seed)
        return Rollouts(
            problems=tuple(problems),
            problem_R=sampled.prompt_R,
            text_R=sampled.text_R,
            thinking_R=sampled.thinking_R,
            policy=self.subject.digest,
            tokens_RT=sampled.tokens_RT,
            logprobs_RT=sampled.logprobs_RT,
            length_R=sampled.length_R,
            stopped_R=sampled.stopped_R,
            seed=seed,
        )


def sample_prompts(model: Model, prompts: Sequence[Asked], *, n: int, seed: int, rows: int = 256) -> Sampled:
    """Sample n rollouts of each prompt.

    Args:
        model: What samples, and its settings.
        prompts: Texts without template, or chats.
        n: Rollouts per prompt.
        seed: See `noise.rollout_keys`.
        rows: Rollouts under way at once; changes speed and memory, not what is drawn.

    Returns:
        Columns with R = P * n, rollouts of one prompt side by side.

    Raises:
        BadInput: If a prompt and `max_tokens` do not fit into the model's positions, or its template cannot write a chat.
    """
    ids, ends = encode(model, prompts)[0], end_tokens(model)
    sampler = Sampler(model.network, model.tokenizer, ids, model.sampling, ends=ends, n=n, seed=seed, rows=rows)
    return sampler.run()


def with_sampling(model: Model, sampling: Sampling) -> Model:
    """Return the same model with other sampling settings."""
    return dataclasses.replace(model, sampling=sampling)


def check_whole(model: Model, doing: str) -> None:
    """Refuse a model for what needs the weights that its record names, at hand: `in_half` rounded them, or "auto" spread them."""
    if weights.scattered(model.network):
        raise BadInput(
            f"The weights of this model are spread over several places or lie on the disk (--device auto), which serves to "
            f"sample and to score. {doing[:1].upper()}{doing[1:]} needs them in one place. Use one device that holds them all."
        )
    if model.rounded:
        raise BadInput(
            f"The weights of this model were rounded to 16 bits by in_half, to sample and to score. After {doing} the record "
            "would name weights that were not used. Give the model that in_half was given."
        )


def end_tokens(model: Model) -> tuple[int, ...]:
    """Return the ids that end a response: those of the generation settings and the tokenizer's."""
    return tuple(sorted({*_generation_ends(model), *_ids_of(model.tokenizer.eos_token_id)}))


def _ids_of(ids: Any) -> list[int]:
    return [int(i) for i in (ids if isinstance(ids, list | tuple) else [ids]) if i is not None]


def _generation_ends(model: Model) -> list[int]:
    """The ids at which the library's own `generate` ends a response."""
    return _ids_of(getattr(getattr(model.network, "generation_config", None), "eos_token_id", None))


def turn_end(model: Model) -> int | None:
    """Return the id that closes a response: of the end tokens the one that the chat template writes after an answer.

    A template that writes none leaves the tokenizer's end token, or what `generate` stops at where that is another. A
    special token that the template writes and nobody calls an end is returned all the same; see `unnamed_end`.
    """
    ends, generated, usual = end_tokens(model), _generation_ends(model), model.tokenizer.eos_token_id
    tail = _after_an_answer(model.tokenizer, source(model.tokenizer))
    written = next((i for i in tail if i in ends), None)
    if written is None and tail:
        added = model.tokenizer.added_tokens_decoder
        written = next((i for i in tail if i in added and added[i].special), None)
    if written is not None:
        return written
    return int(usual) if usual is not None and (usual in generated or not generated) else next(iter(generated), None)


def unnamed_end(model: Model) -> str | None:
    """Return the token with which the chat template ends a turn, if neither tokenizer nor settings call it an end."""
    end = turn_end(model)
    return None if end is None or end in end_tokens(model) else str(model.tokenizer.convert_ids_to_tokens(end))


def check_end(model: Model, *, ended: int, asked: int) -> None:
    """Refuse responses that do not end because nobody told that the chat template's last token is an end.

    Args:
        model: What was asked.
        ended: Responses that ended by themselves.
        asked: Responses in all.
    """
    end = unnamed_end(model)
    if end is not None:
        raise BadInput(
            f"The model ends {ended} of {asked} responses: the chat template ends a turn with {end}, which is no end token of "
            "its tokenizer or generation settings, so sampling goes on behind every answer. Longer responses would not help. "
            f"Name {end} as eos_token in tokenizer_config.json, or add it to eos_token_id in generation_config.json."
        )


def check_answers_at_once(model: Model) -> None:
    """Refuse a model that may think before it answers, for what reads the first tokens of a reply as its answer.

    It may where its template opens a block of thinking, or has the switch `enable_thinking` and that is not off.
    """
    own = source(model.tokenizer)
    shown = _templated(model.tokenizer, _MARK)
    off = "{% set enable_thinking = false %}" + own.replace("{% set enable_thinking = true %}", "")
    closes = "enable_thinking" in own and _templated(model.tokenizer, _MARK, template=off).rstrip().endswith(CLOSE)
    if opens(shown) or (closes and not shown.rstrip().endswith(CLOSE)):
        raise _thinks("the first words of its replies are no answers")


def _thinks(why: str) -> BadInput:
    return BadInput(
        f"This model thinks before it answers, as its chat template shows: {why}. What would be measured is not what it answers. "
        "Switch thinking off (?enable_thinking=false behind its name, or --template-args enable_thinking=false); where its "
        "template has no such switch, give another one: --template FILE."
    )


@functools.lru_cache(maxsize=16)
def _after_an_answer(tokenizer: PreTrainedTokenizerBase, template: str) -> list[int]:
    """Token ids that the chat template writes after what an assistant said."""
    try:
        text = _templated(tokenizer, _MARK, answer=_MARK[::-1])
    except Exception:  # some templates take only prompts
        return []
    _, mark, tail = text.rpartition(_MARK[::-1])
    return _ids(tokenizer, [tail])[0].tolist() if mark and tail else []


def _templated(
    tokenizer: PreTrainedTokenizerBase, prompt: str, *, answer: str | None = None, template: str | None = None
) -> str:
    """What the chat template makes of a prompt, up to where the response begins, or of a prompt and its answer."""
    said: list[tuple[str, str]] = [] if answer is None else [("assistant", answer)]
    return _written(tokenizer, [("user", prompt), *said], template=template)


def _written(
    tokenizer: PreTrainedTokenizerBase, chat: Chat, *, template: str | None = None, goes_on: bool = False
) -> str:
    """What the chat template makes of a chat; where the user spoke last, or what is said goes on, up to where that is."""
    text = tokenizer.apply_chat_template(
        [{"role": role, "content": said} for role, said in chat],
        tokenize=False,
        add_generation_prompt=chat[-1][0] == "user",
        continue_final_message=goes_on,
        chat_template=_stopped_clock() + (template or source(tokenizer)) if template_date(tokenizer) else template,
    )
    return str(text)


def source(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the chat template that prompts go through, of several the usual one; empty without one."""
    return str(tokenizer.get_chat_template()) if tokenizer.chat_template else ""


def template_date(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return the date that a chat template with a clock is shown, None for a template without one."""
    return TODAY.date().isoformat() if "strftime_now" in source(tokenizer) else None


@functools.cache
def _stopped_clock() -> str:
    """A macro to put before a template, in place of the library's function of that name, which reads the clock."""
    parts = [*"aAwdbBmyYHIMpSjUWcxXGuV", *("-" + letter for letter in "dmHIMSj")]  # the latter without leading zeros
    shown = "".join(f"|replace('%{part}', '{TODAY.strftime('%' + part)}')" for part in parts)
    return f"{{% macro strftime_now(format) %}}{{{{ format{shown} }}}}{{% endmacro %}}\n"


def writes(model: Model, chat: Chat) -> bool:
    """Say whether a model's chat template writes a chat with all that is said in it; some leave a system text out.

    Example:
        >>> from superalign.models import base
        >>> writes(base("small"), [("user", "1+1"), ("assistant", "2"), ("user", "2+2")])
        True
    """
    try:
        written = _chatted(model.tokenizer, chat)
    except BadInput:
        return False
    return all(text.strip() in written for _, text in chat)


def _chatted(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> str:
    try:
        return _written(tokenizer, chat, goes_on=chat[-1][0] == "assistant")
    except Exception as error:  # whatever a template raises
        raise BadInput(
            f"The chat template of this model cannot write a chat of {len(chat)} turns ({error}). It would not be asked what was "
            "meant. Leave out such chats, or give another template: --template FILE."
        ) from error


def render(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Asked]) -> list[str]:
    """Wrap prompts and chats in the chat template, up to where the response begins.

    A template that only puts the prompt in its place is run once, and the other prompts are put there; one that may look
    into the prompt is run on each.
    """
    check_template(tokenizer)
    chats = {at: _chatted(tokenizer, asked) for at, asked in enumerate(prompts) if not isinstance(asked, str)}
    texts = iter(_rendered(tokenizer, [asked for asked in prompts if isinstance(asked, str)]))
    return [chats[at] if at in chats else next(texts) for at in range(len(prompts))]


def _rendered(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[str]:
    if not _only_places(source(tokenizer)):
        return [_templated(tokenizer, prompt) for prompt in prompts]
    before, mark, after = _templated(tokenizer, _MARK).partition(_MARK)
    verbatim = bool(mark) and _MARK not in after
    # Templates may strip their input, so a prompt with blank edges goes the long way.
    return [
        before + prompt + after if verbatim and prompt == prompt.strip() else _templated(tokenizer, prompt)
        for prompt in prompts
    ]


@functools.lru_cache(maxsize=64)
def _only_places(template: str) -> bool:
    """Whether a template surely does nothing with the text of a message but write it, trimmed at most.

    What is left of its source after loops over the messages, tests of a role and such writing must not speak of messages.
    """
    loops = {str(name) for name in re.findall(r"for\s+(\w+)\s+in\s+messages\s*-?%}", template)}
    one = "(?:" + "|".join([*map(re.escape, sorted(loops)), r"messages\[0\]"]) + ")"
    field = r"(?:\[['\"]{0}['\"]\]|\.{0}\b)"
    left = re.sub(r"\{\{-?\s*" + one + field.format("content") + r"\s*(?:\|\s*trim\s*)?-?\}\}", "", template)
    left = re.sub(r"\b" + one + field.format("role"), "", left)
    left = re.sub(r"for\s+\w+\s+in\s+messages\s*-?%}", "%}", left)
    tags = set(re.findall(r"\{%[-+]?\s*(\w+)", left)) - {"if", "elif", "else", "endif", "endfor"}
    words = set(re.findall(r"\w+", left)) & {*loops, "messages", "content", "previtem", "nextitem", "self", "filter"}
    return not tags and not words


def check_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer without a chat template."""
    if not getattr(tokenizer, "chat_template", None):
        raise BadInput(
            "This model's tokenizer has no chat template. Without one nobody knows where a prompt ends and a response "
            "begins, so every log-prob and every study would be about another text than the model was trained on. "
            "Use the chat or instruct version of the model, or say how prompts are written: --template plain, or a Jinja file."
        )


def encode(
    model: Model,
    prompts: Sequence[Asked],
    responses: Sequence[str] | Sequence[Sequence[int]] | None = None,
    *,
    end: bool = True,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Turn prompts and responses into token ids.

    Args:
        model: Whose tokenizer and chat template to use.
        prompts: Texts without template, or chats.
        responses: Texts, or token ids that are kept as they are (those of a rollout). A text is what somebody said: where
            it spells out a special token, that stays letters and does not become the token.
        end: Close response texts with the token that ends a turn; see `turn_end`.

    Returns:
        Token ids of the templated prompts, and of the responses (an empty list without responses).
    """
    tokenizer = model.tokenizer
    if isinstance(prompts, str):
        raise BadInput(
            "Prompts came as one string. It would be read as one prompt per character. Pass a list of strings."
        )
    rendered = render(tokenizer, prompts) if len(prompts) else []
    prompt_ids = _ids(tokenizer, rendered) if rendered else []
    if responses is None:
        return prompt_ids, []
    if len(responses) != len(prompts):
        raise BadInput(
            f"{len(responses)} responses for {len(prompts)} prompts. They are matched by position, so a missing one would be "
            "scored under the wrong prompt. Pass one response per prompt."
        )
    if all(isinstance(r, str) for r in responses):
        if any(map(opens, rendered)):
            raise _thinks("texts that are given as its answers would stand in the block of thinking that it opens")
        closes = turn_end(model) if end else None
        tail = [] if closes is None else [closes]
        ids = _ids(tokenizer, [str(r) for r in responses], plain=True) if len(responses) else []
        return prompt_ids, [np.concatenate([i, np.asarray(tail, i.dtype)]) for i in ids]
    return prompt_ids, [np.asarray(r, np.int64) for r in responses]


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str], *, plain: bool = False) -> list[np.ndarray]:
    """Token ids; in plain texts a special token that is spelled out is letters like any others."""
    if plain:  # the switch costs as much as a third of the work, so it is thrown where it changes something
        whole = "\n".join(texts).casefold()
        plain = any(spelling in whole for spelling in _spellings(tokenizer, len(tokenizer)))
    ids = tokenizer(
        texts,
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        split_special_tokens=plain,
    )["input_ids"]
    return [np.asarray(row, np.int64) for row in ids]


@functools.lru_cache(maxsize=16)
def _spellings(tokenizer: PreTrainedTokenizerBase, size: int) -> list[str]:
    """How the special tokens of a tokenizer with so many tokens are written, in small letters."""
    added = [str(t.content) for t in tokenizer.added_tokens_decoder.values() if t.special]
    return [text.casefold() for text in {*added, *tokenizer.all_special_tokens} if text]
