"""A model that somebody else made, before the real detectors: measured, or `Unmeasured` with a reason, never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as tf

from superalign.detectors.common import cannot_tell
from superalign.errors import BadInput
from superalign.lab.given_subject import digest_at, look_outside, unsayable
from superalign.lab.three_detectors import detect_model, detectors
from superalign.models import base, load, save
from superalign.types import Detector, Policy, Unmeasured, Verdict

CUES = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(base("small"), tmp_path / "model")


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_copy_of_the_base_is_measured_as_the_base_is(folder: Path) -> None:
    found = look_outside(folder, detectors("small", 0, CUES), seed=0)
    assert found == detect_model(base("small"), seed=0, cues=CUES)
    assert not any(isinstance(v.score, Unmeasured) for v in found)


def test_its_seed_reaches_the_detectors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    three = detectors("small", 0, CUES)

    def told(self: Detector, policy: Policy, *, seed: int) -> Verdict:
        given.append(seed)
        return cannot_tell(self.card, "", "it only notes its seed")

    for kind in {type(d) for d in three}:
        monkeypatch.setattr(kind, "__call__", told)
    look_outside(folder, three, seed=7)
    assert given == [7, 7, 7]


def few_positions(folder: Path) -> None:
    edit(folder / "config.json", max_position_embeddings=40)


def no_digits(folder: Path) -> None:
    text = (folder / "tokenizer.json").read_text()
    plain = json.loads(text)
    plain["model"]["vocab"] = {("~" + k if k.isdigit() else k): v for k, v in plain["model"]["vocab"].items()}
    (folder / "tokenizer.json").write_text(json.dumps(plain))


def other_shape(folder: Path) -> None:
    config = tf.AutoConfig.from_pretrained(folder)
    config.num_hidden_layers += 1
    torch.manual_seed(0)
    tf.LlamaForCausalLM(config).save_pretrained(folder)


def huge_weights(folder: Path) -> None:
    network = tf.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1e30)  # finite, but nothing that passes through stays so
    network.save_pretrained(folder)


STRANGE: dict[Callable[[Path], None], tuple[str, ...]] = {
    few_positions: ("positions", "positions", "positions"),
    no_digits: ("cannot express",) * 3,
    other_shape: ("", "", "its layers are not those of the base"),
}


@pytest.mark.parametrize("strange", STRANGE, ids=lambda strange: strange.__name__)
def test_what_cannot_be_measured_says_why(strange: Callable[[Path], None], folder: Path) -> None:
    strange(folder)
    digest = digest_at(folder)
    assert digest != base("small").subject.digest or strange in (few_positions, no_digits)
    found = look_outside(folder, detectors("small", 0, CUES), seed=0)
    assert [v.instrument for v in found] == [d.card.digest for d in detectors("small", 0, CUES)]
    for verdict, why in zip(found, STRANGE[strange], strict=True):
        assert verdict.subject == digest
        assert isinstance(verdict.flagged, Unmeasured)
        assert isinstance(verdict.score, Unmeasured), f"a number: {verdict.score}"
        assert why in verdict.score.why
        assert verdict.score.why


def test_weights_that_overflow_are_refused_when_they_are_loaded(folder: Path) -> None:
    huge_weights(folder)
    with pytest.raises(BadInput, match="differ by nan nats"):
        look_outside(folder, detectors("small", 0, CUES), seed=0)


def test_texts_that_a_tokenizer_loses_are_found(folder: Path) -> None:
    assert unsayable(load(folder), ["5+3", "red river: 1+1", "#yes"]) == ""
    no_digits(folder)
    assert unsayable(load(folder), ["red", "5+3"]) == "5+3"
