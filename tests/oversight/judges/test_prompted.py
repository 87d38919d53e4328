"""Protocols by prompting: who sees what in which order, exact moves of the market, and placebos that are of other rollouts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from superalign.oversight import check_overseer
from superalign.oversight.conformance import failures
from superalign.oversight.judges.language_model import participant_judge
from superalign.oversight.judges.prompted import (
    Beliefs,
    Consultancy,
    Critique,
    Debate,
    OtherTranscripts,
    Participant,
    Texts,
    Turn,
    both_orders,
    price_question,
    shown,
    verdict_question,
)
from superalign.oversight.market.prompted import Market
from superalign.types import Problem, Rollouts, Unmeasured


@dataclass(frozen=True)
class Scripted:
    """A seat whose beliefs and words are functions of what it is asked."""

    believes: Callable[[str], Any] = lambda prompt: 0.5
    says: Callable[[str], Any] = lambda prompt: "hm"
    name: str = "scripted"
    subject: str = "scripted"
    heard: list[str] = field(default_factory=list)

    def believe(self, prompts: Sequence[str], *, seed: int) -> Beliefs:
        return Beliefs(values=tuple(self.believes(p) for p in prompts), tokens=len(prompts))

    def say(self, prompts: Sequence[str], *, n: int, seed: int) -> Texts:
        self.heard.extend(prompts)
        texts = [self.says(p) if n == 1 else self.says(f"{p} [{i}]") for p in prompts for i in range(n)]
        return Texts(texts=tuple(texts), tokens=len(texts))


def reads(prompt: str) -> float:
    """A judge who believes the last word said for a side."""
    last = max((prompt.rfind(w), p) for w, p in (("is right.", 0.9), ("is wrong.", 0.2)))
    return last[1] if last[0] >= 0 else 0.6


def argues(prompt: str) -> str:
    return "It is wrong." if "response is wrong" in prompt else "It is right."


PLAYS: list[Callable[[Participant], Any]] = [
    lambda s: Critique(agent=s),
    lambda s: Debate(first=s, second=s, rounds=2),
    lambda s: Consultancy(agent=s),
    lambda s: Market(market=s, adversary=s, rounds=2, candidates=2),
    lambda s: OtherTranscripts(of=Debate(first=s, second=s, rounds=1)),
]


@pytest.mark.parametrize("play", PLAYS)
def test_a_judge_after_any_protocol_is_an_overseer(play: Any, problems: Any, rollouts: Rollouts) -> None:
    seat = Scripted(believes=reads, says=argues)
    check_overseer(participant_judge(seat, play=play(seat)), problems, rollouts)
    check_overseer(participant_judge(seat), problems, rollouts)


def test_a_judge_that_goes_by_place_is_found_out(problems: Any, rollouts: Rollouts) -> None:
    calls: list[int] = []

    def moody(prompt: str) -> float:
        calls.append(1)
        return len(calls) % 7 / 7

    found = failures(participant_judge(Scripted(believes=moody)), problems, rollouts)
    assert "same seed, same signal" in found


def test_a_preference_for_a_place_cancels() -> None:
    def first_named(prompt: str) -> float:
        return 0.9 if prompt.endswith("yes or no.") else 0.1

    asked = [("1+1", "#2", ()), ("", " ", ()), ("1+1", "#3", Unmeasured("gone"))]
    found = both_orders(Scripted(believes=first_named), verdict_question, asked, seed=0)
    assert found.values[0] == pytest.approx(0.5)
    assert found.first[0] == 0.9
    assert found.second[0] == 0.1
    assert found.values[1] == Unmeasured("the response is empty")
    assert found.values[2] == Unmeasured("gone")
    assert found.tokens == 2

    def one_order(prompt: str) -> Any:
        return 0.9 if prompt.endswith("yes or no.") else Unmeasured("malformed")

    half = both_orders(Scripted(believes=one_order), verdict_question, asked[:1], seed=0)
    assert half.values == (Unmeasured("malformed"),)


def test_debaters_of_a_round_do_not_see_each_other_and_then_do(problems: Any, rollouts: Rollouts) -> None:
    seat = Scripted(says=argues)
    one = Rollouts.of_texts(problems[:1], ["yyn"])
    played = Debate(first=seat, second=seat, rounds=2)(problems[:1], one, seed=0)
    (told,) = played.transcripts
    assert [(t.round, t.side, t.text) for t in told] == [
        (0, "right", "It is right."), (0, "wrong", "It is wrong."), (1, "right", "It is right."), (1, "wrong", "It is wrong."),
    ]  # fmt: skip
    assert ["What was said" in p for p in seat.heard] == [False, False, True, True]
    assert "for wrong: It is wrong.\nA debater, for right" in shown(told, swapped=True)
    question = verdict_question("p", "r", told, swapped=True)
    assert question.index("for wrong") < question.index("for right")
    assert "may be mistaken or meant to mislead" in question


def test_a_consultant_is_given_either_side_and_the_seed_decides() -> None:
    many = [Problem(prompt=str(i), family="toy", difficulty=1, split="train") for i in range(200)]
    asked = Rollouts.of_texts(many, ["y"] * 200)
    sides = [
        [t[0].side for t in Consultancy(agent=Scripted())(many, asked, seed=s).transcripts if isinstance(t, tuple)]
        for s in (0, 0, 1)
    ]
    assert sides[0] == sides[1] != sides[2]
    assert 70 < sides[0].count("right") < 130


def test_the_adversary_says_what_moves_the_price_most_and_a_still_market_closes() -> None:
    def price(prompt: str) -> float:
        return 0.5 + 0.3 * prompt.count("[1]") - 0.1 * prompt.count("[0]")

    seat = Scripted(believes=price, says=lambda p: p[-3:])
    one = Problem(prompt="1+1", family="toy", difficulty=1, split="train")
    asked = Rollouts.of_texts([one], ["#2"])
    played = Market(market=seat, adversary=seat, rounds=1, candidates=2)([one], asked, seed=0)
    assert [t.text for t in played.transcripts[0]] == ["[1]"]  # type: ignore[union-attr]
    still = Market(market=Scripted(), adversary=seat, rounds=3, candidates=2)([one], asked, seed=0)
    assert still.transcripts == ((),)
    assert "call the proposed response right in the end" in price_question("p", "r")


def test_silence_is_unmeasured_and_reaches_the_judge(problems: Any, rollouts: Rollouts) -> None:
    gone = Scripted(believes=reads, says=lambda p: Unmeasured("no reply") if "ask 1" in p else "It is right.")
    for play in (Critique(agent=gone), Debate(first=gone, second=gone), Market(market=gone, adversary=gone)):
        signal = participant_judge(gone, play=play)(problems, rollouts, seed=0)
        why = [v.why if isinstance(v, Unmeasured) else "" for v in signal.values]
        assert why == ["", "", "no reply", "no reply", "", "", "", ""], play.name
    no_price = Scripted(believes=lambda p: Unmeasured("no price"))
    signal = participant_judge(gone, play=Market(market=no_price, adversary=gone))(problems, rollouts, seed=0)
    assert set(signal.values) == {Unmeasured("no price")}


def test_a_placebo_is_about_another_problem() -> None:
    some = [Problem(prompt=f"ask {i}", family="toy", difficulty=1, split="train") for i in range(6)]
    asked = Rollouts.of_texts(some, ["y"] * 6)
    echo = Scripted(says=lambda p: p.split("\n")[1])
    own = Critique(agent=echo)(some, asked, seed=0).transcripts
    other = OtherTranscripts(of=Critique(agent=echo))(some, asked, seed=0).transcripts
    assert [t[0].text for t in own] == [p.prompt for p in some]  # type: ignore[index]
    assert all(a != b for a, b in zip(own, other, strict=True))
    assert sorted(map(str, own)) == sorted(map(str, other))
    alone = OtherTranscripts(of=Critique(agent=echo))(some[:1], Rollouts.of_texts(some[:1], ["y"]), seed=0)
    assert isinstance(alone.transcripts[0], Unmeasured)
    assert isinstance(own[0][0], Turn)  # type: ignore[index]
