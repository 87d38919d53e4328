"""What a submission took a person, written into its hypothesis: so it is on record before there is an answer."""

import re

_TIMED = re.compile(r" \[([0-9]+) s at the terminal\]$")


def timed(hypothesis: str, seconds: float) -> str:
    """Write into a hypothesis what it took.

    Example:
        >>> timed("soft labels", 90.4), seconds_of(timed("soft labels", 90.4)), seconds_of("soft labels")
        ('soft labels [90 s at the terminal]', 90.0, None)
    """
    return f"{hypothesis} [{max(round(seconds), 1)} s at the terminal]"


def seconds_of(hypothesis: str) -> float | None:
    """Read the seconds that stand in a hypothesis; None where none do."""
    found = _TIMED.search(hypothesis)
    return float(found[1]) if found else None
