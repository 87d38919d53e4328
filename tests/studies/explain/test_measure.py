"""The whole study on a small base: twins, nulls, table and page; what was finished is not done again."""

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from superalign import jobs
from superalign.errors import BadInput, DataError
from superalign.interp.dictionaries import Dictionary
from superalign.interp.sae_files import Made, write_dictionary
from superalign.kit.run import Run
from superalign.lab.corpora import Reading, documents
from superalign.lab.explained_network import NetworkJob, explain_network, read_layer
from superalign.ledger import Ledger
from superalign.models import open_weights
from superalign.studies.explain.measure import measure
from superalign.studies.explain.page import page
from superalign.studies.explain.study import Config
from superalign.types import Interval

CONFIG = Config(
    policy="small",
    tokens=3_000,
    each=24,
    twins=2,
    twin_units=16,
    latents=16,
    causal=2,
    windows=12,
    proposer="small",
    parts=(0.25,),
)


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
    assert [x.part for x in e.less] == [0.25, 1.0]
    assert 0.1 * e.less[1].tokens < e.less[0].tokens < 0.4 * e.less[1].tokens
    assert value(e.less[0].r) < value(e.less[1].r)
    assert value(e.less[0].lost) == pytest.approx(value(e.less[1].r) - value(e.less[0].r))
    found = page(e)
    assert "explained by programs" in found.headline
    assert "searched in less text" in str(found)
    with gzip.open(folder / "units.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 72 + 12 + 3 * 16
    assert {r["kind"] for r in rows} == {"neuron", "head", "direction"}
    ours = next(s for s in e.scores if s.name == "uniform correlation")
    assert not {"half of it", "three times too broad", "at random"} & set(ours.fails.split(", "))
    assert sum(r["effect"] != "" for r in rows) == 6
    tested = [r for r in rows if r["sufficiency"] or r["necessity"]]
    assert tested
    assert all(r["effect"] for r in tested)
    assert all(-1 <= float(r[m] or 0) <= 1 for r in tested for m in ("sufficiency", "necessity"))
    assert [x.measure for x in e.tested.edits] == ["sufficiency", "necessity", "correlation"]
    assert e.tested.edited_windows > 4
    assert len(e.tested.counters) + e.tested.unflipped == 6
    assert "Does the neuron do what its program says" in str(found)
    assert np.mean([float(r["r"]) for r in rows if r["kind"] == "neuron"]) == pytest.approx(value(neurons.r), abs=0.01)
    assert [x.origin for x in e.tested.asked] == ["as proposed", "ours", "another neuron's proposal"]
    assert sum(n for _, n in e.tested.replies) == 6
    assert "Proposed by a language model" in str(found)
    assert value(e.tested.asked[1].r) > value(e.tested.asked[0].r)  # a base that knows no words proposes nothing
    about = json.loads((folder / "about.json").read_text())
    assert about["model"] == "small"


def test_a_proposer_that_is_not_there_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    run = Run(seed=0, workers=1, folder=tmp_path, ledger=Ledger(tmp_path / "ledger"), log=lambda _: None)
    with pytest.raises(BadInput, match="no model"):
        measure(replace(CONFIG, proposer="nobody"), run)
    assert not (tmp_path / "work").exists()


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


def test_counter_examples_contradict_the_program_at_their_token(folder: Path) -> None:
    reading = Reading(tokens=3_000, window=32)
    done = explain_network(
        NetworkJob(policy="small", reading=reading, explained_on=(), folder=jobs.Into(folder), each=8)
    )
    units, seen = read_layer(done, 1), {"false alarm": 0, "missed": 0}
    with gzip.open(Path(done.folder) / "L1.jsonl.gz", "rt") as file:
        for row, line in zip(units.found.active_U3, map(json.loads, file), strict=False):
            side, cut, said_cut = row
            some = [e for e in line["examples"] if e["chosen"] in seen]
            for e in some:
                on = side * e["values"][e["at"]] > cut
                said_on = side * e["predicted"][e["at"]] > said_cut
                near = (
                    abs(side * e["values"][e["at"]] - cut) < 0.01
                    or abs(side * e["predicted"][e["at"]] - said_cut) < 0.01
                )
                assert near or (on, said_on) == (e["chosen"] == "missed", e["chosen"] == "false alarm")
                seen[e["chosen"]] += 1
            assert all(len([e for e in some if e["chosen"] == c]) <= 3 for c in seen)
    assert min(seen.values()) > 3


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


def test_a_dictionary_of_another_tool_is_read_at_its_layer_and_one_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    width = open_weights("small").network.config.hidden_size
    eye = np.eye(width, dtype=np.float32)
    zero = np.zeros(width, np.float32)
    fits = Dictionary(centre_D=zero, encode_DK=eye, bias_K=zero, decode_KE=eye, offset_E=zero, threshold_K=zero)
    made = Made(model="small", hook="blocks.1.hook_resid_post")
    write_dictionary(fits, tmp_path / "fits", made)
    job = NetworkJob(
        policy="small",
        reading=Reading(tokens=2_000, window=32),
        explained_on=(),
        folder=jobs.Into(tmp_path / "out"),
        each=4,
        dictionary=f"1={tmp_path / 'fits'}",
    )
    done = explain_network(job)
    kinds = [{name.split(".")[1][0] for name in read_layer(done, n).name_U} for n in done.layers]
    assert kinds == [{"N", "H", "P"}, {"N", "H", "D", "P"}, {"N", "H", "P"}]
    with pytest.raises(BadInput, match="no layer from 0 to 2"):
        explain_network(replace(job, dictionary=f"9={tmp_path / 'fits'}"))
    narrow = replace(fits, centre_D=zero[1:], encode_DK=eye[1:], decode_KE=eye[:, 1:], offset_E=zero[1:])
    write_dictionary(narrow, tmp_path / "narrow", made)
    with pytest.raises(DataError, match="and not width"):
        explain_network(replace(job, dictionary=f"1={tmp_path / 'narrow'}"))
