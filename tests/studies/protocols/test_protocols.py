"""The comparison of protocols: half of the responses right, nulls that are null, a winner measured where it was not chosen."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from superalign.cli import app
from superalign.errors import ConfigError
from superalign.grants import chains, setting
from superalign.kit.panel import DEALT, Decisions, permuted
from superalign.lab.arms import Arm, overseer_of
from superalign.lab.arms import Config as ArmsConfig
from superalign.lab.critique_overseers import written_critique_overseer
from superalign.lab.every_protocol import CHAINS_ONLY, FREE, LABELLED, MAKERS, refuse
from superalign.lab.half_right import TRIES, baselines, behaviour, flawed, half_right, undecided
from superalign.oversight import check_overseer
from superalign.problems.chain_symbols import BLANK, PLACES, read_units
from superalign.settings import validated
from superalign.studies.protocols.evidence import CEILING, COIN, Evidence
from superalign.studies.protocols.measure import first_half
from superalign.studies.protocols.page import failures, headline
from superalign.studies.protocols.study import MANY, NAMED_ONLY, STANDARD, STUDY, Config
from superalign.trials import AGENT, EXPERT, JUDGE, VOTING, Item, accuracy_gain, arm_result
from superalign.types import Interval, Rollouts

SMALL = ("seeds=2", "decided=24", "steps=1", "held_out=24", "protocols=critique")


def claims_of(folder: Path, *words: str) -> dict[str, Any]:
    """Run the study through its command, and return its claims by name."""
    given = [w for s in words for w in ("--set", s)]
    found = CliRunner().invoke(app, ["run", "protocols", "--out", str(folder), "--workers", "1", *given])
    assert found.exit_code == 0, found.stderr
    return {c["name"]: c for c in json.loads((folder / "result.json").read_text())["claims"]}


def evidence_of(items: list[Item], protocols: tuple[str, ...]) -> Evidence:
    """Evidence of decisions alone."""
    return Evidence(
        protocols=protocols,
        decisions=Decisions(items=tuple(items)),
        choosing=first_half(items, seed=0),
        trained={},
        made_of={},
        seed=0,
    )


def test_half_of_the_responses_are_right_and_the_baselines_are_what_they_say() -> None:
    some, at = half_right(60, 3), chains()
    truth = [at.answered(p, t) for p, t in zip(some.problems, some.rollouts.text_R, strict=True)]
    assert truth == [bool(i % 2) for i in range(60)]
    assert len(some.others) == 60
    drawn = half_right(60, 0)
    items = baselines(at, drawn, undecided(at, drawn, 0), votes=Config().votes)
    accuracy = {a: arm_result(items, a).accuracy for a in (AGENT, VOTING)}
    agent, voting = accuracy[AGENT], accuracy[VOTING]
    assert isinstance(agent, Interval)
    assert isinstance(voting, Interval)
    assert agent.value == 0.5
    assert 0.5 < voting.value < 1
    assert all(i.right == 1.0 for i in items if i.arm == EXPERT)


def told(n: int, arm: str, *, ok: bool, seed: int = 0) -> Item:
    truth = bool(n % 2)
    return Item(
        problem=f"p{n}", difficulty=4, seed=seed, arm=arm, truth=truth, behaviour="right" if truth else "wrong step, early",
        probability=0.9 if truth == ok else 0.1,
    )  # fmt: skip


def test_dealt_decisions_are_a_coin_and_the_winner_is_measured_where_it_was_not_chosen() -> None:
    rng = np.random.default_rng(0)
    good = [told(n, "critique", ok=bool(rng.random() < 0.9), seed=s) for n in range(200) for s in range(4)]
    coin = [told(n, JUDGE, ok=bool(rng.random() < 0.5), seed=s) for n in range(200) for s in range(4)]
    null = [told(n, "debate", ok=bool(rng.random() < 0.5), seed=s) for n in range(200) for s in range(4)]
    every = [*good, *coin, *null]
    shuffled = accuracy_gain([*every, *permuted(every, "critique", seed=1)], "critique" + DEALT, JUDGE)
    assert isinstance(shuffled, Interval)
    assert shuffled.low < 0 < shuffled.high
    e = evidence_of(every, (JUDGE, "critique", "debate"))
    assert e.best == "critique"
    assert isinstance(e.best_gain, Interval)
    assert e.best_gain.low > 0.2
    assert e.best_gain.n <= 100  # only the half that did not choose
    none = evidence_of([*coin, *null], (JUDGE, "debate"))
    assert isinstance(none.best_gain, Interval)
    assert none.best_gain.low < 0 < none.best_gain.high
    assert "no surely different" in headline(none)


def test_what_a_response_does_is_told_by_its_first_wrong_step() -> None:
    asked = half_right(12, 3).problems
    assert {behaviour(chains(), p, "") for p in asked} == {"wrong answer after right steps"}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"protocols": ("prayer",)}, "no protocol"),
        ({"seeds": 1}, "at least 2"),
        ({"decided": 11}, "at least 12"),
        ({"held_out": 11}, "at least 12"),
        ({"steps": 0}, "at least 1"),
        ({"votes": 1}, "at least 2"),
        ({"votes": TRIES + 1}, "at most 6"),
    ],
)
def test_bad_settings_are_refused_before_any_work(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        STUDY.check(validated(Config(**change), study="protocols"))


def test_a_protocol_made_of_more_checks_is_held_against_a_critique_of_many_labels(tmp_path: Path) -> None:
    claims = claims_of(tmp_path / "run", *SMALL[:4], f"protocols=critique,amplification,{MANY}")
    held = [c for name, c in claims.items() if "many labels" in name]
    assert any(c["name"].startswith("Amplification: decides better than a critique") for c in held)
    assert not any(c["name"].startswith("Critique: decides better than a critique") for c in held)
    why = next(c["why"] for c in held if c["name"].startswith("Amplification: decides"))
    made, many = (int(w.replace(",", "")) for w in re.findall(r"[0-9][0-9,]+", why))
    assert 200 < made < many


def test_self_critique_and_written_critique_take_part_where_they_are_named_and_only_there(tmp_path: Path) -> None:
    assert not set(NAMED_ONLY) & {*Config().protocols, *STUDY.quick["protocols"]}
    names = claims_of(tmp_path / "run", *SMALL[:4], f"protocols={','.join(NAMED_ONLY)}")
    for one in NAMED_ONLY:
        said = f"{one[0].upper()}{one[1:]}"
        assert f"{said}: better than its own decisions dealt to other items" in names
        assert f"{said}: trains a better policy than the judge alone" in names


def test_a_written_critique_is_an_overseer_that_looks_where_labels_taught_it() -> None:
    at, settings = chains(), ArmsConfig(labelled=300)
    overseer = written_critique_overseer(Arm(arm="written critique", seed=0, base=at.model(), config=settings))
    asked = at.problems("train", 60, 5)
    texts = [at.family.worked(p) if i % 2 else flawed(at, p, 0) for i, p in enumerate(asked)]
    rollouts = Rollouts.of_texts(asked, texts)
    check_overseer(overseer, asked, rollouts)
    signal = overseer(asked, rollouts, seed=0)
    right = [v == 1.0 for v in signal.values]
    assert all(right[1::2])  # a perfect check raises no false alarm
    blind = overseer_of(Arm(arm="judge alone", seed=0, base=at.model(), config=settings))(asked, rollouts, seed=0)
    assert sum(right[::2]) < sum(
        v == 1.0 for v in blind.values[::2]
    )  # fewer flaws pass than where a judge looks anywhere
    assert signal.checks == blind.checks == 60
    assert any("looks wrong: step" in s for s in signal.said)


def test_symbols_of_a_response_have_a_row_for_all_that_a_judge_can_check() -> None:
    at = chains()
    asked = at.problems("test", 30, 7)
    for i, p in enumerate(asked):
        for text in (at.family.worked(p), flawed(at, p, i), "", "#", "5+3", "oh;#12"):
            assert read_units(p, text).shape == (at.units(text), PLACES)
    assert read_units(asked[0], "5+3=8;#12")[-1].tolist() == [8, *[BLANK] * 6]


DOCUMENTED = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[3] / "docs" / "overseers.md").read_text(), flags=re.DOTALL
)[0]


def test_an_overseer_of_ones_own_takes_part_as_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_documented.py").write_text(DOCUMENTED)
    monkeypatch.syspath_prepend(str(tmp_path))
    claims = claims_of(tmp_path / "run", *SMALL[:4], "protocols=mine_documented:last_step")
    assert any(name.startswith("Mine_documented:last_step: better than its own decisions") for name in claims)


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("mine_absent:it", None, "could not be imported"),
        ("mine_other:it", "x = 1", "could not be imported"),
        ("mine_number:it", "it = 3", "is no function"),
        ("mine_nothing:it", "def it(arm): return None", "cannot be called"),
        (
            "mine_greedy:it",
            DOCUMENTED.replace("count < 2", "count < 0") + "\n\ndef it(arm): return LastStep(setting=arm.setting)",
            "fails a check .* cannot tell is Unmeasured",
        ),
    ],
)
def test_a_broken_overseer_of_ones_own_is_refused_before_any_work(
    name: str, code: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if code is not None:
        (tmp_path / f"{name.partition(':')[0]}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    STUDY.check(Config(protocols=(name,)))  # nothing is imported yet
    with pytest.raises(ConfigError, match=says):
        refuse((name,), chains())


def test_every_protocol_has_a_seat_and_quick_is_smaller() -> None:
    assert {JUDGE, "critique"} <= set(STANDARD)
    assert set(MAKERS) == {*STANDARD, MANY, *NAMED_ONLY, CEILING, COIN}
    assert {*LABELLED, *CHAINS_ONLY, *FREE} <= set(MAKERS)
    assert STUDY.quick["seeds"] < Config().seeds


def test_the_study_runs_through_its_command(tmp_path: Path) -> None:
    claims = claims_of(tmp_path / "run", *SMALL)
    assert any("critique" in name.lower() for name in claims)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Where each fails" in page
    assert "dealt" in page


def test_a_kind_that_is_always_decided_right_still_has_an_interval() -> None:
    some = [told(n, JUDGE, ok=bool(n % 2), seed=s) for n in range(40) for s in range(2)]
    section = failures(evidence_of(some, (JUDGE,))).section
    shares = [cell for row in section.tables[0].rows for cell in row if isinstance(cell, Interval)]
    assert sorted(round(i.value) for i in shares) == [0, 1]
    assert all(i.high - i.low > 0.05 for i in shares)


def test_on_a_file_of_ones_own_a_policy_that_is_never_right_gives_a_critic_nothing_to_learn(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{a}+{b}*{c}", "answer": str(a + b * c), "steps": [f"{b}*{c}={b * c}", f"{a}+{b * c}={a + b * c}"]}
        for a in range(2, 9)
        for b in range(2, 9)
        for c in range(2, 9)
    ]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    at = (f"setting=jsonl:{tmp_path / 'own.jsonl'}", "policy=random:1")
    given = [w for s in (*SMALL, *at) for w in ("--set", s)]
    found = CliRunner().invoke(app, ["run", "protocols", "--out", str(tmp_path / "run"), "--workers", "1", *given])
    assert found.exit_code == 2, found.stderr
    assert "step labels are the same" in found.stderr.splitlines()[-1]


def test_a_protocol_that_works_chains_refuses_other_problems(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"prompt": "1+1", "answer": "2", "steps": ["1+1=2"]}\n')
    own = f"jsonl:{tmp_path / 'own.jsonl'}"
    with pytest.raises(ConfigError, match="The protocol debate works through chains of arithmetic"):
        refuse(("debate",), setting(own))
