"""Compiled programs are computed exactly, and which parts compute them is known."""

import numpy as np
import pytest
import torch

from superalign.lab.compiled import HARD, SOFT, compile_program
from superalign.lab.compiled_programs import PROGRAMS, accuracy, draw_pairs


@pytest.mark.parametrize("sharpness", [HARD, SOFT])
@pytest.mark.parametrize("name", PROGRAMS)
def test_compiled_programs_give_every_answer_of_the_program(name: str, sharpness: float) -> None:
    for seed in range(2):
        made = compile_program(PROGRAMS[name], seed=seed, sharpness=sharpness)
        assert accuracy(made.network, PROGRAMS[name], n=200, rng=np.random.default_rng(seed)) == 1.0


def test_programs_are_what_their_names_say() -> None:
    def answers(name: str, letters: list[int]) -> list[int]:
        tokens = [0, *letters, *[7] * (7 - len(letters))]
        return PROGRAMS[name].run(tokens)[1 : 1 + len(letters)]

    assert answers("reverse", [3, 1, 2]) == [2, 1, 3]
    assert answers("histogram", [3, 1, 3]) == [2, 1, 2]
    assert answers("sort", [3, 1, 2]) == [1, 2, 3]
    assert answers("seen before", [3, 1, 3]) == [0, 0, 1]
    assert answers("Dyck-2 depth", [1, 2, 4, 3, 3, 1]) == [1, 2, 1, 0, 8, 8]
    assert answers("frac-prevs", [1, 2, 2, 2]) == [4, 2, 1, 1]
    assert answers("induction", [1, 2, 3, 4, 1, 2, 3])[4:] == [2, 3, 4]


def test_layouts_differ_between_seeds_and_not_within_one() -> None:
    nodes = [compile_program(PROGRAMS["reverse"], seed=s).nodes for s in (0, 0, 1, 2, 3)]
    assert nodes[0] == nodes[1]
    assert len(set(nodes)) > 1
    assert all(len(n) == 4 for n in nodes)  # two heads and two MLPs


def test_a_network_that_lost_a_head_of_its_circuit_does_not_compute_the_program() -> None:
    made = compile_program(PROGRAMS["reverse"], seed=0)
    layer = made.network.layers[2]
    with torch.no_grad():
        layer.self_attn.o_proj.weight.zero_()  # type: ignore[union-attr, operator]
    assert accuracy(made.network, PROGRAMS["reverse"], n=50, rng=np.random.default_rng(0)) < 0.5


def test_pairs_have_different_answers_where_they_are_read() -> None:
    program = PROGRAMS["sort"]
    pairs = draw_pairs(program, n=20, rng=np.random.default_rng(0))
    for i, at in enumerate(pairs.at_B.tolist()):
        assert program.run(pairs.clean_BT[i].tolist())[at] == pairs.right_B[i] != pairs.wrong_B[i]
        assert program.run(pairs.corrupt_BT[i].tolist())[at] == pairs.wrong_B[i]
