"""What a language model proposes counts by its score on test documents: right ones high, wrong ones low, garbage is counted."""

import json
from typing import Any

import numpy as np
import pytest

from superalign.explanations.programs import Ask, End, simulate, to_text
from superalign.lab import proposed_programs
from superalign.lab.corpora import Reading
from superalign.lab.explained_network import bank_of
from superalign.lab.proposed_programs import ProposeJob, by_origin, propose, read_program
from superalign.lab.replaced_neurons import ReplaceJob
from superalign.types import Interval

READING = Reading(tokens=3_000, window=48)
SIGNS = ("=", ";", "+", "#", "*")


def neurons() -> ReplaceJob:
    n = len(SIGNS)
    programs = tuple(to_text(Ask("token", (w,), (0.0,), End(5.0), End(-0.2))) for w in SIGNS)
    active, ones, zeros = ((1.0, 2.0, 2.0),) * n, (1.0,) * n, (0.0,) * n
    return ReplaceJob(
        policy="small",
        reading=READING,
        explained_on=(),
        layer=0,
        neurons=tuple(range(n)),
        programs=programs,
        means=zeros,
        spreads=ones,
        active=active,
        windows=4,
    )


def planted(*_: object, **__: object) -> np.ndarray:
    """Let each neuron be active at one sign, with noise."""
    bank = bank_of("small", READING, ())
    out = np.zeros((*bank.texts.scored_WT.shape, len(SIGNS)), np.float32)
    rng = np.random.default_rng(0)
    for u, sign in enumerate(SIGNS):
        said = simulate(
            Ask("token", (sign,), (0.0,), End(5.0), End(-0.2)), bank.columns, np.arange(bank.columns.code_KN.shape[1])
        )
        out[bank.texts.scored_WT, u] = said + 0.3 * rng.normal(size=len(said))
    return out


def says(prompt: str) -> str:
    """Answer rightly by words for =, by a number for ;, by a program for +, wrongly for #, and with garbage for *."""
    sign = prompt.split("<<")[2][:1]  # the first pair of marks stands in the question itself
    listed = prompt.split("Tokens by number: ")[1].splitlines()[0]
    number = next((int(x.split()[0]) for x in listed.split(", ") if x.endswith(json.dumps(";"))), 0)
    return {
        "=": '```json\n{"words": ["="]}\n```',
        ";": json.dumps({"numbers": [number]}),
        "+": '{"program": ["token", {"+": 0}, 2.0, 0.0]}',
        "#": '{"words": ["="]}',
    }.get(sign, "It fires on arithmetic, I am sure: r = 0.99.")


@pytest.mark.filterwarnings("default")
def test_right_proposals_score_high_wrong_ones_low_and_garbage_is_counted(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposed_programs, "neurons_over", planted)
    monkeypatch.setenv("LOCAL_BASE_URL", serve(says=says).url)
    monkeypatch.setenv("LOCAL_API_KEY", "none")
    done = propose(ProposeJob(neurons=neurons(), proposer="api:openai-api/local/m"))
    assert done.replies == ("used",) * 4 + ("no JSON object of one form",)
    proposed, ours, others = done.r_3U
    assert (proposed[:3] > 0.9).all()
    assert proposed[3] < 0.1
    assert proposed[4] == 0.0
    assert (ours > 0.9).all()
    assert others.max() < 0.9
    rows = {origin: r for origin, r, _ in by_origin([done])}
    assert isinstance(found := rows["as proposed"], Interval)
    assert 0.4 < found.value < 0.7


def test_nobody_replies_and_a_model_that_knows_no_words_is_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposed_programs, "neurons_over", planted)
    done = propose(ProposeJob(neurons=neurons(), proposer="small"))
    assert "used" not in done.replies
    assert not done.r_3U[0].any()


def test_only_training_documents_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = bank_of("small", READING, ())
    value = np.zeros(len(bank.train_R))
    value[:3] = (3.0, 2.0, 1.0)
    asked = proposed_programs.question(bank, value, ["=", ";"])
    w, t = np.argwhere(bank.texts.scored_WT)[bank.train_R[0]]
    assert f"<<{bank.texts.words[bank.texts.tokens_WT[w, t]]}>>" in asked.splitlines()[2]
    assert asked.splitlines()[2].startswith("10: ")
    assert '0 "=", 1 ";"' in asked


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"words": ["="], "why": "r"}', "no JSON object"),
        ('{"score": 1}', "another form"),
        ('{"score": [1]}', "another form"),
        ('{"words": 7}', "words that cannot be read"),
        ('{"words": ["no such token"]}', "no token of these texts"),
        ('{"numbers": [-1]}', "numbers that cannot be read"),
        ('{"numbers": ["a"]}', "numbers that cannot be read"),
        ('{"program": ["token", {"=": 0}, 1]}', "program that cannot be read"),
        ('{"program": 3}', "a program that cannot be run"),
        ('{"program": ["colour", {"=": 0}, 1, 0]}', "a program that cannot be run"),
        ('{"program": ["token", {"=": 0}, NaN, 0]}', "a program that cannot be run"),
        ("[" * 20_000, "no JSON object"),
    ],
)
def test_a_reply_that_cannot_be_read_is_named_by_its_kind(text: str, kind: str) -> None:
    found = read_program(text, bank_of("small", READING, ()).columns, ["=", ";"])
    assert isinstance(found, str)
    assert kind in found
