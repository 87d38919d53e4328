"""A question is kept as arrays and read back whole; the secret stays in files of its own; nothing is unpickled."""

import numpy as np
import pytest

from superalign.errors import DataError
from superalign.types import Choice, Question
from superalign.vault import Bench, Part, read_bench, write_bench


def bench(twin: bool = False) -> Bench:
    rng = np.random.default_rng(0)
    part = Part(inputs={"x": rng.normal(size=(8, 3))}, truth_NS=rng.integers(0, 2, 8))
    return Bench(
        question=Question(
            name="toy-b",
            kind="toy",
            asks="Tell true from false.",
            metric="area",
            arrays=(("x", "features, (N, 3)"),),
            published="mean",
            baseline="def solve(public, inputs, seed):\n    return inputs['x'].mean(1)\n",
            space=(Choice(name="loss", options=("logistic", "mean")),),
            climbs=10,
            tries=2,
        ),
        public={"x": rng.normal(size=(5, 3)), "weak": rng.random(5)},
        parts={"climb": part, "confirm": part, "sealed": part},
        twin=twin,
        floor=0.6,
        ceiling=float("nan"),
    )


def test_what_was_written_is_read(tmp_path):
    first = bench(twin=True)
    again = read_bench(write_bench(first, tmp_path))
    assert again.question == first.question
    assert again.twin
    assert np.isnan(again.ceiling)
    np.testing.assert_array_equal(again.parts["sealed"].truth_NS, first.parts["sealed"].truth_NS)


def test_only_the_secret_tells_a_twin_from_a_question(tmp_path):
    for name, twin in (("a", False), ("b", True)):
        write_bench(bench(twin), tmp_path / name)
    differ = [
        f.name
        for f in sorted((tmp_path / "a" / "toy-b").iterdir())
        if f.read_bytes() != (tmp_path / "b" / "toy-b" / f.name).read_bytes()
    ]
    assert differ == ["secret.json"]


def test_pickles_are_refused(tmp_path):
    folder = write_bench(bench(), tmp_path)
    np.savez(folder / "climb.npz", x=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="holds no question"):
        read_bench(folder)
