"""Chat models of the shapes of Qwen 3 and Gemma 3, saved as their makers do: templates, ends, shards, 16 bits, thinking."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from safetensors import safe_open
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from superalign.detectors.replies import fates
from superalign.errors import BadInput
from superalign.models import (
    Model,
    Sampling,
    check_answers_at_once,
    choice_logprobs,
    encode,
    end_tokens,
    lora,
    open_weights,
    response_logprobs,
    sample_prompts,
    sampler,
    save,
    save_adapter,
    turn_end,
    with_sampling,
)
from superalign.models.loading import prompted
from superalign.models.model import render
from superalign.organisms.chats import answers_of
from superalign.problems.replies import option_said
from superalign.prompting import Prompting
from superalign.train import PolicyGradientConfig, policy_gradient
from superalign.types import Problem, Signal, Subject

# Of the form of the real templates, which tests below read where they lie beside the repository.
QWEN = (
    "{%- for m in messages %}{%- if m.role != 'assistant' %}"
    "{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- else %}"
    "{{- '<|im_start|>assistant\\n' + m.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- endif %}{%- endif %}"
)
OPENING = QWEN.replace(
    "{%- endif %}{%- endif %}", "{%- else %}{{- '<think>\\n' }}{%- endif %}{%- endif %}"
)  # of the later ones
GEMMA = (
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{%- set first = messages[0]['content'] + '\n\n' -%}"
    "{%- set rest = messages[1:] -%}{%- else -%}{%- set first = '' -%}{%- set rest = messages -%}{%- endif -%}"
    "{%- for m in rest -%}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + "
    "(first if loop.first else '') }}{{ m['content'] | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
)
SYSTEMLESS = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + GEMMA
)
PROMPTS = ("1+1=?", "what is it, then?", "x")
THINK = ("<think>", "</think>")


def tokenizer_of(kind: str, template: str, *, special: bool = False) -> Any:
    """One token a byte, and the marks of this kind of model; no token to pad with."""
    raw = Tokenizer(
        models.BPE(vocab={c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[])
    )
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    marks = {"qwen3": "<|endoftext|> <|im_start|> <|im_end|>", "gemma3": "<eos> <bos> <start_of_turn> <end_of_turn>"}
    raw.add_special_tokens([AddedToken(m, special=True) for m in marks[kind].split()])
    raw.add_tokens([AddedToken(m, special=special, normalized=False) for m in THINK])
    more = {"bos_token": "<bos>"} if kind == "gemma3" else {}
    end = "<|im_end|>" if kind == "qwen3" else "<eos>"
    return tf.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=end, chat_template=template, **more)


def build(folder: Path, kind: str, *, template: str = "", tied: bool = True) -> Path:
    """Save a network with random weights as hubs keep them: in 16 bits, in several files, with more rows than tokens."""
    tokenizer = tokenizer_of(kind, template or {"qwen3": QWEN, "gemma3": GEMMA}[kind])
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer) + 3, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "head_dim": 16,
        "intermediate_size": 48, "max_position_embeddings": 2048, "tie_word_embeddings": tied, "bos_token_id": None,
        "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    torch.manual_seed(0)
    network: Any
    if kind == "qwen3":
        network = tf.Qwen3ForCausalLM(tf.Qwen3Config(**shape, num_key_value_heads=2))
    else:
        layers = ["sliding_attention", "sliding_attention", "full_attention"]
        more = {"num_key_value_heads": 1, "sliding_window": 6, "query_pre_attn_scalar": 24, "layer_types": layers}
        network = tf.Gemma3ForCausalLM(tf.Gemma3TextConfig(**shape, **more))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    ends = ["<|im_end|>", "<|endoftext|>"] if kind == "qwen3" else ["<eos>", "<end_of_turn>"]
    network.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(ends)
    network.to(torch.bfloat16).save_pretrained(folder, max_shard_size="30KB")
    tokenizer.save_pretrained(folder)
    return folder


def far_from_its_own_forward(model: Model) -> float:
    """How far samples and scores are from the network's own forward of each sequence alone."""
    drawn = sample_prompts(with_sampling(model, Sampling(max_tokens=12)), PROMPTS, n=3, seed=0)
    own = [row[:size].tolist() for row, size in zip(drawn.tokens_RT, drawn.length_R, strict=True)]
    scored_RT, _ = response_logprobs(model, [PROMPTS[p] for p in drawn.prompt_R], own)
    prompts, gaps = encode(model, PROMPTS)[0], []
    for r, tokens in enumerate(own):
        before = prompts[drawn.prompt_R[r]].tolist()
        with torch.no_grad():
            logits = model.network(input_ids=torch.tensor([before + tokens]), use_cache=False).logits[0]
        true = torch.log_softmax(logits.float(), -1)[len(before) - 1 : -1][range(len(tokens)), tokens].numpy()
        gaps += [np.abs(found[r, : len(tokens)] - true).max() for found in (drawn.plain_RT, scored_RT)]
    return float(max(gaps))


def sum_of(problems: Sequence[Problem], rollouts: Any, *, seed: int) -> Signal:
    """Pays the sum of the tokens' ids, of which random weights write others each time."""
    return Signal(overseer="", values=tuple(float(row.sum()) for row in rollouts.tokens_RT))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["qwen3", "gemma3"])
def test_it_is_opened_sampled_scored_adapted_trained_and_saved(tmp_path: Path, kind: str, tied: bool) -> None:
    folder = build(tmp_path / "model", kind, tied=tied)
    assert len(list(folder.glob("*.safetensors"))) > 2
    with safe_open(next(iter(folder.glob("*.safetensors"))), framework="pt") as file:
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    name = f"{folder}?system=Be+brief.&enable_thinking=false"
    model = open_weights(name)
    shown = {
        "qwen3": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\n"
        "<think>\n\n</think>\n\n",
        "gemma3": "<bos><start_of_turn>user\nBe brief.\n\n1+1<end_of_turn>\n<start_of_turn>model\n",
    }
    assert render(model.tokenizer, ["1+1"]) == [shown[kind]]
    assert model.tokenizer.pad_token is None
    ends = {"qwen3": ("<|endoftext|>", "<|im_end|>"), "gemma3": ("<eos>", "<end_of_turn>")}[kind]
    assert end_tokens(model) == tuple(model.tokenizer.convert_tokens_to_ids(ends))
    assert model.tokenizer.convert_ids_to_tokens(turn_end(model)) == ends[1]
    assert far_from_its_own_forward(model) < 1e-3
    assert np.isfinite(choice_logprobs(model, PROMPTS, ["yes", "no"])).all()

    task = [Problem(prompt=p, family="f", difficulty=1, split="train") for p in PROMPTS]
    told: list[Mapping[str, Any]] = []
    config = PolicyGradientConfig(steps=1, problems=2, group=2)
    drawn = with_sampling(lora(model, rank=2, seed=0), Sampling(max_tokens=8))
    trained = policy_gradient(drawn, task, sum_of, config=config, seed=0, log=told.append)
    assert told[0]["ratio_deviation"] < 1e-4
    assert told[0]["gradient_norm"] > 0
    assert far_from_its_own_forward(trained) < 1e-3
    adapter = open_weights(str(save_adapter(trained, tmp_path / "adapter")), on=name)
    saved = open_weights(f"{save(trained, tmp_path / 'saved')}")  # with its template, system text and switch in it
    assert render(saved.tokenizer, ["1+1"]) == [shown[kind]]
    whole = response_logprobs(trained, PROMPTS, PROMPTS)[0]
    assert np.abs(response_logprobs(adapter, PROMPTS, PROMPTS)[0] - whole).max() < 1e-6
    assert np.abs(response_logprobs(saved, PROMPTS, PROMPTS)[0] - whole).max() < 1e-3


def test_a_template_without_a_place_for_a_system_text_says_so(tmp_path: Path) -> None:
    folder = build(tmp_path / "model", "gemma3", template=SYSTEMLESS)
    assert open_weights(folder).tokenizer is not None
    with pytest.raises(
        BadInput, match=r"takes no system text \(System role not supported\).*Leave the system text out"
    ):
        open_weights(f"{folder}?system=Be+brief.")


def test_thinking_that_is_marked_otherwise_is_refused(tmp_path: Path) -> None:
    """As with gpt-oss, whose marks are special tokens that texts leave out; Gemma 4 can switch it off."""
    folder = build(tmp_path / "model", "qwen3", template=QWEN + "{{- '<|channel|>' if false else '' }}")
    with pytest.raises(BadInput, match=r"parts thinking from answers by <\|channel\|>, and only <think> is read"):
        open_weights(folder)
    off = QWEN.replace("<think>\\n\\n</think>\\n\\n", "<|channel>thought\\n<channel|>")
    folder = build(tmp_path / "other", "qwen3", template=off)
    with pytest.raises(BadInput, match=r"by <\|channel>"):
        open_weights(folder)
    assert open_weights(f"{folder}?enable_thinking=false").tokenizer is not None


@pytest.fixture
def real() -> Callable[[str, str], str]:
    """Templates as they are in the wild, by path: source, name -> template."""
    for place in (Path(__file__).parents[3] / "shared" / "data", Path(os.environ.get("SUPERALIGN_DATA", "/nowhere"))):
        file = place / "chat-templates" / "templates.jsonl.gz"
        if file.exists():
            rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
            return lambda s, n: next(str(r["chat_template"]) for r in rows if s in r["source"] and r["name"] == n)
    pytest.skip("chat-templates is neither in ../shared/data nor in $SUPERALIGN_DATA")


@pytest.mark.parametrize(
    ("source", "name", "kind", "system"),
    [
        ("trl", "gemma3", "gemma3", "folded"), ("axolotl", "gemma3", "gemma3", "folded"),
        ("axolotl", "gemma3n", "gemma3", "folded"), ("trl", "gemma", "gemma3", "refused"),
        ("chujiezheng", "gemma-it", "gemma3", "folded"), ("trl", "qwen3", "qwen3", "own turn"),
        ("axolotl", "qwen3", "qwen3", "own turn"), ("trl", "qwen3_5_think", "qwen3", "own turn"),
    ],
)  # fmt: skip
def test_system_texts_in_real_templates(
    real: Callable[[str, str], str], source: str, name: str, kind: str, system: str
) -> None:
    tokenizer = tokenizer_of(kind, real(source, name))
    told = prompted(tokenizer, Prompting(system="Be brief."))
    if system == "refused":
        with pytest.raises(Exception, match="System role not supported"):
            render(told, ["1+1"])
        return
    (shown,) = render(told, ["1+1"])
    mark = "<start_of_turn>user\n" if system == "folded" else "<|im_start|>system\n"
    assert mark + "Be brief." in shown
    assert shown.index("Be brief.") < shown.index("1+1")
    assert render(tokenizer, ["1+1"])[0].count("1+1") == 1


@pytest.mark.parametrize(
    ("source", "name", "at_once"),
    [
        # As it is, with thinking switched off, with thinking switched on.
        ("trl", "qwen3", (False, True, False)), ("axolotl", "qwen3", (False, True, False)),
        ("trl", "qwen3_5_think", (False, True, False)), ("trl", "qwen3_5_nothink", (True, True, False)),
        ("axolotl", "exaone4", (True, True, False)), ("trl", "glm4moe", (False, True, False)),
        ("trl", "qwen3_instruct_2507", (True, True, True)), ("trl", "gemma3", (True, True, True)),
    ],
)  # fmt: skip
def test_whether_real_templates_let_a_model_think_first(
    real: Callable[[str, str], str], source: str, name: str, at_once: tuple[bool, ...]
) -> None:
    tokenizer, subject = tokenizer_of("qwen3", real(source, name)), Subject(weights="0" * 64, base="", how="random")
    for switch, expected in zip(({}, {"enable_thinking": False}, {"enable_thinking": True}), at_once, strict=True):
        told = prompted(tokenizer, Prompting(switches=tuple(switch.items())))
        assert answers_at_once(Model(network=None, tokenizer=told, subject=subject)) == expected, switch


def answers_at_once(model: Model) -> bool:
    try:
        check_answers_at_once(model)
    except BadInput:
        return False
    return True


class Scripted:
    """Writes what it is given to write, token by token."""

    refills = True

    def __init__(self, replies: Mapping[tuple[int, ...], Sequence[int]], vocabulary: int) -> None:
        self.replies, self.vocabulary = replies, vocabulary
        self.left: dict[int, list[int]] = {}

    def _logits(self, rows: Sequence[int]) -> torch.Tensor:
        out = torch.full((len(rows), self.vocabulary), -1e4)
        for i, row in enumerate(rows):
            out[i, self.left[row].pop(0) if self.left.get(row) else 0] = 0.0
        return out

    def admit(self, prompts: Sequence[np.ndarray], row_P: np.ndarray) -> torch.Tensor:
        self.left |= {int(r): list(self.replies[tuple(p.tolist())]) for p, r in zip(prompts, row_P, strict=True)}
        return self._logits(row_P.tolist())

    def step(self, token_B: np.ndarray) -> torch.Tensor:
        return self._logits(range(len(token_B)))

    def retire(self, row_K: np.ndarray) -> None:
        """Nothing to do."""

    def keep(self, row_B: np.ndarray) -> None:
        self.left = {b: list(self.left.get(int(r), [])) for b, r in enumerate(row_B)}


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Model]:
    """A model that replies as told: prompt -> reply; cut off where the reply does not end in its end token."""

    def make(replies: Mapping[str, str], *, template: str = QWEN, special: bool = False, most: int = 60) -> Model:
        model = open_weights(build(tmp_path / f"model{len(list(tmp_path.iterdir()))}", "qwen3", template=template))
        tokenizer = tokenizer_of("qwen3", template, special=special)
        model = with_sampling(
            dataclasses.replace(model, tokenizer=tokenizer), Sampling(temperature=0.0, max_tokens=most)
        )
        asked = [tuple(ids.tolist()) for ids in encode(model, list(replies))[0]]
        said = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in replies.values()]
        size = model.network.config.vocab_size
        monkeypatch.setattr(sampler, "engine_for", lambda *_, **__: Scripted(dict(zip(asked, said, strict=True)), size))
        return model

    return make


def asked(*prompts: str) -> list[Problem]:
    return [Problem(prompt=p, family="f", difficulty=1, split="test") for p in prompts]


REPLIES = {
    "which?": "<think>\nIt might be (A).\n</think>\n\n(B)<|im_end|>",
    "at once": "(B)<|im_end|>",
    "cut off": "<think>\nIt is (A), or is it not, and if not, then I would have to think on for very long",
    "ends in thought": "<think>\n(A)<|im_end|>",
}


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("template", [QWEN, OPENING])
def test_the_answer_is_what_stands_behind_the_thinking(
    scripted: Callable[..., Model], template: str, special: bool
) -> None:
    opened = template == OPENING
    said = {p: r.removeprefix("<think>\n") if opened else r for p, r in REPLIES.items()}
    if opened:
        said["at once"] = "\n</think>\n\n(B)<|im_end|>"
    rollouts = scripted(said, template=template, special=special).sample(asked(*said), n=1, seed=0)
    assert list(rollouts.text_R) == ["(B)", "(B)", "", ""]
    assert rollouts.thinking_R[0] == "It might be (A)."
    assert rollouts.thinking_R[1] == ""
    assert rollouts.thinking_R[2].startswith("It is (A), or")
    assert rollouts.thinking_R[3] == "(A)"
    assert rollouts.stopped_R.tolist() == [True, True, False, True]
    assert [option_said(text, ["Paris", "Rome"]) for text in rollouts.text_R] == ["B", "B", None, None]
    assert rollouts.length_R[0] > 20  # what it cost to think counts
    sent = fates(rollouts, [("", "f")] * 4, blank=False, cut=False)
    assert [s.why for s in sent] == ["", "", "thinking without an answer", "thinking without an answer"]


def test_nothing_is_parted_where_thinking_is_switched_off(scripted: Callable[..., Model]) -> None:
    off = "{% set enable_thinking = false %}" + OPENING
    rollouts = scripted({"which?": "(B), and a <think> is a tag<|im_end|>"}, template=off).sample(
        asked("which?"), n=1, seed=0
    )
    assert list(rollouts.text_R) == ["(B), and a <think> is a tag"]
    assert list(rollouts.thinking_R) == [""]


def test_what_reads_first_tokens_as_an_answer_refuses_a_model_that_thinks(tmp_path: Path) -> None:
    for number, template in enumerate((QWEN, OPENING)):
        folder = build(tmp_path / str(number), "qwen3", template=template)
        for name in (str(folder), f"{folder}?enable_thinking=true"):
            model = open_weights(name)
            with pytest.raises(BadInput, match=r"thinks before it answers.*enable_thinking=false"):
                choice_logprobs(model, ["1+1=2?"], ["yes", "no"])
            with pytest.raises(BadInput, match="thinks before it answers"):
                answers_of(model)
        assert choice_logprobs(open_weights(f"{folder}?enable_thinking=false"), ["1+1=2?"], ["yes", "no"]).shape == (
            1,
            2,
        )
    assert encode(open_weights(tmp_path / "0"), ["1"], ["2"])[1][0].size  # it may answer at once
    with pytest.raises(BadInput, match="would stand in the block of thinking"):
        response_logprobs(open_weights(tmp_path / "1"), ["1"], ["2"])


@pytest.mark.slow
def test_a_command_takes_a_switch_of_the_template(superalign: Callable[..., Any], tmp_path: Path) -> None:
    folder = str(build(tmp_path / "model", "qwen3"))
    few = ("--quick", "--workers", "1", "--set", "shown=2", "--out", str(tmp_path / "run"))
    done = superalign("look", folder, "--base", folder, "--template-args", "enable_thinking=false", *few)
    assert done.returncode == 0, done
    assert "the same probability" in done.stdout


def test_a_command_ends_with_one_sentence(superalign: Callable[..., Any], tmp_path: Path) -> None:
    folder = str(build(tmp_path / "model", "gemma3", template=SYSTEMLESS))
    done = superalign("look", folder, "--base", folder, "--system", "Be brief.", "--out", str(tmp_path / "run"))
    assert done.returncode == 2, done
    assert "takes no system text (System role not supported)" in done.stderr
    assert "Traceback" not in done.stderr
