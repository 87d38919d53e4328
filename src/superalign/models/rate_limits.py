"""What a provider's error says of when to ask again: its status, and the headers that state a wait.

Providers wrap errors (Inspect in its own, retrying libraries in theirs), so every function looks along the chain of causes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

BUSY = (429, 529)  # too many requests; overloaded, as one provider calls it
STATES = (*BUSY, 503)  # statuses whose headers state a wait
USED_UP = "insufficient_quota"  # a 429 that no waiting ends
RESETS = (  # the provider's own headers; what has nothing left comes first
    ("x-ratelimit-reset-requests", "x-ratelimit-remaining-requests"),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    ("anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining"),
    ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining"),
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error, or of what caused it.

    Example:
        >>> import urllib.error
        >>> status_of(urllib.error.HTTPError("http://x", 429, "", None, None)), status_of(ValueError("429"))
        (429, None)
    """
    statuses = [s for e in chain(error) if (s := _status(e)) is not None]
    return statuses[-1] if statuses else None


def is_busy(error: BaseException) -> bool:
    """Say whether an error says that there are too many requests just now; a quota that is used up is no such thing."""
    return status_of(error) in BUSY and not is_used_up(error)


def is_used_up(error: BaseException) -> bool:
    """Say whether an error says that nothing more can be had, however long one waits."""
    return any(getattr(e, "code", None) == USED_UP for e in chain(error))


def stated_wait(error: BaseException, *, today_s: float) -> float | None:
    """Seconds after which the provider wants to be asked again, where it says so.

    Args:
        error: What asking raised.
        today_s: Seconds since 1970, which dates are held against.

    Returns:
        Zero or more; None where nothing is stated, or nothing that can be read.
    """
    if status_of(error) not in STATES:
        return None
    for e in chain(error):
        stated = wait_in(_headers(e), today_s=today_s)
        if stated is not None:
            return stated
    return None


def wait_in(headers: Mapping[str, str], *, today_s: float) -> float | None:
    """Return the wait that headers state: Retry-After in its forms, else what the provider's own headers say of a reset.

    Args:
        headers: Of a response; the case of their names does not matter.
        today_s: Seconds since 1970, which dates are held against.

    Example:
        >>> wait_in({"Retry-After": "40"}, today_s=0), wait_in({"retry-after-ms": "250"}, today_s=0)
        (40.0, 0.25)
        >>> wait_in({"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT"}, today_s=20)
        40.0
        >>> wait_in({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, today_s=0)
        360.0
        >>> more = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-remaining-tokens": "900"}
        >>> wait_in({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s", **more}, today_s=0)
        1.0
    """
    lower = {str(k).lower(): str(v).strip() for k, v in headers.items()}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        stated = _seconds(lower.get(name, ""), unit=unit, today_s=today_s)
        if stated is not None:
            return stated
    resets = {
        left: s
        for reset, left in RESETS
        if (s := _seconds(lower.get(reset, ""), unit=1.0, today_s=today_s)) is not None
    }
    spent = [s for left, s in resets.items() if lower.get(left) == "0"]
    # Where nobody says which of them ran out, the longest is waited for.
    return max(spent or resets.values(), default=None)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error and what it came from, outermost first."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    places = [
        *(getattr(error, name, None) for name in ("status_code", "code", "status")),
        getattr(response, "status_code", None),
    ]
    if isinstance(response, Mapping):  # as botocore has it
        places.append(_inside(response).get("HTTPStatusCode"))
    return next((p for p in places if isinstance(p, int) and not isinstance(p, bool) and 100 <= p < 600), None)


def _headers(error: BaseException) -> Mapping[str, str]:
    response = getattr(error, "response", None)
    headers = (
        _inside(response).get("HTTPHeaders")
        if isinstance(response, Mapping)
        else getattr(response if response is not None else error, "headers", None)
    )
    try:
        return {str(k): str(v) for k, v in headers.items()} if headers is not None else {}
    except (AttributeError, TypeError, ValueError):
        return {}


def _inside(response: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = response.get("ResponseMetadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _seconds(text: str, *, unit: float, today_s: float) -> float | None:
    """Read seconds, a duration such as 6m0s, or a date; None for anything else."""
    if re.fullmatch(r"\d+(\.\d*)?|\.\d+", text):
        return float(text) * unit
    if text and _PART.sub("", text) == "":
        return sum(float(n) * _UNITS[u] for n, u in _PART.findall(text))
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            at = read(text)
        except (ValueError, TypeError, IndexError):
            continue
        return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - today_s)
    return None
