from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from superalign.errors import BadInput
from superalign.models import Model, encode
from superalign.models.model import render

HARD = ("1+1", " blank edge ", "two\nlines", "{{ brace }}", "")


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
    ],
)
def test_render_is_the_template(tokenizer: Any, template: str) -> None:
    tokenizer.chat_template = template
    assert render(tokenizer, HARD) == [by_template(tokenizer, p) for p in HARD]


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
