"""Tables hold what texts say, edits are the flaws that the family makes, and a judge is wrong for good about a share of facts."""

import numpy as np
import torch

from superalign.grants.facts import beliefs
from superalign.lab.flawed_chains import (
    CLEAN,
    EDITS,
    FAMILY,
    KINDS,
    PLACEBO_EDIT,
    asked,
    edited,
    parts_of,
    solutions,
    text_of,
    worked,
    wrong_steps,
)
from superalign.problems import arithmetic
from superalign.problems.chain_symbols import BLANK, read
from superalign.problems.family import split_of
from superalign.types import Problem


def test_tables_hold_what_texts_say() -> None:
    for p in asked("train", 30, 0):
        text = FAMILY.worked(p)
        assert text_of(read(p, text)) == text
        assert not wrong_steps(read(p, text)).any()
    p = Problem(prompt="5+3", family="arithmetic", difficulty=1, split="train")
    assert read(p, "oh;#8").tolist() == [[5, 10, 3, BLANK, BLANK, BLANK, BLANK]]
    assert wrong_steps(read(p, "oh;#8")).tolist() == [True]
    assert wrong_steps(read(p, "3+5=8;#8")).tolist() == [False]
    assert read(p, "").shape == (0, 7)


def test_edits_are_flaws_as_the_family_makes_them() -> None:
    """Every flaw of one kind that the family can plant is an edit, with the same text after it."""
    problems = asked("train", 4, 1)
    right = worked(problems)
    every = torch.arange(6 * EDITS)
    for i, p in enumerate(problems):
        x, wrong = edited(right[i : i + 1].expand(len(every), -1, -1), every)
        made = {text_of(t) for t in x.numpy()}
        assert np.array_equal(wrong.numpy(), wrong_steps(x.numpy()))
        for kind in KINDS:
            for s in range(12):
                planted = FAMILY.plant(p, FAMILY.worked(p), seed=s, kind=kind)
                assert planted is not None
                assert planted.text in made
    # Writing what stands there already, or another symbol that gives the same value, is no flaw.
    assert 0.05 < 1 - float((wrong.sum(1) > 0).float().mean()) < 0.4


def test_solutions_are_randomised_and_flaws_are_real() -> None:
    made = solutions("test", 80, 4)
    kinds = np.array(made.kind_B)
    assert all(split_of(p.prompt) == "test" for p in made.problems)
    assert [int((kinds == k).sum()) for k in KINDS] == [10] * 4
    assert (made.flawed_B == ~np.isin(kinds, [CLEAN, PLACEBO_EDIT])).all()
    assert (made.wrong_BS.sum(1) <= 1).all()  # later steps work on from the flaw


def test_a_judge_is_wrong_for_good_about_a_share() -> None:
    assert (beliefs(1.0, 3) == beliefs(1.0, 4)).all()
    off = beliefs(0.9, 3) != beliefs(1.0, 3)
    assert 0.05 < off.mean() < 0.15
    assert (beliefs(0.9, 3) == beliefs(0.9, 3)).all()
    assert arithmetic.apply(3, "-", 5) == beliefs(1.0, 0)[3, 1, 5]


def test_edits_are_told_apart_by_step_and_symbol() -> None:
    step, slot = parts_of(np.array([0, 9, 10, 29, 30, 32, EDITS, 5 * EDITS + 32]))
    assert step.tolist() == [0, 0, 0, 0, 0, 0, 1, 5]
    assert slot.tolist() == [0, 0, 1, 2, 3, 3, 0, 3]
