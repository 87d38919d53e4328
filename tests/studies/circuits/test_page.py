"""What the page says of circuits follows from the numbers, beside random rankings."""

import numpy as np

from superalign.kit.evidence import Curve
from superalign.studies.circuits.evidence import METHODS, PARTS, VARIANTS, Circuit, Evidence, Found, Gradients
from superalign.studies.circuits.page import page
from superalign.types import Interval, Unmeasured


def at(value: float, half: float = 0.03) -> Interval:
    return Interval(value=value, low=value - half, high=value + half, n=40)


def found(variant: str, method: str, part: str, *, area: float = 0.99, undeclared: float = 0.0) -> Found:
    return Found(
        variant=variant,
        method=method,
        part=part,
        area=at(0.5 if method == "random" else area),
        null=at(0.5),
        by_program=(at(area),),
        declared=at(float(variant == "hard" and method in METHODS[1:3])),
        undeclared=at(undeclared),
    )


def circuit(method: str, above: float = 0.5, fill: str = "resample") -> Circuit:
    line = Curve((0.0, 0.5, 1.0), (0.0, at(0.7), 1.0))
    return Circuit(
        method=method,
        fill=fill,
        faithful=line,
        without=line,
        at_size=at(0.7),
        rest=at(0.0),
        above_random=at(above),
        agreement=at(0.8),
        zero=4,
        missed=1,
    )


def evidence(*circuits: Circuit, compiled: tuple[Found, ...] = (), null: float = 0.0) -> Evidence:
    some = np.ones((2, 3))
    gradients = Gradients(
        atp_CB=some,
        ig_CB=some,
        change_B=some[0],
        top_atp_EB=some,
        top_exact_EB=some,
        edges=9,
        zero=5,
        checked=3,
        missed=1,
        joint=0.2,
    )
    return Evidence(
        programs=("reverse",),
        compiled=compiled,
        right=(("soft", at(1.0)),),
        models=("middle",),
        components=20,
        size=10,
        seeds=3,
        train=8,
        test=8,
        top=("L0.mlp",),
        circuits=circuits,
        random=Curve((0.0, 1.0), (0.0, 1.0)),
        random_null=at(null),
        permuted=at(0.0),
        gradients=(gradients,),
        edges=at(0.3),
        edges_permuted=at(0.0),
    )


def holds(e: Evidence) -> dict[str, bool | Unmeasured]:
    return {c.name: c.holds for c in page(e).claims}


ALL = tuple(circuit(m) for m in METHODS[:3])
COMPILED = tuple(found(v, m, p) for v in VARIANTS for p in PARTS for m in METHODS)


def test_a_circuit_is_one_if_it_keeps_more_than_random_ones() -> None:
    assert holds(evidence(*ALL))["10 of 20 components by exact patching keep more than as many random ones"] is True
    nothing = evidence(circuit("exact", above=0.01), *ALL[1:])
    assert holds(nothing)["10 of 20 components by exact patching keep more than as many random ones"] is False
    noisy = evidence(*ALL, null=0.6)
    assert holds(noisy)["10 of 20 components by exact patching keep more than as many random ones"] is False


def test_the_headline_names_size_and_faithfulness() -> None:
    headline = page(evidence(*ALL)).headline
    assert "the 10 largest of 20 components keep 0.700 [0.670, 0.730]" in headline
    assert "compiled programs" not in headline
    assert "compiled programs" in page(evidence(*ALL, compiled=COMPILED)).headline


def test_methods_that_find_known_circuits_hold_and_others_do_not() -> None:
    some = holds(evidence(*ALL, compiled=COMPILED))
    assert some["exact patching tells edges of known circuits (hard)"] is True
    assert some["Failures are declared: the gradient at clean inputs, edges, hard"] is True
    bad = tuple(found(v, m, p, area=0.6, undeclared=0.4) for v in VARIANTS for p in PARTS for m in METHODS)
    none = holds(evidence(*ALL, compiled=bad))
    assert none["the gradient at clean inputs tells edges of known circuits (soft)"] is False
    assert none["Failures are declared: the gradient at clean inputs, edges, hard"] is False


def test_a_gradient_that_ranks_unlike_exact_patching_is_said_to() -> None:
    some = holds(evidence(*ALL))
    assert some["the gradient at clean inputs ranks components as exact patching does"] is True
    assert some["the gradient at clean inputs ranks its largest edges as exact patching does"] is False
