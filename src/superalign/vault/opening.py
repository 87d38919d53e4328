"""Opens a vault: folders that others cannot read, a runner and a vault as users of their own, and the owner's handle on both."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from superalign.control.identities import RUNNER, VAULT, User, start_as, user
from superalign.control.monitoring import Monitor
from superalign.errors import BadInput
from superalign.ledger import Ledger
from superalign.vault import runner
from superalign.vault.benches import Bench, read_bench, write_bench
from superalign.vault.desk import Desk, Rules
from superalign.vault.judging import Allow, Judge, allow_unflagged
from superalign.vault.server import Server
from superalign.vault.signing import key_of

BENCHES, LEDGER, SCRATCH, SOCKET = "benches", "ledger", "runner", "vault.sock"
MOST_PATH = 100  # bytes of the path of a Unix socket


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a vault is opened with, each time."""

    rules: Rules
    monitors: tuple[Monitor, ...]
    allow: Allow
    grid_s: float
    limits: runner.Limits


class Vault:
    """The owner's handle: starts the two processes, starts them again, and closes the vault for good."""

    def __init__(self, folder: Path, at: Path, setup: Setup) -> None:
        self.folder, self.socket, self.setup = folder, at, setup
        self.token = secrets.token_hex(32)
        self.users = user(VAULT), user(RUNNER)
        self.processes: tuple[BaseProcess, ...] = ()

    def start(self) -> None:
        """Start runner and vault; what the ledger holds goes on from there."""
        listening, (mine, theirs) = _listen(self.socket), socket.socketpair()
        vault, runs = self.users
        scratch = self.folder / SCRATCH
        running = start_as(runs, runner.main, theirs.fileno(), scratch, self.setup.limits, reach=(scratch,))
        theirs.close()
        kept = self.folder / "vault"
        serving = start_as(vault, _serve, kept, listening, mine, self.token, self.setup, reach=(kept,))
        listening.close()
        mine.close()
        self.processes = (serving, running)

    def stop(self) -> None:
        """End both processes; the vault may be started again."""
        for process in self.processes:
            process.kill()
            process.join()
        self.processes = ()

    def close(self) -> Mapping[str, Any]:
        """Close the vault for ever; return exact scores, twins and readings.

        Example: `vault.close()["twins"]` says which questions nobody could solve.
        """
        return ask(self.socket, {"do": "owner", "what": "close", "token": self.token})

    def __enter__(self) -> Vault:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def open_vault(
    folder: Path,
    benches: Sequence[Bench] = (),
    *,
    at: Path | None = None,
    rules: Rules = Rules(),
    monitors: Sequence[Monitor] = (),
    allow: Allow = allow_unflagged,
    grid_s: float = 1.0,
    limits: runner.Limits = runner.LIMITS,
) -> Vault:
    """Make a vault in a folder, or find the one that is there; `with` starts it.

    Args:
        folder: Where to; new, if benches are given.
        benches: Questions with their answers; none, to go on with those that are there.
        at: Where the socket is to be: a folder that a researcher may reach.
        rules: What it promises; of a vault that is there, the same as before.
        monitors: What reads submissions and traces.
        allow: Who lets a submission run.
        grid_s: Answers leave at multiples of so many seconds.
        limits: Of an artefact.

    Raises:
        BadInput: If this is not root, a user is missing, there is no sandbox, or the folder holds no vault, or one already.
    """
    vault, runs = _checked(folder, bool(benches))
    kept, scratch, public = (folder / name for name in ("vault", SCRATCH, "public"))
    if benches:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
        for path, who in ((kept, vault), (scratch, runs)):
            path.mkdir(mode=0o700)
            os.chown(path, who.uid, who.gid)
        for bench in benches:
            write_bench(bench, kept / BENCHES)
        for path in kept.rglob("*"):
            os.chown(path, vault.uid, vault.gid)
            path.chmod(0o700 if path.is_dir() else 0o600)
        public.mkdir(mode=0o755)
        public.chmod(0o755)
    where = (at or public / SOCKET).absolute()
    if len(bytes(where)) > MOST_PATH:
        raise BadInput(
            f"The path of the socket, {where}, has more than {MOST_PATH} bytes. The system takes no longer one, so nobody "
            "could ask the vault. Name a shorter one with --socket."
        )
    return Vault(folder.absolute(), where, Setup(rules=rules, monitors=tuple(monitors), allow=allow, grid_s=grid_s, limits=limits))


def ask(at: Path, message: Mapping[str, object]) -> Mapping[str, Any]:
    """Send one message to a vault and return its reply, put together if it is long."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(at))
        channel.sendall(json.dumps(message).encode() + b"\n")
        with channel.makefile("rb") as stream:
            first = json.loads(stream.readline() or b"{}")
            if "part" not in first:
                return dict(first)
            rest = [json.loads(stream.readline()) for _ in range(first["of"] - 1)]
    return dict(json.loads("".join(piece["text"] for piece in (first, *rest))))


def _checked(folder: Path, new: bool) -> tuple[User, User]:
    """Refuse what cannot be a vault; return the two users."""
    from superalign.control.sandbox import sandbox_missing

    if os.getuid() != 0:
        raise BadInput(
            "Only root may open a vault. Vault, runner and researcher must be users that cannot read one another. Run the "
            f"same command as root (sudo {shutil.which('superalign') or 'superalign'} vault ...)."
        )
    if missing := sandbox_missing():
        raise BadInput(missing)
    there = (folder / "vault" / BENCHES).is_dir()
    if new == there:
        said, todo = ("holds a vault already", "Name a new folder") if there else ("holds no vault", "Name one that was made")
        raise BadInput(f"{folder} {said}. Answers and budgets of two campaigns must not be mixed, nor made up. {todo}.")
    return user(VAULT), user(RUNNER)


def _listen(at: Path) -> socket.socket:
    """Listen at a path that everybody may connect to."""
    at.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(at))
    at.chmod(0o666)
    listening.listen(64)
    return listening


def _serve(
    folder: Path, listening: socket.socket, runs: socket.socket, token: str, setup: Setup
) -> None:
    """Be the vault, as its own user."""
    import hashlib

    benches = {path.name: read_bench(path) for path in sorted((folder / BENCHES).iterdir())}
    with Ledger(folder / LEDGER) as ledger:
        judge = Judge(
            desk=Desk(ledger, benches, setup.rules),
            runner=Connection(runs.detach()),
            key=key_of(folder),
            monitors=setup.monitors,
            allow=setup.allow,
        )
        owner = hashlib.sha256(token.encode()).hexdigest()
        Server(listening=listening, judge=judge, owner=owner, grid_s=setup.grid_s).serve()
