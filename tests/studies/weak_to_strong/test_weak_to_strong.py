"""Weak supervision as a study: on statements end to end, a page that cannot be fooled by an undefined share, wrong settings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.errors import ConfigError
from superalign.lab import tuned_judges
from superalign.lab.weak_supervision import CONTROLS, NAIVE, PERMUTED, TRUTH, WAYS, Training, trained
from superalign.ledger import Ledger
from superalign.models import open_weights
from superalign.studies.weak_to_strong.evidence import Evidence, Learned, Supervised, SurfacePoint, TrainingRule
from superalign.studies.weak_to_strong.measure import replicated
from superalign.studies.weak_to_strong.page import page
from superalign.studies.weak_to_strong.study import STUDY, Config, check, topics_of
from superalign.train.answering import TokenOdds, answer_odds
from superalign.types import Interval, Unmeasured

KIND = "words"


def at(value: float, half: float = 0.02) -> Interval:
    return Interval(value=value, low=value - half, high=value + half, n=6)


def evidence(beyond: dict[str, float], *, again: dict[str, float] | None = None, permuted: float = -0.3) -> Evidence:
    """Make evidence in which some ways are right that much more often than the naive one."""

    def of(topic: str, way: str, more: float) -> Learned:
        share = {TRUTH: at(1.0), PERMUTED: at(-0.4), "independent noise": at(0.98), "same-size student": at(0.01)}
        return Learned(
            topic=topic, kind=KIND, way=way, right=at(0.7 + more), area=at(0.8), recovered=share.get(way, at(0.5)),
            recovered_area=Unmeasured("undefined"), beyond=at(more), beyond_area=at(more), agrees=at(0.9), copies=at(0.4),
        )  # fmt: skip

    first = dict.fromkeys((*WAYS, *CONTROLS), 0.0) | beyond | {PERMUTED: permuted}
    learned = [of("one", w, x) for w, x in first.items()] + [of("two", w, x) for w, x in (again or {}).items()]
    over = [
        Supervised(
            topic=t, kind=KIND, right=at(0.65), labels_right=at(0.66), area=at(0.7), says=at(0.5), says_area=at(0.5),
            majority=0.51, better=at(0.05),
        )
        for t in ("one", "two")
    ]  # fmt: skip
    surface = (SurfacePoint(rate=1e-4, passes=1.0, held_out=0.6, right=0.7, area=0.8),)
    return Evidence(
        topics=("one", "two"), ways=WAYS, seeds=6,
        rule=TrainingRule(rate=1e-4, passes=1.0, by="least loss"), surface=surface, supervised=tuple(over),
        learned=tuple(learned), sizes=(),
    )  # fmt: skip


def holds(e: Evidence) -> dict[str, bool | Unmeasured]:
    return {c.name: c.holds for c in page(e).claims}


def test_a_way_that_wins_once_and_not_again_is_not_in_the_headline() -> None:
    once = page(evidence({"product": 0.1}, again={NAIVE: 0.0, "product": 0.0}))
    assert "1 are right more often" in once.headline
    assert once.headline.endswith("none.")
    twice = page(evidence({"product": 0.1}, again={NAIVE: 0.0, "product": 0.1}))
    assert "product, from words (0.100" in twice.headline


def test_what_permuted_labels_win_too_is_no_finding() -> None:
    found = holds(evidence({"product": 0.1}, permuted=0.1))
    assert found["On one, product is right more often than naive, from words"] is False


def test_controls_hold_where_they_come_out_as_theory_says() -> None:
    found = holds(evidence({}))
    assert found["independent noise recovers nearly all of the gap, from words"] is True
    assert found["labels permuted is not shown to recover any of the gap, from words"] is True
    assert found["same-size student is not shown to recover any of the gap, from words"] is True


def test_only_ways_that_won_are_tried_again() -> None:
    learned = evidence({"product": 0.1, "hard labels": 0.01}).learned
    assert replicated(learned) == (NAIVE, "product", TRUTH, PERMUTED)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"problems": "gsm8k:x"}, "names nothing that is known to be true or false"),
        ({"topics": ("cities",)}, "nothing about cities"),
        ({"student": "adapter"}, "for statements"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check(Config(**given))
    check(Config(**dict(STUDY.quick)))


def test_a_file_of_ones_own_is_one_topic() -> None:
    assert topics_of(Config(problems="statements:mine/rivers.jsonl?text=claim")) == ("rivers",)
    assert topics_of(Config(problems="statements:folder")) == topics_of(Config(problems="statements:other"))


def statements(path: Path, n: int = 160) -> Path:
    """Statements whose words say nothing of their truth."""
    path.mkdir()
    rng = np.random.default_rng(0)
    for topic in ("towns", "metals"):
        for name, negated in ((topic, False), (f"neg_{topic}", True)):
            rows = [
                {
                    "statement": f"The {topic} T{i} is{' not' if negated else ''} of kind {k}.",
                    "label": int((k == i % 2) != negated),
                }
                for i in range(n)
                for k in rng.permutation(2)
            ]
            (path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_it_runs_on_statements_that_a_bundled_base_has_read_and_keeps_its_rule(
    superalign: Callable[..., Any], tmp_path: Path
) -> None:
    words = [
        "run",
        "weak-to-strong",
        "--quick",
        "--workers",
        "1",
        "--set",
        "policy=small",
        "--set",
        "topics=towns,metals",
    ]
    words += [
        "--set",
        f"problems=statements:{statements(tmp_path / 'data')}",
        "--set",
        "every=1",
        "--out",
        str(tmp_path / "run"),
    ]
    done = superalign(*words)
    assert done.returncode == 0, done
    assert "Replicated on metals" in done.stdout
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    names = [c["name"] for c in result["claims"]]
    assert not any(
        "from words" in name for name in names
    )  # words say nothing of truth here, so nothing is claimed of them
    with Ledger(tmp_path / "run" / "ledger", readonly=True) as ledger:
        (rule,) = (e.record for e in ledger.entries(noun="TrainingRule"))
    assert "held-out labels" in rule["by"]


def test_adapters_of_a_model_by_path_learn_from_statements_of_ones_own(
    superalign: Callable[..., Any], tiny_chat: str, tmp_path: Path
) -> None:
    file = statements(tmp_path / "data") / "towns.jsonl"
    given = {
        "problems": f"statements:{file}?text=statement&truth=label",
        "policy": tiny_chat,
        "student": "answers",
        "every": 1,
        "each": 96,
        "seeds": 2,
        "surface_seeds": 0,
    }
    words = ["run", "weak-to-strong", "--quick", "--workers", "1", "--out", str(tmp_path / "run")]
    done = superalign(*words, *(part for k, v in given.items() for part in ("--set", f"{k}={v}")))
    assert done.returncode == 0, done
    text = (tmp_path / "run" / "report.html").read_text()
    assert "labels permuted" in text
    assert "product" not in text  # adapters take minutes each: only what is needed to tell noise from errors


def test_an_adapter_changes_what_a_model_says_and_the_model_itself_stays(tiny_chat: str) -> None:
    base, rows = open_weights(tiny_chat), np.arange(4)
    texts = [f"{name} is a river." for name in ("Po", "Ems", "Inn", "Don")]

    def fresh() -> TokenOdds:
        return tuned_judges.with_adapter(base, texts, seed=0, upper=0.5, kept=False)[1]

    student, before = fresh(), answer_odds(fresh(), rows)
    assert np.allclose(answer_odds(student, rows), before, atol=1e-5)
    trained(student, rows, np.array([1.0, 0.0, 1.0, 0.0]), Training(rate=3e-2, passes=40.0), seed=0)
    assert ((answer_odds(student, rows) > 0) == [True, False, True, False]).all()
    assert np.allclose(answer_odds(fresh(), rows), before, atol=1e-5)
