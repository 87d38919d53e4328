"""Map a pure function over items, in order: here or over processes, memoised by digest, resumable after a kill."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import multiprocessing
import os
import pickle
import platform
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from superalign import inputs
from superalign.errors import BadInput, SuperalignError
from superalign.files import write_whole
from superalign.inputs import Into as Into
from superalign.types import digest_of, to_plain

Item = TypeVar("Item")
Out = TypeVar("Out")

# Two OpenMP threads beside another busy process were measured 20 times slower than one.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
SHOW_AFTER_S = 5.0
READY = b"ready"  # what a worker says before it takes its first item


@dataclass(frozen=True, slots=True, kw_only=True)
class Memo(Generic[Out]):
    """Where finished values are kept, and how they become bytes.

    A value is named by what it was made from: the function, its arguments and the item, the content of every file and folder
    that these name, and the code. A path that a job writes to is given as `Into`.
    """

    folder: Path
    version: str  # change it where the content of the code does not tell: values of another version are not used
    encode: Callable[[Out], bytes]
    decode: Callable[[bytes], Out]


def run(
    function: Callable[[Item], Out],
    items: Sequence[Item],
    *,
    workers: int = 1,
    memo: Memo[Out] | None = None,
    progress: str | None = None,
) -> list[Out]:
    """Map a pure function over items.

    Args:
        function: Pure; for several workers or a memo, a function of a module (or a `functools.partial` of one).
        items: With a memo, records or plain values: their digests name the values.
        workers: Processes, each with one thread; 1 stays in this process.
        memo: Keep each value as soon as it is there; the same call after a kill computes only what is missing.
        progress: What is going on, in a word or two; shown with the time left once it takes longer than five seconds.

    Returns:
        One value per item, in the order of the items.

    Raises:
        BadInput: If workers is below 1, or the function has no name that a memo or another process could find.
        SuperalignError: If a worker died; the message names the item.

    Example:
        >>> run(abs, [-1, 2, -3])
        [1, 2, 3]
    """
    if workers < 1:
        raise BadInput(f"{workers} workers cannot do any work. Nothing would ever finish. Give 1 or more.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers > cores:
        text = "They take turns, so this takes longer than with fewer."
        warnings.warn(f"{workers} workers on {cores} cores. {text} Use at most {cores}.", stacklevel=2)
    name = _name(function) if memo is not None or workers > 1 else []
    places = [] if memo is None else [_place(name, item, memo) for item in items]
    paths = [path for path, _ in places]
    kept = {i: data for i, path in enumerate(paths) if (data := _recall(path)) is not None}
    values: dict[int, Any] = {} if memo is None else {i: memo.decode(data) for i, data in kept.items()}
    todo = [i for i in range(len(items)) if i not in values]
    work = functools.partial(_work, function, None if memo is None else memo.encode)
    here = ((i, work(i, items[i])) for i in todo)
    same = "" if memo is None else inputs.code()  # what is kept must not be made by other code than its name says
    pairs = here if workers == 1 else _over(work, items, todo, workers=workers, code=same)
    for i, value in _shown(pairs, progress, done=len(values), total=len(items)):
        if memo is None:
            values[i] = value
        else:
            _check_inputs(places[i][1], own=memo.folder.parent.resolve())
            _keep(paths[i], value)
            values[i] = memo.decode(value)  # so that a first run returns what a resumed one does
    return [values[i] for i in range(len(items))]


def _work(function: Callable[[Any], Any], encode: Callable[[Any], bytes] | None, i: int, item: Any) -> Any:
    try:
        value = function(item)
        return value if encode is None else encode(value)
    except Exception as error:
        error.add_note(f"This happened {_while(i, item)}.")
        raise


def _over(
    work: Callable[..., Any], items: Sequence[Any], todo: list[int], *, workers: int, code: str
) -> Iterator[tuple[int, Any]]:
    """Hand out one item at a time, so that a worker that dies is known by its item.

    An item whose worker was killed is given out again when fewer workers run, and given up only when it was alone.
    """
    waiting = deque(todo)
    busy: dict[Connection, tuple[BaseProcess, int]] = {}
    begun: set[Connection] = set()  # workers that came as far as their first item
    hide_main = not _speaks_of_main(work, items, todo)
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                pipe, process = _start(work, hide_main=hide_main, code=code)
                busy[pipe] = process, waiting.popleft()
                _send(pipe, (busy[pipe][1], items[busy[pipe][1]]))
            ready = wait(list(busy))
            for pipe in [pipe for pipe in busy if pipe in ready]:
                process, i = busy[pipe]
                try:
                    good, value = pipe.recv()
                except (EOFError, OSError):
                    del busy[pipe]
                    process.join()
                    pipe.close()
                    workers = _fewer(process, workers, others=len(busy), begun=pipe in begun, what=_while(i, items[i]))
                    waiting.appendleft(i)
                    continue
                if good == READY:
                    begun.add(pipe)
                    continue
                if not good and starved(value) and (len(busy) > 1 or workers > 1):
                    workers = _fewer(None, workers, others=len(busy) - 1, begun=True, what=_while(i, items[i]))
                    waiting.append(i)
                elif not good:
                    raise value
                if waiting and len(busy) <= workers:
                    busy[pipe] = process, waiting.popleft()
                    _send(pipe, (busy[pipe][1], items[busy[pipe][1]]))
                else:
                    del busy[pipe]
                    pipe.close()
                    process.join()
                if good:
                    yield i, value
    finally:
        for pipe, (process, _) in busy.items():
            process.terminate()
            process.join()
            pipe.close()


def starved(error: BaseException) -> bool:
    """Say whether an error means that memory ran out.

    Example:
        >>> starved(MemoryError()), starved(ValueError("1 is not 2"))
        (True, False)
    """
    words = ("can't allocate memory", "out of memory", "cannot allocate memory")
    return isinstance(error, MemoryError) or any(w in str(error).lower() for w in words)


def _send(pipe: Connection, what: Any) -> None:
    """Hand an item to a worker; if it is dead already, that shows when it is read from."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.send(what)


def _fewer(process: BaseProcess | None, workers: int, *, others: int, begun: bool, what: str) -> int:
    """Say how many workers to go on with after one was killed or found no memory.

    Raises:
        BadInput: If it was alone, or could not begin.
        SuperalignError: If it died of something else.
    """
    code = None if process is None else process.exitcode
    if code not in (None, -signal.SIGKILL):
        if not begun:
            raise BadInput(
                f"A worker ended before it took any work (exit code {code}). Where functions or items belong to a script, each "
                'worker reads that script anew. Put the call under `if __name__ == "__main__":`, or call with workers=1; what '
                "the worker itself said stands above."
            )
        raise SuperalignError(
            f"A worker died (exit code {code}) {what}. Its value is missing, so the study cannot go on. "
            "Run the same command again; if it dies again, report it."
        )
    how = "A worker found no memory" if process is None else f"A worker died (exit code {code})"
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


def _speaks_of_main(work: Callable[..., Any], items: Sequence[Any], todo: list[int]) -> bool:
    """Say whether workers need the script that runs here: only then do they read it anew."""
    return b"__main__" in pickle.dumps((work, [items[i] for i in todo]))


def _start(work: Callable[..., Any], *, hide_main: bool, code: str) -> tuple[Connection, BaseProcess]:
    """Start one worker with one thread; libraries read the number of threads when they are first imported."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, code, inputs.stamp() if code else ""), daemon=True)
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
    theirs.close()
    return ours, process


def _serve(pipe: Connection, work: Callable[..., Any], code: str, stamp: str) -> None:
    """A worker's life: it ends when the pipe does, and at once if the parent was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        pipe.send((READY, None))
        while True:
            i, item = pipe.recv()
            try:
                if code and inputs.stamp() != stamp and inputs.code() != code:
                    raise BadInput(
                        "The code of superalign changed while this was running. Values of old and new code would be mixed. "
                        "Give the same command again: what the old code made is computed anew."
                    )
                data = pickle.dumps((True, work(i, item)))
            except Exception as error:
                data = _portable(error)
            pipe.send_bytes(data)


def _die_with_parent() -> None:
    """End this process when the parent is gone: the same command may be running again, and write to the same files."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _portable(error: Exception) -> bytes:
    error.add_note(f"In a worker:\n{traceback.format_exc()}")
    try:
        data = pickle.dumps((False, error))
        pickle.loads(data)
    except Exception:  # some exceptions cannot travel
        data = pickle.dumps((False, SuperalignError("\n".join([f"{type(error).__name__}: {error}", *error.__notes__]))))
    return data


def _while(i: int, item: Any) -> str:
    text = repr(item)
    return f"while working on item {i} ({text if len(text) <= 80 else text[:77] + '...'})"


def _name(function: Callable[[Any], Any]) -> list[Any]:
    arguments: list[Any] = []
    while isinstance(function, functools.partial):
        arguments += [function.args, function.keywords]
        function = function.func
    name = f"{getattr(function, '__module__', None)}.{getattr(function, '__qualname__', '<none>')}"
    if "<" in name:
        raise BadInput(
            f"{name} has no name of its own. Neither a memo nor another process could find it again. "
            "Define it at the top of a module, or call with workers=1 and no memo."
        )
    return [name, *arguments]


def _place(name: list[Any], item: Any, memo: Memo[Any]) -> tuple[Path, dict[str, str]]:
    """Where a value is kept, by all that it is made from; and which files and folders are among that."""
    module = name[0].rpartition(".")[0]
    while module and module not in sys.modules:  # a method's name holds its class
        module = module.rpartition(".")[0]
    try:
        plain = to_plain({"function": name, "version": memo.version, "item": item})
        named = inputs.digests([plain["function"][1:], plain["item"]], run=memo.folder)
        code = {"code": inputs.code(), "around": inputs.code_around(module)}
        return memo.folder / digest_of({**plain, **code, "inputs": named}), named
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"An item or argument has no digest ({error}). A memo could not tell it from another. "
            "Pass records, strings and numbers, or call without a memo."
        ) from error


def _check_inputs(before: dict[str, str], *, own: Path) -> None:
    """Refuse to keep a value if what it was made from, outside of the run's own folder, is no longer what its name says."""
    for text, found in before.items():
        path = inputs.named(text)
        inside = path is not None and path.resolve().is_relative_to(own)
        if not inside and inputs.digests([text], run=own).get(text) != found:
            raise BadInput(
                f"{text} changed while this was running. What was measured may be of either content, so it was not kept. "
                "Leave it alone until the run has ended, and give the same command again. (Code that writes there gives it as "
                "superalign.jobs.Into.)"
            )


def _recall(path: Path) -> bytes | None:
    """Read a kept value; one that was damaged counts as missing and is computed again."""
    try:
        digest, _, data = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    return data if hashlib.sha256(data).hexdigest().encode() == digest else None


def _keep(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # What a power cut damages is seen by its digest and computed again: not worth a wait for the disk.
    write_whole(path, hashlib.sha256(data).hexdigest().encode() + b"\n" + data, durable=False)


def _shown(pairs: Iterator[Any], label: str | None, *, done: int, total: int) -> Iterator[Any]:
    """Pass pairs on; once it takes long, show a bar with the time left on a terminal and lines elsewhere."""
    start = shown = time.monotonic()
    update: Callable[[int], None] | None = None
    with contextlib.ExitStack() as stack:
        for fresh, pair in enumerate(pairs, 1):
            yield pair
            now = time.monotonic()
            if label is None or now - start < SHOW_AFTER_S:
                continue
            if sys.stderr.isatty():
                update = update or _bar(stack, label, done=done + fresh, total=total)
                update(done + fresh)
            elif now - shown >= SHOW_AFTER_S:
                shown = now
                left = (now - start) / fresh * (total - done - fresh)
                print(f"{label}: {done + fresh} of {total}, about {left:.0f} s left", file=sys.stderr, flush=True)


def _bar(stack: contextlib.ExitStack, label: str, *, done: int, total: int) -> Callable[[int], None]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = stack.enter_context(Progress(*columns, console=Console(stderr=True)))
    row = bar.add_task(label, total=total, completed=done)
    return lambda completed: bar.update(row, completed=completed)
