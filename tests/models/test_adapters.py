from __future__ import annotations

import copy
import dataclasses
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers as tf
from peft.tuners.lora import config as lora_configs
from safetensors.torch import load_file, save_file

import superalign
from superalign.errors import BadInput
from superalign.models import (
    Model,
    Sampling,
    activations,
    base,
    encode,
    load,
    load_adapter,
    lora,
    merge,
    open_weights,
    quantised,
    response_logprobs,
    sample_prompts,
    save,
    save_adapter,
    sequence_logprobs,
    weights,
    weights_digest,
    with_sampling,
)
from superalign.types import Subject

PROMPTS, RESPONSES = ("1+1", "what?"), ("#2", "a;b")


def scores(model: Model) -> np.ndarray:
    return response_logprobs(model, PROMPTS, RESPONSES)[0]


def trained(model: Model) -> Model:
    """As if training had moved the adapter."""
    adapted = lora(model, rank=2, seed=3)
    with torch.no_grad():
        for name, parameter in adapted.network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    return adapted


def test_a_fresh_adapter_changes_nothing_and_leaves_the_base_alone(model: Model) -> None:
    before = weights_digest(model.network)
    adapted = lora(model, rank=2, seed=3)
    assert (scores(adapted) == scores(model)).all()
    assert weights_digest(model.network) == before
    assert all("lora" in n for n, p in adapted.network.named_parameters() if p.requires_grad)
    assert adapted.subject.base == model.subject.digest
    assert adapted.subject.weights == lora(model, rank=2, seed=3).subject.weights
    assert adapted.subject.weights != lora(model, rank=2, seed=4).subject.weights


def test_adapted_models_share_the_weights_of_their_base_and_leave_them_alone(model: Model, tmp_path: Path) -> None:
    before, lies = weights_digest(model.network), {p.data_ptr() for p in model.network.parameters()}
    adapted = trained(model)
    again = load_adapter(model, save_adapter(adapted, tmp_path / "adapter"))
    for one in (adapted, again):
        own = [p for n, p in one.network.named_parameters() if "lora_" not in n]
        assert {p.data_ptr() for p in own} == lies
        assert not any(p.requires_grad for p in own)
    for changed in (merge(adapted), quantised(again, bits=4)):
        assert not {p.data_ptr() for p in changed.network.parameters()} & lies
        assert (scores(changed) != scores(model)).any()
    for parameter in adapted.network.parameters():
        if parameter.requires_grad:
            parameter.data.mul_(2)
    assert weights_digest(model.network) == before
    assert (scores(again) != scores(adapted)).any()  # each has an adapter of its own


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_that_moves_its_base_gets_a_copy(model: Model, tmp_path: Path) -> None:
    """Trained biases lie in the base's own layers, so that loading them writes there."""
    before, lies = scores(model), {p.data_ptr() for p in model.network.parameters()}
    config = peft.LoraConfig(r=2, target_modules="all-linear", bias="all", task_type="CAUSAL_LM")
    network = peft.get_peft_model(copy.deepcopy(model.network), config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.add_(0.3)
    network.save_pretrained(tmp_path / "biases")
    again = load_adapter(model, tmp_path / "biases")
    assert not {p.data_ptr() for p in again.network.parameters()} & lies
    assert (scores(model) == before).all()


def test_saved_and_merged_adapters_give_the_same_numbers(model: Model, tmp_path: Path) -> None:
    adapted = trained(model)
    assert np.abs(scores(adapted) - scores(model)).max() > 1e-2
    folder = save_adapter(adapted, tmp_path / "adapter")
    assert {p.name for p in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors", "base.json"}
    assert json.loads((folder / "base.json").read_text())["weights"] == model.subject.weights
    assert (folder / "adapter_model.safetensors").stat().st_size < 40_000
    again = load_adapter(model, folder)
    assert (scores(again) == scores(adapted)).all()
    assert weights_digest(again.network) == weights_digest(adapted.network)
    assert np.allclose(scores(merge(adapted)), scores(adapted), atol=2e-5)


def test_bad_input(make: Callable[[str], Model], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a LoRA adapter"):
        load_adapter(make("llama"), tmp_path)
    with pytest.raises(BadInput, match="no adapter to save"):
        save_adapter(make("llama"), tmp_path / "x")
    with pytest.raises(BadInput, match="rank"):
        lora(make("llama"), rank=0, seed=0)
    folder = save_adapter(trained(make("gpt2")), tmp_path / "other")
    with pytest.raises(BadInput, match="another base"):
        load_adapter(make("llama"), folder)
    (folder / "base.json").unlink()
    with pytest.raises(BadInput, match="does not fit"):
        load_adapter(make("llama"), folder)
    with pytest.raises(BadInput, match="an adapter already"):
        load_adapter(trained(make("gpt2")), folder)


def test_a_saved_adapter_names_its_base_and_not_where_it_lay(tmp_path: Path) -> None:
    origin = base("small")
    folder = save_adapter(lora(origin, rank=2, seed=0), tmp_path / "mine")
    told = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert told == "small-0"
    assert load_adapter(origin, folder).subject.base == origin.subject.digest


def test_nothing_that_ships_says_where_it_was_made() -> None:
    """Files of the package hold no absolute path of a machine."""
    shipped = [p for p in Path(superalign.__file__).parent.rglob("*.json") if p.is_file()]
    assert len(shipped) > 50
    absolute = [p for p in shipped if re.search(r'"(/|[A-Z]:\\\\)[A-Za-z0-9_.-]+[/\\\\]', p.read_text())]
    assert not absolute


WRAPPERS: dict[str, tuple[Callable[[str], str], str]] = {
    "compiled": (lambda k: k.replace("base_model.model.", "base_model.model._orig_mod."), "torch.compile"),
    "data-parallel": (lambda k: f"module.{k}", r"`\.module`"),
    "no prefix": (lambda k: k.removeprefix("base_model.model."), "find no place"),
    "other prefix": (lambda k: f"policy.{k}", "find no place"),
    "one level deeper": (lambda k: k.replace("model.model.", "model.model.language_model."), "find no place"),
    "half of the layers": (lambda k: "" if ".layers.1." in k else k, "get no tensor"),
    "one of two halves": (lambda k: "" if "lora_B" in k else k, "get no tensor"),
    "one tensor": (lambda k: "" if "layers.1.mlp.up_proj.lora_A" in k else k, "layers.1.mlp.up_proj.lora_A.weight"),
    "no tensor": (lambda k: "", "no tensors"),
}


def rewritten(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    file = folder / "adapter_model.safetensors"
    save_file(change(load_file(file)), file)


@pytest.mark.parametrize("damage", WRAPPERS)
def test_every_tensor_finds_its_place_and_every_place_its_tensor(
    make: Callable[[str], Model], tmp_path: Path, damage: str
) -> None:
    folder = save_adapter(trained(make("llama")), tmp_path / "adapter")
    rename, told = WRAPPERS[damage]
    rewritten(folder, lambda tensors: {rename(k): v for k, v in tensors.items() if rename(k)})
    with pytest.raises(BadInput, match=told) as caught:
        load_adapter(make("llama"), folder)
    assert "begin with base_model.model.model.layers." in str(caught.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none(make: Callable[[str], Model], tmp_path: Path, number: float) -> None:
    folder = save_adapter(trained(make("llama")), tmp_path / "adapter")
    name = "base_model.model.model.layers.1.mlp.up_proj.lora_A.weight"

    def broken(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        tensors[name][1, 2] = number
        return tensors

    rewritten(folder, broken)
    with pytest.raises(BadInput, match=re.escape(name)):
        load_adapter(make("llama"), folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_are_widened(make: Callable[[str], Model], tmp_path: Path, dtype: torch.dtype) -> None:
    adapted = trained(make("llama"))
    folder = save_adapter(adapted, tmp_path / "adapter")
    rewritten(folder, lambda tensors: {k: v.to(dtype) for k, v in tensors.items()})
    with torch.no_grad():
        for parameter in adapted.network.parameters():
            if parameter.requires_grad:
                parameter.copy_(parameter.to(dtype))
    assert (scores(load_adapter(make("llama"), folder)) == scores(adapted)).all()


def test_files_that_are_not_read(make: Callable[[str], Model], tmp_path: Path) -> None:
    folder = save_adapter(trained(make("llama")), tmp_path / "adapter")
    whole = folder / "adapter_model.safetensors"
    for name, told in (("adapter_model-00001-of-00002.safetensors", "several files"), ("adapter_model.bin", "pickle")):
        whole.rename(folder / name)
        with pytest.raises(BadInput, match=told):
            load_adapter(make("llama"), folder)
        (folder / name).rename(whole)
    whole.write_bytes(whole.read_bytes()[:100])
    with pytest.raises(BadInput, match="does not fit"):
        load_adapter(make("llama"), folder)
    (folder / "adapter_config.json").write_text('{"peft_type": "OF_NEXT_YEAR"}')
    with pytest.raises(BadInput, match="cannot be read"):
        load_adapter(make("llama"), folder)


def named(network: Any, name: str, like: Model) -> Model:
    network.name_or_path = network.config._name_or_path = f"/somewhere/{name}"
    subject = Subject(weights=weights_digest(network), base="", how="random")
    return dataclasses.replace(like, network=network, subject=subject)


def test_an_adapter_of_another_base(
    make: Callable[[str], Model], network_of: Callable[..., Any], tmp_path: Path
) -> None:
    mine = named(copy.deepcopy(make("llama").network), "mine-7b", make("llama"))
    other = named(network_of("llama", seed=4), "other-7b", mine)
    folder = save_adapter(trained(mine), tmp_path / "adapter")
    load_adapter(named(mine.network, "moved", mine), folder)  # the digest says that it is the same
    with pytest.raises(BadInput, match=f"mine-7b, weights {mine.subject.weights[:12]}"):
        load_adapter(other, folder)
    (folder / "base.json").unlink()
    with pytest.warns(UserWarning, match="names its base mine-7b, and is put on other-7b"):
        load_adapter(other, folder)
    load_adapter(named(mine.network, "Mine-7B", mine), folder)
    (folder / "base.json").write_text("{}")
    with pytest.raises(BadInput, match="damaged"):
        load_adapter(mine, folder)


def test_settings_that_the_installed_peft_leaves_out_are_named(make: Callable[[str], Model], tmp_path: Path) -> None:
    folder = save_adapter(trained(make("llama")), tmp_path / "adapter")
    told = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**told, "use_of_tomorrow": True, "old": None}))
    with pytest.warns(UserWarning, match="does not know use_of_tomorrow in"):
        load_adapter(make("llama"), folder)
    (folder / "adapter_config.json").write_text(json.dumps({**told, "task_type": "SEQ_CLS"}))
    with pytest.raises(BadInput, match="task SEQ_CLS"):
        load_adapter(make("llama"), folder)


LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TWO, FEW = ["q_proj", "v_proj"], {"num_virtual_tokens": 4}


def low_rank(**more: Any) -> Any:
    return peft.LoraConfig(**({"r": 4, "lora_alpha": 8, "target_modules": LINEAR, "task_type": "CAUSAL_LM"} | more))


# Each kind of adapter that PEFT has, and what is done with it: read by our decoder, by the network's own forward, or refused.
# docs/models.md shows this table.
READ, OWN = "decoder", "own forward"
KINDS: dict[str, tuple[Callable[[], Any], str, bool]] = {
    "LORA": (low_rank, READ, True),
    "LORA, use_rslora": (lambda: low_rank(use_rslora=True), READ, True),
    "LORA, rank_pattern and alpha_pattern": (
        lambda: low_rank(rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 3}), READ, True,
    ),
    "LORA, bias": (lambda: low_rank(bias="all"), READ, True),
    "LORA, layer_replication": (lambda: low_rank(layer_replication=[[0, 2], [1, 2]]), READ, True),
    "LORA, PiSSA": (lambda: low_rank(init_lora_weights="pissa"), READ, True),
    "LORA, OLoRA": (lambda: low_rank(init_lora_weights="olora"), READ, True),
    "LORA, EVA": (lambda: low_rank(init_lora_weights="eva", eva_config=lora_configs.EvaConfig()), READ, True),
    "LORA, LoRA-GA": (
        lambda: low_rank(init_lora_weights="lora_ga", lora_ga_config=lora_configs.LoraGAConfig()), READ, True,
    ),
    "LORA, QALoRA": (lambda: low_rank(use_qalora=True), READ, True),
    "LORA, on the head": (lambda: low_rank(target_modules=[*LINEAR, "lm_head"]), READ, True),
    "LORA, on the embeddings": (lambda: low_rank(target_modules=[*LINEAR, "embed_tokens"]), OWN, True),
    "LORA, modules_to_save": (lambda: low_rank(modules_to_save=["lm_head", "embed_tokens"]), OWN, True),
    "LORA, trainable_token_indices": (lambda: low_rank(trainable_token_indices=[5, 6, 7]), OWN, True),
    "LORA, ensure_weight_tying": (
        lambda: low_rank(target_modules=[*LINEAR, "embed_tokens"], ensure_weight_tying=True), OWN, True,
    ),
    "LORA, target_parameters": (lambda: low_rank(target_modules=[], target_parameters=["q_proj.weight"]), OWN, True),
    "LORA, lora_dropout": (lambda: low_rank(lora_dropout=0.3), OWN, True),
    "LORA, lora_bias": (lambda: low_rank(lora_bias=True), OWN, False),
    "LORA, DoRA": (lambda: low_rank(use_dora=True), OWN, True),
    "LORA, KaSA": (lambda: low_rank(kasa_config=lora_configs.KasaConfig()), OWN, True),
    "LORA, MiCA": (lambda: low_rank(init_lora_weights="mica"), OWN, True),
    "LORA, VeLoRA": (lambda: low_rank(velora_config=lora_configs.VeloraConfig()), OWN, True),
    "LORA, MonteCLoRA": (
        lambda: low_rank(target_modules=TWO, monteclora_config=lora_configs.MontecloraConfig()), OWN, True,
    ),
    "LORA, aLoRA": (lambda: low_rank(alora_invocation_tokens=[99, 98, 97]), "by tokens of the prompt", False),
    "LORA, PiSSA by random projections": (lambda: low_rank(init_lora_weights="pissa_niter_4"), "other numbers", False),
    "LORA, CorDA not converted": (
        lambda: low_rank(init_lora_weights="corda", corda_config=lora_configs.CordaConfig()), "does not fit", False,
    ),
    "ADALORA": (
        lambda: peft.AdaLoraConfig(init_r=6, target_r=4, total_step=9, tinit=1, tfinal=2, target_modules=LINEAR), OWN, True,
    ),
    "ADAMSS": (lambda: peft.AdamssConfig(target_modules=TWO), OWN, True),
    "ADAPTION_PROMPT": (lambda: peft.AdaptionPromptConfig(adapter_len=4, adapter_layers=2), OWN, False),
    "BEFT": (lambda: peft.BeftConfig(target_modules=TWO), OWN, False),
    "BOFT": (lambda: peft.BOFTConfig(boft_block_size=4, target_modules=TWO), OWN, True),
    "C3A": (lambda: peft.C3AConfig(block_size=8, target_modules=TWO), OWN, True),
    "DEFT": (lambda: peft.DeftConfig(target_modules=LINEAR), OWN, True),
    "DELORA": (lambda: peft.DeloraConfig(r=4, target_modules=LINEAR), OWN, True),
    "FOURIERFT": (lambda: peft.FourierFTConfig(n_frequency=50, target_modules=LINEAR), OWN, True),
    "FROD": (lambda: peft.FrodConfig(target_modules=TWO), OWN, True),
    "GLORA": (lambda: peft.GloraConfig(r=4, target_modules=LINEAR), OWN, True),
    "GRALORA": (lambda: peft.GraloraConfig(r=4, gralora_k=2, target_modules=LINEAR), OWN, True),
    "HIRA": (lambda: peft.HiraConfig(r=4, target_modules=LINEAR), OWN, True),
    "HRA": (lambda: peft.HRAConfig(r=4, target_modules=LINEAR), OWN, True),
    "IA3": (
        lambda: peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]), OWN, True,
    ),
    "LN_TUNING": (lambda: peft.LNTuningConfig(target_modules=["input_layernorm", "norm"]), OWN, True),
    "LOHA": (lambda: peft.LoHaConfig(r=4, alpha=8, target_modules=LINEAR), OWN, True),
    "LOKR": (lambda: peft.LoKrConfig(r=4, alpha=8, target_modules=LINEAR), OWN, True),
    "MISS": (lambda: peft.MissConfig(r=4, target_modules=LINEAR), OWN, True),
    "OFT": (lambda: peft.OFTConfig(r=4, oft_block_size=0, target_modules=LINEAR), OWN, True),
    "OSF": (lambda: peft.OSFConfig(target_modules=TWO), OWN, True),
    "PEANUT": (lambda: peft.PeanutConfig(r=4, target_modules=TWO), OWN, True),
    "PSOFT": (lambda: peft.PsoftConfig(r=4, target_modules=TWO), OWN, True),
    "PVERA": (lambda: peft.PveraConfig(r=8, target_modules=["q_proj", "o_proj"]), OWN, True),
    "PVERA, sample_at_inference": (
        lambda: peft.PveraConfig(r=8, target_modules=["q_proj", "o_proj"], sample_at_inference=True), "other numbers", False,
    ),
    "RANDLORA": (lambda: peft.RandLoraConfig(r=4, randlora_alpha=8, target_modules=LINEAR), OWN, True),
    "ROAD": (lambda: peft.RoadConfig(group_size=8, target_modules=LINEAR), OWN, True),
    "SHIRA": (lambda: peft.ShiraConfig(r=4, target_modules=LINEAR), OWN, True),
    "SUPERTUNING": (lambda: peft.SupertuningConfig(target_modules=LINEAR), OWN, True),
    "TINYLORA": (lambda: peft.TinyLoraConfig(target_modules=TWO), OWN, True),
    "TRAINABLE_TOKENS": (lambda: peft.TrainableTokensConfig(token_indices=[5, 6, 7]), OWN, True),
    "UNILORA": (lambda: peft.UniLoraConfig(r=4, target_modules=TWO), OWN, True),
    "VBLORA": (lambda: peft.VBLoRAConfig(r=4, num_vectors=20, vector_length=8, topk=2, target_modules=TWO), OWN, True),
    "VBLORA, save_only_topk_weights": (
        lambda: peft.VBLoRAConfig(
            r=4, num_vectors=20, vector_length=8, topk=2, target_modules=TWO, save_only_topk_weights=True
        ), OWN, True,
    ),
    "VERA": (lambda: peft.VeraConfig(r=8, target_modules=["q_proj", "o_proj"]), OWN, True),
    "VERA, save_projection=False": (
        lambda: peft.VeraConfig(r=8, target_modules=["q_proj", "o_proj"], save_projection=False), OWN, True,
    ),
    "WAVEFT": (lambda: peft.WaveFTConfig(n_frequency=50, target_modules=LINEAR), OWN, True),
    "CARTRIDGE": (lambda: peft.CartridgeConfig(**FEW), "virtual tokens", False),
    "CPT": (
        lambda: peft.CPTConfig(
            cpt_token_ids=[5, 6], cpt_mask=[1, 1], cpt_tokens_type_mask=[1, 2], task_type="CAUSAL_LM"
        ), "virtual tokens", False,
    ),
    "LILY": (lambda: peft.LilyConfig(r=4, target_modules=TWO), "else is in the batch", False),
    "MULTITASK_PROMPT_TUNING": (
        lambda: peft.MultitaskPromptTuningConfig(**FEW, num_tasks=2), "virtual tokens", False,
    ),
    "POLY": (lambda: peft.PolyConfig(r=4, n_tasks=2, n_skills=2, target_modules=LINEAR), "does not run", False),
    "PREFIX_TUNING": (lambda: peft.PrefixTuningConfig(**FEW), "virtual tokens", False),
    "PROMPT_TUNING": (lambda: peft.PromptTuningConfig(**FEW), "virtual tokens", False),
    "P_TUNING": (lambda: peft.PromptEncoderConfig(**FEW, encoder_hidden_size=16), "virtual tokens", False),
    "SHADOW": (lambda: peft.ShadowConfig(), "does not run", False),
    "XLORA": (lambda: peft.XLoraConfig(hidden_size=32, adapters={}), "does not fit", False),
}  # fmt: skip
MAIN = (
    "LORA", "LORA, use_rslora", "LORA, bias", "LORA, layer_replication", "LORA, PiSSA", "LORA, on the head",
    "LORA, on the embeddings", "LORA, modules_to_save", "LORA, trainable_token_indices", "LORA, lora_bias", "LORA, DoRA",
    "LORA, KaSA", "LORA, aLoRA", "LORA, PiSSA by random projections", "LOHA", "VERA", "IA3", "LN_TUNING", "LILY",
    "PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "SHADOW",
)  # fmt: skip


def written(origin: Model, config: Any, folder: Path) -> Path:
    """An adapter whose every trained number is random; only its settings where PEFT itself cannot start it."""
    config.task_type = "CAUSAL_LM"
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(1)
        try:
            network = peft.get_peft_model(copy.deepcopy(origin.network), config)
        except ValueError:
            config.save_pretrained(str(folder))
            save_file({}, folder / "adapter_model.safetensors")
            return folder
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.3 * torch.randn(parameter.shape))
        network.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


def by_peft(origin: Model, folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.PeftModel.from_pretrained(copy.deepcopy(origin.network), str(folder)).eval()


def check_kind(origin: Model, kind: str, folder: Path) -> None:
    """Log-probs, samples, taps and the merged model are PEFT's own, or the adapter is refused when it is loaded."""
    config, outcome, merges = KINDS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a setting is of no account here
        written(origin, config(), folder)
    if outcome not in (READ, OWN):
        with pytest.raises(BadInput, match=outcome):
            load_adapter(origin, folder)
        return
    model, true = load_adapter(origin, folder), by_peft(origin, folder)
    assert weights.supported(model.network) == (outcome == READ)

    def logprobs(prompt: np.ndarray, response: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tokens = torch.from_numpy(np.concatenate([prompt, response]).astype(np.int64))[None]
        with torch.no_grad():
            out = true(input_ids=tokens, output_hidden_states=True)
        got = torch.log_softmax(out.logits[0, len(prompt) - 1 : -1], -1)
        state = out.hidden_states[1][0, -1] if out.hidden_states else torch.zeros(0)
        return got.gather(1, tokens[0, len(prompt) :, None])[:, 0].numpy(), state.numpy()

    prompts, responses = encode(model, PROMPTS, RESPONSES)
    expected = [logprobs(p, r) for p, r in zip(prompts, responses, strict=True)]
    plain = scores(origin)
    assert max(np.abs(plain[i, : len(e)] - e).max() for i, (e, _) in enumerate(expected)) > 1e-2  # it changes something

    def off(scored: Model) -> float:
        got = scores(scored)
        return max(float(np.abs(got[i, : len(e)] - e).max()) for i, (e, _) in enumerate(expected))

    assert off(model) < 1e-3
    sampled = sample_prompts(with_sampling(model, Sampling(max_tokens=8)), PROMPTS, n=2, seed=0)
    for r, p in enumerate(sampled.prompt_R):
        size = sampled.length_R[r]
        again, _ = logprobs(prompts[p], sampled.tokens_RT[r, :size])
        assert np.abs(again - sampled.logprobs_RT[r, :size]).max() < 1e-3
    read = [response.tolist() for response in responses]
    states = activations(model, PROMPTS, read, sites=["residual.0"], reduce="last")["residual.0"]
    for i, (_, state) in enumerate(expected):
        assert not len(state) or np.abs(states[i] - state).max() < 1e-3
    if not merges:
        with pytest.raises(BadInput, match="cannot be merged"):
            merge(model)
        return
    assert off(merge(model)) < 1e-3
    assert off(load(save(model, folder.parent / "saved"))) < 1e-3


@pytest.mark.parametrize("kind", MAIN)
def test_the_main_kinds_are_read_as_peft_reads_them_or_refused(
    make: Callable[[str], Model], tmp_path: Path, kind: str
) -> None:
    check_kind(make("llama"), kind, tmp_path / "adapter")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [k for k in KINDS if k not in MAIN])
def test_every_other_kind_is_read_as_peft_reads_it_or_refused(
    make: Callable[[str], Model], tmp_path: Path, kind: str
) -> None:
    check_kind(make("llama"), kind, tmp_path / "adapter")


def test_the_page_lists_every_kind_with_what_is_done() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    rows = [
        f"| {kind} | {outcome if outcome in (READ, OWN) else 'refused'} | {'yes' if merges else 'no'} |"
        for kind, (_, outcome, merges) in KINDS.items()
    ]
    assert [row for row in page.splitlines() if row in rows] == rows
    missing = {t.value for t in peft.PeftType} - {kind.split(",")[0] for kind in KINDS}
    assert not missing


def test_merging_tied_or_repeated_layers_keeps_the_numbers_and_so_does_saving(
    make: Callable[[str], Model], tmp_path: Path
) -> None:
    origin = make("llama")
    assert origin.network.config.tie_word_embeddings
    targets: dict[str, dict[str, Any]] = {
        "head": {"target_modules": [*LINEAR, "lm_head"]},
        "both": {"target_modules": [*LINEAR, "embed_tokens", "lm_head"]},
        "repeated": {"layer_replication": [[0, 2], [0, 1]]},
    }
    for name, how in targets.items():
        model = load_adapter(origin, written(origin, low_rank(**how), tmp_path / name))
        merged = merge(model)
        assert np.abs(scores(merged) - scores(model)).max() < 1e-4
        assert np.abs(scores(load(save(model, tmp_path / f"{name} whole"))) - scores(model)).max() < 1e-4
        assert merged.network.config.tie_word_embeddings == (name == "repeated")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", [{}, {"modules_to_save": ["embed_tokens", "lm_head"]}])
def test_an_adapter_on_a_grown_vocabulary_is_refused_on_the_base_without_it_and_read_on_one_with_it(
    make: Callable[[str], Model], tmp_path: Path, how: dict[str, Any]
) -> None:
    grown = copy.deepcopy(make("qwen3").network)
    grown.resize_token_embeddings(105)
    larger = dataclasses.replace(make("qwen3"), network=copy.deepcopy(grown))
    network = peft.get_peft_model(grown, low_rank(**how))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    network.save_pretrained(str(tmp_path), save_embedding_layers=not how)
    with pytest.raises(BadInput, match="If its vocabulary was grown, put it on its base with as many tokens"):
        load_adapter(make("qwen3"), tmp_path)
    if how:
        got = load_adapter(larger, tmp_path)
        tokens = torch.arange(4, 24)[None]
        with torch.no_grad():
            ours, true = (torch.log_softmax(n(input_ids=tokens).logits, -1) for n in (got.network, network.eval()))
        assert float((ours - true).abs().max()) < 1e-4
        assert np.abs(scores(got) - scores(merge(got))).max() < 1e-3


@pytest.mark.filterwarnings("ignore")  # that there are no fast kernels here
@pytest.mark.parametrize("kind", ["mamba", "jamba", "bamba", "recurrent_gemma", "rwkv"])
def test_networks_with_a_state_are_adapted_merged_and_saved(
    zoo: Any, wrap: Callable[[Any], Model], tmp_path: Path, kind: str
) -> None:
    """Every update acts, as PEFT's own forward says; some of their matrices are read and never called."""
    network, folder = zoo.network_of(kind), tmp_path / "model"
    network.save_pretrained(folder)
    wrap(network).tokenizer.save_pretrained(folder)
    model = open_weights(folder)
    adapted = lora(model, rank=2, seed=0)
    with torch.no_grad():
        for name, parameter in adapted.network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    prompts, responses = encode(adapted, PROMPTS, RESPONSES)
    sequence_logprobs(adapted.network, prompts, responses).sum().backward()
    updates = [p for p in adapted.network.parameters() if p.requires_grad]
    assert all(p.grad is not None and bool(p.grad.abs().max() > 0) for p in updates)
    found = scores(adapted)
    assert np.abs(found - scores(model)).max() > 1e-2
    for r, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        tokens = torch.from_numpy(np.concatenate([prompt, response]).astype(np.int64))[None]
        with torch.no_grad():
            logits = adapted.network(input_ids=tokens, use_cache=False).logits[0, len(prompt) - 1 : -1]
        true = torch.log_softmax(logits, -1).gather(1, tokens[0, len(prompt) :, None])[:, 0].numpy()
        assert np.abs(found[r, : len(response)] - true).max() < 1e-3
    again = open_weights(save_adapter(adapted, tmp_path / "adapter"), on=str(folder))
    assert np.abs(scores(again) - found).max() < 1e-5
    assert np.abs(scores(open_weights(save(adapted, tmp_path / "merged"))) - found).max() < 1e-3


@pytest.mark.filterwarnings("ignore")
def test_running_a_deep_rwkv_does_not_change_its_weights(
    zoo: Any, wrap: Callable[[Any], Model], tmp_path: Path
) -> None:
    """From the seventh layer on its own forward halves weights in place, and says the same as it did."""
    config = zoo.config_of("rwkv")
    config.num_hidden_layers = 8
    torch.manual_seed(0)
    network = tf.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    network.save_pretrained(tmp_path / "model")
    wrap(network).tokenizer.save_pretrained(tmp_path / "model")
    model = open_weights(tmp_path / "model")
    tokens = torch.arange(4, 24)[None]
    with torch.no_grad():
        own, ours = (
            torch.log_softmax(n(input_ids=tokens, use_cache=False).logits, -1) for n in (network, model.network)
        )
    assert float((own - ours).abs().max()) < 1e-3
    assert weights_digest(model.network) == model.subject.weights != weights_digest(network)
    assert np.abs(scores(open_weights(save(model, tmp_path / "saved"))) - scores(model)).max() < 1e-6


def test_a_merge_that_changes_the_numbers_is_refused(
    make: Callable[[str], Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without untying, the update of the head would go into the embeddings too."""
    model = load_adapter(
        make("llama"), written(make("llama"), low_rank(target_modules=["lm_head"]), tmp_path / "adapter")
    )
    monkeypatch.setattr("superalign.models.adapters._untie", lambda network: None)
    with pytest.raises(BadInput, match="nats off on a few tokens"):
        merge(model)
