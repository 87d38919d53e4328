"""A hole that was opened on purpose is found: labels in an archive of a tree that goes into the image, and every other way."""

import base64
import gzip
import json
import tarfile

import numpy as np
import pytest

from superalign.control.canaries import plant
from superalign.lab.leaks import Reach, label_canaries, leaks
from superalign.vault.server import LINE, lines


@pytest.fixture
def labels(toys):
    bench = toys.make_bench()
    return bench.parts["sealed"].truth_NS, label_canaries([bench])


def test_the_archive_of_labels_in_a_tree_that_is_copied_whole_is_found(labels, tmp_path):
    truth_N, canaries = labels
    tree = tmp_path / "repository"
    (tree / "data").mkdir(parents=True)
    (tree / "README.md").write_text("The image holds no answers.")
    (tmp_path / "labels.json").write_text(json.dumps({"labels": truth_N.tolist()}))
    with tarfile.open(tree / "data" / "labels.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "labels.json", "labels.json")
    found = leaks(canaries, Reach(folders=[tree]))
    assert [(leak.what, leak.where) for leak in found] == [
        ("labels of toy-a, sealed", str(tree / "data" / "labels.tar.gz"))
    ]
    (tree / "data" / "labels.tar.gz").unlink()
    assert leaks(canaries, Reach(folders=[tree])) == ()


@pytest.mark.parametrize("kind", ["int8", "int32", "int64", "bool"])
def test_labels_in_arrays_are_found(labels, tmp_path, kind):
    truth_N, canaries = labels
    np.savez_compressed(tmp_path / "cache.npz", y=truth_N.astype(kind))
    assert leaks(canaries, Reach(folders=[tmp_path]))


def test_environment_arguments_and_answers_are_read(labels):
    truth_N, canaries = labels
    digits = "".join(map(str, truth_N))
    assert leaks(canaries, Reach(environment={"CACHE": base64.b64encode(gzip.compress(digits.encode())).decode()}))
    assert leaks(canaries, Reach(arguments=["--labels", ",".join(map(str, truth_N))]))
    long = lines({"text": digits * 20})
    assert leaks(canaries, Reach(lines=long))
    assert leaks(canaries, Reach(environment={"PATH": "/usr/bin"}, arguments=["run"], lines=lines({"a": 1}))) == ()


def test_planted_tokens_are_found(labels, tmp_path):
    (canary,) = plant(tmp_path, ["key.pem"])
    assert leaks([canary], Reach(folders=[tmp_path]))[0].what == "key.pem"


def test_sizes_and_times_that_say_more_are_found():
    good = b" " * LINE + b"\n"
    assert leaks((), Reach(lines=[good], arrived_s=[3.0, 4.1, 7.2])) == ()
    assert "other sizes" in leaks((), Reach(lines=[good, b"{}\n"]))[0].what
    assert "off the grid" in leaks((), Reach(arrived_s=[3.0, 4.6]))[0].what


def test_sorted_labels_make_no_row(toys):
    bench = toys.make_bench()
    for part in bench.parts.values():
        part.truth_NS.sort()
    assert label_canaries([bench]) == ()
