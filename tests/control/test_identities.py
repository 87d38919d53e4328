"""Processes of users that cannot go back, and see what they are given alone."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from superalign.control.identities import PACKAGE, RUNNER, make_users, python_folders, start_as, user
from superalign.errors import BadInput

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become other users")


def _tell(into: Path, hidden: Path) -> None:
    def fails(function: object, *args: object) -> bool:
        try:
            function(*args)  # type: ignore[operator]
        except OSError:
            return True
        return False

    status = Path("/proc/self/status").read_text().splitlines()
    told = {
        "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
        "no way back": fails(os.setuid, 0) and fails(os.setgroups, [0]),
        "environment": dict(os.environ),
        "hidden": fails(os.listdir, hidden),
        "privileges": [line.split()[1] for line in status if line.startswith(("CapEff", "NoNewPrivs"))],
    }
    (into / "told").write_text(json.dumps(told))


@needs_root
def test_a_process_becomes_a_user_for_good(tmp_path: Path) -> None:
    (who,) = make_users((RUNNER,))
    into, hidden = tmp_path / "into", tmp_path / "hidden"
    for folder in (into, hidden):
        folder.mkdir()
    os.chown(into, who.uid, who.gid)
    tmp_path.chmod(0o700)
    start_as(who, _tell, into, hidden, reach=[into]).join(20)
    told = json.loads((into / "told").read_text())
    assert told["ids"] == [[who.uid] * 3, [who.gid] * 3, []]
    assert told["no way back"]
    assert told["environment"] == {}
    assert told["hidden"]
    assert (into / "told").stat().st_mode & 0o777 == 0o600
    assert [int(value, 16) for value in told["privileges"]] == [0, 1]
    assert hidden.exists()  # what it does not see is covered for it alone


@needs_root
def test_it_ends_with_who_started_it() -> None:
    make_users((RUNNER,))
    code = (
        "import time; from superalign.control.identities import start_as, user\n"
        f"print(start_as(user({RUNNER!r}), time.sleep, 60).pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().strip()
        until(lambda: f"Uid:\t{user(RUNNER).uid}\t" in (child / "status").read_text())
        time.sleep(0.1)  # from becoming the user to the call
    finally:
        parent.kill()
        parent.communicate()
    until(lambda: not child.exists() or "State:\tZ" in (child / "status").read_text())


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_user_that_is_not_there_is_told_with_what_to_run() -> None:
    with pytest.raises(
        BadInput, match=r"no user superalign-nobody.*useradd --system --no-create-home .* superalign-nobody"
    ):
        user("superalign-nobody")


def test_only_root_becomes_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1)
    with pytest.raises(BadInput, match="Only root can become nobody"):
        start_as(user("nobody"), print)
    with pytest.raises(BadInput, match="Only root can make the user superalign-nobody"):
        make_users(("superalign-nobody",))


def test_python_and_this_package_are_all_that_is_needed() -> None:
    assert PACKAGE.name == "superalign"
    assert {Path(sys.prefix), PACKAGE} <= set(python_folders()) | {Path("/usr")}
    assert not any(folder in Path(__file__).parents for folder in python_folders())
