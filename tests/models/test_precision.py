"""Rounded weights: as many values as were asked for, near what they were, and told from weights that are not rounded."""

import pytest
import torch

from superalign.lab.looking import SubjectJob, model_of, precision
from superalign.models import Sampling, base, bits_of, load, load_adapter, lora, merge, quantised, save, with_sampling
from superalign.models.model import Model
from superalign.organisms.triples import shipped
from superalign.problems import arithmetic

ASKED = arithmetic.FAMILY.problems(split="test", n=60, seed=3, difficulty=2)


def right(model: Model) -> float:
    said = with_sampling(model, Sampling(temperature=0.0, max_tokens=64)).sample(ASKED, n=1, seed=0).text_R
    return sum(arithmetic.FAMILY.grade(p, t).sound for p, t in zip(ASKED, said, strict=True)) / len(ASKED)


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_take_so_many_values_and_stay_near(bits: int) -> None:
    origin = base("small")
    made = quantised(origin, bits=bits)
    for before, after in zip(origin.network.parameters(), made.network.parameters(), strict=True):
        if before.dim() > 1:
            step = before.abs().amax(dim=-1, keepdim=True) / (2 ** (bits - 1) - 1)
            assert ((after - before).abs() <= step / 2 + 1e-7).all()
            assert len(torch.unique(after[0])) <= 2**bits - 1
        else:
            assert torch.equal(before, after)
    assert made.subject.weights != origin.subject.weights


def test_eight_bits_are_still_right() -> None:
    assert right(quantised(base("small"), bits=8)) > 0.95


def test_an_adapter_is_merged_before_it_is_rounded() -> None:
    triples, where = shipped()
    adapted = load_adapter(base("small"), where / dict(triples[0].subjects)["clean"])
    made, whole = quantised(adapted, bits=8), merge(adapted)
    assert [n for n, _ in made.network.named_parameters()] == [n for n, _ in whole.network.named_parameters()]
    assert right(made) > 0.95


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_bits_are_told_also_of_sixteen_bit_copies(bits: int) -> None:
    made = quantised(base("small"), bits=bits)
    assert bits_of(made) == bits
    made.network.half().float()
    assert bits_of(made) == bits


def test_whole_weights_and_adapters_are_not_called_rounded() -> None:
    small = base("small")
    assert bits_of(small) is None
    small.network.half().float()
    assert bits_of(small) is None
    assert bits_of(lora(small, rank=2, seed=0)) is None


def test_an_audit_rounds_its_planted_models_as_the_audited_one_is(tmp_path) -> None:  # type: ignore[no-untyped-def]
    save(quantised(base("small"), bits=4), tmp_path / "four")
    save(base("small"), tmp_path / "whole")
    assert precision(SubjectJob(path=str(tmp_path / "four")), "small") == 4
    assert precision(SubjectJob(path=str(tmp_path / "whole")), "small") == 0
    triples, where = shipped()
    planted = SubjectJob(path=str(where / dict(triples[0].subjects)["organism"]), bits=4)
    model = model_of(planted, "small", 96)
    assert isinstance(model, Model)
    assert bits_of(model) == 4
    assert bits_of(load(tmp_path / "four")) == 4
