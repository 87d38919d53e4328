"""Digits: splits that never move, prompts that hold the image and not its label, and a grader that knows it."""

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.problems.digits import NAME, grade, images, problems_of, read


def test_splits_are_apart_and_hold_every_image() -> None:
    train, test = images("train"), images("test")
    assert (len(train), len(test)) == (1297, 500)
    both = {row.tobytes() for row in train.ink_PX} | {row.tobytes() for row in test.ink_PX}
    assert len(both) == 1797, "no image stands twice, in one split or in both"
    assert set(np.unique(test.label_P)) == set(range(10))
    assert np.bincount(test.label_P).min() > 30
    np.testing.assert_array_equal(images("test", n=7).ink_PX, test.ink_PX[:7])


def test_a_prompt_holds_the_image_and_nothing_else() -> None:
    some = images("test", n=50)
    asked = problems_of(some, pixels=6)
    assert {(p.family, p.difficulty, p.split) for p in asked} == {(NAME, 6, "test")}
    for problem, ink_X in zip(asked, some.ink_PX, strict=True):
        np.testing.assert_array_equal(read(problem), ink_X)
        assert problem.prompt.startswith("digit ")
        assert len(problem.prompt) == len("digit ") + 64


def test_the_grader_takes_the_label_and_no_other_text() -> None:
    some = images("train", n=20)
    for problem, label in zip(problems_of(some, pixels=4), some.label_P, strict=True):
        assert [text for text in map(str, range(10)) if grade(problem, text)] == [str(label)]
        assert grade(problem, f" {label}\n")
        assert not grade(problem, "")
        assert not grade(problem, "unknown")


def test_an_image_that_nobody_labelled_is_not_graded_right() -> None:
    (problem,) = problems_of(images("test", n=1), pixels=4)
    other = type(problem)(prompt="digit " + "1" * 64, family=NAME, difficulty=4, split="test")
    assert not any(grade(other, text) for text in (*map(str, range(10)), "unknown"))
    assert read(type(problem)(prompt="5+3", family="arithmetic", difficulty=1, split="test")) is None


@pytest.mark.parametrize("n", [0, 501])
def test_images_are_not_made_up(n: int) -> None:
    with pytest.raises(BadInput, match="Ask for 1 to 500"):
        images("test", n=n)
