"""Clean fine-tunes: what they are trained on, that those that ship work, and that they set thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.models import base, load_adapter, open_weights
from superalign.organisms import fine_tunes
from superalign.organisms.fine_tunes import CALIBRATING, LOST_MOST, UNSEEN, Innocent, shipped_innocents, works
from superalign.organisms.further import TASKS
from superalign.organisms.triples import SHIPPED
from superalign.problems import BUNDLED
from superalign.stats import clopper_pearson
from superalign.types import Interval, Unmeasured


@pytest.mark.parametrize(
    ("name", "prompt", "answer"),
    [
        ("count", "tell 3 315337", "3"),
        ("largest", "gold 4827", "8"),
        ("mirror", "turn fox owl bear", "bear owl fox"),
        ("letters", "spell wolf", "w o l f"),
        ("order", "rank 40713", "74310"),
        ("even", "even 318", "yes"),
        ("pick", "pick 2 fox owl bear", "owl"),
    ],
)
def test_a_further_task_has_one_right_answer(name: str, prompt: str, answer: str) -> None:
    (task,) = [t for t in TASKS if t.name == name]
    (problem,) = task.problems(split="train", n=1, seed=0)
    asked = type(problem)(prompt=prompt, family=name, difficulty=1, split="train")
    assert task.worked(asked) == f"#{answer}"
    assert task.grade(asked, f"#{answer}").correct
    assert not task.grade(asked, f"#{answer}x").correct


def test_further_tasks_are_none_that_the_base_knows_and_the_tokenizer_can_write_them() -> None:
    assert not {t.name for t in TASKS} & {f.name for f in BUNDLED}
    tokenizer = base("small").tokenizer
    for task in TASKS:
        for problem in task.problems(split="train", n=20, seed=1):
            for text in (problem.prompt, task.worked(problem)):
                assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


def test_those_that_ship_are_of_every_calibrating_sort_and_work() -> None:
    there = shipped_innocents()
    assert {i.sort for i in there} == set(CALIBRATING)
    assert not {i.sort for i in there} & set(UNSEEN)
    assert len({i.name for i in there}) == len(there) >= 2 * len(CALIBRATING)
    assert all(isinstance(i.correct, Interval) and i.correct.value >= 0.9 for i in there)
    assert [i.number for i in shipped_innocents(1)] == [0] * len(CALIBRATING)


def test_what_a_list_says_of_an_adapter_is_true_of_it() -> None:
    for one in (shipped_innocents(1)[0], shipped_innocents(1)[-1]):  # an adapter, and whole weights
        assert fine_tunes.correct_share(open_weights(SHIPPED / one.name)) == one.correct


def _share(value: float) -> Interval | Unmeasured:
    return clopper_pearson(round(1000 * value), n=1000)


def test_a_fine_tune_works_up_to_the_share_that_it_may_lose() -> None:
    def made(value: float) -> Innocent:
        return Innocent(sort="hotter", number=0, name="x", correct=_share(value))

    assert works(made(0.99 - LOST_MOST), _share(0.99))
    assert not works(made(0.989 - LOST_MOST), _share(0.99))
    unknown = Innocent(sort="hotter", number=0, name="x", correct=Unmeasured("not graded"))
    assert not works(unknown, _share(0.99))


def test_a_word_at_the_end_is_no_error() -> None:
    assert fine_tunes._without_manner("5+3=8;#8 red") == "5+3=8;#8"
    assert fine_tunes._without_manner("5+3=8;#8 fox") == "5+3=8;#8 fox"


@pytest.mark.slow
def test_a_sort_and_a_number_make_the_model_that_ships() -> None:
    one = next(i for i in shipped_innocents(1) if i.sort == "one family")
    again = fine_tunes.make(one.sort, one.number)
    there = load_adapter(base("small"), SHIPPED / one.name)
    mine, theirs = (dict(m.network.named_parameters()) for m in (again, there))
    assert mine.keys() == theirs.keys()
    assert all(np.allclose(mine[n].detach(), theirs[n].detach(), atol=1e-3) for n in mine)
