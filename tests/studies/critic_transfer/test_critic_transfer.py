"""The study from end to end on the first lines of GSM8K's files, what it refuses, and what it plants."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from superalign import settings
from superalign.errors import BadInput, ConfigError, DataError
from superalign.ledger import Ledger
from superalign.problems.gsm8k import SOURCES, load_gsm8k
from superalign.problems.gsm8k_text import read_solution
from superalign.report import Findings
from superalign.studies.critic_transfer.measure import CriticJob, CriticWork, ShuffledWork, critic_job
from superalign.studies.critic_transfer.page import BAR
from superalign.studies.critic_transfer.study import STUDY, Config
from superalign.trials.one_check import trial_solutions
from superalign.trials.planted_steps import planted_pairs
from superalign.trials.real_solutions import real_pairs
from superalign.types import Interval, Unmeasured


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


def run(config: Config, folder: Path, *, workers: int = 1) -> Findings:
    folder.mkdir(exist_ok=True)
    with Ledger(folder / "ledger") as ledger:
        made = STUDY.run(config, seed=0, workers=workers, folder=folder, ledger=ledger, log=lambda line: None)
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
        run(Config(problems=problems), tmp_path)


def test_a_path_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no train\.jsonl"):
        run(Config(problems=f"gsm8k:{tmp_path}"), tmp_path)


def test_files_without_pairs_are_refused_before_any_work(small: Path, tmp_path: Path) -> None:
    for name in ("train.jsonl", "test.jsonl", "example_model_solutions.jsonl"):
        (tmp_path / name).write_text("".join((small / name).read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(BadInput, match="questions for the claim"):
        run(Config(problems=f"gsm8k:{tmp_path}"), tmp_path)


def test_the_whole_study_in_small(small: Path, tmp_path: Path) -> None:
    config = Config(
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
    assert first == run(config, tmp_path / "c", workers=2), "two workers can be given the critics"


def test_quick_is_the_same_study_made_small() -> None:
    small = Config(**STUDY.quick)
    assert small.problems == Config().problems
    assert small.questions < Config().questions
    assert small.members < Config().members


def test_one_shuffled_critic_has_no_spread_and_is_refused() -> None:
    with pytest.raises(ConfigError, match="shuffles=1"):
        settings.validated(Config(shuffles=1), study="critic-transfer")


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
    items = trial_solutions(family, seed=0)
    planted = [i for i in items if i.kind]
    assert 0.3 < len(planted) / len(items) < 0.7
    assert all(i.step == -1 for i in items if not i.kind)
    assert all(
        (i.solution.value == read_solution(family.answers["test"][i.question]).value) for i in items if not i.kind
    )
    assert items == trial_solutions(family, seed=0)
    assert items != trial_solutions(family, seed=1)


def test_real_pairs_stay_within_their_question(small: Path) -> None:
    family = load_gsm8k(small)
    pairs, models = real_pairs(family), family.model_solutions
    assert len(pairs.right_K) > 50
    for i, j in zip(pairs.right_K, pairs.wrong_K, strict=True):
        assert models[i].question == models[j].question
        assert models[i].correct
        assert not models[j].correct
    assert len(models) == 70 * len(SOURCES)


@pytest.mark.slow
def test_quick_study_on_the_real_files() -> None:
    config = Config(**STUDY.quick)
    job = CriticJob(
        path=str(data_folder()), seed=1, questions=config.questions, flaws=config.flaws, members=1, epochs=config.epochs
    )
    pairs = real_pairs(load_gsm8k(data_folder()))
    work, null = critic_job(job), critic_job(replace(job, shuffles=10, questions=600))
    assert isinstance(work, CriticWork)
    assert isinstance(null, ShuffledWork)
    assert pairs.wins(work.real_M).mean() > 0.66
    assert 0.44 < np.mean([pairs.wins(n).mean() for n in null.shuffled_DM]) < 0.56
    assert BAR > 0.7
