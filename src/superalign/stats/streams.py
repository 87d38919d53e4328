"""Random streams by name: what one part draws does not depend on what others drew, and no numbers are picked by hand."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return a random stream of its own for each name.

    Args:
        seed: Of the run or the job.
        names: What is drawn, in words; with a number where there are several.

    Example:
        >>> float(stream(0, "judge errors").random()) == float(stream(0, "judge errors").random())
        True
        >>> float(stream(0, "judge errors").random()) == float(stream(0, "false claims").random())
        False
    """
    digest = hashlib.sha256("\n".join(map(str, names)).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, dtype="<u4").tolist()])


def seed_for(seed: int, *names: str | int) -> int:
    """Return a seed of its own for each name, for what takes a number and not a stream; see `stream`.

    Example:
        >>> seed_for(0, "debates") == seed_for(0, "debates"), seed_for(0, "debates") == seed_for(0, "consultancies")
        (True, False)
    """
    return int(stream(seed, *names).integers(2**31))
