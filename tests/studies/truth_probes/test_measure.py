"""Truth probes on planted truth: states that hold it, states that hold only association, and states that hold nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from superalign import problems
from superalign.errors import DataError
from superalign.lab.truth_reading import SetRead, Statements, best_layer, rows_of, states_in
from superalign.problems.table_family import Row, TableFamily
from superalign.studies.truth_probes.evidence import OTHERS, Evidence, Reading
from superalign.studies.truth_probes.measure import readings_of, words_scores
from superalign.studies.truth_probes.page import page
from superalign.types import Interval

TOPICS = ("towns", "metals")
N, WIDTH, LAYERS = 240, 8, 3


def planted(kind: str, *, seed: int = 0) -> dict[tuple[str, str], Statements]:
    """Make states of pairs that go together or not, negated or not: true is what goes together and is not negated, or neither."""
    rng = np.random.default_rng(seed)
    out = {}
    for t, topic in enumerate(TOPICS):
        for polarity in ("plain", "negated"):
            together_N = rng.random(N) < 0.5
            true_N = together_N != (polarity == "negated")
            signal_N = {"truth": true_N, "association": together_N, "nothing": rng.random(N) < 0.5}[kind]
            states_NLD = rng.normal(size=(N, LAYERS, WIDTH))
            states_NLD[:, 1, t if kind == "association" else 0] += 3.0 * (2 * signal_N - 1)
            rows = tuple(
                Row(
                    prompt=f"{topic} {i}?", text=f"{topic} {i} {polarity}", question=f"{topic} {i}", topic=topic,
                    right=str(bool(true)), wrong=str(not true), negated=polarity == "negated",
                )
                for i, true in enumerate(true_N)
            )  # fmt: skip
            read = SetRead(layers=("a", "b", "c"), sha256="", likelihood=(0.0,) * N, says=(0.0,) * N)
            out[topic, polarity] = Statements(rows=rows, read=read, states_NLD=states_NLD)
    return out


def found(kind: str) -> dict[tuple[str, str, str], Reading]:
    readings = readings_of("towns", TOPICS, planted(kind), seed=0)  # type: ignore[arg-type]
    return {(r.trained, r.trained_on, r.tested_on): r for r in readings}


def value(reading: Reading) -> Interval:
    assert isinstance(reading.probe, Interval)
    return reading.probe


def test_states_that_hold_truth_are_read_on_negations_and_on_a_topic_that_was_never_seen() -> None:
    readings = found("truth")
    assert all(value(r).value > 0.95 and value(r).low > 0.75 for r in readings.values())
    assert all(r.layer == "b" for r in readings.values())
    shuffled = [r.shuffled for r in readings.values() if isinstance(r.shuffled, Interval)]
    assert sum(not s.low < 0.5 < s.high for s in shuffled) <= 2


def test_states_that_hold_association_turn_round_at_the_first_not() -> None:
    readings = found("association")
    assert value(readings["towns", "plain", "plain"]).low > 0.75
    assert value(readings["towns", "plain", "negated"]).high < 0.25
    assert value(readings["towns", "negated", "plain"]).high < 0.25
    assert value(readings["towns", "both", "plain"]).low < 0.6
    assert value(readings[OTHERS, "both", "both"]).low < 0.5


def test_states_that_hold_nothing_are_at_chance() -> None:
    low = sum(value(r).low > 0.5 for r in found("nothing").values())
    assert low <= 2


def test_no_question_is_trained_and_tested_on_and_a_topic_that_is_new_is_tested_whole() -> None:
    readings = found("truth")
    tested = sum(planted("truth")["towns", "plain"].test_N)
    assert value(readings["towns", "plain", "plain"]).n == tested < N / 3
    assert value(readings[OTHERS, "both", "plain"]).n == N


def test_a_page_counts_what_turns_round() -> None:
    sets = planted("association")
    readings = tuple(r for t in TOPICS for r in readings_of(t, TOPICS, sets, seed=0))  # type: ignore[arg-type]
    e = Evidence(policy="it", topics=TOPICS, statements=4 * N, readings=readings, floors=())
    text = page(e)
    assert "the truth on 0 topics and the opposite on 2" in text.headline
    holds = {c.name: c.holds for c in text.claims}
    assert holds["A probe of plain statements on towns reads plain statements above chance"] is True
    assert holds["A probe of plain statements on towns reads its negations above chance"] is False


def test_the_layer_is_chosen_where_the_signal_is() -> None:
    s = planted("truth")["towns", "plain"]
    assert best_layer(s.states_NLD, s.true_N, [r.question for r in s.rows]) == 1


def test_a_bag_of_words_learns_words_alone() -> None:
    scores = words_scores(
        ["good a", "good b", "bad a", "bad b"], np.array([True, True, False, False]), ["good c", "bad c"]
    )
    assert scores[0] > scores[1]


def statements(path: Path, n: int) -> TableFamily:
    path.mkdir()
    for name, truth in (("towns", (1, 0)), ("neg_towns", (0, 1))):
        word = " not" if name.startswith("neg_") else ""
        rows = [
            {"statement": f"The town of T{i} is{word} in {'its land' if k == 0 else 'the sea'}.", "label": truth[k]}
            for i in range(n)
            for k in (0, 1)
        ]
        (path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    family = problems.named(f"statements:{path}")
    assert isinstance(family, TableFamily)
    return family


def test_statements_are_drawn_of_one_polarity_half_of_each_label(tmp_path: Path) -> None:
    family = statements(tmp_path / "data", 200)
    for polarity in ("plain", "negated"):
        rows = rows_of(family, "towns", polarity, train=20, test=10, seed=0)
        assert [sum(r.right == label for r in rows) for label in ("True", "False")] == [30, 30]
        assert {r.negated for r in rows} == {polarity == "negated"}
    with pytest.raises(DataError, match=r"has \d+ true plain statements on rivers in its train split"):
        rows_of(family, "rivers", "plain", train=20, test=10, seed=0)


def test_states_that_are_not_those_that_were_written_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="is not what was written there"):
        states_in(file, SetRead(layers=(), sha256="0", likelihood=(), says=()))


def test_it_runs_on_a_bundled_base_and_refuses_what_are_no_statements(
    superalign: Callable[..., object], tmp_path: Path
) -> None:
    statements(tmp_path / "data", 200)
    other = (tmp_path / "data" / "towns.jsonl").read_text().replace("town", "hill")
    (tmp_path / "data" / "hills.jsonl").write_text(other)
    (tmp_path / "data" / "neg_hills.jsonl").write_text(
        (tmp_path / "data" / "neg_towns.jsonl").read_text().replace("town", "hill")
    )
    words = ("run", "truth-probes", "--quick", "--workers", "1", "--set", "policy=small", "--set", "topics=towns,hills")
    words = (*words, "--set", "every=1", "--out", str(tmp_path / "run"))
    done = superalign(*words, "--set", f"problems=statements:{tmp_path / 'data'}")
    assert done.returncode == 0, done  # type: ignore[attr-defined]
    assert "a probe of small reads the same topic" in done.stdout  # type: ignore[attr-defined]
    for given, part in (("", "names no statements"), ("statements:nowhere", "nowhere")):
        done = superalign("run", "truth-probes", "--set", f"problems={given}", "--out", str(tmp_path / "other"))
        assert (done.returncode, part in done.stderr) == (2, True), done  # type: ignore[attr-defined]
