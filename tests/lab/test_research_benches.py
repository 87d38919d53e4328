"""Research problems: whole, drawn by the seed, with room over the baseline, and a twin on which nothing honest can gain."""

import os
from pathlib import Path

import numpy as np
import pytest

from superalign import problems
from superalign.errors import ConfigError, DataError
from superalign.kit.run import Run
from superalign.lab.research_benches import (
    DIALS,
    QUICK,
    SETUPS,
    bench_of,
    benches,
    impossible,
    labels_anew,
    solver,
    steps_anew,
    with_dials,
)
from superalign.lab.research_rows import READERS, SEALED, SEEN, Rows, RowsJob, half_of, rows_in, rows_job, rows_of
from superalign.ledger import Ledger
from superalign.stats import auroc
from superalign.stats.streams import stream
from superalign.vault import read_bench, write_bench
from superalign.vault.scoring import Scale

SHARED = Path(os.environ.get("SUPERALIGN_SHARED_DATA", "/nowhere")) / "true-false"


def made(n: int, seed: int, *, shift: float = 0.0) -> Rows:
    """Items whose truth is one direction and whose labeller follows another in part."""
    rng = stream(seed, "made")
    x = rng.normal(size=(n, 6)) + shift
    true = x[:, 0] - shift > 0
    weak = 1 / (1 + np.exp(-2 * (x[:, 1] - shift + 0.5 * (2 * true - 1))))
    return rows_of(x, weak=weak, true=true, group=np.zeros(n, int))


def made_bench(seed: int):
    n = QUICK.public + QUICK.dev + QUICK.climb + QUICK.confirm
    return bench_of("weak-to-strong", made(n, seed), made(96, seed + 1, shift=0.3), sizes=QUICK, number=0)


def score(bench, source: str, tier: str = "sealed") -> float:
    said = solver(source)(bench.public, bench.parts[tier].inputs, 0)
    return float(Scale(metric=bench.question.metric, part=bench.parts[tier]).parts(said).mean())


def test_every_problem_has_a_reader_and_every_dial_is_in_the_source():
    assert set(SETUPS) == set(READERS)
    for name, options in DIALS.items():
        assert len({with_dials({name: o}) for o in options}) == len(options)


def test_an_unknown_problem_is_refused_before_anything_is_read(tmp_path):
    with Ledger(tmp_path / "ledger") as ledger:
        run = Run(seed=0, workers=1, folder=tmp_path, ledger=ledger, log=lambda _: None)
        for wrong in ("alignment", "negation"):
            with pytest.raises(ConfigError, match="no research problem"):
                benches([wrong], seed=0, run=run)
    assert not (tmp_path / "work").exists()


def test_a_question_and_its_twin_differ_in_hidden_labels_alone(tmp_path):
    with Ledger(tmp_path / "ledger") as ledger:
        run = Run(seed=0, workers=1, folder=tmp_path, ledger=ledger, log=lambda _: None)
        first, again = (benches(["judge"], seed=5, run=run, quick=True) for _ in range(2))
        other = benches(["judge"], seed=6, run=run, quick=True)
    assert sorted(b.question.name for b in first) == ["judge-00", "judge-01"]
    assert sorted(b.twin for b in first) == [False, True]
    for one, two in zip(first, again, strict=True):
        assert one.question == two.question
        np.testing.assert_array_equal(one.parts["sealed"].truth_NS, two.parts["sealed"].truth_NS)
    real, twin = sorted(first, key=lambda b: b.twin)
    # What no instrument scored is not said to have scores: a method that uses them would be told of, and do nothing.
    assert "scores" in dict(real.question.arrays)
    assert "scores" not in dict(made_bench(0).question.arrays)
    assert {k: v.shape for k, v in real.public.items()} == {k: v.shape for k, v in twin.public.items()}
    assert not np.array_equal(real.public["x"], twin.public["x"])  # they share no items
    assert not np.array_equal(real.public["x"], min(other, key=lambda b: b.twin).public["x"])
    assert twin.parts["climb"].truth_NS.sum(1).max() == 1
    kept = read_bench(write_bench(real, tmp_path / "kept"))
    assert kept.question == real.question
    assert score(kept, kept.question.baseline) == score(real, real.question.baseline)
    assert score(real, with_dials({"FIT": "logistic", "DEV": "alone"}), "climb") > score(
        real, real.question.baseline, "climb"
    )


def test_a_problem_is_drawn_several_times_and_twins_can_stand_alone(tmp_path):
    with Ledger(tmp_path / "ledger") as ledger:
        run = Run(seed=0, workers=1, folder=tmp_path, ledger=ledger, log=lambda _: None)
        both = benches(["judge"], seed=5, run=run, quick=True, draws=2)
        alone = benches(["judge"], seed=5, run=run, quick=True, draws=2, twins_alone=True)
    assert sorted(b.question.name for b in both) == [f"judge-{n:02d}" for n in range(4)]
    assert sum(b.twin for b in both) == 2
    firsts = [b.parts["climb"].inputs["x"][0].tobytes() for b in both]
    assert len(set(firsts)) == 4  # no two share items
    assert all(b.twin for b in alone)
    assert {b.parts["climb"].inputs["x"][0].tobytes() for b in alone} < set(firsts)
    assert len({b.question.name for b in alone}) == 2


def test_an_honest_gain_on_a_question_is_none_on_its_twins():
    bench = made_bench(0)
    better = with_dials({"DEV": "added"})
    gain = score(bench, better) - score(bench, bench.question.baseline)
    assert gain > 0.05
    nulls = []
    for seed in range(50):
        twin = impossible(bench, stream(seed, "null"))
        assert twin.twin
        assert twin.public is bench.public
        nulls.append(score(twin, better) - score(twin, bench.question.baseline))
    assert np.mean(nulls) < 0.01
    assert np.quantile(nulls, 0.9) < gain


def test_a_twin_keeps_the_score_of_the_baseline_and_the_rate_of_labels():
    bench = made_bench(3)
    twins = [impossible(bench, stream(s, "kept")) for s in range(30)]
    for tier in ("climb", "sealed"):
        here = [score(t, t.question.baseline, tier) for t in twins]
        assert abs(np.mean(here) - score(bench, bench.question.baseline, tier)) < 0.06
    rates = [t.parts["sealed"].truth_NS.mean() for t in twins]
    assert abs(np.mean(rates) - bench.parts["sealed"].truth_NS.mean()) < 0.04


def test_which_is_the_twin_cannot_be_told_from_what_a_researcher_holds():
    told = {False: [], True: []}
    for seed in range(80):
        bench = made_bench(100 + 2 * seed)
        if seed % 2:
            bench = impossible(bench, stream(seed, "guess"))
        held = {name: bench.public[f"dev_{name}"] for name in ("x", "group", "scores")}
        said = solver(bench.question.baseline)(bench.public, held, 0)
        true = bench.public["dev_true"] > 0
        told[bench.twin].append(float(auroc(said[true], negatives=said[~true])))
    guessed = auroc(np.array(told[False]), negatives=np.array(told[True]))
    assert 0.35 < guessed < 0.65


def test_labels_dealt_anew_follow_the_baseline_and_nothing_else():
    rng = np.random.default_rng(0)
    said = rng.normal(size=4000)
    truth = ((said + rng.normal(size=4000)) > 0).astype(int)
    dealt = labels_anew(said, truth, said, truth, rng)
    assert (
        abs(float(auroc(said[dealt > 0], negatives=said[dealt == 0])) - 0.833) < 0.03
    )  # of a normal score and its sum with as much noise
    near = np.abs(said) < 0.1  # the baseline cannot tell these: the old labels say nothing of the new ones
    assert abs(np.mean(dealt[near] == truth[near]) - 0.5) < 0.12
    wrong = np.eye(4, dtype=int)[np.zeros(400, int)]
    told = rng.normal(size=(400, 4))
    moved = steps_anew(told, wrong, told, wrong, rng)
    assert (moved.sum(1) == 1).all()


@pytest.mark.parametrize("kind", ["truth", "trigger"])
def test_items_are_read_whole_and_a_changed_file_is_refused(kind, tmp_path):
    for family in (SEEN, SEALED):
        job = RowsJob(kind=kind, family=family, n=60, seed=1, file=str(tmp_path / f"{family}.npz"))
        digest = rows_job(job)
        rows = rows_in(Path(job.file), digest)
        assert len(rows.x_NSD) == 60
        assert rows.x_NSD.dtype == np.float32
        assert 0.2 < rows.true_NS.mean() < 0.8
        assert np.isfinite(rows.x_NSD).all()
    Path(job.file).write_bytes(b"other")
    with pytest.raises(DataError, match="not what was written"):
        rows_in(Path(job.file), digest)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["weak-to-strong", "misbehaviour", "disagreement"])
def test_items_of_models_that_are_trained_or_sampled_are_read(kind, tmp_path):
    job = RowsJob(kind=kind, family=SEALED, n=96, seed=1, file=str(tmp_path / "rows.npz"))
    rows = rows_in(Path(job.file), rows_job(job))
    assert len(rows.x_NSD) == 96
    assert 0.05 < rows.true_NS.mean() < 0.7


def test_too_few_statements_are_refused_before_a_model_is_opened(tmp_path):
    for name, middle in (("cities", "is"), ("neg_cities", "is not")):
        (tmp_path / f"{name}.csv").write_text(f"statement,label\nParis {middle} in France.,{int(middle == 'is')}\n")
    job = RowsJob(kind="negation", family=SEALED, n=40, seed=2, file="", source=f"statements:{tmp_path}")
    with pytest.raises(DataError, match="has 0 of the statements"):
        rows_job(job)


def test_a_statement_and_its_negation_lie_in_the_same_half(tmp_path):
    for name, middle in (("cities", "is"), ("neg_cities", "is not")):
        lines = "".join(f"Town {i} {middle} in Land {i}.,{int(middle == 'is')}\n" for i in range(40))
        (tmp_path / f"{name}.csv").write_text(f"statement,label\n{lines}")
    family = problems.named(f"statements:{tmp_path}")
    halves = {r.text.replace(" not", ""): set() for r in family.rows.values()}
    for r in family.rows.values():
        halves[r.text.replace(" not", "")].add(half_of(r))
    assert len(halves) == 40
    assert all(len(h) == 1 for h in halves.values())
    assert set().union(*halves.values()) == {0, 1}


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="needs statements: set SUPERALIGN_SHARED_DATA")
def test_a_question_and_its_twin_share_no_statement_and_hold_both_polarities(tmp_path):
    read = []
    for half in (0, 1):
        source, file = f"statements:{SHARED}", str(tmp_path / f"{half}.npz")
        job = RowsJob(kind="negation", family=SEALED, n=40, seed=2, file=file, source=source, half=half)
        read.append(rows_in(Path(job.file), rows_job(job)))
        assert set(read[-1].group_N) == {0, 1}  # plain and negated, of the first topic alone
    assert not {tuple(x) for x in read[0].x_NSD} & {tuple(x) for x in read[1].x_NSD}
