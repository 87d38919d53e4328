"""The whole study on a small base: twins, nulls, table and page; what was finished is not done again."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from superalign import jobs
from superalign.errors import DataError
from superalign.kit.run import Run
from superalign.lab.corpora import Reading, documents
from superalign.lab.explained_network import NetworkJob, explain_network, read_layer
from superalign.ledger import Ledger
from superalign.studies.explain.measure import measure
from superalign.studies.explain.page import page
from superalign.studies.explain.study import Config
from superalign.types import Interval

CONFIG = Config(policy="small", tokens=3_000, each=24, twins=2, twin_units=16, causal=2, windows=4)


def value(found: object) -> float:
    assert isinstance(found, Interval)
    return found.value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explain")


def test_the_study_from_end_to_end(folder: Path) -> None:
    run = Run(seed=0, workers=1, folder=folder, ledger=Ledger(folder / "ledger"), log=lambda _: None)
    e = measure(CONFIG, run)
    neurons = e.all[0]
    assert neurons.units == 72
    assert value(neurons.r) > value(neurons.unigram)
    assert value(neurons.found) > 0.3
    permuted, twins = e.nulls
    assert value(permuted.gained) <= 0.05
    assert value(twins.found) <= 0.12
    found = page(e)
    assert "explained by programs" in found.headline
    with gzip.open(folder / "units.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 72 + 12
    assert {r["kind"] for r in rows} == {"neuron", "head"}
    assert sum(r["effect"] != "" for r in rows) == 6
    assert np.mean([float(r["r"]) for r in rows if r["kind"] == "neuron"]) == pytest.approx(value(neurons.r), abs=0.01)
    about = json.loads((folder / "about.json").read_text())
    assert about["model"] == "small"


def test_a_layer_that_was_finished_is_not_done_again(folder: Path) -> None:
    job = NetworkJob(
        policy="small", reading=Reading(tokens=2_000, window=32), explained_on=(), folder=jobs.Into(folder), each=4
    )
    done = explain_network(job)
    first = read_layer(done, 1).found.r_U3
    kept = Path(done.folder) / "L0.npz"
    before = kept.stat().st_mtime_ns
    (Path(done.folder) / "L2.npz").unlink()
    again = explain_network(job)
    assert kept.stat().st_mtime_ns == before
    assert (Path(done.folder) / "L2.npz").exists()
    assert np.array_equal(read_layer(again, 1).found.r_U3, first, equal_nan=True)


def test_corpora_are_read_and_what_is_none_is_refused(tmp_path: Path) -> None:
    wiki = tmp_path / "wiki.txt"
    wiki.write_text("".join(f" = Title {i} = \n\nThe <unk> cat @-@ flap , he said .\n" for i in range(12)))
    some = documents(str(wiki))
    assert len(some) == 12
    assert "unk" not in some[0]
    assert "cat-flap, he said." in some[0]
    (tmp_path / "b.txt").write_text("\n\n".join("words and words " * 60 for _ in range(30)))
    assert len(documents(str(tmp_path / "b.txt"))) > 3
    assert len(documents("python")) > 300
    (tmp_path / "noise.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no UTF-8"):
        documents(str(tmp_path / "noise.txt"))
    with pytest.raises(DataError, match="no corpus at"):
        documents("/nowhere")
