"""Random numbers that depend on who asks, not on who else is in the batch.

A rollout's key comes from the seed, its prompt's tokens and its index among the rollouts of that prompt. The number for
its t-th token is a hash of (key, t). So a rollout is the same whatever else is sampled beside it, in any order.

Shape suffixes: R rollouts, T tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, UInt64

_STEP = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers (the finaliser of SplitMix64)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def rollout_keys(prompt: Sequence[int], *, n: int, seed: int) -> UInt64[np.ndarray, " {n}"]:
    """Return the 64-bit keys of n rollouts of one prompt.

    Args:
        prompt: Token ids of the prompt.
        n: Rollouts.
        seed: The caller's seed.

    Returns:
        Keys, shape (n,), uint64. The first keys do not depend on n.

    Example:
        >>> a, b = rollout_keys([5, 6], n=2, seed=0), rollout_keys([5, 6], n=3, seed=0)
        >>> bool((a == b[:2]).all()), len(set(b.tolist()))
        (True, 3)

    Source: Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014.
    """
    data = np.asarray(prompt, np.int64).tobytes() + seed.to_bytes(16, "little", signed=True)
    start = np.uint64(int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little"))
    with np.errstate(over="ignore"):
        return _mix(start + _STEP * np.arange(1, n + 1, dtype=np.uint64))


def uniforms(keys_R: UInt64[np.ndarray, " R"], *, tokens: int) -> Float64[np.ndarray, "R {tokens}"]:
    """Return one number in (0, 1) per rollout and token.

    Args:
        keys_R: Keys from `rollout_keys`.
        tokens: Token positions T.

    Returns:
        Numbers, shape (R, T), float64.

    Example:
        >>> u = uniforms(rollout_keys([5], n=1000, seed=1), tokens=4)
        >>> u.shape, bool(abs(u.mean() - 0.5) < 0.03)
        ((1000, 4), True)
    """
    with np.errstate(over="ignore"):
        bits_RT = _mix(keys_R[:, None] ^ _mix(_STEP * np.arange(1, tokens + 1, dtype=np.uint64)))
    return ((bits_RT >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52 * (1 - 2.0**-52)
