"""Effects of edges: exact and by gradient, where gradients are blind, and what is refused."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from superalign.errors import BadInput
from superalign.interp.edges import edges, exact_edges, gradient_edges, joint_edges, ports, runs_of
from superalign.interp.patching import Pairs, components, exact_effects
from superalign.interp.ranking import METHODS, exact_ranking, rank_components, rank_edges
from superalign.lab.compiled import HARD, compile_program
from superalign.lab.compiled_programs import PROGRAMS, draw_pairs
from superalign.lab.known_circuits import scored


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=20, initializer_range=0.3)).eval()


def pairs(*, same: bool = False) -> Pairs:
    rng = np.random.default_rng(0)
    clean, corrupt = (torch.tensor(rng.integers(0, 20, (4, 5))) for _ in range(2))
    right = torch.tensor([0, 1, 2, 3])
    return Pairs(
        clean_BT=clean,
        corrupt_BT=clean if same else corrupt,
        at_B=torch.full((4,), 4),
        right_B=right,
        wrong_B=right + 10,
    )


def test_the_last_mlp_acts_through_its_edge_to_the_read_out_alone() -> None:
    network = llama()
    edge = exact_edges(network, pairs(), [("L1.mlp", "out")])
    assert np.allclose(edge, exact_effects(network, pairs(), ["L1.mlp"]), atol=1e-4)


def test_heads_that_share_keys_have_one_port_for_them() -> None:
    assert "L0.H0.k" in ports(llama())
    assert "L0.H1.k" not in ports(llama())
    assert "L0.H1.q" in ports(llama())
    assert ("L0.mlp", "L0.H0.q") not in edges(llama())
    assert ("L0.H3", "L0.mlp") in edges(llama())


def test_gradients_of_edges_are_slopes_of_the_exact_effect() -> None:
    network = llama().double()
    some = [("embed", "L0.H1.q"), ("embed", "L0.H2.v"), ("L0.H0", "L1.H2.k"), ("L0.mlp", "L1.mlp"), ("L1.H0", "out")]
    guess = gradient_edges(network, pairs(), some)
    near = pairs()
    # Towards an input that hardly differs the exact effect is the slope: shrink what is added by moving embeddings together.
    weight = network.get_input_embeddings().weight
    with torch.no_grad():
        weight.copy_(weight[0] + 1e-3 * (weight - weight[0]))
    assert np.allclose(gradient_edges(network, near, some), exact_edges(network, near, some), rtol=0.05, atol=5e-5)
    assert np.abs(guess).max() > 0


def test_all_edges_at_once_have_the_numbers_that_each_has_by_itself() -> None:
    network, some = llama().double(), edges(llama())
    runs = runs_of(network, pairs())
    whole = gradient_edges(network, pairs(), steps=2)
    single = [gradient_edges(network, pairs(), [e], steps=2, runs=runs)[0] for e in some]
    assert np.abs(whole).mean() > 1e-2
    assert np.allclose(whole, np.array(single), rtol=1e-9, atol=1e-12)
    both = [joint_edges(network, pairs(), [e], runs=runs) for e in some]
    assert np.allclose(exact_edges(network, pairs(), some, runs=runs), np.array(both), rtol=1e-9, atol=1e-12)


def test_what_a_head_reads_is_told_apart_by_its_own_rows() -> None:
    network = llama().double()
    whole = exact_edges(network, pairs(), [("embed", "L0.H1.q")])
    with torch.no_grad():
        network.model.layers[0].self_attn.q_proj.weight[8:16] = 0.0  # head 1
    assert np.abs(whole).max() > 1e-3
    for found in (exact_edges, gradient_edges):
        effects = found(network, pairs(), [("embed", "L0.H1.q"), ("embed", "L0.H2.q")])
        assert not effects[0].any()
        assert effects[1].any()


def test_nothing_is_changed_where_corrupt_is_clean() -> None:
    network, some = llama(), edges(llama())[:12]
    assert not exact_edges(network, pairs(same=True), some).any()
    ranking = rank_components(network, pairs(same=True), rng=np.random.default_rng(0))
    assert not any(ranking.scores)
    assert not ranking.blind


@pytest.mark.parametrize("name", ["reverse", "histogram", "sort", "seen before", "induction"])
def test_methods_find_the_known_circuit_and_random_ones_do_not(name: str) -> None:
    made = compile_program(PROGRAMS[name], seed=1)
    some = draw_pairs(PROGRAMS[name], n=16, rng=np.random.default_rng(0))
    area_M2, blind_M2 = scored(made, some, steps=4, check=8, rng=np.random.default_rng(0))
    by = dict(zip(METHODS, area_M2, strict=True))
    assert by["exact"].min() >= 0.99
    assert min(by["AtP"].min(), by["IG"].min()) >= 0.95
    assert not blind_M2.any()


def test_random_rankings_have_half_the_area() -> None:
    made, rng = compile_program(PROGRAMS["sort"], seed=0), np.random.default_rng(0)
    names = edges(made.network)
    true = np.array([e in made.edges for e in names])
    areas = []
    for _ in range(200):
        scores = np.array(exact_ranking([str(n) for n in names], rng.random((len(names), 1))).scores)
        areas.append((scores[true][:, None] > scores[~true]).mean())
    assert np.mean(areas) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("name", ["reverse", "sort", "seen before", "induction"])
def test_saturated_attention_is_declared_blind(name: str) -> None:
    made = compile_program(PROGRAMS[name], seed=1, sharpness=HARD)
    some = draw_pairs(PROGRAMS[name], n=16, rng=np.random.default_rng(0))
    ranking = rank_edges(made.network, some, check=4, rng=np.random.default_rng(0))
    assert ranking.blind
    assert ranking.joint > ranking.joint_expected
    assert not rank_edges(compile_program(PROGRAMS[name], seed=1).network, some, rng=np.random.default_rng(0)).blind


def test_all_edges_into_the_read_out_patched_at_once_are_the_corrupt_run() -> None:
    network = llama()
    into = [(n, "out") for n in ("embed", *components(network))]
    some = pairs()
    with torch.no_grad():
        metrics = [some.metric(network(input_ids=t).logits) for t in (some.clean_BT, some.corrupt_BT)]
    assert np.allclose(joint_edges(network, some, into), (metrics[1] - metrics[0]).numpy(), atol=1e-4)


def test_a_model_whose_queries_keys_and_values_are_one_matrix_is_refused() -> None:
    network = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=4, vocab_size=20))
    with pytest.raises(BadInput, match="three matrices"):
        edges(network)
