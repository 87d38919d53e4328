"""Work in processes of this machine: each has one item at a time, so that one that dies is known by its item."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import platform
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from superalign.errors import BadInput, SuperalignError
from superalign.jobs.work import ONE_THREAD, Work, answer, starved, while_on

READY = b"ready"  # what a worker says before it takes its first item


@dataclass(frozen=True, slots=True)
class Processes:
    """An executor: processes that end with this one."""

    def cores(self) -> int:
        """Return the processor cores that this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def each(self, work: Work, items: Sequence[Any], todo: Sequence[int], *, workers: int) -> Iterator[tuple[int, Any]]:
        """Hand out one item at a time.

        An item whose worker was killed is given out again when fewer workers run, and given up only when it was alone.
        """
        if workers > self.cores():
            text = "They take turns, so this takes longer than with fewer."
            warnings.warn(
                f"{workers} workers on {self.cores()} cores. {text} Use at most {self.cores()}.", stacklevel=2
            )
        waiting = deque(todo)
        busy: dict[Connection, _Worker] = {}
        hide_main = not _speaks_of_main(work, items, todo)
        try:
            while waiting or busy:
                while waiting and len(busy) < workers:
                    worker = _start(work, hide_main=hide_main)
                    busy[worker.pipe] = worker
                    worker.take(waiting.popleft(), items)
                ready = wait(list(busy))
                for worker in [worker for pipe, worker in busy.items() if pipe in ready]:
                    i, what = worker.i, while_on(worker.i, items[worker.i])
                    try:
                        good, value = worker.pipe.recv()
                    except (EOFError, OSError):
                        del busy[worker.pipe]
                        worker.end()
                        workers = _fewer(worker, workers, others=len(busy), what=what)
                        waiting.appendleft(i)
                        continue
                    if good == READY:
                        worker.begun = True
                        continue
                    if not good and starved(value) and (len(busy) > 1 or workers > 1):
                        workers = _fewer(None, workers, others=len(busy) - 1, what=what)
                        waiting.append(i)
                    elif not good:
                        raise value
                    if waiting and len(busy) <= workers:
                        worker.take(waiting.popleft(), items)
                    else:
                        del busy[worker.pipe]
                        worker.end()
                    if good:
                        yield i, value
        finally:
            for worker in busy.values():
                worker.process.terminate()
                worker.end()


@dataclass(slots=True, kw_only=True)
class _Worker:
    """A process, and the item that it has."""

    process: BaseProcess
    pipe: Connection
    i: int = -1
    begun: bool = False  # it came as far as its first item

    def take(self, i: int, items: Sequence[Any]) -> None:
        """Hand it an item; if it is dead already, that shows when it is read from."""
        self.i = i
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send((i, items[i]))

    def end(self) -> None:
        """Close its pipe, which ends it, and wait for that."""
        self.pipe.close()
        self.process.join()


def _fewer(dead: _Worker | None, workers: int, *, others: int, what: str) -> int:
    """Say how many workers to go on with after one was killed or found no memory.

    Raises:
        BadInput: If it was alone, or could not begin.
        SuperalignError: If it died of something else.
    """
    code = None if dead is None else dead.process.exitcode
    if code not in (None, -signal.SIGKILL):
        if dead is not None and not dead.begun:
            raise BadInput(
                f"A worker ended before it took any work (exit code {code}). Where functions or items belong to a script, each "
                'worker reads that script anew. Put the call under `if __name__ == "__main__":`, or call with workers=1; what '
                "the worker itself said stands above."
            )
        raise SuperalignError(
            f"A worker died (exit code {code}) {what}. Its value is missing, so the study cannot go on. "
            "Run the same command again; if it dies again, report it."
        )
    how = "A worker found no memory" if dead is None else f"A worker died (exit code {code})"
    held = f"The largest worker held {_peak_gib():.2g} GiB, and {_free_gib():.2g} GiB are free now"
    if others == 0 and workers == 1:
        raise BadInput(
            f"{how} {what}, most likely because memory ran out. {held}; it ran alone, and its value is missing. Free memory, "
            "use a machine with more, or make the work smaller, then give the same command again: what was finished is kept."
        )
    fewer = max(1, workers // 2)
    warnings.warn(
        f"{how} {what}, most likely because memory ran out. {held}. Going on with {fewer} at a time; give --workers {fewer}.",
        stacklevel=2,
    )
    return fewer


def _peak_gib() -> float:
    """The most memory that any worker which has ended held."""
    import resource

    unit = 1 if platform.system() == "Darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 2**30


def _free_gib() -> float:
    """Memory that can be had now."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _speaks_of_main(work: Work, items: Sequence[Any], todo: Sequence[int]) -> bool:
    """Say whether workers need the script that runs here: only then do they read it anew."""
    return b"__main__" in pickle.dumps((work, [items[i] for i in todo]))


def _start(work: Work, *, hide_main: bool) -> _Worker:
    """Start one worker with one thread; libraries read the number of threads when they are first imported."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=True)
    before, main = dict(os.environ), sys.modules["__main__"]
    os.environ.update(ONE_THREAD)
    if hide_main:  # a script without a guard would start its work again in every worker
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
        for name in ONE_THREAD:
            os.environ.pop(name)
        os.environ.update(before)
    theirs.close()  # so that a worker's death in the middle of a value ends the wait for the rest of it
    return _Worker(process=process, pipe=ours)


def _serve(pipe: Connection, work: Work) -> None:
    """A worker's life: it ends when the pipe does, and at once if the parent was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        pipe.send((READY, None))
        while True:
            pipe.send_bytes(answer(work, *pipe.recv()))


def _die_with_parent() -> None:
    """End this process when the parent is gone: the same command may be running again, and write to the same files."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
