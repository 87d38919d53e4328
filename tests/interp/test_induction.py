"""Induction heads that training brings about: found by their pattern and by ablation, and absent with one layer."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from superalign.interp.patching import patched, read
from superalign.lab.compiled import Stack

TOKENS, LENGTH, HEADS = 16, 21, 1
PERIODS = range(5, 11)


@dataclass
class Strings:
    """Random strings of unlike length, each repeated to the end: positions alone do not tell where a token stood before."""

    tokens_NT: torch.Tensor
    period_N: torch.Tensor

    @property
    def again_NT(self) -> torch.Tensor:
        """Where a token stands for the second time or later, and the next is to be told."""
        return torch.arange(LENGTH - 1)[None] > self.period_N[:, None]


def strings(n: int, rng: np.random.Generator) -> Strings:
    period = rng.choice(PERIODS, n)
    once = rng.permuted(np.tile(np.arange(1, TOKENS), (n, 1)), axis=1)
    at = np.arange(LENGTH - 1)[None] % period[:, None]
    tokens = np.concatenate([np.zeros((n, 1), int), np.take_along_axis(once, at, axis=1)], axis=1)
    return Strings(torch.tensor(tokens), torch.tensor(period))


def loss_of(logits_NTV: torch.Tensor, some: Strings) -> torch.Tensor:
    wanted = some.again_NT
    return torch.nn.functional.cross_entropy(logits_NTV[:, :-1][wanted], some.tokens_NT[:, 1:][wanted])


@dataclass
class Trained:
    network: Stack
    strings: Strings

    def loss(self, *removed: str) -> float:
        """Loss where strings are repeated, with heads replaced by their mean over inputs."""
        values, _ = read(self.network, self.strings.tokens_NT)
        fill = {n: values[n].mean(0, keepdim=True) for n in removed}
        return float(loss_of(patched(self.network, self.strings.tokens_NT, fill), self.strings))

    def share(self, layer: int, *, induction: bool) -> np.ndarray:
        """Attention of each head to what came after the same token before, or to the token before; mean where strings repeat."""
        read(self.network, self.strings.tokens_NT)
        pattern = self.network.layers[layer].self_attn.pattern_BHTT  # type: ignore[union-attr]
        assert isinstance(pattern, torch.Tensor)
        n, t = self.strings.again_NT.nonzero(as_tuple=True)
        back = self.strings.period_N[n] - 1 if induction else torch.ones_like(n)
        return pattern[n, :, t, t - back].mean(0).numpy()


def train(layers: int, seed: int, updates: int = 800) -> Trained:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Stack(
        tokens=TOKENS,
        length=LENGTH,
        width=64,
        outputs=TOKENS,
        heads=HEADS,
        head_width=16,
        neurons=(0,) * layers,
        causal=True,
        scale=0.25,
    )
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=3e-3, weight_decay=0.01)
    for _ in range(updates):
        some = strings(64, rng)
        loss = loss_of(network(some.tokens_NT).logits, some)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return Trained(network.requires_grad_(False), strings(256, rng))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_two_layers_learn_induction_from_the_first_and_one_layer_does_not(seed: int) -> None:
    two, one = train(2, seed), train(1, seed)
    gain = one.loss() - two.loss()
    assert two.loss() < 0.1
    assert gain > 0.5  # the twin of one layer stays at chance among tokens that it has seen
    # Without the head that says what stood before, at least .8 of the gain is gone; so it is without the one that looks it up.
    assert min(two.loss(n) - two.loss() for n in ("L0.H0", "L1.H0")) > 0.8 * gain
    assert two.share(1, induction=True)[0] > 0.5 > one.share(0, induction=True)[0]
    # What is removed is replaced by its mean: removing what does nothing changes nothing.
    assert abs(two.loss("L1.mlp") - two.loss()) < 1e-6
