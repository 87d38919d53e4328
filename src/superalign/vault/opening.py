"""Opens a vault: folders that others cannot read, a runner and a vault as users of their own, and the owner's handle on both."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from superalign.control.identities import RESEARCHER, RUNNER, VAULT, ask_ids, let_ask, start_as, user
from superalign.control.sandbox import Limits, check_walls
from superalign.errors import BadInput
from superalign.ledger import Ledger
from superalign.ledger.signing import key_of
from superalign.monitors.approval import TICK_S, Allow, allow_unflagged
from superalign.monitors.reading import Monitor
from superalign.runner.running import LIMITS, run, start
from superalign.vault.benches import Bench, read_bench, write_bench
from superalign.vault.desk import Desk, Rules
from superalign.vault.judging import Judge
from superalign.vault.server import serve

MOST_PATH = 100  # bytes of the path of a Unix socket
GONE_S = 5.0  # in which a process that broke a connection off has ended
MENDS, WITHIN_S = 4, 60.0  # times that processes end of themselves: more in so many seconds is no accident
FIRST = Rules()


@dataclass
class Vault:
    """The owner's handle: starts the two processes, starts them again, and closes the vault for good."""

    folder: Path
    socket: Path
    rules: Rules
    monitors: Sequence[Monitor]
    allow: Allow
    grid_s: float  # answers leave at multiples of so many seconds
    limits: Limits  # of an artefact
    asks: str  # user or group
    token: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    processes: tuple[BaseProcess, ...] = ()  # vault and runner
    faults_s: list[float] = field(default_factory=list)  # when either had ended without having been killed

    def start(self) -> None:
        """Start vault and runner; what the ledger holds goes on from there."""
        self.socket.unlink(missing_ok=True)
        runs, running = start(self.folder / "runner", self.limits)
        with socket.socket(socket.AF_UNIX) as listening, runs:
            listening.bind(str(self.socket))
            let_ask(self.socket, self.asks)
            listening.listen(64)
            serving = start_as(user(VAULT), _serve, self, listening, runs, reach=(self.folder / "vault",))
        self.processes = (serving, running)

    def stop(self) -> None:
        """End both processes; the vault may be started again."""
        for process in self.processes:
            process.kill()
            process.join()
        self.processes = ()

    def mend(self, *, within_s: float = 0.0) -> bool:
        """Start both processes again where either is gone, waiting so long for that; say whether it was so.

        Nothing is lost: the ledger is the state, and whoever asked asks again.

        Raises:
            BadInput: If they end again and again, and nobody killed them.
        """
        until = time.monotonic() + within_s
        while all(process.is_alive() for process in self.processes):  # a sentinel says nothing: the runner is an exec
            if time.monotonic() >= until:
                return False
            time.sleep(TICK_S)
        by_signal = any((process.exitcode or 0) < 0 for process in self.processes)
        self.stop()
        self.faults_s += [] if by_signal else [time.monotonic()]
        if self.faults_s[MENDS:] and self.faults_s[-1] - self.faults_s[-1 - MENDS] < WITHIN_S:
            raise BadInput(
                f"The vault in {self.folder} ends as soon as it is started. Nobody is answered. Look for what it said before, "
                f"and verify its ledger: superalign vault check {self.folder}."
            )
        self.start()
        return True

    def ask(self, message: Mapping[str, object]) -> Mapping[str, Any]:
        """Ask as anybody may; where there is no reply because a process is gone, mend that and ask again."""
        while True:
            try:
                return ask(self.socket, message)
            except (OSError, ValueError):
                if not self.mend(within_s=GONE_S):
                    raise

    def close(self) -> Mapping[str, Any]:
        """Close the vault for ever; return exact scores, readings, and which questions were twins."""
        return self.ask({"do": "owner", "what": "close", "token": self.token})

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
    rules: Rules = FIRST,
    monitors: Sequence[Monitor] = (),
    allow: Allow = allow_unflagged,
    grid_s: float = 1.0,
    limits: Limits = LIMITS,
    asks: str = RESEARCHER,
) -> Vault:
    """Make a vault in a folder, or find the one that is there; `with` starts it.

    Args:
        folder: Where to; new, if benches are given.
        benches: Questions with their answers; none, to go on with those that are there.
        at: Where the socket is to be, in a folder that a researcher may reach.
        rules: What it promises, of a vault that is there the same as before.
        monitors: What reads submissions and traces.
        allow: Who lets a submission run.
        grid_s: Answers leave at multiples of so many seconds.
        limits: Of an artefact.
        asks: The user, or group, that may ask; nobody else can connect but root.

    Raises:
        BadInput: If this is not root, a user is missing, there is no sandbox, nobody has the name of who asks, or the folder
            holds no vault, or one already.
    """
    _check(folder, new=bool(benches))
    ask_ids(asks)
    folder = folder.absolute()
    where = (at or folder / "public" / "vault.sock").absolute()
    if len(bytes(where)) > MOST_PATH:
        raise BadInput(
            f"The path of the socket, {where}, has more than {MOST_PATH} bytes. The system takes no longer one, so nobody "
            "could ask the vault. Name a shorter one with --socket."
        )
    if benches:
        for bench in benches:
            write_bench(bench, folder / "vault" / "benches")
        for name, who, mode in (("vault", VAULT, 0o700), ("runner", RUNNER, 0o700), ("public", "root", 0o755)):
            (folder / name / "queue" if who == VAULT else folder / name).mkdir(exist_ok=True)
            for path in ((folder / name), *(folder / name).rglob("*")):
                shutil.chown(path, who)
                path.chmod(mode if path.is_dir() else 0o600)
    return Vault(
        folder, where, rules=rules, monitors=tuple(monitors), allow=allow, grid_s=grid_s, limits=limits, asks=asks
    )


def ask(at: Path, message: Mapping[str, object]) -> Mapping[str, Any]:
    """Send one message to a vault and return its reply, put together if it is long."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(at))
        channel.sendall(json.dumps(message).encode() + b"\n")
        with channel.makefile("rb") as stream:
            first = json.loads(stream.readline())
            pieces = [first, *(json.loads(stream.readline()) for _ in range(first.get("of", 1) - 1))]
    return dict(json.loads("".join(piece["text"] for piece in pieces)) if "part" in first else first)


def _check(folder: Path, *, new: bool) -> None:
    """Refuse what cannot be a vault."""
    check_walls()
    there = (folder / "vault" / "benches").is_dir()
    if new == there:
        said, todo = ("holds a vault already", "Name a new folder") if new else ("holds no vault", "Name one that does")
        raise BadInput(f"{folder} {said}. Answers and budgets of two campaigns must not be mixed, nor made up. {todo}.")


def _serve(vault: Vault, listening: socket.socket, runs: socket.socket) -> None:
    """Be the vault, as its own user."""
    folder = vault.folder / "vault"
    benches = {path.name: read_bench(path) for path in sorted((folder / "benches").iterdir())}
    owner = hashlib.sha256(vault.token.encode()).hexdigest()
    vault.token = ""
    with Ledger(folder / "ledger") as ledger:
        ran, key = partial(run, Connection(runs.detach())), key_of(folder)
        desk = Desk(ledger, benches, vault.rules)
        judge = Judge(desk=desk, run=ran, key=key, monitors=vault.monitors, allow=vault.allow)
        serve(listening, judge, owner, grid_s=vault.grid_s)
