"""Ask for less memory after a kill: a process that the system killed for its memory cannot say so, but it leaves a mark."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from superalign.files import write_whole

COUNTER = Path("/proc/vmstat")


def memory_kills() -> int:
    """Count the processes that this machine killed for their memory since it started; 0 where it does not count them."""
    with contextlib.suppress(OSError, ValueError):
        for line in COUNTER.read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


@contextlib.contextmanager
def parts_of_update(mark: Path) -> Iterator[int]:
    """Say in how many parts updates are to be computed: twice as many as in a try that ended in a kill for memory.

    Args:
        mark: A file that is there while the work is, and stays behind a kill.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, parts_of_update(Path(folder) / "mark") as parts:
        ...     parts
        1
    """
    parts, kills = 1, memory_kills()
    if mark.exists():
        before, then = map(int, mark.read_text(encoding="ascii").split())
        parts = before * 2 if kills > then else before
    mark.parent.mkdir(parents=True, exist_ok=True)
    write_whole(mark, f"{parts} {kills}")
    try:
        yield parts
    finally:
        mark.unlink()
