"""Protocols on text: arms that know the truth, arms that know nothing, and what the page makes of both."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from superalign import problems
from superalign.errors import BadInput
from superalign.lab import tuned_judges
from superalign.lab.labelled_scores import Scores, areas_of, cut_of, joined
from superalign.lab.truth_reading import SetRead, Statements, as_statements
from superalign.lab.tuned_judges import TuneJob, by_labels, by_reward, tune_job
from superalign.models import base, choice_logprobs, encode
from superalign.oversight.judges import statements as protocols
from superalign.oversight.judges.statements import SpeechJob, odds_after, speak, truth_question, turn
from superalign.problems.table_family import Row, TableFamily
from superalign.stats import auroc
from superalign.stats.streams import stream
from superalign.studies.text_protocols.evidence import (
    ARMS,
    HEAD,
    HEARD,
    JUDGE,
    LENGTH,
    LIKELIHOOD,
    TUNED,
    Evidence,
    Found,
)
from superalign.studies.text_protocols.measure import fitted_heads, found_of, picked_of
from superalign.studies.text_protocols.page import page
from superalign.train.answering import Labelled, TokenOdds
from superalign.types import Interval, Unmeasured

N, WIDTH = 320, 6


def scores(strength: dict[str, float], *, placebo: float = 0.0, seed: int = 0) -> Scores:
    """Make arms that know as much of the truth as is said; a statement and another one share a question."""
    true_N = np.tile([True, False], N // 2)

    def arm(knows: float, *name: str | int) -> np.ndarray:
        return knows * (2 * true_N - 1) + stream(seed, "noise of an arm", *name).normal(size=N)

    made = {name: arm(strength.get(name, 0.0), name) for name in ARMS}
    return Scores(
        raw=made,
        beyond=made,
        placebo={name: arm(placebo, "placebo", name) for name in (*HEARD, *TUNED, HEAD)},
        heads_SN=np.stack([arm(0.0, "shuffled", k) for k in range(20)]),
        true_N=true_N,
        test_N=np.arange(N) >= N // 2,
        question_N=np.repeat(np.arange(N // 2), 2).astype(str),
    )


def found(s: Scores) -> dict[str, Found]:
    return {f.arm: f for f in found_of("statements", s, {arm: cut_of(s, arm) for arm in ARMS}, seed=0)}


def evidence(some: dict[str, Found]) -> Evidence:
    return Evidence(
        policy="it", agent="it", topics=("towns",), groups=("statements",), fitted_to=9, updates=9, train=9, test=9, written=9,
        found=tuple(some.values()), examples=(),
    )  # fmt: skip


def value(x: object) -> Interval:
    assert isinstance(x, Interval)
    return x


def test_an_arm_that_knows_half_as_much_as_the_head_brings_out_about_its_share() -> None:
    some = found(scores({HEAD: 2.0, "debate": 0.5, JUDGE: 0.0}))
    assert value(some[HEAD].area).low > 0.95
    assert value(some["debate"].beyond).low > 0.05
    assert 0.2 < value(some["debate"].of_gap).low < value(some["debate"].of_gap).high < 0.9
    assert value(some["critique"].beyond).low < 0 < value(some["critique"].beyond).high
    assert value(some[HEAD].fitted).low > 0.9
    assert value(some["debate"].area).n == N // 4  # questions
    assert isinstance(some[LENGTH].said, Unmeasured)
    assert isinstance(some[LIKELIHOOD].beyond, Interval)
    assert isinstance(some[LIKELIHOOD].placebo, Unmeasured)


def test_where_nothing_is_held_nothing_is_shared_out() -> None:
    some = found(scores({}))
    assert all(isinstance(f.of_gap, Unmeasured) for f in some.values())
    assert sum(value(f.area).low > 0.5 for f in some.values()) <= 1


GAIN = "{} tells true statements from false ones better than the judge alone"


def test_the_page_claims_what_an_arm_brings_out() -> None:
    knowing = page(evidence(found(scores({HEAD: 2.0, "debate": 0.5}))))
    holds = {c.name: c.holds for c in knowing.claims}
    assert holds[GAIN.format("Debate")] is True
    assert holds[GAIN.format("Trained head")] is True
    assert holds[GAIN.format("Critique")] is False
    assert "of the way, statements)." in knowing.headline.partition("brought out by debate (")[2]


def test_the_page_claims_as_good_as_nothing_where_labels_are_noise() -> None:
    blind = [page(evidence(found(scores({}, seed=seed)))) for seed in range(6)]
    assert np.mean([c.holds is True for some in blind for c in some.claims]) < 0.06
    for some in blind:
        gains = [c.holds for c in some.claims if c.name in {GAIN.format(arm.capitalize()) for arm in HEARD}]
        assert len(gains) == len(HEARD)
        assert ("No protocol is shown" in some.headline) == (True not in gains)


def test_a_gain_that_the_placebo_has_too_is_no_gain() -> None:
    some = page(evidence(found(scores(dict.fromkeys(HEARD, 0.7), placebo=0.7))))
    assert not any(c.holds is True for c in some.claims if "better than" in c.name)


def test_areas_are_drawn_over_questions_and_the_same_for_all_arms() -> None:
    s = scores({JUDGE: 0.5})
    both = areas_of({"one": s.raw[JUDGE], "moved": s.raw[JUDGE] + 7}, s.true_N, s.question_N, seed=0)
    assert both.value["one"] == both.value["moved"]
    np.testing.assert_array_equal(both.draws["one"], both.draws["moved"])
    assert 0.01 < both.draws["one"].std() < 0.05
    assert both.questions == N // 2


def test_the_threshold_is_that_of_training_statements_and_sets_are_put_together() -> None:
    one = scores({HEAD: 2.0})
    moved = dataclasses.replace(one, beyond={arm: np.where(one.test_N, x, x + 5) for arm, x in one.beyond.items()})
    assert abs(cut_of(one, HEAD)) < 1.5 < 3.5 < cut_of(moved, HEAD)
    assert len(joined([one, moved]).true_N) == 2 * N
    assert joined([one, moved]).heads_SN.shape == (20, 2 * N)


def states(knows: bool, *, polarity: str = "plain") -> Statements:
    rng = np.random.default_rng(len(polarity))
    true_N = np.tile([True, False], N // 2)
    x_NLD = rng.normal(size=(N, 2, WIDTH))
    x_NLD[:, 1, 0] += 4.0 * (2 * true_N - 1) * knows
    rows = tuple(
        Row(prompt=f"{i}?", text=f"{i} {polarity}", question=f"town {i}", right=str(bool(t)), wrong=str(not t))
        for i, t in enumerate(true_N)
    )
    read = SetRead(layers=("a", "b"), sha256="", likelihood=(0.0,) * N, says=(0.0,) * N)
    return Statements(rows=rows, read=read, states_NLD=x_NLD)


def test_the_head_reads_what_states_hold_and_its_shuffles_do_not() -> None:
    sets = {("towns", p): states(True, polarity=p) for p in ("plain", "negated")}
    picked = {key: picked_of(s, 4) for key, s in sets.items()}
    assert [int((~s.test_N[picked[key]]).sum()) for key, s in sets.items()] == [8, 8]
    heads = fitted_heads(sets, picked, seed=0)
    true_N = sets["towns", "plain"].true_N[picked["towns", "plain"]]
    own = heads["towns", "plain"]
    assert own[0][true_N].min() > own[0][~true_N].max()
    others = [np.mean(x[true_N] > 0) - np.mean(x[~true_N] > 0) for x in own[1:]]
    assert abs(np.mean(others)) < 0.5
    assert (own[0][true_N] > 0).all()


def test_answers_and_solutions_become_statements(tmp_path: Path) -> None:
    asked = [{"question": f"Is {i} even?", "answer": "yes" if i % 2 == 0 else "no"} for i in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in asked))
    solved = [{"problem": f"P{i}", "steps": ["one", "two"], "first": 1 if i % 2 else -1, "base": 0} for i in range(20)]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(r) + "\n" for r in solved))
    families = [
        problems.named(f"{kind}:{tmp_path / name}") for kind, name in (("choices", "a.jsonl"), ("steps", "b.jsonl"))
    ]
    answers, solutions = (as_statements(f) for f in families if isinstance(f, TableFamily))
    for row in answers:
        number, said = int(row.text.split()[2]), row.text.split("\nA: ")[1]
        assert row.right == str((said == "Yes") == (number % 2 == 0))
        assert row.prompt == truth_question(row.text)
    assert {row.right for row in answers} == {"True", "False"}
    assert [row.right for row in solutions] == [str(i % 2 == 0) for i in range(20)]
    assert solutions[0].text == "Problem: P0\n\nStep 1: one\nStep 2: two\n\nEvery step of this solution is right."


def test_a_statement_is_asked_about_as_its_family_asks(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"statement": "Ice is hot.", "label": 0}\n')
    family = problems.named(f"statements:{tmp_path}")
    assert isinstance(family, TableFamily)
    assert list(family.rows) == [truth_question("Ice is hot.")]


def test_a_judge_hears_both_sides_in_both_orders_and_is_warned_of_speakers_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def heard(model: object, prompts: list[str], choices: list[str]) -> np.ndarray:
        asked.extend(prompts)
        return np.array([[1.0 + ("true: A" in p), 0.0] for p in prompts])

    monkeypatch.setattr(protocols, "choice_logprobs", heard)
    model = base("small")
    both = (turn("true", "debater", "A."), turn("false", "debater", "B."))
    assert odds_after(model, ["Ice is hot."], [both]) == (2.0,)
    assert [p.index("A.") < p.index("B.") for p in asked] == [True, False]
    assert odds_after(model, ["Ice is hot."], [(turn("", "thought", "Hm."),)]) == (1.0,)
    assert odds_after(model, ["Ice is hot."], [()]) == (1.0,)
    assert ["mistaken" in p for p in asked] == [True, True, False, False]
    assert asked[-1] == truth_question("Ice is hot.")


def test_everybody_speaks_the_same_again_and_a_placebo_is_of_another_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    job = SpeechJob(judge="small", agent="small", texts=tuple(f"{i}+1=2" for i in range(6)), votes=2, words=4, seed=3)
    one = speak(job)
    assert one == speak(job)
    assert set(one.odds) == set(one.placebo) == set(HEARD)
    assert one.odds["agent alone"] != one.odds["sandwiching"]
    assert all(len(x) == 6 for x in (*one.odds.values(), *one.placebo.values(), one.thought, one.argued_true))
    told: list[tuple[str, tuple[str, ...]]] = []

    def listens(judge: object, texts: list[str], heard: list[tuple[protocols.Turn, ...]]) -> tuple[float, ...]:
        told.extend((text, tuple(t.text for t in said)) for text, said in zip(texts, heard, strict=True))
        return (0.0,) * len(texts)

    monkeypatch.setattr(protocols, "odds_after", listens)
    monkeypatch.setattr(
        protocols, "written_lines", lambda job: ({k: [f"{k} {t}" for t in job.texts for _ in range(n)] for k, n in
                                                  (("thought", 2), ("true", 1), ("false", 1))}, 7),
    )  # fmt: skip
    speak(job)
    own = [all(text in line for line in said) for text, said in told]
    assert own == ([True] * 6 + [False] * 6) * 5 + [True] * 6
    sides = {line.split()[0] for _, said in told[48:54] for line in said}
    assert sides <= {"true", "false"}


@pytest.mark.parametrize("by", ["labels", "reward"])
def test_a_tuned_judge_says_what_its_labels_teach_and_one_of_shuffled_labels_does_not(by: str) -> None:
    rng = np.random.default_rng(0)
    texts = [f"{a}+{b}" if k % 2 else f"{a}-{b}" for k, (a, b) in enumerate(rng.integers(10, 99, (120, 2)))]
    true_N = np.arange(120) % 2 == 1
    given, read = tuple(texts[:80]), tuple(texts[80:])
    job = TuneJob(judge="small", texts=given, true=tuple(true_N[:80].tolist()), by=by, read=read, updates=60, seed=0)
    shuffled = dataclasses.replace(job, true=tuple(rng.permutation(true_N[:80]).tolist()))
    told, blind = (np.array(tune_job(j)) for j in (job, shuffled))
    knows, guesses = (auroc(x[true_N[80:]], negatives=x[~true_N[80:]]) for x in (told, blind))
    assert knows > 0.9
    assert guesses < 0.85


def test_two_answers_that_begin_alike_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned_judges, "ANSWERS", ("True", "True, then"))
    job = TuneJob(judge="small", texts=("5+3=8",), true=(True,), by="labels", read=(), updates=1, seed=0)
    with pytest.raises(BadInput, match="with the same token"):
        tune_job(job)


def test_by_reward_the_loss_is_what_a_right_answer_is_short_of_for_sure() -> None:
    model = base("small")
    prompts, _ = encode(model, [truth_question("5+3=8"), truth_question("5+3=9")])
    yes, no = (int(ids[0]) for ids in encode(model, [""] * 2, ["True", "False"], end=False)[1])
    asked = TokenOdds(model.network, prompts, yes=yes, no=no)
    batch = Labelled(torch.arange(2), torch.tensor([1.0, 0.0]), 0.0)
    odds = choice_logprobs(model, [truth_question("5+3=8"), truth_question("5+3=9")], ["T", "F"])
    right = 1 / (1 + np.exp([odds[0, 1] - odds[0, 0], odds[1, 0] - odds[1, 1]]))
    with torch.no_grad():
        both = [float(loss(asked, batch)) for loss in (by_reward, by_labels)]
    assert both == pytest.approx([1 - right.mean(), -np.log(right).mean()], abs=1e-4)


def statements(path: Path, n: int = 200) -> Path:
    path.mkdir()
    for name, truth in (("towns", (1, 0)), ("neg_towns", (0, 1))):
        word = " not" if name.startswith("neg_") else ""
        rows = [
            {"statement": f"The town of T{i} is{word} in {'its land' if k == 0 else 'the sea'}.", "label": truth[k]}
            for i in range(n)
            for k in (0, 1)
        ]
        (path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_it_runs_on_a_bundled_base_and_refuses_what_is_no_text(
    superalign: Callable[..., object], tmp_path: Path
) -> None:
    words = ("run", "text-protocols", "--quick", "--workers", "1", "--set", "policy=small", "--set", "topics=towns")
    words = (*words, "--set", "every=1", "--set", "words=4", "--out", str(tmp_path / "run"))
    done = superalign(*words, "--set", f"problems=statements:{statements(tmp_path / 'data')}")
    assert done.returncode == 0, done  # type: ignore[attr-defined]
    assert "48 statements are spoken about" in done.stdout + done.stderr  # type: ignore[attr-defined]
    assert "small: of statements it holds the truth at an area of" in done.stdout  # type: ignore[attr-defined]
    for given, part in (("", "names no text"), ("statements:nowhere", "nowhere"), ("gsm8k:nowhere", "names no text")):
        done = superalign("run", "text-protocols", "--set", f"problems={given}", "--out", str(tmp_path / "other"))
        assert (done.returncode, part in done.stderr) == (2, True), done  # type: ignore[attr-defined]


def test_a_real_chat_model_takes_every_seat(smollm2: str) -> None:
    texts = ("The city of Paris is in France.", "The city of Paris is in Japan.")
    spoken = speak(SpeechJob(judge=smollm2, agent=smollm2, texts=texts, votes=1, words=8, seed=0))
    assert all(len(line.split()) > 2 for line in (*spoken.argued_true, *spoken.argued_false))
    assert all(np.isfinite(x).all() for x in spoken.odds.values())
    assert spoken.odds["critique"] != spoken.placebo["critique"]
