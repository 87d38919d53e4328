"""Work on a Ray cluster, one task an item. Workers give values back; what is kept is written by this process alone.

All machines must see the working directory, the run's folder and what settings name under the same paths, and have the same
versions installed; `Origin` refuses what differs. Environment variables (keys of providers, caches) are each machine's own.
"""

from __future__ import annotations

import os
import pickle
import platform
import socket
import sys
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from superalign.errors import BadInput
from superalign.jobs.work import ONE_THREAD, Work, answer, starved, while_on

TRIES = 3  # an item that has ended so many workers is given up


@dataclass(frozen=True, slots=True)
class Ray:
    """An executor: the Ray cluster at an address, or one of this machine alone that ends with this process."""

    address: str = "local"

    def cores(self) -> int:
        """Return the processor cores of all machines."""
        return max(1, int(_connected(self.address).cluster_resources().get("CPU", 1)))

    def each(self, work: Work, items: Sequence[Any], todo: Sequence[int], *, workers: int) -> Iterator[tuple[int, Any]]:
        """Hand out items; one whose worker or machine was lost is given out again, at most `TRIES` times in all."""
        ray = _connected(self.address)
        task = ray.remote(num_cpus=1, max_retries=0)(_serve)
        shared, place = ray.put(ray.cloudpickle.dumps(work)), (os.getcwd(), tuple(sys.path))
        waiting, lost = deque(todo), Counter[int]()
        busy: dict[Any, int] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < workers:
                    i = waiting.popleft()
                    busy[task.remote(shared, place, i, ray.cloudpickle.dumps(items[i]))] = i
                (done,), _ = ray.wait(list(busy))
                i = busy.pop(done)
                what = while_on(i, items[i])
                try:
                    good, value = pickle.loads(ray.get(done))
                except ray.exceptions.RayTaskError as error:
                    raise BadInput(
                        f"A machine of the cluster cannot do the work ({error.cause}). Its values are missing. Install what is "
                        "here there too, in the same versions, then give the same command again: what was finished is kept."
                    ) from error
                except ray.exceptions.RayError as error:
                    lost[i] += 1
                    _tell_lost(error, tries=lost[i], what=what)
                    waiting.appendleft(i)
                    continue
                if good:
                    yield i, value
                elif starved(value) and (busy or workers > 1):
                    workers = max(1, workers // 2)
                    warnings.warn(f"A worker found no memory {what}. Going on with {workers} at a time.", stacklevel=2)
                    waiting.append(i)
                else:
                    raise value
        finally:
            for ref in busy:
                ray.cancel(ref, force=True)


def _tell_lost(error: Exception, *, tries: int, what: str) -> None:
    """Say that a worker was lost.

    Raises:
        BadInput: If the item has ended too many.
    """
    how = f"A worker of the cluster was lost {what}"
    why = " ".join(str(error).split())[:200]
    if tries == TRIES:
        raise BadInput(
            f"{how}, as were {TRIES - 1} before, most likely because memory ran out ({why}). Its value is missing. Use "
            "machines with more, or make the work smaller, then give the same command again: what was finished is kept."
        )
    warnings.warn(f"{how} ({why}). The item is done again.", stacklevel=2)


def check_answers(address: str) -> None:
    """Refuse an address HOST:PORT where nobody listens at once; Ray itself tries for most of a minute.

    Raises:
        BadInput: If nobody does.
    """
    host, colon, port = address.rpartition(":")
    if colon and "/" not in address:
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except (OSError, ValueError) as error:
            raise _silent(address, error) from error


def _silent(address: str, error: Exception) -> BadInput:
    return BadInput(
        f"No Ray cluster answers at {address} ({' '.join(str(error).split())[:200]}). Nothing was run. Start one with "
        "`ray start --head`, give its address as --executor ray:HOST:PORT, or leave --executor out."
    )


def _connected(address: str) -> Any:
    """Ray, connected to the cluster.

    Raises:
        BadInput: If no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing of a run is told to anybody
    import ray

    if not ray.is_initialized():
        try:
            ray.init(address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _silent(address, error) from error
    return ray


def _serve(work: bytes, place: tuple[str, tuple[str, ...]], i: int, item: bytes) -> bytes:
    """Do one item in a worker, as if where the command was given; imports wait until the number of threads is set."""
    os.environ.update(ONE_THREAD)
    folder, path = place
    sys.path += [p for p in path if p not in sys.path]

    def there(i: int, item: bytes) -> Any:
        try:
            os.chdir(folder)
        except OSError as error:
            raise BadInput(
                f"{platform.node()} has no working directory {folder} ({error.strerror}). Paths would mean something else "
                "there. Give the command in a folder that all machines of the cluster see under the same path."
            ) from error
        return pickle.loads(work)(i, pickle.loads(item))

    return answer(there, i, item)
