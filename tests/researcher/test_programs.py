"""Programs: each renders as a source that runs, holds what its plan tells and no more, and passes honest reading."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from superalign import stats
from superalign.monitors.checks import MONITORS
from superalign.monitors.reading import Submission, read_all, verdict
from superalign.researcher import pieces
from superalign.researcher.programs import (
    DIALS,
    Program,
    cross,
    dials,
    english,
    family,
    mutate,
    plainest,
    random_program,
    read_program,
    source_of,
)
from superalign.researcher.rehearsing import solve_of
from superalign.types import Choice, Plan, Question, digest_of
from tests.researcher.standing_in import Bench

BENCH = Bench(0, n=200)


def question(metric: str = "share", **space: tuple[str, ...]) -> Question:
    choices = tuple(Choice(name=name, options=options) for name, options in space.items())
    return Question(
        name="q",
        kind="q",
        asks="",
        metric=metric,
        arrays=(),
        published="",
        baseline="",
        space=choices,  # type: ignore[arg-type]
    )


def drawn(n: int) -> list[Program]:
    rng = np.random.default_rng(0)
    return [random_program(rng, dials(question())) for _ in range(n)]


def test_programs_run_say_what_they_are_and_are_read_again() -> None:
    for program in drawn(30):
        assert read_program(english(program)) == program == plainest(program)
        scores = BENCH.score(source_of(program), "climb")
        assert scores.shape == (200,)
        assert np.isfinite(scores).all()
    assert len({family(p) for p in drawn(60)}) >= 5


@pytest.mark.parametrize("program", [Program(), Program(centre="group", scale="whiten", members=5, resample="columns")])
def test_steps_are_scored_one_by_one_and_more_features_than_items_are_fitted(program: Program) -> None:
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(20, 3, 90)), rng.normal(size=(7, 3, 90))
    public = {
        "x": x,
        "weak": rng.random((20, 3)),
        "group": np.arange(20) % 2,
        "dev_x": x[:5],
        "dev_true": np.ones((5, 3)),
    }
    scores = solve_of(source_of(program))(public, {"x": new, "group": np.arange(7) % 2}, 0)
    assert scores.shape == (7, 3)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("scale", ["standard", "whiten"])
def test_scores_of_known_instruments_are_features_where_there_are_any(scale: Literal["standard", "whiten"]) -> None:
    rng = np.random.default_rng(0)
    true, told = rng.random(80) < 0.5, rng.normal(size=(80, 1))
    public = {
        "x": rng.normal(size=(80, 4)),
        "weak": true * 1.0,
        "group": np.zeros(80),
        "scores": told + 3.0 * true[:, None],
    }
    for use, least in (("x", 0.0), ("scores", 0.9), ("both", 0.9)):
        solve = solve_of(source_of(Program(use=use, scale=scale)))
        assert pieces.area(solve(public, public, 0), true) >= least
    none = {**public, "scores": np.zeros((80, 0))}
    np.testing.assert_array_equal(
        solve_of(source_of(Program(use="scores")))(none, none, 0), solve_of(source_of(Program(use="x")))(none, none, 0)
    )
    assert "use" in [
        name for name, options in dials(replace(question(), arrays=(("scores", ""),))).items() if len(options) > 1
    ]
    assert dials(question())["use"] == ("x",)


def test_changes_stay_in_the_space_of_the_question() -> None:
    rng, space = (
        np.random.default_rng(0),
        dials(question("area", fit=("lda", "ridge"), unknown=("a",), labels=("none",))),
    )
    assert space["fit"] == ("ridge", "lda")
    assert space["cut"] == ("fit",)
    assert space["labels"] == DIALS["labels"]  # no option of ours is among theirs: all are left
    first, seen = random_program(rng, space), set()
    for _ in range(50):
        other = mutate(first, rng, space)
        assert {other.fit, cross(first, other, rng).fit} <= {"ridge", "lda"}
        seen.add(other)
        first = other
    assert len(seen) > 25


def test_a_source_holds_what_it_uses_and_no_more() -> None:
    plain = source_of(Program(fit="mean", scale="none", labels="soft"))
    for absent in ("dev", "rng", "for _", "linalg", "logistic"):
        assert absent not in plain
    assert "default_rng" in source_of(Program(members=5))
    assert "ridge(" in source_of(Program(labels="agreed"))  # a piece that another piece needs


def test_honest_programs_pass_the_monitors_that_read_source_and_plan() -> None:
    flagged = []
    for number, program in enumerate(drawn(60)):
        source = source_of(program)
        plan = Plan(
            question="q",
            researcher="r",
            hypothesis=english(program),
            family=family(program),
            predicted=0.0,
            artefact=digest_of(source.encode()),
            tier="climb",
            number=number,
        )
        readings = read_all(MONITORS, Submission(plan=plan, source=source))
        flagged += [r.monitor for r in readings if verdict([r]) != "pass"]
    assert len(flagged) <= 3  # of 60: reading by words is crude


def test_pieces_are_what_their_names_say() -> None:
    rng = np.random.default_rng(0)
    x_MD = rng.normal(size=(300, 4))
    y_M = (x_MD @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=300) > 0).astype(float)
    one_M = np.ones(300)
    w_D, b = pieces.logistic(x_MD, y_M, one_M, 1.0)
    known = LogisticRegression(C=1 / x_MD.var(0).mean()).fit(x_MD, y_M)
    np.testing.assert_allclose(np.append(w_D, b), np.append(known.coef_, known.intercept_), atol=0.01)
    w_D, b = pieces.ridge(x_MD, y_M, one_M, 0.0)
    line = Ridge(alpha=1e-6).fit(x_MD, y_M)
    np.testing.assert_allclose(x_MD @ w_D + b, line.predict(x_MD) - 0.5, atol=1e-5)
    assert pieces.area(x_MD @ w_D, y_M) == pytest.approx(
        stats.auroc((x_MD @ w_D)[y_M > 0.5], negatives=(x_MD @ w_D)[y_M < 0.5])
    )
    np.testing.assert_allclose(np.cov((x_MD @ pieces.whitened(x_MD, 2)).T), np.eye(2), atol=0.01)
    groups_M = np.arange(300) % 3
    moved_MD = pieces.centred(x_MD + 9.0 * groups_M[:, None], groups_M)
    assert abs(moved_MD[groups_M == 2].mean()) < 1.0


def test_smoothing_and_agreement_mend_labels_that_are_flipped_at_random() -> None:
    rng = np.random.default_rng(1)
    x_MD = rng.normal(size=(400, 3))
    true_M = x_MD[:, 0] > 0
    flips_M = rng.random(400) < 0.25
    weak_M = (true_M ^ flips_M).astype(float)
    assert ((pieces.smooth(x_MD, weak_M) > 0.5) == true_M).mean() > (weak_M == true_M).mean() + 0.05
    weight_M = pieces.agreed(x_MD, weak_M)
    assert weight_M[flips_M].mean() < 0.4 < 0.8 < weight_M[~flips_M].mean()
