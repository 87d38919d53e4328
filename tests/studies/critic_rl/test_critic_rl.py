"""The domain says the same as the family it is made from, a tiny study runs, and settings that show nothing are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from superalign.errors import ConfigError
from superalign.grants.facts import beliefs
from superalign.lab.chain_symbols import BLANK, read
from superalign.ledger import Ledger
from superalign.problems import arithmetic
from superalign.problems.family import split_of
from superalign.report import Findings
from superalign.studies.critic_rl import play as critics_play
from superalign.studies.critic_rl import study as critics
from superalign.studies.critic_rl import trial as critics_trial
from superalign.studies.critic_rl.bench import (
    CLEAN,
    EDITS,
    FAMILY,
    KINDS,
    PLACEBO_EDIT,
    asked,
    edited,
    solutions,
    text_of,
    worked,
    wrong_steps,
)
from superalign.studies.critic_rl.play import LEVELS, frontier
from superalign.types import Interval, Problem

TINY = critics.Config(
    seeds=2, labelled=60, compared=200, reward_updates=20, updates=6, judges=(1.0,), sweep_seeds=1, held_out=40, rounds=1,
    planted=40, planter_updates=6,
)  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a tiny study need not spend on every seed."""
    for name, value in (("SUPERVISED_UPDATES", 30), ("TUNING", 80), ("POOL", 80), ("BIASES", (-4.0, 0.0))):
        monkeypatch.setattr(critics_play, name, value)
    monkeypatch.setattr(critics_trial, "LEARNED", 80)


def run(config: critics.Config, folder: Path) -> Findings:
    with Ledger(folder / "ledger") as ledger:
        return critics.study(config, seed=0, workers=1, folder=folder, ledger=ledger, log=lambda line: None)


def test_tables_hold_what_texts_say() -> None:
    for p in asked("train", 30, 0):
        text = FAMILY.worked(p)
        assert text_of(read(p, text)) == text
        assert not wrong_steps(read(p, text)).any()
    p = Problem(prompt="5+3", family="arithmetic", difficulty=1, split="train")
    assert read(p, "oh;#8").tolist() == [[5, 10, 3, BLANK, BLANK, BLANK, BLANK]]
    assert wrong_steps(read(p, "oh;#8")).tolist() == [True]
    assert wrong_steps(read(p, "3+5=8;#8")).tolist() == [False]
    assert read(p, "").shape == (0, 7)


def test_edits_are_flaws_as_the_family_makes_them() -> None:
    """Every flaw of one kind that the family can plant is an edit, with the same text after it."""
    problems = asked("train", 4, 1)
    right = worked(problems)
    every = torch.arange(6 * EDITS)
    for i, p in enumerate(problems):
        x, wrong = edited(right[i : i + 1].expand(len(every), -1, -1), every)
        made = {text_of(t) for t in x.numpy()}
        assert np.array_equal(wrong.numpy(), wrong_steps(x.numpy()))
        for kind in KINDS:
            for s in range(12):
                planted = FAMILY.plant(p, FAMILY.worked(p), seed=s, kind=kind)
                assert planted is not None
                assert planted.text in made
    # Writing what stands there already, or another symbol that gives the same value, is no flaw.
    assert 0.05 < 1 - float((wrong.sum(1) > 0).float().mean()) < 0.4


def test_solutions_are_randomised_and_flaws_are_real() -> None:
    made = solutions("test", 80, 4)
    kinds = np.array(made.kind_B)
    assert all(split_of(p.prompt) == "test" for p in made.problems)
    assert [int((kinds == k).sum()) for k in KINDS] == [10] * 4
    assert (made.flawed_B == ~np.isin(kinds, [CLEAN, PLACEBO_EDIT])).all()
    assert (made.wrong_BS.sum(1) <= 1).all()  # later steps work on from the flaw


def test_a_judge_is_wrong_for_good_about_a_share() -> None:
    assert (beliefs(1.0, 3) == beliefs(1.0, 4)).all()
    off = beliefs(0.9, 3) != beliefs(1.0, 3)
    assert 0.05 < off.mean() < 0.15
    assert (beliefs(0.9, 3) == beliefs(0.9, 3)).all()
    assert arithmetic.apply(3, "-", 5) == beliefs(1.0, 0)[3, 1, 5]


def test_a_frontier_by_hand() -> None:
    wrong = np.array([[True, False], [False, True], [False, False], [False, False]])
    names = np.array(
        [[True, False], [False, False], [True, False], [False, False]]
    )  # one flaw caught, one nit-pick in 4
    corners, levels = frontier([names], wrong)
    assert corners[0] == (0.0, 0.0)
    assert (0.25, 0.5) in corners
    assert corners[-1] == (1.5, 1.0)
    at = {level: x.tolist() for level, x in zip(LEVELS, levels, strict=True)}
    assert at[0.25] == pytest.approx([1.0, 0.0])
    assert at[0.1] == pytest.approx([0.4, 0.0])  # drawn by chance between silence and the critic
    assert at[0.5] == pytest.approx([1.0, 0.2])


def test_a_tiny_study_runs_and_resumes_to_the_same(tmp_path: Path) -> None:
    made = run(TINY, tmp_path)
    assert made == run(TINY, tmp_path)
    names = [c.name for c in made.claims]
    assert len(names) == len(set(names)) > 20
    for c in made.claims:
        assert c.why
        assert c.holds is not True or isinstance(c.null, Interval)
    (control,) = [c for c in made.claims if c.name == "A random step from somebody else helps the judge"]
    assert control.holds is not True


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seeds": 1}, "at least two seeds"),
        ({"rounds": 0}, "leave nothing to measure"),
        ({"labelled": 3}, "leave nothing to measure"),
        ({"judges": (1.2,)}, "up to 1"),
        ({"nitpicks": 0.0}, "above 0"),
    ],
)
def test_settings_under_which_nothing_is_measured_are_refused(
    change: dict[str, object], why: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=why):
        run(replace(TINY, **change), tmp_path)  # type: ignore[arg-type]
