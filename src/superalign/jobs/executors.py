"""Which executor work goes to: processes of this machine, unless the command line names another.

A study maps functions over items and hands on how many workers there may be; where they are is not its matter, since results
must not depend on it. So the executor is no argument of twenty studies: the runner sets it for the time of a study (`using`),
`run` reads it, and nothing else does.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from contextvars import ContextVar

from superalign.errors import BadInput
from superalign.jobs.cluster import Ray, check_answers
from superalign.jobs.processes import Processes
from superalign.jobs.work import Executor

_current: ContextVar[Executor] = ContextVar("executor", default=Processes())  # noqa: B039  a record without fields


def current() -> Executor:
    """Return the executor that `run` gives work to."""
    return _current.get()


@contextlib.contextmanager
def using(executor: Executor) -> Iterator[None]:
    """Give the work of the block to an executor.

    Example:
        >>> with using(Ray("10.0.0.1:6379")):
        ...     current()
        Ray(address='10.0.0.1:6379')
    """
    token = _current.set(executor)
    try:
        yield
    finally:
        _current.reset(token)


def executor_named(name: str) -> Executor:
    """Make the executor that a name stands for: local, ray or ray:ADDRESS. Nothing is started yet.

    Raises:
        BadInput: If there is none of this name, Ray is not installed, or nobody listens at the address.

    Example:
        >>> executor_named("local")
        Processes()
    """
    if name == "local":
        return Processes()
    kind, colon, address = name.partition(":")
    if kind != "ray" or (colon and not address):
        raise BadInput(
            f"There is no executor {name!r}. Nothing was run. Choose local, ray, or ray:ADDRESS (HOST:PORT, or auto for the "
            "cluster that this machine belongs to)."
        )
    if importlib.util.find_spec("ray") is None:
        raise BadInput(
            "Ray is not installed. --executor ray hands work to it, and superalign comes without. "
            "Install it with: pip install 'superalign[cluster]'"
        )
    check_answers(address)
    return Ray(address or "local")
