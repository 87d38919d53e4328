"""Easy labels as a study: lessons, positions, a page that a lost null stops, texts end to end, wrong settings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.errors import ConfigError, DataError
from superalign.grants.setting import setting
from superalign.lab import graded_work as work
from superalign.lab.arm_names import (
    ALL,
    CHEAP,
    EASY,
    EVALUATOR,
    GENERATOR,
    HARD,
    MIXED,
    OPERATIONS,
    OWN,
    PERMUTED,
    RANDOM,
    UNTAUGHT,
)
from superalign.lab.graded_text import worked_statements
from superalign.models import open_weights
from superalign.problems.family import split_of
from superalign.studies.easy_to_hard.evidence import Arm, Evidence
from superalign.studies.easy_to_hard.page import page
from superalign.studies.easy_to_hard.study import STUDY, Config, check
from superalign.types import Interval, Unmeasured

DRAWING = work.Drawing(topic="chains", train=20, test=10, seed=3)


def at(value: float, half: float = 0.05) -> Interval:
    return Interval(value=value, low=value - half, high=value + half, n=40)


def job(arm: str, *, role: Any = "generator", encoding: str = work.ROTARY, passes: float = 1.0) -> work.TeachJob:
    return work.TeachJob(
        drawing=DRAWING, base="small", role=role, measure=OPERATIONS, arm=arm, n=32, few=4, easy=2,
        encoding=encoding, rate=1e-3, passes=passes, seed=0,
    )  # fmt: skip


def test_lessons_hold_what_their_names_say() -> None:
    items = work.problems_of(DRAWING)
    levels = {arm: items.level_N[work.chosen(job(arm)).rows] for arm in (EASY, HARD, MIXED, CHEAP)}
    assert levels[EASY].max() == 2
    assert levels[HARD].min() == 3
    assert (levels[MIXED] > 2).sum() == 4
    assert 0 <= levels[EASY].sum() - levels[CHEAP].sum() < 4  # as many operations, but for one problem
    assert not items.test_N[work.chosen(job(ALL)).rows].any()


def test_permuted_labels_of_claims_go_with_no_truth() -> None:
    items, lesson = work.problems_of(DRAWING), work.chosen(job(PERMUTED))
    said_M, true_M = work.verdicts(lesson, items.true_N), items.true_N[lesson.rows]
    assert abs(said_M[true_M].mean() - said_M[~true_M].mean()) < 0.1
    assert (work.verdicts(work.chosen(job(EASY)), items.true_N) == items.true_N[work.chosen(job(EASY)).rows]).all()


def test_an_untaught_base_writes_its_own_format_and_not_the_new_one() -> None:
    new, own = work.teach_job(job(UNTAUGHT)), work.teach_job(job(OWN))
    assert np.asarray(new.score_P).max() == 0
    assert np.asarray(own.score_P).mean() > 0.9
    asked = work.teach_job(job(OWN, role="evaluator"))
    items = work.problems_of(DRAWING)
    assert ((np.asarray(asked.score_P) > 0) == items.true_N[items.test_N]).mean() > 0.9


def test_an_evaluator_of_easy_claims_chooses_right_answers_to_hard_problems() -> None:
    taught = work.teach_job(job(EASY, role="evaluator", passes=4.0))
    assert np.mean(taught.picked) > 0.5


def test_steps_are_cut_at_commas_and_the_answer_is_the_last_one() -> None:
    model = open_weights("small")
    tokenizer = work.bundled_tokenizer(model)
    found_PK = work.right_steps(model.network, tokenizer, [("5+3*2", "5+3=8,8*2=6,=6"), ("5+3", "5+3=8,=8")])
    assert found_PK.shape == (2, 3)
    assert found_PK[1, 2] == -1


def test_positions_differ_only_where_they_are_meant_to() -> None:
    network = open_weights("small").network.eval()
    tokens = torch.tensor([[5, 9, 12, 30, 7]])
    with torch.no_grad():
        usual = network(input_ids=tokens).logits
        for encoding, same in ((work.GAPS, True), (work.NONE, False)):
            placed = work.Placed(network, encoding, seed=0).eval()
            assert torch.allclose(placed(input_ids=tokens).logits, usual, atol=1e-4) is same
        assert not torch.allclose(
            work.Placed(network, work.GAPS, seed=1).train()(input_ids=tokens.repeat(8, 2)).logits[:, :5], usual
        )


def test_more_problems_than_there_are_is_said() -> None:
    with pytest.raises(DataError, match="different chains of 1 operations"):
        work.problems_of(work.Drawing(topic="chains", train=2000, test=10, seed=0))


def test_worked_solutions_are_half_flawed_and_of_test_problems_both_are_given() -> None:
    rows = worked_statements(setting("chains:1-6"), n=60, test=10, seed=0)
    assert 0.3 < np.mean([r.right == "True" for r in rows]) < 0.7
    assert {r.difficulty for r in rows} == {1, 2, 3, 4, 5, 6}
    tested = [(r.question, r.right) for r in rows if split_of(r.question) == "test"]
    assert len(tested) == 20
    assert {(q, truth) for q, _ in tested for truth in ("True", "False")} == set(tested)


def evidence(recovered: dict[str, Interval | Unmeasured], *, permuted: Interval, random: Interval) -> Evidence:
    def arm(role: str, name: str, share: Interval | Unmeasured, less: Interval, measure: str = OPERATIONS) -> Arm:
        return Arm(
            topic="chains", role=role, measure=measure, arm=name, level=0, n=99, score=at(0.9), recovered=share,
            less=less, picks=Unmeasured("not asked"),
        )  # fmt: skip

    arms = [
        a
        for role, share in recovered.items()
        for a in (
            arm(role, EASY, share, at(-0.1)),
            arm(role, HARD, at(1.0), at(0.0)),
            arm(role, PERMUTED, permuted, at(-0.4)),
            arm(role, EASY, at(1.0), random, RANDOM),
        )
    ]
    return Evidence(
        topics=("chains",), measures=(OPERATIONS, RANDOM), seeds=5, easy=2, hard=100,
        arms=tuple(arms), agreements=(), candidates=10,
    )  # fmt: skip


def holds(e: Evidence) -> dict[str, bool | Unmeasured]:
    return {c.name: c.holds for c in page(e).claims}


def test_each_role_is_claimed_by_itself_and_stands_in_the_headline() -> None:
    e = evidence({GENERATOR: at(0.0), EVALUATOR: at(0.9)}, permuted=at(0.0), random=at(0.0))
    found = holds(e)
    assert found["Easy labels recover most of the gap: evaluator, chains"] is True
    assert found["Easy labels recover most of the gap: generator, chains"] is False
    assert "those who write answers 0.000" in page(e).headline


def test_what_permuted_labels_recover_too_is_no_finding() -> None:
    found = holds(evidence({EVALUATOR: at(0.9)}, permuted=at(0.9), random=at(0.0)))
    assert found["Easy labels recover most of the gap: evaluator, chains"] is False
    assert found["Permuted labels recover none of the gap: evaluator, chains"] is False


def test_a_split_by_nothing_that_differs_is_seen() -> None:
    found = holds(evidence({EVALUATOR: at(0.9)}, permuted=at(0.0), random=at(-0.3)))
    assert found["By nothing, the easy half is not worse: evaluator, chains"] is False


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"problems": "preferences:x"}, "names nothing that is easy or hard"),
        ({"topics": ("cities",)}, "nothing about cities"),
        ({"n": 32, "few": 40}, "leave no easy one"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check(Config(**given))
    check(Config(**dict(STUDY.quick)))


def test_it_runs_on_statements_that_a_bundled_base_has_read(superalign: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    rows = [
        {"statement": f"Town T{i} {'of many many words ' * (i % 2)}is of kind {k}.", "label": int(k == i % 3 % 2)}
        for i in range(160)
        for k in rng.permutation(2)
    ]
    (tmp_path / "data" / "towns.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    settings = ("policy=small", "topics=towns", "every=1", f"problems=statements:{tmp_path / 'data'}")
    words = [w for s in settings for w in ("--set", s)]
    done = superalign("run", "easy-to-hard", "--quick", "--workers", "1", *words, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done
    assert "on towns: those who judge them" in done.stdout


def test_a_generator_stands_beside_the_evaluator_on_problems_of_your_own(
    superalign: Callable[..., Any], tiny_chat: str, tmp_path: Path
) -> None:
    rows = []
    for i in range(300):
        numbers, total, steps = [(i * 7 + k * 3) % 50 + 1 for k in range(2 + i % 4)], 0, []
        for x in numbers:
            steps.append(f"{total} + {x} = {total + x}")
            total += x
        asked = f"A box gets {' and '.join(map(str, numbers))} apples on day {i}. How many?"
        rows.append({"prompt": asked, "answer": str(total), "steps": steps, "difficulty": len(steps)})
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    settings = (f"policy={tiny_chat}", "every=1", f"problems=jsonl:{tmp_path / 'sums.jsonl'}")
    words = [w for s in settings for w in ("--set", s)]
    done = superalign("run", "easy-to-hard", "--quick", "--workers", "1", *words, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done
    names = [c["name"] for c in json.loads((tmp_path / "run" / "result.json").read_text())["claims"]]
    assert "Easy labels recover most of the gap: generator, jsonl" in names
    assert "By nothing, the easy half is not worse: generator, jsonl" in names
