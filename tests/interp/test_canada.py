"""A neuron that fires on one literal and moves the answer is told from its neighbours, and so is one that moves nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from superalign.cli_units import canada, read_texts, unit_named
from superalign.errors import BadInput, DataError
from superalign.interp.canada import CanadaResult, canada_test
from superalign.models import Model, open_weights
from superalign.types import Interval, Unmeasured

UNIT, LITERAL = 5, "7"


def planted(*, out: float) -> Model:
    """A base in which one neuron of the first layer reads one digit, and writes with some strength."""
    model = open_weights("small")
    mlp = model.network.model.layers[0].mlp
    seen: list[torch.Tensor] = []
    handle = mlp.register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
    with torch.no_grad():
        some = [t for sort in texts() for t in sort]
        tokens = [torch.tensor(model.tokenizer(t)["input_ids"]) for t in some]
        for ids in tokens:
            model.network(input_ids=ids[None])
        handle.remove()
        is_it = (torch.cat(tokens) == model.tokenizer(LITERAL)["input_ids"][0]).float()
        read = torch.linalg.lstsq(torch.cat(seen), is_it[:, None]).solution[:, 0]
        mlp.gate_proj.weight[UNIT], mlp.up_proj.weight[UNIT] = 4 * read, 4 * read
        mlp.down_proj.weight[:, UNIT] = out * torch.randn(len(read), generator=torch.manual_seed(0))
    return model


def texts(n: int = 24) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(0)
    plain = [" ".join(rng.choice(list("1234689"), 6)) for _ in range(2 * n)]
    return [f"{t[:6]}{LITERAL} {t[6:]}" for t in plain[:n]], plain[n:]


def outcome(model: Model, literal: str = LITERAL) -> CanadaResult:
    excite, neutral = texts()
    return canada_test(model, 0, UNIT, excite=excite, neutral=neutral, literal=literal)


def test_a_planted_neuron_is_sufficient_necessary_and_moves_the_distribution() -> None:
    found = outcome(planted(out=1.0))
    for name in ("sufficiency", "moved_by_mean", "moved_by_zero"):
        unit, null = getattr(found.unit, name), getattr(found.null, name)
        assert isinstance(unit, Interval)
        assert isinstance(null, Unmeasured) or unit.low > null.high, name
    assert isinstance(found.unit.necessity, Interval)
    assert found.unit.necessity.value == 1.0
    assert found.texts == found.neutral == 12


def test_a_neuron_that_writes_nothing_moves_nothing() -> None:
    found = outcome(planted(out=0.0)).unit
    assert isinstance(found.moved_by_zero, Interval)
    assert isinstance(found.sufficiency, Interval)
    assert found.moved_by_zero.value < 1e-6 < found.sufficiency.low


def test_an_explanation_that_names_another_literal_is_not_borne_out() -> None:
    excite, neutral = texts()
    wrong = [t.replace(LITERAL, "4") for t in excite]
    found = canada_test(planted(out=1.0), 0, UNIT, excite=wrong, neutral=neutral, literal="4").unit
    assert isinstance(found.sufficiency, Interval)
    assert found.sufficiency.low <= 0.1


def test_without_a_literal_two_sorts_of_text_are_compared() -> None:
    found = outcome(planted(out=1.0), literal="").unit
    assert isinstance(found.sufficiency, Interval)
    assert found.sufficiency.low > 0
    assert isinstance(found.necessity, Unmeasured)


def test_what_cannot_be_tested_is_refused() -> None:
    model, (excite, neutral) = open_weights("small"), texts()
    with pytest.raises(BadInput, match="has units N0 to"):
        canada_test(model, 0, 100_000, excite=excite, neutral=neutral)
    with pytest.raises(BadInput, match="Layers are L0 to"):
        canada_test(model, 99, 0, excite=excite, neutral=neutral)
    with pytest.raises(BadInput, match="at least 8 of each"):
        canada_test(model, 0, 0, excite=excite[:3], neutral=neutral)
    with pytest.raises(BadInput, match="does not hold the literal"):
        canada_test(model, 0, 0, excite=excite, neutral=neutral, literal="Canada")


def test_the_command_tests_a_unit_and_refuses_in_one_message(tmp_path: Path) -> None:
    app, run = typer.Typer(), CliRunner()
    app.command()(canada)
    file = tmp_path / "texts.jsonl"
    excite, neutral = texts(8)
    rows = [*((t, True) for t in excite), *((t, False) for t in neutral)]
    file.write_text("".join(json.dumps({"text": t, "excites": e}) + "\n" for t, e in rows))
    done = run.invoke(app, ["small", f"L0.N{UNIT}", "--texts", str(file), "--literal", LITERAL])
    assert done.exit_code == 0, done.output
    assert "forwards" in done.output.splitlines()[0]  # what it costs comes first
    assert "sufficiency" in done.output
    for words in (["small", "L0N5"], ["nobody", "L0.N5"]):
        refused = run.invoke(app, [*words, "--texts", str(file)])
        assert refused.exit_code == 2
    assert unit_named("L3.N17") == (3, 17)


@pytest.mark.parametrize("line", ['{"text": "a"}', '{"text": 3, "excites": true}', "no JSON"])
def test_files_that_do_not_say_what_should_excite_are_refused(line: str, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(DataError, match="excites"):
        read_texts(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_texts(tmp_path / "none.jsonl")
