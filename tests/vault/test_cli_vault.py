"""The command: one clear message for each wrong input, and what it does on a vault that is there."""

import numpy as np
import pytest
from typer.testing import CliRunner

from superalign.cli_vault import vault
from superalign.vault import write_bench


def run(*words):
    return CliRunner().invoke(vault, [str(w) for w in words])


@pytest.mark.parametrize("words", [("serve", "none"), ("check", "none"), ("approve", "none")])
def test_what_is_no_vault_is_refused(words, tmp_path):
    done = run(words[0], tmp_path / words[1])
    assert done.exit_code == 2
    assert "holds no vault" in done.output


def test_leaks_are_found_and_told(toys, tmp_path):
    bench = toys.make_bench()
    write_bench(bench, tmp_path / "v" / "vault" / "benches")
    (tmp_path / "v" / "public").mkdir()
    assert run("check", tmp_path / "v").exit_code == 0
    image = tmp_path / "image"
    image.mkdir()
    np.save(image / "y.npy", bench.parts["climb"].truth_NS)
    done = run("check", tmp_path / "v", "--image", image)
    assert done.exit_code == 2
    assert "labels of toy-a, climb" in done.output
    assert run("check", tmp_path / "v", "--image", tmp_path / "nowhere").exit_code == 2


def test_a_ticket_that_nobody_asked_about_is_refused(toys, tmp_path):
    write_bench(toys.make_bench(), tmp_path / "v" / "vault" / "benches")
    (tmp_path / "v" / "vault" / "queue").mkdir()
    assert run("approve", tmp_path / "v").output == ""
    done = run("approve", tmp_path / "v", "f" * 64)
    assert done.exit_code == 2
    assert "Nothing waits" in done.output


def test_whoever_is_not_root_is_told_so_at_once(toys, tmp_path, monkeypatch):
    write_bench(toys.make_bench(), tmp_path / "v" / "vault" / "benches")
    monkeypatch.setattr("os.getuid", lambda: 65534)
    done = run("serve", tmp_path / "v")
    assert done.exit_code == 2
    assert "Only root can open a vault" in done.output
