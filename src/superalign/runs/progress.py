"""What a run says while it works: every line to log.jsonl with its time, the gist to the screen."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias, runtime_checkable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from superalign.report import Cost

Said: TypeAlias = str | Mapping[str, Any]
QUIET_S = 5.0  # without a terminal, at most one line of numbers in this time


@runtime_checkable
class Screen(Protocol):
    """Where the gist goes."""

    def __call__(self, said: Mapping[str, Any], /) -> None:
        """Show one thing."""


class RunLog:
    """The log of a run, which outlives attempts: a resumed run appends to it.

    A text is one line. A mapping may hold `stage` (a new stage begins), `done` and `total` (how far it is), `pause` (true while
    a person is asked on the terminal), and any numbers, which are kept.
    """

    def __init__(self, path: Path, *, screen: Screen) -> None:
        self._screen = screen
        _drop_half_line(path)
        self._file: IO[str] = path.open("a", encoding="utf-8", buffering=1)

    def __call__(self, said: Said, /) -> None:
        """Keep one thing with its time, and show it."""
        plain = {"say": said} if isinstance(said, str) else {str(k): v for k, v in said.items()}
        # Read back and compared across attempts, so the clock of the day, not a monotonic one.
        line = {"time_s": round(time.time(), 3), **plain}
        self._file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        self._screen(plain)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()


def _drop_half_line(path: Path) -> None:
    """A kill or a full disk may have cut the last line; what follows must not be glued to it."""
    with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)


@contextlib.contextmanager
def screen_for(stream: IO[str]) -> Iterator[Screen]:
    """Return a progress bar with time left on a terminal, plain lines elsewhere."""
    if not stream.isatty():
        yield _Lines(stream)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[say]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        yield _Bar(progress)


class _Lines:
    """Plain lines: each stage and each text, and numbers now and then."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._last = 0.0
        self._began = time.monotonic()
        self._stage = ""

    def __call__(self, said: Mapping[str, Any], /) -> None:
        if "pause" in said:
            return
        now = time.monotonic()
        begins = str(said.get("stage", self._stage)) != self._stage
        self._stage = str(said.get("stage", self._stage))
        if not (begins or "say" in said) and now - self._last < QUIET_S:
            return
        self._last = now
        text = gist(said)
        if text:
            print(f"[{now - self._began:6.1f} s] {text}", file=self._stream, flush=True)


class _Bar:
    """One bar for the stage that runs; stages that are over stay as a line."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._stage = ""

    def __call__(self, said: Mapping[str, Any], /) -> None:
        if "pause" in said:  # a question to a person must not be drawn over
            (self._progress.stop if said["pause"] else self._progress.start)()
            return
        stage = str(said.get("stage", self._stage))
        if self._task is None or stage != self._stage:
            if self._task is not None:
                self._progress.remove_task(self._task)
                self._progress.console.print(f"done: {self._stage}", highlight=False, markup=False)
            self._stage = stage
            self._task = self._progress.add_task(stage or "working", total=None, say="")
        done, total = said.get("done"), said.get("total")
        rest = gist({k: v for k, v in said.items() if k not in ("stage", "done", "total")})
        self._progress.update(self._task, say=rest[:60], completed=done, total=total)


def gist(said: Mapping[str, Any]) -> str:
    """Return one short line of what was said.

    Example:
        >>> gist({"stage": "plant", "done": 3, "total": 12, "loss": 0.1234567})
        'plant 3 of 12, loss 0.1235'
        >>> gist({"say": "sealed"})
        'sealed'
    """
    if "event" in said:
        return ""
    parts = [str(said["say"])] if "say" in said else []
    if "stage" in said:
        parts.append(str(said["stage"]))
    if "done" in said and "total" in said:
        parts = [" ".join([*parts[:1], f"{said['done']} of {said['total']}"]), *parts[1:]]
    rest = [(k, v) for k, v in said.items() if k not in ("say", "stage", "done", "total")][:6]
    parts += [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rest]
    return ", ".join(parts)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a log; a half line at the end is left out."""
    out = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            plain = json.loads(line)
            if isinstance(plain, dict) and isinstance(plain.get("time_s"), int | float):
                out.append(plain)
    return out


def costs_of(lines: Iterable[Mapping[str, Any]]) -> tuple[tuple[Cost, ...], float]:
    """Tell how long each stage took, in working time: the pauses between attempts are left out.

    Args:
        lines: Of a log, in order. An attempt begins with the event "start"; a stage lasts until the next one.

    Returns:
        The stages, and the working time in all, in seconds.
    """
    stages: list[Cost] = []
    before = 0.0  # working time of earlier attempts
    began = last = 0.0
    name, since = "", 0.0

    def close(at: float) -> None:
        if name and at > since:
            stages.append(Cost(name=name, start_s=round(since, 3), duration_s=round(at - since, 3)))

    for line in lines:
        at = float(line["time_s"])
        if line.get("event") == "start":
            close(before + last - began)
            before += last - began
            began, name = at, "preparing"
            since = before
        last = max(at, began)
        stage = str(line.get("stage", name))
        if stage != name:
            close(before + last - began)
            name, since = stage, before + last - began
    close(before + last - began)
    return tuple(stage for stage in stages if stage.duration_s >= 0.05), round(before + last - began, 3)


def stderr_screen() -> contextlib.AbstractContextManager[Screen]:
    """Return the screen of this process, on standard error: standard output is for what was found."""
    return screen_for(sys.stderr)
