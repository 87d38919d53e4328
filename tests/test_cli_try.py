"""A person at a terminal: the command, run as a process by a user of its own, before a real vault."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from superalign.control.identities import RESEARCHER, VAULT, drop, make_users, python_folders, start_as, user
from superalign.control.sandbox import sandbox_missing
from superalign.lab.hours import seconds_of
from superalign.lab.pace import paces
from superalign.ledger import Ledger
from superalign.researcher.notebook import read_notebook
from superalign.types import Finding, Interval, rebuild
from superalign.vault.opening import Vault, ask, open_vault
from tests.vault.conftest import GOOD, make_bench

needs_root = pytest.mark.skipif(os.getuid() != 0 or sandbox_missing() != "", reason=f"needs root: {sandbox_missing()}")
SAID = ("--hypothesis", "the second column as well", "--predicted", ".1", "--family", "linear")


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Vault, Path]]:
    """A vault that is served, and an empty folder of the person's."""
    make_users()
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        Path(name).chmod(0o755)
        desk = Path(name) / "desk"
        desk.mkdir()
        os.chown(desk, user(RESEARCHER).uid, user(RESEARCHER).gid)
        benches = [make_bench(), make_bench("toy-b", twin=True)]
        with open_vault(Path(name) / "v", benches, grid_s=0.02) as vault:
            yield vault, desk


def at_the_terminal(place: tuple[Vault, Path], *words: str, code: int = 0) -> str:
    vault, desk = place

    def fall() -> None:
        drop(user(RESEARCHER), (*python_folders(), desk, vault.socket), os.getppid())
        os.chdir(desk)

    command = (sys.executable, "-m", "superalign", "vault", "try", *words, "--vault", str(vault.socket))
    done = subprocess.run(command, preexec_fn=fall, capture_output=True, text=True, env=dict(os.environ), timeout=120)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def alter(ledger: Path) -> None:
    """Append a finding to a vault's ledger that says more than the one that it signed."""
    with Ledger(ledger) as kept:
        nouns = {noun.__name__: noun for noun in (Finding, Interval)}
        (finding,) = (rebuild(record, nouns) for record in kept.records(noun=Finding.__name__))
        kept.append(replace(finding, gain=replace(finding.gain, value=0.9, high=0.95)))


@needs_root
def test_a_person_looks_climbs_confirms_and_reveals_and_the_time_is_on_record(place: tuple[Vault, Path]) -> None:
    vault, desk = place
    (desk / "mine.py").write_bytes(GOOD)
    listed = at_the_terminal(place)
    assert "toy-a: Tell. Left: 40 submissions, 2 tries at confirmation." in listed
    refused = at_the_terminal(place, "mine.py", "--question", "toy-a", *SAID, code=2)
    assert "See it first" in refused
    shown = at_the_terminal(place, "--question", "toy-a")
    assert "Baseline to beat: one." in shown
    assert (desk / "toy-a.npz").exists()
    half_an_hour = (desk / "toy-a.shown").stat().st_mtime - 1800
    os.utime(desk / "toy-a.shown", (half_an_hour, half_an_hour))  # as if the person had thought so long
    climbed = at_the_terminal(place, "mine.py", "--question", "toy-a", *SAID)
    assert climbed.startswith("Better than everything before. The best score so far: 0.")
    assert climbed.endswith("Left in this tier: 39.\n")
    assert at_the_terminal(place, "mine.py", "--question", "toy-a") == climbed  # the same again costs nothing
    assert (desk / "toy-a.shown").stat().st_mtime > half_an_hour + 1800  # counts anew
    assert "Passed" in at_the_terminal(place, "mine.py", "--question", "toy-a", "--confirm")
    revealed = at_the_terminal(place, "mine.py", "--question", "toy-a", "--reveal")
    assert revealed.startswith("It holds on a family that was never searched: gain over the baseline")
    assert at_the_terminal(place, "mine.py", "--question", "toy-a", "--reveal") == revealed
    vault.stop()
    start_as(user(VAULT), alter, vault.folder / "vault" / "ledger", reach=(vault.folder / "vault",)).join()
    vault.start()
    altered = at_the_terminal(place, "mine.py", "--question", "toy-a", "--reveal", code=2)
    assert "The finding on toy-a is not as the vault signed it" in altered
    history = ask(vault.socket, {"do": "history"})
    assert [(p["researcher"], p["tier"], p["number"]) for p in history["plans"]] == [
        ("person", "climb", 0), ("person", "confirm", 1), ("person", "sealed", 2),
    ]  # fmt: skip
    seconds = seconds_of(history["plans"][0]["hypothesis"])
    assert seconds is not None
    assert 1800 <= seconds < 1860
    (found, _) = paces(read_notebook(history), {}, {"toy-a": False, "toy-b": True})
    assert (found.researcher, found.submissions, found.rungs) == ("person", 1, 1)
    assert found.hours == pytest.approx(seconds / 3600)
    assert not isinstance(found.by_hour, Interval)  # one question alone has no interval


@needs_root
def test_what_would_be_charged_for_nothing_is_refused_at_the_terminal(place: tuple[Vault, Path]) -> None:
    vault, desk = place
    before = json.dumps(ask(vault.socket, {"do": "history"}))
    at_the_terminal(place, "--question", "toy-b")
    for name, text in (("none.py", "x = 1"), ("bad.py", "def solve(:"), ("new.py", GOOD.decode() + "# new\n")):
        (desk / name).write_text(text)
    assert "defines no solve" in at_the_terminal(place, "none.py", "--question", "toy-b", *SAID, code=2)
    assert "cannot be read as Python" in at_the_terminal(place, "bad.py", "--question", "toy-b", *SAID, code=2)
    assert "no question 'toy-c'" in at_the_terminal(place, "new.py", "--question", "toy-c", *SAID, code=2)
    assert "what is expected of it" in at_the_terminal(place, "new.py", "--question", "toy-b", code=2)
    assert json.dumps(ask(vault.socket, {"do": "history"})) == before
    said = at_the_terminal(place, "new.py", "--question", "toy-b", "--reveal", *SAID, code=2)
    assert "what is expected of it" in said  # nothing of it was submitted yet


def test_where_no_vault_listens_one_message_says_what_to_do(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "superalign", "vault", "try", "--vault", str(tmp_path / "none"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "See that it is served" in done.stderr
    assert "Traceback" not in done.stderr
