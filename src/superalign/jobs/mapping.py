"""The map itself: what is kept is read, the rest is worked on, and each value is kept as soon as it is there."""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from superalign import inputs
from superalign.errors import BadInput
from superalign.jobs import executors
from superalign.jobs.memo import Memo, keep, name_of, place_of, recall
from superalign.jobs.shown import shown
from superalign.jobs.work import Origin, changed, do

Item = TypeVar("Item")
Out = TypeVar("Out")


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
        workers: How many items at once, each with one thread; 1 stays in this process, more go to the executor (`using`).
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
    name = name_of(function) if memo is not None or workers > 1 else []
    places = [] if memo is None else [place_of(name, item, memo) for item in items]
    kept = {i: data for i, (path, _) in enumerate(places) if (data := recall(path)) is not None}
    values: dict[int, Any] = {} if memo is None else {i: memo.decode(data) for i, data in kept.items()}
    todo = [i for i in range(len(items)) if i not in values]
    origin = None if memo is None else _origin(memo, named={i: places[i][1] for i in todo})
    work = functools.partial(do, function, None if memo is None else memo.encode, origin)
    if memo is not None and todo:
        memo.own.mkdir(parents=True, exist_ok=True)  # a worker that does not see it is on a machine that shares no disk
    here = ((i, work(i, items[i])) for i in todo)
    pairs = here if workers == 1 else executors.current().each(work, items, todo, workers=workers)
    for i, value in shown(pairs, progress, done=len(values), total=len(items)):
        if memo is None:
            values[i] = value
        else:
            path, named = places[i]
            _refuse_changed(named, memo)
            keep(path, value)
            values[i] = memo.decode(value)  # so that a first run returns what a resumed one does
    return [values[i] for i in range(len(items))]


def _origin(memo: Memo[Any], *, named: Mapping[int, Mapping[str, str]]) -> Origin:
    """What is kept must not be made from anything else than its name says."""
    return Origin(host=platform.node(), code=inputs.code(), stamp=inputs.stamp(), named=named, own=memo.own)


def _refuse_changed(named: Mapping[str, str], memo: Memo[Any]) -> None:
    """Refuse to keep a value if what it was made from, outside of the run's own folder, is no longer what its name says."""
    for text in changed(named, own=memo.own):
        raise BadInput(
            f"{text} changed while this was running. What was measured may be of either content, so it was not kept. "
            "Leave it alone until the run has ended, and give the same command again. (Code that writes there gives it as "
            "superalign.jobs.Into.)"
        )
