"""What a long map shows meanwhile."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

SHOW_AFTER_S = 5.0


def shown(pairs: Iterator[Any], label: str | None, *, done: int, total: int) -> Iterator[Any]:
    """Pass pairs on; once it takes long, show a bar with the time left on a terminal and lines elsewhere."""
    start = last = time.monotonic()
    update: Callable[[int], None] | None = None
    with contextlib.ExitStack() as stack:
        for fresh, pair in enumerate(pairs, 1):
            yield pair
            now = time.monotonic()
            if label is None or now - start < SHOW_AFTER_S:
                continue
            if sys.stderr.isatty():
                update = update or bar(stack, label, done=done + fresh, total=total)
                update(done + fresh)
            elif now - last >= SHOW_AFTER_S:
                last = now
                left = (now - start) / fresh * (total - done - fresh)
                print(f"{label}: {done + fresh} of {total}, about {left:.0f} s left", file=sys.stderr, flush=True)


def bar(stack: contextlib.ExitStack, label: str, *, done: int, total: int) -> Callable[[int], None]:
    """Open a bar for the time of the stack; what is returned moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    drawn = stack.enter_context(Progress(*columns, console=Console(stderr=True)))
    row = drawn.add_task(label, total=total, completed=done)
    return lambda completed: drawn.update(row, completed=completed)
