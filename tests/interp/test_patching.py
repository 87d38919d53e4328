"""Effects of components: known ones are found, and where there is nothing they are exactly zero."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from superalign.errors import TapError
from superalign.interp.patching import (
    Pairs,
    changed_by_corruption,
    components,
    exact_effects,
    faithfulness,
    fills,
    gradient_effects,
    kept_alone,
    patched,
    read,
)
from superalign.interp.ranking import agreement
from superalign.lab.compiled import compile_program
from superalign.lab.compiled_programs import PROGRAMS, draw_pairs
from superalign.models.taps import changed


def llama() -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=20, initializer_range=0.3)).eval()


def gpt2() -> Any:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=20, initializer_range=0.3)).eval()


def random_pairs(n: int = 6, seed: int = 0) -> Pairs:
    rng = np.random.default_rng(seed)
    clean, corrupt = (torch.tensor(rng.integers(0, 20, (n, 5))) for _ in range(2))
    right = torch.tensor(rng.integers(0, 10, n))
    return Pairs(clean_BT=clean, corrupt_BT=corrupt, at_B=torch.full((n,), 4), right_B=right, wrong_B=right + 10)


def same(pairs: Pairs) -> Pairs:
    given = {k: getattr(pairs, k) for k in ("clean_BT", "at_B", "right_B", "wrong_B")}
    return Pairs(corrupt_BT=pairs.clean_BT, **given)


@pytest.mark.parametrize("network", [llama(), gpt2()], ids=["llama", "gpt2"])
def test_clean_into_clean_changes_nothing_at_all(network: Any) -> None:
    pairs = same(random_pairs())
    assert np.array_equal(exact_effects(network, pairs), np.zeros((len(components(network)), 6), np.float32))
    assert not gradient_effects(network, pairs).any()


@pytest.mark.parametrize("network", [llama(), gpt2()], ids=["llama", "gpt2"])
def test_everything_patched_from_the_corrupt_run_leaves_the_embedding_alone(network: Any) -> None:
    pairs = random_pairs()
    corrupt, logits = read(network, pairs.corrupt_BT)
    assert torch.allclose(patched(network, pairs.clean_BT, corrupt), logits, atol=1e-5)
    assert np.array_equal(exact_effects(network, pairs), exact_effects(network, pairs))


def test_a_head_whose_output_weights_are_zero_has_exactly_no_effect() -> None:
    network = llama()
    with torch.no_grad():
        network.model.layers[0].self_attn.o_proj.weight[:, 8:16] = 0.0  # head 1
    at = components(network).index("L0.H1")
    pairs = random_pairs()
    assert not exact_effects(network, pairs)[at].any()
    assert exact_effects(network, pairs)[at - 1].any()


def test_the_gradient_is_the_slope_of_the_metric_along_the_patch() -> None:
    network, pairs = llama().double(), random_pairs()
    (clean, _), (corrupt, _) = (read(network, t) for t in (pairs.clean_BT, pairs.corrupt_BT))
    by_gradient = gradient_effects(network, pairs).sum(-1)
    for name in ("L0.H2", "L1.mlp"):
        step = {name: torch.lerp(clean[name], corrupt[name], 1e-3)}
        slope = (
            pairs.metric(patched(network, pairs.clean_BT, step)) - pairs.metric(patched(network, pairs.clean_BT, {}))
        ) / 1e-3
        assert np.allclose(slope.numpy(), by_gradient[components(network).index(name)], atol=0.05, rtol=0.05)


def test_effects_by_position_add_up_where_only_one_position_is_read() -> None:
    network, pairs = llama(), random_pairs()
    last = exact_effects(network, pairs, ["L1.mlp"], at=4)  # the read-out sees the last position of the last MLP alone
    assert np.allclose(last, exact_effects(network, pairs, ["L1.mlp"]), atol=1e-5)
    assert not exact_effects(network, pairs, ["L1.mlp"], at=2).any()


@pytest.mark.parametrize("name", PROGRAMS)
def test_soft_programs_are_ranked_by_gradient_as_by_exact_patching(name: str) -> None:
    made = compile_program(PROGRAMS[name], seed=0)
    pairs = draw_pairs(PROGRAMS[name], n=24, rng=np.random.default_rng(0))
    exact, guess = exact_effects(made.network, pairs), gradient_effects(made.network, pairs, steps=8).sum(-1)
    in_circuit = np.array([n in made.nodes for n in components(made.network)])
    for effects in (exact, guess):
        size = np.abs(effects).mean(1)
        assert size[in_circuit].min() > 100 * size[~in_circuit].max()
    sizes = [np.abs(e).mean(1, keepdims=True)[in_circuit] for e in (exact, guess)]
    assert len(sizes[0]) == 2 or agreement(*sizes)[0] >= 0.4  # all effects of a chain of steps are nearly as large


def test_the_known_circuit_alone_is_faithful_and_a_random_one_of_its_size_is_not() -> None:
    made = compile_program(PROGRAMS["reverse"], seed=0)
    pairs = draw_pairs(PROGRAMS["reverse"], n=24, rng=np.random.default_rng(0))
    others = draw_pairs(PROGRAMS["reverse"], n=24, rng=np.random.default_rng(1))
    names, some = components(made.network), sorted(made.nodes)
    wrong = [n for n in names if n not in made.nodes][: len(some)]
    for how in ("resample", "mean", "zero"):
        fill = fills(made.network, pairs, how, over=others)  # type: ignore[arg-type]
        metrics = np.stack([kept_alone(made.network, pairs, c, fill) for c in ([], wrong, some, names)])
        found = faithfulness([metrics]).mean((1, 2))
        assert found[2] == pytest.approx(1.0, abs=0.02)
        assert found[1] == pytest.approx(0.0, abs=0.02)


def test_what_corruption_changes_is_zero_where_it_changes_nothing() -> None:
    assert not changed_by_corruption(llama(), same(random_pairs())).any()


def test_a_hook_that_does_not_fire_is_an_error() -> None:
    network = llama()
    with pytest.raises(TapError, match="did not fire"), changed(network, {"mlp.1": lambda x: x}):
        network.model.embed_tokens(torch.tensor([[1]]))
