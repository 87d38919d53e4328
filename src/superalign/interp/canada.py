"""The Canada test: does a unit fire because of what its explanation names, and does anything depend on the unit?

Sufficiency: how often it fires with the literal put into a neutral text, minus without. Necessity: of the texts on which it
fires with the literal, how often it stops without. Effect: how far next-token distributions move when it is replaced by its
mean, or by zero. All beside the same of random other units of the layer. What counts as firing is chosen on half of the texts.

Shape suffixes: N texts, T tokens, U units that are looked at, R rows, V vocabulary.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from superalign.errors import BadInput
from superalign.explanations.texts import check_texts
from superalign.interp.replaced import divergence, neurons_over
from superalign.models.model import Model
from superalign.models.taps import changed, layers_of, tap_module, width_read
from superalign.stats import difference, mean_over, share
from superalign.types import Interval, Record, Unmeasured

LONGEST = 128  # tokens of a text that are read


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitResult(Record):
    """What was found of a unit, or on average of the random other ones."""

    fires: Interval | Unmeasured  # share of texts that should excite it
    sufficiency: Interval | Unmeasured
    necessity: Interval | Unmeasured
    moved_by_mean: Interval | Unmeasured  # Jensen-Shannon divergence in nats per token, on texts that should excite it
    moved_by_zero: Interval | Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class CanadaResult(Record):
    """A unit beside random other units of its layer."""

    unit: UnitResult
    null: UnitResult
    others: tuple[int, ...]  # which they are
    threshold: float  # activation above which the unit fires
    texts: int  # distinct ones that rates are of: those that should excite it
    neutral: int  # and those that should not


def canada_test(
    model: Model,
    layer: int,
    unit: int,
    *,
    excite: Sequence[str],
    neutral: Sequence[str],
    literal: str = "",
    others: int = 4,
    seed: int = 0,
) -> CanadaResult:
    """Test an explanation of one neuron by texts that it says should excite it and texts that should not.

    Args:
        model: Any causal LM whose MLPs end in one matrix.
        layer: Of the neuron, from 0.
        unit: Which neuron: what the MLP's last matrix reads.
        excite: Texts that should excite it. With a literal: texts that hold it, from which it is taken out.
        neutral: Texts that should not. With a literal: texts into which it is put, at a random word.
        literal: What the explanation names, word by word; without it sufficiency compares the two sorts of text, and
            necessity is not measured.
        others: Random other units of the layer, for the null.
        seed: Of these, and of where the literal is put.

    Raises:
        BadInput: If there is no such unit, or texts are too few or lack the literal.
    """
    with_it, without = list(dict.fromkeys(excite)), list(dict.fromkeys(neutral))
    size = _width(model, layer)
    _check(layer, unit, size, with_it, without, literal)
    rng = np.random.default_rng(seed)
    rest = rng.permutation([i for i in range(size) if i != unit])[:others]
    units_U = np.array([unit, *rest])
    changed = {t: _put_in(t, literal, rng) for t in without} | {t: _taken_out(t, literal) for t in with_it}
    half = [some[::2] for some in (with_it, without)], [some[1::2] for some in (with_it, without)]
    read = functools.partial(_activations, model, layer, units_U)
    seen = [read(t) for some in half[0] for t in some]
    top_NU, mean_U = np.stack([x.max(0) for x in seen]), np.concatenate(seen).mean(0)
    threshold_U = (np.median(top_NU, axis=0) + top_NU.max(0)) / 2

    def fires(texts: Sequence[str]) -> np.ndarray:
        return np.stack([read(t).max(0) for t in texts]) > threshold_U

    tested, plain = half[1]
    fires_NU, quiet_NU = fires(tested), fires(plain)
    after = [fires([changed[t] for t in some]) for some in (tested, plain) if literal]
    moved_NU2 = np.stack([_moved(model, layer, units_U, t, mean_U) for t in tested])
    found = [
        _result(fires_NU[:, u], quiet_NU[:, u], [x_NU[:, u] for x_NU in after], moved_NU2[:, u])
        for u in (slice(0, 1), slice(1, None))
    ]
    return CanadaResult(
        unit=found[0],
        null=found[1],
        others=tuple(map(int, rest)),
        threshold=float(threshold_U[0]),
        texts=len(tested),
        neutral=len(plain),
    )


def _result(
    fires_NU: np.ndarray, quiet_NU: np.ndarray, after: Sequence[np.ndarray], moved_NU2: np.ndarray
) -> UnitResult:
    """Rates over texts, each averaged over the units there."""
    if not after:  # there was no literal
        sufficiency = _apart(fires_NU.mean(1), quiet_NU.mean(1))
        necessity: Interval | Unmeasured = Unmeasured("no literal was given that could be taken out")
    else:
        sufficiency = difference((after[1].astype(float) - quiet_NU).mean(1))
        fired_N = fires_NU.any(1)
        stopped_N = (fires_NU & ~after[0]).sum(1)[fired_N] / fires_NU.sum(1)[fired_N]
        necessity = share(stopped_N) if fired_N.any() else Unmeasured("it fires on none of these texts")
    by_mean_N, by_zero_N = moved_NU2.mean(1).T
    return UnitResult(
        fires=share(fires_NU.mean(1)),
        sufficiency=sufficiency,
        necessity=necessity,
        moved_by_mean=mean_over(by_mean_N, span=(0.0, math.log(2))),
        moved_by_zero=mean_over(by_zero_N, span=(0.0, math.log(2))),
    )


def _apart(first_N: np.ndarray, second_M: np.ndarray) -> Interval | Unmeasured:
    """Difference of two independent shares, by the square-and-add rule of Newcombe (1998, method 10)."""
    a, b = share(first_N), share(second_M)
    if isinstance(a, Unmeasured) or isinstance(b, Unmeasured):
        return a if isinstance(a, Unmeasured) else b
    value = a.value - b.value
    low, high = math.hypot(a.value - a.low, b.high - b.value), math.hypot(a.high - a.value, b.value - b.low)
    return Interval(value=value, low=max(-1.0, value - low), high=min(1.0, value + high), n=min(a.n, b.n))


def _check(layer: int, unit: int, size: int, excite: Sequence[str], neutral: Sequence[str], literal: str) -> None:
    if not 0 <= unit < size:
        raise BadInput(
            f"L{layer}.N{unit} is not there. Another unit would be tested. Layer {layer} has units N0 to N{size - 1}."
        )
    check_texts(excite, neutral, literal)


def _width(model: Model, layer: int) -> int:
    """How many units a layer's MLP has."""
    layers = layers_of(model.network)
    matrix = tap_module(layers, f"neurons.{layer}") if layer >= 0 else None
    if matrix is None:
        raise BadInput(
            f"There is no MLP with one last matrix in layer {layer}. There is no unit to test. Layers are L0 to "
            f"L{len(layers) - 1}."
        )
    return width_read(matrix)


def _put_in(text: str, literal: str, rng: np.random.Generator) -> str:
    words = text.split(" ")
    at = int(rng.integers(1, len(words) + 1))
    return " ".join([*words[:at], literal, *words[at:]])


def _taken_out(text: str, literal: str) -> str:
    return " ".join(text.replace(literal, "").split()) or " "


def _tokens(model: Model, text: str) -> Int[np.ndarray, "1 T"]:
    return np.array([model.tokenizer(text)["input_ids"][:LONGEST]])


def _activations(model: Model, layer: int, units_U: np.ndarray, text: str) -> Float[np.ndarray, "T U"]:
    """Read some units of a layer at every token of a text."""
    return neurons_over(model, _tokens(model, text), layer=layer, neurons=tuple(units_U.tolist()))[0]


def _moved(
    model: Model, layer: int, units_U: np.ndarray, text: str, mean_U: Float[np.ndarray, " U"]
) -> Float[np.ndarray, "U 2"]:
    """Jensen-Shannon divergence of next-token distributions, mean over tokens, with each unit at its mean and at zero."""

    def change(x_RTF: Tensor) -> Tensor:
        x_RTF = x_RTF.clone()
        for i, u in enumerate(units_U):
            x_RTF[1 + i, :, u], x_RTF[1 + len(units_U) + i, :, u] = float(mean_U[i]), 0.0
        return x_RTF

    with torch.no_grad(), changed(model.network, {f"neurons.{layer}": change}):
        tokens_RT = torch.from_numpy(np.repeat(_tokens(model, text), 1 + 2 * len(units_U), axis=0))
        log_RTV = (
            model.network(input_ids=tokens_RT.to(model.network.device), use_cache=False).logits.float().log_softmax(-1)
        )
    js_R = divergence(log_RTV[1:], log_RTV[:1].expand_as(log_RTV[1:])).mean(-1)
    return js_R.view(2, -1).T.cpu().numpy()
