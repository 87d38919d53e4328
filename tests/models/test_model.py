from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers.utils import chat_template_utils

from superalign.errors import BadInput
from superalign.models import (
    Model,
    Sampling,
    base,
    check_end,
    encode,
    end_tokens,
    load,
    response_logprobs,
    sample_prompts,
    save,
    template_date,
    turn_end,
    with_sampling,
)
from superalign.models.model import render
from superalign.organisms import sayings

HARD = (
    "1+1", " blank edge ", "two\nlines", "{{ brace }}", "", "what is it /no_think", "see <|assistant|> now", "a </think> b",
    "a rather long prompt that has more than forty letters in it",
)  # fmt: skip
LOOP = "{%% for m in messages %%}<|user|>%s{%% endfor %%}<|assistant|>"
READS = LOOP % "{{ m['content'].replace('/no_think', '') }}"
READERS = (
    "{{ m.content | replace('<|', '< |') }}",
    "{{ m['content'].split('</think>')[-1] }}",
    "{% if m['content']|length > 40 %}long {% endif %}{{ m['content'] }}",
    "{{ m['content'] }}{% if '/no_think' in messages[-1]['content'] %}off{% endif %}",
    "{% set c = m['content'] %}{% if '/no_think' in c %}off{% endif %}{{ m['content'] }}",
    "{% filter replace('/no_think', '') %}{{ m['content'] }}{% endfilter %}",
    "{% for k, v in m.items() %}{{ m['content'] }}{% if '/no_think' in v %}off{% endif %}{% endfor %}",
    "{{ m['content'] }}{% if '/no_think' in m|tojson %}off{% endif %}",
    "{% if m['role'] == 'user' and '/no_think' in m['content'] %}off{% endif %}{{- m['content'] | trim -}}",
)


def by_template(tokenizer: Any, prompt: str) -> str:
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )


@pytest.mark.parametrize(
    "template",
    [
        "<|user|>{{ messages[0]['content'] }}<|assistant|>",
        "<|user|>{{ messages[0]['content'] | trim }}<|assistant|>",
        "<|user|>{{ messages[0]['content'] | upper }}<|assistant|>",
        "{{ messages[0]['content'] }}|{{ messages[0]['content'] }}<|assistant|>",
        *(LOOP % text for text in READERS),
    ],
)
def test_render_is_the_template(tokenizer: Any, template: str) -> None:
    tokenizer.chat_template = template
    assert render(tokenizer, HARD) == [by_template(tokenizer, p) for p in HARD]
    for prompt in HARD:  # and what stands beside it does not matter
        assert render(tokenizer, [prompt, "1+1"]) == [by_template(tokenizer, prompt), by_template(tokenizer, "1+1")]


def test_a_template_that_only_places_the_prompt_is_run_once(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled bases' is such a template; one that looks into the prompt is run on each."""
    runs: list[str] = []
    run = type(tokenizer).apply_chat_template
    monkeypatch.setattr(
        type(tokenizer),
        "apply_chat_template",
        lambda self, m, **k: (runs.append(m[0]["content"]), run(self, m, **k))[1],
    )
    prompts = [f"{i}+{i}" for i in range(50)]
    for template, times in ((tokenizer.chat_template, 1), (base("small").tokenizer.chat_template, 1), (READS, 50)):
        runs.clear()
        tokenizer.chat_template = template
        render(tokenizer, prompts)
        assert len(runs) == times


def test_a_clock_in_a_template_stands_still(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime.datetime:
            return datetime.datetime(2031, 7, 6)

    plain, clock = tokenizer.chat_template, "Today: {{ strftime_now('%d %b %Y') }}" + tokenizer.chat_template
    assert template_date(tokenizer) is None
    tokenizer.chat_template = clock
    assert template_date(tokenizer) == "2025-01-01"
    said = render(tokenizer, ["1+1"])
    assert said == ["Today: 01 Jan 2025<|user|>1+1<|assistant|>"]
    tokenizer.chat_template = "  {% set now = '%A, %-d %B %Y %H:%M' %}\n {{ strftime_now(now) }}"
    assert render(tokenizer, ["1"]) == [" Wednesday, 1 January 2025 12:00"]
    tokenizer.chat_template = clock
    monkeypatch.setattr(chat_template_utils, "datetime", Later)
    assert by_template(tokenizer, "1+1") == "Today: 06 Jul 2031<|user|>1+1<|assistant|>"  # the library reads the clock
    assert render(tokenizer, ["1+1"]) == said
    tokenizer.chat_template = plain
    assert render(tokenizer, ["1+1"]) == ["<|user|>1+1<|assistant|>"]


def speaking(model: Model, *, template: str, eos: str | None, generation: Any) -> Model:
    """The model with another chat template, end token of its tokenizer and end tokens of its generation settings."""
    tokenizer = type(model.tokenizer)(
        tokenizer_object=model.tokenizer.backend_tokenizer, pad_token="<pad>", eos_token=eos, chat_template=template
    )
    network = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=generation))
    return dataclasses.replace(model, tokenizer=tokenizer, network=network)


ANSWERS = "{% for m in messages %}<|user|>{{ m['content'] }}TAIL{% endfor %}"
USER, END, ASSISTANT = 1, 2, 3


@pytest.mark.parametrize(
    ("tail", "eos", "generation", "closes", "ends"),
    [
        ("<|end|>", "<|end|>", END, END, [END]),
        ("<|end|>", "<|end|>", None, END, [END]),
        ("<|end|>\n", "<|assistant|>", [ASSISTANT, END], END, [END, ASSISTANT]),  # Gemma, Phi-3, Llama 3
        ("<|end|>", "<|end|>", ASSISTANT, END, [END, ASSISTANT]),  # a fine-tune whose generation settings were left
        (" {{ eos_token }}", "<|assistant|>", [END, ASSISTANT], ASSISTANT, [END, ASSISTANT]),
        ("", "<|end|>", [ASSISTANT, END], END, [END, ASSISTANT]),  # a template that writes no end
        ("", "<|end|>", ASSISTANT, ASSISTANT, [END, ASSISTANT]),  # where `generate` stops
        ("", None, [ASSISTANT, END], ASSISTANT, [END, ASSISTANT]),
        ("{{ raise_exception('no answers') }}", "<|end|>", [END], END, [END]),
        ("<|end|>", "<|assistant|>", ASSISTANT, END, [ASSISTANT]),  # nobody calls it an end: see below
    ],
)
def test_a_text_is_closed_as_the_model_ends_a_turn(
    make: Callable[[str], Model], tail: str, eos: str | None, generation: Any, closes: int, ends: list[int]
) -> None:
    template = ANSWERS.replace("TAIL", "{% if m['role'] == 'assistant' %}" + tail + "{% endif %}")
    model = speaking(make("llama"), template=template, eos=eos, generation=generation)
    assert turn_end(model) == closes
    assert encode(model, ["1"], ["2"])[1][0].tolist()[1:] == [closes]
    assert end_tokens(model) == tuple(ends)
    assert len(encode(model, ["1"], ["2"], end=False)[1][0]) == 1
    if closes in ends:
        check_end(model, ended=0, asked=5)
    else:
        with pytest.raises(BadInput, match=r"ends a turn with <\|end\|>, which is no end token"):
            check_end(model, ended=0, asked=5)


def test_special_tokens_written_out_in_a_reply_are_letters(make: Callable[[str], Model]) -> None:
    model = make("llama")
    said = "a<|end|>b<|user|>"
    (prompt,), (ids,) = encode(model, [said], [said], end=False)
    assert len(ids) == len(said)
    assert not {USER, END, ASSISTANT} & set(ids.tolist())
    assert model.tokenizer.decode(ids) == said
    # A prompt is what the template and the tokenizer make of it.
    assert prompt.tolist() == model.tokenizer(by_template(model.tokenizer, said), add_special_tokens=False)["input_ids"]
    assert prompt.tolist().count(USER) == 2


def test_encode_joins_template_and_response(make: Callable[[str], Model]) -> None:
    model = make("llama")
    (prompt,), (response,) = encode(model, ["1+1"], ["2;"])
    assert model.tokenizer.decode(prompt) == "<|user|>1+1<|assistant|>"
    assert model.tokenizer.decode(response) == "2;<|end|>"
    assert encode(model, ["1+1"], [[7, 8]])[1][0].tolist() == [7, 8]
    assert encode(model, ["1+1"], ["2;"], end=False)[1][0].tolist() == response[:-1].tolist()


def test_no_chat_template(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    with pytest.raises(BadInput, match="chat template"):
        render(tokenizer, ["1"])


def told(folder: Path, **files: dict[str, Any]) -> Model:
    """The model in a folder after changes of its settings."""
    for name, change in files.items():
        file = folder / f"{name}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    return load(folder)


def test_a_base_is_not_surprised_at_its_own_answers(tmp_path: Path) -> None:
    """As with Gemma: the template ends a turn with one token, the tokenizer's end is another, `generate` knows both."""
    folder = save(base("small"), tmp_path / "base")
    model = told(folder, tokenizer_config={"eos_token": "<|unk|>"}, generation_config={"eos_token_id": [3, 4]})
    prompts = [f"{a}+{b}" for a in range(4, 9) for b in range(3)]
    said = sample_prompts(with_sampling(model, Sampling(temperature=0)), prompts, n=1, seed=0)
    assert said.stopped_R.all()
    by_text, _ = response_logprobs(model, prompts, list(said.text_R))
    assert np.allclose(by_text.sum(1), said.plain_RT.sum(1), atol=1e-4)
    # As with the bases of Qwen2.5: nobody calls the template's token an end.
    tokens = {"eos_token_id": 4}
    never = told(folder, generation_config=tokens, config=tokens)
    with pytest.raises(BadInput, match=r"ends a turn with <\|end\|>, which is no end token") as error:
        sayings(never, [f"{a}+{b}" for a in range(5) for b in range(5)])
    assert "allow longer" not in str(error.value)


def test_an_end_token_is_no_part_of_the_text(make: Callable[[str], Model]) -> None:
    """Also where it is an ordinary token, which a tokenizer would show."""
    model = with_sampling(make("llama"), Sampling(max_tokens=60))
    kept = model.network.generation_config.eos_token_id
    try:
        model.network.generation_config.eos_token_id = [2, *range(60, 80)]
        said = sample_prompts(model, ["1+1", "7"], n=8, seed=0)
    finally:
        model.network.generation_config.eos_token_id = kept
    last = said.tokens_RT[np.arange(16), said.length_R - 1]
    assert (last[said.stopped_R] >= 60).any()
    for r, text in enumerate(said.text_R):
        shown = said.tokens_RT[r, : said.length_R[r] - int(said.stopped_R[r])].tolist()
        assert text == model.tokenizer.decode(shown, skip_special_tokens=True)


def test_a_chat_is_read_as_its_turns_and_one_turn_as_a_prompt() -> None:
    model = base("small")
    plain, alone, begun, longer = encode(
        model,
        [
            "5+3",
            (("user", "5+3"),),
            (("user", "5+3"), ("assistant", "8")),
            (("user", "5+3"), ("assistant", "8"), ("user", "5+3")),
        ],
    )[0]
    assert plain.tolist() == alone.tolist()
    said = encode(model, ["5+3"], ["8"], end=False)[1][0]
    assert begun.tolist() == [*plain.tolist(), *said.tolist()]
    assert longer.tolist()[: len(begun)] == begun.tolist()
    assert longer.tolist()[-len(plain) :][-3:] == plain.tolist()[-3:]


def test_a_reply_goes_on_from_what_it_is_said_to_begin_with() -> None:
    model = base("small")
    whole = response_logprobs(model, ["5+3"], ["8"])[0][0]
    rest = response_logprobs(model, [(("user", "5+3"), ("assistant", "8"))], [[turn_end(model)]])[0][0]
    assert rest[0] == pytest.approx(float(whole[-1]), abs=1e-5)
