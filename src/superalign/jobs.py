"""Map a pure function over items, in order: here or over processes, memoised by digest, resumable after a kill."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

from superalign.errors import BadInput, SuperalignError
from superalign.types import digest_of

Item = TypeVar("Item")
Out = TypeVar("Out")

# Two OpenMP threads beside another busy process were measured 20 times slower than one.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
SHOW_AFTER_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memo(Generic[Out]):
    """Where finished values are kept, and how they become bytes."""

    folder: Path
    version: str  # change it when the function changes: values of another version are not used
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
    paths = [] if memo is None else [_path(name, item, memo) for item in items]
    kept = {i: data for i, path in enumerate(paths) if (data := _recall(path)) is not None}
    values: dict[int, Any] = {} if memo is None else {i: memo.decode(data) for i, data in kept.items()}
    todo = [i for i in range(len(items)) if i not in values]
    work = functools.partial(_work, function, None if memo is None else memo.encode)
    here = ((i, work(i, items[i])) for i in todo)
    pairs = here if workers == 1 else _over(work, items, todo, workers=workers)
    for i, value in _shown(pairs, progress, done=len(values), total=len(items)):
        if memo is None:
            values[i] = value
        else:
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
    work: Callable[..., Any], items: Sequence[Any], todo: list[int], *, workers: int
) -> Iterator[tuple[int, Any]]:
    """Hand out one item at a time, so that a worker that dies is known by its item."""
    waiting = iter(todo)
    busy: dict[Connection, tuple[BaseProcess, int]] = {}
    try:
        for _, i in zip(range(workers), waiting, strict=False):
            pipe, process = _start(work)
            busy[pipe] = process, i
            pipe.send((i, items[i]))
        while busy:
            ready = wait(list(busy))
            for pipe in [pipe for pipe in busy if pipe in ready]:
                process, i = busy[pipe]
                try:
                    good, value = pipe.recv()
                    if good and (following := next(waiting, None)) is not None:
                        pipe.send((following, items[following]))
                except (EOFError, OSError):
                    process.join()
                    raise SuperalignError(
                        f"A worker died (exit code {process.exitcode}) {_while(i, items[i])}. Its value is missing, so "
                        "the study cannot go on. If memory ran out (-9), use fewer workers; run the same command again."
                    ) from None
                if not good:
                    raise value
                if following is not None:
                    busy[pipe] = process, following
                else:
                    del busy[pipe]
                    pipe.close()
                    process.join()
                yield i, value
    finally:
        for pipe, (process, _) in busy.items():
            process.terminate()
            process.join()
            pipe.close()


def _start(work: Callable[..., Any]) -> tuple[Connection, BaseProcess]:
    """Start one worker with one thread; libraries read the number of threads when they are first imported."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=True)
    before = dict(os.environ)
    os.environ.update(ONE_THREAD)
    try:
        process.start()
    finally:
        for name in ONE_THREAD:
            os.environ.pop(name)
        os.environ.update(before)
    theirs.close()
    return ours, process


def _serve(pipe: Connection, work: Callable[..., Any]) -> None:
    """A worker's life: it ends when the pipe does, and at once if the parent was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while True:
            i, item = pipe.recv()
            try:
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


def _path(name: list[Any], item: Any, memo: Memo[Any]) -> Path:
    try:
        return memo.folder / digest_of({"function": name, "version": memo.version, "item": item})
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"An item or argument has no digest ({error}). A memo could not tell it from another. "
            "Pass records, strings and numbers, or call without a memo."
        ) from error


def _recall(path: Path) -> bytes | None:
    """Read a kept value; one that was damaged counts as missing and is computed again."""
    try:
        digest, _, data = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    return data if hashlib.sha256(data).hexdigest().encode() == digest else None


def _keep(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
    os.replace(temporary, path)


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
