"""Escapes, really tried by code in the sandbox against a process and a folder of the vault's user; and without the wall."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from superalign.control import sandbox
from superalign.control.canaries import Canary, found, plant
from superalign.control.identities import RESEARCHER, VAULT, drop, make_users, python_folders
from superalign.control.sandbox import Limits, confined, sandbox_missing
from superalign.lab import attempts
from superalign.lab.attempts import Attempt, rows_of, self_test
from superalign.ledger import Ledger

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or sandbox_missing() != "", reason=f"needs root and bubblewrap: {sandbox_missing()}"
)
NAMES = [*(name for _, name, _ in rows_of(attempts.INSIDE)), attempts.FOLLOWED]
NAMES += [*(name for name, *_ in rows_of(attempts.ALONE)), attempts.OUTLIVES]
# What cannot be shown to succeed without a wall, or not without harm: the machine may lack the device; the clock is everybody's.
NOT_COUNTED = {"the machine's memory", "the kernel's memory", "the clock", "TCP to the host, IPv6", "a way out"}
SECRETS = {
    "read the vault's files",
    "a second name of the vault's file",
    "the vault's memory",
    "the vault's environment",
}
SECRETS |= {"the vault's arguments", "what the vault has open", "anybody's arguments", "secrets in the environment"}
LIVE = "import sys, time; held = sys.argv[1] * 3; print('up', flush=True); time.sleep(600)"


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int, Canary]]:
    """A process of the vault's user with answers in its folder, memory, arguments, environment and an open file."""
    who, *_ = make_users((VAULT, RESEARCHER))
    folder = tmp_path_factory.mktemp("vault")
    (canary,) = plant(folder, ["answers.npz"])
    for path in (folder, folder / canary.name):
        os.chown(path, who.uid, who.gid)

    def fall() -> None:
        drop(who, (*python_folders(), folder), os.getppid())
        os.chdir(folder)

    with (folder / canary.name).open() as file:
        process = subprocess.Popen(
            (sys.executable, "-c", LIVE, canary.token),
            env={"SECRET": canary.token},
            stdout=subprocess.PIPE,
            pass_fds=[file.fileno()],
            preexec_fn=fall,
        )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield folder, process.pid, canary
        process.kill()


@pytest.fixture(scope="module")
def inside(vault: tuple[Path, int, Canary], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Attempt]:
    tried = self_test(vault[0], vault[1], tmp_path_factory.mktemp("researcher"), RESEARCHER)
    return {attempt.name: attempt for attempt in tried}


@pytest.fixture(scope="module")
def without(vault: tuple[Path, int, Canary], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Attempt]:
    tried = self_test(vault[0], vault[1], tmp_path_factory.mktemp("free"), RESEARCHER, wall=False)
    return {attempt.name: attempt for attempt in tried}


def test_there_are_enough_attempts_that_count(without: dict[str, Attempt]) -> None:
    assert list(without) == NAMES
    assert len(NAMES) >= 74
    assert sum(attempt.escaped for attempt in without.values()) >= 65


@pytest.mark.parametrize("name", NAMES)
def test_an_attempt_fails(name: str, inside: dict[str, Attempt]) -> None:
    assert not inside[name].escaped, inside[name]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_COUNTED])
def test_it_succeeds_without_the_wall(name: str, without: dict[str, Attempt]) -> None:
    assert without[name].escaped, without[name]
    assert name not in SECRETS or without[name].said == "a canary"  # it is the answers that are read, not some file


def test_a_hole_is_found(vault: tuple[Path, int, Canary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sandbox, but with the host's network, and with one file of the vault's user let in."""
    unshared = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts")
    monkeypatch.setattr(sandbox, "WALLS", (*unshared, *sandbox.WALLS[1:]))
    monkeypatch.setattr(sandbox, "SYSTEM", (*sandbox.SYSTEM, "/etc"))
    monkeypatch.setattr(attempts, "ALONE", "")
    through = {attempt.name for attempt in self_test(vault[0], vault[1], tmp_path, RESEARCHER) if attempt.escaped}
    network = {"TCP to the host", "UDP to the host", "a socket without a file"}
    assert network <= through
    assert "folders of the host" in through
    assert through <= network | {"folders of the host", "who knows names", "TCP to the host, IPv6", "a way out"} | {
        "UDP to another machine"
    }


def test_the_vault_still_runs_and_attempts_are_records(
    vault: tuple[Path, int, Canary], inside: dict[str, Attempt], tmp_path: Path
) -> None:
    os.kill(vault[1], 0)
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.append(list(inside.values()))
        assert [entry.noun for entry in ledger.entries()] == ["Attempt"] * len(inside)
    assert found([vault[2]], tmp_path) == []  # what is kept of attempts tells no secret


def test_nothing_that_a_researcher_sees_holds_a_canary(vault: tuple[Path, int, Canary], tmp_path: Path) -> None:
    everything = "import os, sys\nfor above, folders, names in os.walk('/'):\n  print(above, names)\n"
    everything += (
        "  folders[:] = [n for n in folders if os.path.join(above, n) not in ('/usr', '/proc', *sys.argv[1:])]\n"
    )
    look = confined(
        (sys.executable, "-c", everything, sys.prefix, sys.base_prefix),
        folder=tmp_path,
        limits=Limits(),
        user=RESEARCHER,
    )
    assert "/dev/pts" in look.out
    assert str(vault[0]) not in look.out
    assert str(Path(__file__).parents[2] / "tests") not in look.out
    assert found([vault[2]], look.out) == []
