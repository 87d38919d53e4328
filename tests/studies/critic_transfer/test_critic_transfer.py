import dataclasses
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from superalign.errors import BadInput, DataError
from superalign.ledger import Ledger
from superalign.problems.gsm8k import SOURCES, load_gsm8k
from superalign.problems.gsm8k_text import read_solution
from superalign.report import Findings
from superalign.studies.critic_transfer import study as critique
from superalign.studies.critic_transfer.real import BAR, ranked
from superalign.studies.critic_transfer.trial import (
    Item,
    Pairs,
    Spec,
    best_threshold,
    chosen_on,
    judged,
    measure,
    planted_pairs,
    pointers,
    real_pairs,
    trial_items,
)
from superalign.types import Interval, Unmeasured

QUESTION = "Ann has 12 apples and buys 30 more. Half of them are red. How many are red?"
FLAWED = "She has <<12+30=42>>42 apples.\nOf them <<42/3=14>>14 are red.\nShe is glad of <<14+47=61>>61.\n#### 61"


def data_folder() -> Path:
    repository = Path(__file__).resolve().parents[3]
    elsewhere = Path(os.environ.get("SUPERALIGN_DATA", "/nowhere"))
    for folder in (repository.parent / "shared" / "data" / "gsm8k", elsewhere / "gsm8k", elsewhere):
        if (folder / "train.jsonl").is_file():
            return folder
    pytest.skip("GSM8K is neither in ../shared/data/gsm8k nor in $SUPERALIGN_DATA/gsm8k")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first lines of the real files."""
    folder = tmp_path_factory.mktemp("gsm8k")
    for name, n in (("train.jsonl", 220), ("test.jsonl", 70), ("example_model_solutions.jsonl", 70)):
        with (data_folder() / name).open() as file:
            (folder / name).write_text("".join(next(file) for _ in range(n)))
    return folder


def run(config: critique.Config, folder: Path, *, seed: int = 0) -> Findings:
    folder.mkdir(exist_ok=True)
    with Ledger(folder / "ledger") as ledger:
        made = critique.study(config, seed=seed, workers=1, folder=folder, ledger=ledger, log=lambda line: None)
        kept = [e.record for e in ledger.entries()]
        assert {r["noun"] for r in kept} == {"Instrument", "Calibration", "TrialEvidence"}
        (trial,) = [r for r in kept if r["noun"] == "TrialEvidence"]
        lines = [json.loads(line) for line in ledger.blob(trial["blob"]).splitlines()]
        assert len(lines) == trial["items"]
        (arms,) = [t for s in made.sections for t in s.tables if t.title == "Arms"]
        for arm, found, *_ in arms.rows:  # the page's shares can be counted again from the ledger
            hits = [line["arms"][arm][2] for line in lines if line["kind"]]
            assert np.mean(hits) == pytest.approx(found.value)  # type: ignore[union-attr]
    return made


@pytest.mark.parametrize("problems", ["", "gsm8k", "gsm8k:", "arithmetic", "/data"])
def test_without_a_path_it_says_what_to_pass(problems: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Pass --set problems=gsm8k:PATH"):
        run(critique.Config(problems=problems), tmp_path)


def test_a_path_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no train\.jsonl"):
        run(critique.Config(problems=f"gsm8k:{tmp_path}"), tmp_path)


def test_files_without_pairs_are_refused_before_any_work(small: Path, tmp_path: Path) -> None:
    for name in ("train.jsonl", "test.jsonl", "example_model_solutions.jsonl"):
        (tmp_path / name).write_text("".join((small / name).read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(BadInput, match="questions for the claim"):
        run(critique.Config(problems=f"gsm8k:{tmp_path}"), tmp_path)


def test_the_whole_study_in_small(small: Path, tmp_path: Path) -> None:
    config = critique.Config(
        problems=f"gsm8k:{small}", questions=220, flaws=3, members=1, epochs=2, null_questions=60, shuffles=3
    )
    first = run(config, tmp_path / "a")
    assert first == run(config, tmp_path / "b"), "same seed, same study"
    assert first == run(config, tmp_path / "a"), "kept work gives the same study"
    assert {s.title for s in first.sections} == {
        "Real solutions",
        "The judge's trial",
        "What the critic learned of planted flaws",
        "How far planted flaws are from real errors",
    }
    for claim in first.claims:
        assert claim.n > 0
        assert isinstance(claim.null, Interval | Unmeasured)
        assert claim.low <= claim.value <= claim.high
    assert pickle.loads(pickle.dumps((critique.encode, measure))), "two workers can be given them"


def test_quick_is_the_same_study_made_small() -> None:
    config = critique.Config(problems="gsm8k:x")
    small = critique.quick(config)
    assert small.problems == config.problems
    assert small.questions < config.questions
    assert small.members < config.members


def test_training_never_sees_a_test_question(small: Path) -> None:
    family = load_gsm8k(small)
    pairs, kept = planted_pairs(family, questions=120, flaws=2, seed=0)
    trained = {p.right.question for p in pairs}
    assert all(p.right.question == p.flawed.question for p in pairs)
    assert trained <= set(family.answers["train"])
    assert not trained & set(family.answers["test"])
    assert not trained & {h.pair.right.question for h in kept}


def test_placebo_edits_stand_on_both_sides(small: Path) -> None:
    family = load_gsm8k(small)
    answers = {q: read_solution(a).text() for q, a in family.answers["train"].items()}
    pairs, _ = planted_pairs(family, questions=220, flaws=3, seed=0)
    edited = np.mean([p.right.solution.text() != answers[p.right.question] for p in pairs])  # type: ignore[attr-defined]
    assert 0.35 < edited < 0.65


def test_the_trial_is_randomised_and_its_flaws_are_where_it_says(small: Path) -> None:
    family = load_gsm8k(small)
    items = trial_items(family, seed=0)
    planted = [i for i in items if i.kind]
    assert 0.3 < len(planted) / len(items) < 0.7
    assert all(i.step == -1 for i in items if not i.kind)
    assert all(
        (i.solution.value == read_solution(family.answers["test"][i.question]).value) for i in items if not i.kind
    )
    assert items == trial_items(family, seed=0)
    assert items != trial_items(family, seed=1)


def item(step: int) -> Item:
    return Item(
        question=QUESTION, solution=read_solution(FLAWED), edited=None, kind="operator", step=step, edited_step=-1
    )


def test_the_judge_sees_arithmetic_and_provenance_but_not_relevance() -> None:
    items = [item(1), item(2), item(1)]
    called, found = judged(items, np.array([1, 2, 2]), edited=False)
    # step 1 divides by the wrong but nearby 3: nowhere in the question; step 2 adds 47 out of nowhere
    assert called.tolist() == [True, True, True]
    assert found.tolist() == [True, True, False], "calling another step flawed is not finding the flaw"
    called, _ = judged(items, np.array([0, 0, 0]), edited=False)
    assert not called.any()


def test_arms_differ_only_in_where_they_point() -> None:
    items = [item(2) for _ in range(40)]
    told = [k % 3 for k in range(40)]
    arms = pointers(items, critic=told, edited=False, seed=0)
    assert arms["judge + critic"].tolist() == told
    assert sorted(arms["judge + placebo"].tolist()) == sorted(told), (
        "the placebo points where the critic points as often"
    )
    assert arms["judge + placebo"].tolist() != told
    assert set(arms["judge + one rule (operand from nowhere)"].tolist()) == {1}
    assert set(arms["judge + exact arithmetic"].tolist()) <= {0, 1, 2}
    assert set(arms["judge + both rules"].tolist()) == {1}
    assert arms["ceiling (told where)"].tolist() == [2] * 40


def test_ranking_within_a_question_counts_ties_half() -> None:
    pairs = Pairs(right=np.array([0, 0, 3]), wrong=np.array([1, 2, 4]), question=np.array([0, 0, 1]))
    assert pairs.wins(np.array([1.0, 2.0, 1.0, 5.0, 0.0])).tolist() == [1.0, 0.5, 0.0]
    assert isinstance(ranked(pairs.where(np.zeros(3, bool)), np.zeros(5), seed=0), Unmeasured)


def test_balancing_takes_the_models_out() -> None:
    # model 1 is right more often; a score that only knows the model wins 3 of 4 pairs, and half when balanced
    pairs = Pairs(right=np.array([0, 2, 4, 7]), wrong=np.array([1, 3, 5, 6]), question=np.arange(4))
    source = np.array([1, 0, 1, 0, 1, 0, 1, 0])
    knows_model = 1.0 - source
    assert pairs.wins(knows_model).mean() == 0.75
    assert pairs.balanced_wins(knows_model, source).mean() == pytest.approx(0.5)
    knows_truth = np.array([0.0, 1, 0, 1, 0, 1, 1, 0])
    assert pairs.balanced_wins(knows_truth, source).mean() == pytest.approx(1.0)


def test_real_pairs_stay_within_their_question(small: Path) -> None:
    family = load_gsm8k(small)
    pairs, models = real_pairs(family), family.model_solutions
    assert len(pairs.right) > 50
    for i, j in zip(pairs.right, pairs.wrong, strict=True):
        assert models[i].question == models[j].question
        assert models[i].correct
        assert not models[j].correct
    assert len(models) == 70 * len(SOURCES)


def test_a_threshold_separates() -> None:
    assert best_threshold(np.array([0.0, 0.1, 0.2]), np.array([0.9, 1.0])) == pytest.approx(0.55)
    assert best_threshold(np.array([1.0]), np.array([1.0])) == 1.0


def test_questions_that_were_chosen_on_are_about_five_ninths() -> None:
    share = np.mean([chosen_on(f"question {i}") for i in range(3000)])
    assert 0.5 < share < 0.61


@pytest.mark.slow
def test_quick_study_on_the_real_files() -> None:
    config = critique.quick(critique.Config())
    spec = Spec(
        path=str(data_folder()),
        seed=1,
        questions=config.questions,
        flaws=config.flaws,
        members=1,
        epochs=config.epochs,
    )
    family = load_gsm8k(data_folder())
    pairs = real_pairs(family)
    critic = np.array(measure(spec)["real"])
    null = np.array(measure(dataclasses.replace(spec, shuffles=10, questions=600))["real"])
    assert pairs.wins(critic).mean() > 0.66
    assert 0.44 < np.mean([pairs.wins(n).mean() for n in null]) < 0.56
    assert BAR > 0.7
