"""Induction heads that training brings about (G7): found by their pattern and by ablation, and absent with one layer."""

import functools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from superalign.interp.patching import Values, components, patched, read
from superalign.models.forward import forward_logits

TOKENS, LENGTH, HEADS, WIDTH, HEAD = 33, 41, 4, 64, 16
PERIODS = (8, 16)
SPARSE = 0.1  # weight of the length of what each head writes with: what one head can do is not spread over four
SEEDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Strings:
    """Random strings of unlike length, each repeated to the end."""

    tokens_NT: Tensor
    period_N: Tensor

    @property
    def again_NT(self) -> Tensor:
        """Where a token stands for the second time or later, and the next is to be told."""
        return torch.arange(LENGTH - 1)[None] > self.period_N[:, None]

    def loss(self, logits_NTV: Tensor) -> Tensor:
        wanted = self.again_NT
        return torch.nn.functional.cross_entropy(logits_NTV[:, :-1][wanted], self.tokens_NT[:, 1:][wanted])


def strings(n: int, rng: np.random.Generator) -> Strings:
    period = rng.integers(PERIODS[0], PERIODS[1] + 1, n)
    once = rng.permuted(np.tile(np.arange(1, TOKENS), (n, 1)), axis=1)
    at = np.arange(LENGTH - 1)[None] % period[:, None]
    tokens = np.concatenate([np.zeros((n, 1), int), np.take_along_axis(once, at, axis=1)], axis=1)
    return Strings(tokens_NT=torch.tensor(tokens), period_N=torch.tensor(period))


class Trained:
    """A network of attention alone, with relative positions, and strings that it has not seen."""

    def __init__(self, network: LlamaForCausalLM, some: Strings) -> None:
        self.network, self.strings = network, some
        self.values: Values = read(network, some.tokens_NT)[0]
        self.loss = float(some.loss(patched(network, some.tokens_NT, {})))

    def without(self, *names: str) -> float:
        """What the loss rises by where strings are repeated, with components replaced by their means over inputs and places."""
        means = {name: self.values[name].mean((0, 1), keepdim=True) for name in names}
        return float(self.strings.loss(patched(self.network, self.strings.tokens_NT, means))) - self.loss

    def share(self, layer: int, *, induction: bool) -> np.ndarray:
        """Attention of each head to what came after earlier copies, or to the token before; mean where strings repeat."""
        with torch.no_grad():
            pattern_NHTS = self.network(input_ids=self.strings.tokens_NT, output_attentions=True).attentions[layer]
        n, t = self.strings.again_NT.nonzero(as_tuple=True)
        back = t[:, None] - torch.arange(LENGTH)  # how far each place lies behind
        copied = (back >= 0) & ((back + 1) % self.strings.period_N[n][:, None] == 0) & (torch.arange(LENGTH) > 1)
        meant = copied if induction else back == 1
        shares: np.ndarray = (pattern_NHTS[n, :, t] * meant[:, None]).sum(2).mean(0).numpy()
        return shares


def attention_alone(layers: int, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    network = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=WIDTH,
            intermediate_size=1,
            num_hidden_layers=layers,
            num_attention_heads=HEADS,
            head_dim=HEAD,
            vocab_size=TOKENS,
            max_position_embeddings=LENGTH,
            initializer_range=WIDTH**-0.5,
            attn_implementation="eager",
        )
    )
    for layer in network.model.layers:
        for parameter in layer.mlp.parameters():
            torch.nn.init.zeros_(parameter).requires_grad_(False)
    return network


def written(network: LlamaForCausalLM) -> Tensor:
    """Add up the lengths of what heads write with: a penalty on it leaves heads at zero that others can do without."""
    parts = [layer.self_attn.o_proj.weight.unflatten(1, (HEADS, HEAD)) for layer in network.model.layers]
    return torch.stack([(w.square().sum((0, 2)) + 1e-8).sqrt().sum() for w in parts]).sum()


def train(layers: int, seed: int, updates: int = 600, lr: float = 3e-3) -> Trained:
    rng, network = np.random.default_rng(seed), attention_alone(layers, seed)
    wanted = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(wanted, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(updates):
        optimiser.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / 50, (1 - step / updates) / 0.3 + 0.01)
        some = strings(64, rng)
        loss = some.loss(forward_logits(network, some.tokens_NT)) + SPARSE * written(network)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(wanted, 1.0)
        optimiser.step()
    return Trained(network.eval().requires_grad_(False), strings(256, np.random.default_rng([seed, 1])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found in one pair of networks, of two layers and of one."""

    loss: float
    twin_loss: float
    induction: np.ndarray  # of each head of the second layer
    previous: np.ndarray  # of each head of the first layer
    twin_induction: np.ndarray
    lost: dict[str, float]  # head -> what the loss rises by without it
    lost_before: float  # without all previous-token heads: one that writes nothing may look there too

    @property
    def head(self) -> str:
        """The head with the highest induction score."""
        return f"L1.H{int(self.induction.argmax())}"


@functools.cache
def found(seed: int) -> Found:
    two, one = train(2, seed), train(1, seed)
    previous = two.share(0, induction=False)
    return Found(
        loss=two.loss,
        twin_loss=one.loss,
        induction=two.share(1, induction=True),
        previous=previous,
        twin_induction=one.share(0, induction=True),
        lost={n: two.without(n) for n in components(two.network)},
        lost_before=two.without(*(f"L0.H{h}" for h in np.flatnonzero(previous > 0.5))),
    )


@pytest.mark.slow
def test_in_twenty_networks_the_head_that_looks_like_induction_is_the_one_that_matters() -> None:
    """Require what the plan asks of 20 seeds: top induction score = largest ablation loss in at least 95 % of them.

    Largest is meant among heads of the second layer, which can look up what the first wrote. That head is useless without the
    previous-token heads, so without them most of the gain over one layer is gone.
    """
    every = [found(seed) for seed in range(SEEDS)]
    same = [f.head == max((n for n in f.lost if n.startswith("L1.H")), key=lambda n: f.lost[n]) for f in every]
    assert np.mean(same) >= 0.95
    assert min(f.induction.max() for f in every) > 0.8
    for f in every:
        assert f.previous.max() > 0.5
        assert f.lost_before >= 0.8 * (f.twin_loss - f.loss)
        # With one layer there is no such head, and the loss stays near that of a guess among tokens that were seen.
        assert f.loss < 0.05
        assert f.twin_loss > 1.5
        assert f.twin_induction.max() < 0.3
        assert abs(f.lost["L1.mlp"]) < 1e-6  # removing what does nothing changes nothing
