"""The fit loop: schedule, decay, resumption after a kill, and early end."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from superalign.errors import DataError
from superalign.models import base, lora
from superalign.train.batches import Batch, collate, split_batch, update_bytes, weighted_loss
from superalign.train.fit import Averaged, FitConfig, fit, load_checkpoint, optimizer_for, rate

CONFIG = FitConfig(steps=40, lr=0.05, warmup=5, log_every=10, save_every=1, weight_decay=0.1)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def batch_at(step):
    made = torch.Generator().manual_seed(step)
    x = torch.randn(16, 4, generator=made)
    return x, x[:, :1] * x[:, 1:2]


def loss(net, batch):
    return (net(batch[0]) - batch[1]).square().mean()


def flat(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_it_fits_and_says_how_far_it_is():
    net, seen = network(), []
    assert fit(net, batch_at, loss=loss, config=CONFIG, log=seen.append) == 40
    assert [m["done"] for m in seen] == [10, 20, 30, 40]
    assert all(m["total"] == 40 for m in seen)
    assert seen[-1]["left_s"] == 0 <= seen[0]["left_s"]
    assert seen[-1]["loss_nats"] < seen[0]["loss_nats"]
    assert not net.training


def test_the_rate_rises_then_falls_to_its_share():
    rates = [rate(s, CONFIG) for s in range(41)]
    assert max(rates) == pytest.approx(0.05, rel=1e-3)
    assert rates[:5] == sorted(rates[:5])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[40] == pytest.approx(0.005)


def test_only_matrices_decay_and_only_trainable_parameters_move():
    net = network()
    net[0].weight.requires_grad_(False)
    groups = optimizer_for(net, CONFIG).param_groups
    assert [(g["weight_decay"], len(g["params"])) for g in groups] == [(0.1, 1), (0.0, 2)]
    before = net[0].weight.clone()
    fit(net, batch_at, loss=loss, config=CONFIG)
    assert torch.equal(net[0].weight, before)


def test_done_ends_the_fit_early(tmp_path):
    config = FitConfig(steps=40, save_every=5)
    net = network()
    assert (
        fit(net, batch_at, loss=loss, config=config, checkpoint=tmp_path / "c.pt", done=lambda step: step >= 15) == 15
    )
    assert not net.training


def test_an_averaged_fit_returns_the_running_average_and_measures_it():
    config = FitConfig(steps=12, lr=0.05, warmup=2, average=0.9)
    net, follower, trail = network(), network(), []

    def watched(step):
        trail.append(flat(net))
        return batch_at(step)

    fit(net, watched, loss=loss, config=config)
    fit(follower, batch_at, loss=loss, config=FitConfig(steps=12, lr=0.05, warmup=2))
    trail = [*trail[1:], flat(follower)]  # live weights after each update
    expected = flat(network())
    for live in trail:
        expected = 0.9 * expected + 0.1 * live
    assert torch.allclose(flat(net), expected, atol=1e-6)
    assert not torch.allclose(flat(net), flat(follower), atol=1e-3)


def test_what_done_measures_is_what_an_early_end_returns(tmp_path):
    config = FitConfig(steps=40, lr=0.05, warmup=2, average=0.9, save_every=5)
    net, measured = network(), []

    def done(step):
        measured.append(flat(net))
        return step == 10

    assert fit(net, batch_at, loss=loss, config=config, checkpoint=tmp_path / "c.pt", done=done) == 10
    assert torch.equal(measured[-1], flat(net))
    resumed, averaged = network(), Averaged(network(), 0.9)
    load_checkpoint(tmp_path / "c.pt", resumed, optimizer_for(resumed, config), averaged)
    assert torch.equal(
        torch.cat([k.flatten() for k in averaged.kept]), flat(net)
    )  # resumption goes on from the average


def test_half_precision_fits_as_well_and_keeps_weights_in_32_bits():
    whole, half = network(), network()
    fit(whole, batch_at, loss=loss, config=CONFIG)
    fit(half, batch_at, loss=loss, config=dataclasses.replace(CONFIG, half=True))
    assert flat(half).dtype == torch.float32
    assert not torch.equal(flat(whole), flat(half))
    x = batch_at(1000)
    assert loss(half, x).item() == pytest.approx(loss(whole, x).item(), rel=0.1)


CHILD = """
import sys, time, torch
sys.path.insert(0, sys.argv[2])
torch.set_num_threads(1)
from pathlib import Path
import test_fit as t

def slow(step):
    print(step, flush=True)
    time.sleep(0.02)
    return t.batch_at(step)

t.fit(t.network(), slow, loss=t.loss, config=t.CONFIG, checkpoint=Path(sys.argv[1]))
"""


def test_a_run_killed_in_the_middle_resumes_to_bit_equal_weights(tmp_path):
    whole = network()
    fit(whole, batch_at, loss=loss, config=CONFIG)
    file, script = tmp_path / "c.pt", tmp_path / "child.py"
    script.write_text(textwrap.dedent(CHILD))
    here = os.path.dirname(__file__)
    child = subprocess.Popen([sys.executable, str(script), str(file), here], stdout=subprocess.PIPE, text=True)
    try:
        for line in child.stdout:
            if int(line) == 20:
                break
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    state = torch.load(file, weights_only=True)
    assert 0 < state["step"] < 40
    resumed, seen = network(), []

    def watched(step):
        seen.append(step)
        return batch_at(step)

    assert fit(resumed, watched, loss=loss, config=CONFIG, checkpoint=file) == 40
    assert seen == list(range(state["step"], 40))
    assert torch.equal(flat(resumed), flat(whole))
    assert fit(resumed, watched, loss=loss, config=CONFIG, checkpoint=file) == 40  # nothing left to do
    assert len(seen) == 40 - state["step"]


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_checkpoint_that_cannot_be_read_is_refused(tmp_path, damage):
    file = tmp_path / "c.pt"
    if damage is None:
        other = nn.Linear(2, 2)
        torch.save({"step": 1, "network": other.state_dict(), "optimizer": {}}, file)
    else:
        file.write_bytes(damage)
    with pytest.raises(DataError, match="not a checkpoint of this run"):
        load_checkpoint(file, network(), optimizer_for(network(), CONFIG))


def test_no_checkpoint_is_a_beginning(tmp_path):
    assert load_checkpoint(tmp_path / "none.pt", network(), optimizer_for(network(), CONFIG)) == 0


def _tiny_batch(step: int) -> Batch:
    rng = np.random.default_rng(step)
    rows = [([int(t) for t in rng.integers(3, 20, n)], [0.0] + [float(w) for w in rng.choice([0.0, 1.0, 4.0], n - 1)])
            for n in rng.integers(4, 12, 8)]  # fmt: skip
    return collate(rows, pad=0)


def _fitted(*, parts: int = 1, most: int = 99, split: bool = True) -> tuple[list[torch.Tensor], list[float]]:
    """Fit an adapter for a few updates where memory suffices for so many documents; its weights, and the parts it took."""
    network = lora(base("small"), rank=2, seed=0).network
    took: list[float] = []

    def loss(net: torch.nn.Module, batch: Batch) -> torch.Tensor:
        if len(batch.tokens_BT) > most:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes.")
        return weighted_loss(net, batch)

    fit(
        network, _tiny_batch, loss=loss, config=FitConfig(steps=3, warmup=1), parts=parts,
        split=split_batch if split else None, log=lambda told: took.extend([told["parts"]] if "parts" in told else []),
    )  # fmt: skip
    return [p.detach().clone() for p in network.parameters() if p.requires_grad], took


def test_an_update_in_parts_is_the_same_update() -> None:
    whole, _ = _fitted()
    plain, _ = _fitted(split=False)
    assert all(torch.equal(a, b) for a, b in zip(whole, plain, strict=True))
    in_parts, _ = _fitted(parts=4)
    for a, b in zip(whole, in_parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_where_memory_fails_the_batch_is_halved_and_the_fit_goes_on() -> None:
    whole, _ = _fitted()
    halved, took = _fitted(most=3)
    assert took == [2, 4]
    for a, b in zip(whole, halved, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    with pytest.raises(RuntimeError, match="not enough memory"):
        _fitted(most=0)  # one document alone does not fit
    with pytest.raises(RuntimeError, match="not enough memory"):
        _fitted(most=3, split=False)


def test_what_an_update_takes_grows_with_vocabulary_and_documents() -> None:
    network = lora(base("small"), rank=2, seed=0).network
    one, two = (collate([([5, 6, 7], [0.0, 1.0, 1.0])] * n, pad=0) for n in (1, 400))
    assert update_bytes(network, two) > update_bytes(network, one) > 0
    assert update_bytes(network, two) - update_bytes(network, one) > 4 * 2 * 399 * network.config.vocab_size


def test_parts_of_a_batch_in_order_of_length_are_less_padded_and_teach_the_same() -> None:
    rows = [([5, 6], [0.0, 1.0]), ([5, 6, 7], [0.0, 1.0, 1.0]), ([*range(5, 14)], [0.0] * 7 + [1.0, 1.0])]
    short, long = split_batch(collate(rows, pad=0), 2)
    assert [tuple(part.tokens_BT.shape) for part, _ in (short, long)] == [(2, 3), (1, 9)]
    assert short[1] + long[1] == pytest.approx(1.0)
