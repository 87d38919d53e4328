"""The sandwich: exact on hand-made dialogues, an overseer by the checks, and nothing is gained from a copy of the judge."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.oversight import check_overseer
from superalign.oversight.conformance import failures
from superalign.oversight.sandwich.dialogue import Advice, JudgeCopy, Silent, concluded, converse, looks, practised
from superalign.oversight.sandwich.overseer import sandwiched
from superalign.types import Problem, Rollouts, Unmeasured


def check(problem: Problem, text: str, unit: int) -> bool:
    return text[unit] == "y"


@dataclass(frozen=True)
class Knows:
    """Points to the first n from where it is asked; or, mistaken, to a letter that is right."""

    mistaken: int = 0  # times that it points to the start first
    name: str = "somebody who knows"

    def __call__(self, asked: Any, *, seed: int) -> Advice:
        units = []
        for _, text, start in asked:
            if start < self.mistaken:
                units.append(start)
            else:
                at = text.find("n", start)
                units.append(None if at < 0 else at)
        return Advice(units=tuple(units), tokens=len(asked))


ASK = Problem(prompt="ask", family="toy", difficulty=1, split="train")


def one(text: str, adviser: Any, k: int) -> tuple[Any, str, int]:
    told, _ = converse([ASK], Rollouts.of_texts([ASK], [text]), adviser=adviser, check=check, count=len, k=k, seed=0)
    outcome, checks = concluded(told[0], k=k, look=looks(ASK, text, check=check, count=len, seed=0))
    return told[0], outcome, checks


def test_the_game_on_hand_made_cases() -> None:
    assert one("yyyn", Knows(), 1) == (((3, False, False),), "found wrong", 1)
    assert one("yyyy", Knows(), 1) == (((None, True, True),), "agrees after 0 refuted", 1)
    assert one("yyyn", Knows(mistaken=1), 1) == (((0, True, False), (3, True, False)), "differs after 1 refuted", 1)
    assert one("yyyy", Knows(mistaken=1), 1) == (((0, True, False), (None, True, True)), "agrees after 1 refuted", 1)
    assert one("yyyn", Knows(mistaken=1), 2) == (((0, True, False), (3, False, False)), "found wrong", 2)
    assert one("yyyy", Knows(mistaken=2), 3) == (
        ((0, True, False), (1, True, False), (None, True, True)),
        "agrees after 2 refuted",
        3,
    )
    assert one("nnnn", Silent(), 1) == (((None, True, True),), "found wrong by himself", 1)
    assert one("", Knows(), 1) == ((), "nothing to check", 0)
    assert one("yn", Knows(), 0)[1:] == ("differs after 0 refuted", 0)
    assert one("yyyy", Knows(mistaken=9), 9)[1:] == ("nothing left after 4 refuted", 4)  # everything was checked


def test_that_the_answers_agree_is_told_apart() -> None:
    dialogue = ((0, True, True),)
    assert concluded(dialogue, k=0, look=lambda left, before: True)[0] == "differs after 0 refuted, but for the answer"
    assert concluded(((0, False, True),), k=1, look=lambda left, before: True) == ("found wrong, but for the answer", 1)


@pytest.mark.parametrize("text", ["yyyn", "yyyy", "ynyn", "nyyy"])
@pytest.mark.parametrize("mistaken", [0, 1, 2])
def test_fewer_checks_play_a_beginning_of_the_same_dialogue(text: str, mistaken: int) -> None:
    whole, *_ = one(text, Knows(mistaken=mistaken), 4)
    look = looks(ASK, text, check=check, count=len, seed=0)
    for k in range(4):
        assert concluded(whole, k=k, look=look)[0] == one(text, Knows(mistaken=mistaken), k)[1]


def test_he_never_spends_more_than_he_has() -> None:
    looked: list[int] = []

    def counted(problem: Problem, text: str, unit: int) -> bool:
        looked.append(unit)
        return text[unit] == "y"

    for k in range(1, 5):
        for text in ("yyyyyy", "yyyyyn", "ynynyn"):
            looked.clear()
            judge = sandwiched(adviser=Knows(mistaken=1), check=counted, count=len, trust={}, k=k)
            judge([ASK], Rollouts.of_texts([ASK], [text]), seed=0)
            assert len(looked) <= k
            assert len(set(looked)) == len(looked)  # and looks nowhere twice


def test_it_is_an_overseer_and_a_broken_one_is_not(problems: Any, rollouts: Rollouts) -> None:
    trust = practised(["found wrong", "agrees after 0 refuted"], [False, True])
    outcomes = {"found wrong by himself": 0.1, **trust}
    for adviser in (Knows(), Silent()):
        check_overseer(sandwiched(adviser=adviser, check=check, count=len, trust=outcomes), problems, rollouts)
    # A copy of the judge makes checks of its own, which are the adviser's and are not counted as the judge's.
    copied = sandwiched(adviser=JudgeCopy(check=check, count=len), check=check, count=len, trust=outcomes)
    assert list(failures(copied, problems, rollouts)) == ["cost is counted"]

    @dataclass(frozen=True)
    class Moody:
        name: str = "moody"

        def __call__(self, asked: Any, *, seed: int) -> Advice:
            return Advice(units=tuple(0 if i % 2 else None for i in range(len(asked))))

    broken = sandwiched(
        adviser=Moody(),
        check=check,
        count=len,
        trust={"differs after 1 refuted": 0.4, "agrees after 1 refuted": 0.4, **trust},
    )
    assert "order does not matter" in failures(broken, problems, rollouts)


def test_what_practice_never_showed_is_unmeasured(problems: Any, rollouts: Rollouts) -> None:
    values = sandwiched(adviser=Knows(), check=check, count=len, trust={})(problems, rollouts, seed=0).values
    assert all(isinstance(v, Unmeasured) for v in values)
    with pytest.raises(BadInput, match="-1 checks"):
        sandwiched(adviser=Knows(), check=check, count=len, trust={}, k=-1)


def test_somebody_who_knows_helps_and_a_copy_of_the_judge_is_worth_one_more_look() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join("n" if rng.random() < 0.15 else "y" for _ in range(6)) for _ in range(600)]
    asked = [Problem(prompt=str(i), family="toy", difficulty=1, split="train") for i in range(600)]
    rollouts = Rollouts.of_texts(asked, texts)
    right = ["n" not in t for t in texts]

    def found(adviser: Any, k: int) -> float:
        outcomes, *_ = sandwiched(adviser=adviser, check=check, count=len, trust={}, k=k).outcomes(
            asked, rollouts, seed=0
        )
        return float(np.mean(["found wrong" not in o for o in outcomes] == np.array(right)))

    alone, more, copied, helped = (
        found(Silent(), 1), found(Silent(), 2), found(JudgeCopy(check=check, count=len), 1), found(Knows(), 1),
    )  # fmt: skip
    assert helped == 1.0
    assert alone < copied <= more + 0.03
    assert more < 0.9
