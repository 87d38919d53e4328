"""Numbers, intervals and claims in plain words."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from superalign.report.findings import Cell
from superalign.types import Claim, Interval, Unmeasured

# Units that are a pure index or obvious from the claim's name are not repeated behind the number.
_SILENT_UNITS = frozenset({"", "1", "index"})
LIST_MAX = 8  # values of a list that a record's text spells out


def number(value: float) -> str:
    """Write a number with about three significant digits.

    Example:
        >>> [number(v) for v in (0.98765, -0.0421, 12345.6, 7, 0.0, 0.00004)]
        ['0.988', '−0.042', '12,346', '7', '0.000', '4.0e−5']
    """
    if isinstance(value, int):
        text = f"{value:,}"
    elif not math.isfinite(value):
        text = "undefined"
    elif 0 < abs(value) < 0.0005:
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    elif abs(value) < 10:
        text = f"{value:.3f}"
    elif abs(value) < 1000:
        text = f"{value:.1f}"
    else:
        text = f"{value:,.0f}"
    return text.replace("-", "−")


def interval(found: Interval) -> str:
    """Write a value with its interval and count.

    Example:
        >>> interval(Interval(value=0.9, low=0.85, high=0.94, n=200))
        '0.900 (0.850 to 0.940, n = 200)'
    """
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)}, n = {number(found.n)})"


def cell(value: Cell | None) -> str:
    """Write one cell of a table.

    Example:
        >>> cell(True), cell(Unmeasured("no clean twins")), cell("probe")
        ('yes', 'cannot tell: no clean twins', 'probe')
    """
    if value is None:
        return "none"
    if isinstance(value, Unmeasured):
        return f"cannot tell: {value.why}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Interval):
        return interval(value)
    if isinstance(value, int | float):
        return number(value)
    return value


def control(claim: Claim) -> str:
    """Write what a claim's null control gave."""
    if isinstance(claim.null, Unmeasured):
        return f"no null control: {claim.null.why}"
    return f"null control {interval(claim.null)}"


def reasons(claim: Claim) -> list[str]:
    """Say why a claim holds or not, and why parts of it hold no number; each reason once, as sentences."""
    parts = (claim.holds, claim.value, claim.low, claim.high)
    given = [claim.why, *(part.why for part in parts if isinstance(part, Unmeasured))]
    if isinstance(claim.null, Unmeasured) and claim.null.why not in given:
        given.append(control(claim))
    return [sentence(reason) for reason in dict.fromkeys(given) if reason]


def claimed(claim: Claim) -> str:
    """Write a claim's numbers as one sentence: value, interval, count and null control; reasons stand elsewhere."""
    unit = "" if claim.unit in _SILENT_UNITS else f" {claim.unit}"
    if isinstance(claim.value, Unmeasured):
        first = "not measured"
    elif isinstance(claim.low, Unmeasured) or isinstance(claim.high, Unmeasured):
        first = f"{number(claim.value)}{unit}, n = {number(claim.n)}, without an interval"
    else:
        span = f"{number(claim.low)} to {number(claim.high)}"
        first = f"{number(claim.value)}{unit}, 95 % interval {span}, n = {number(claim.n)}"
    return sentence(f"{first}; {'no null control' if isinstance(claim.null, Unmeasured) else control(claim)}")


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop.

    Example:
        >>> sentence("too few twins"), sentence("")
        ('Too few twins.', '')
    """
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?:" else ".")


def holds(answer: bool | Unmeasured) -> str:
    """Say whether something holds.

    Example:
        >>> [holds(True), holds(False), holds(Unmeasured("too few"))]
        ['holds', 'does not hold', 'cannot tell']
    """
    if isinstance(answer, Unmeasured):
        return "cannot tell"
    return "holds" if answer else "does not hold"


def duration(seconds: float) -> str:
    """Write a duration.

    Example:
        >>> [duration(s) for s in (0.4, 12.3, 75, 7260)]
        ['0.4 s', '12 s', '1 min 15 s', '2 h 1 min']
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(n: int, noun: str) -> str:
    """Write a count with its noun.

    Example:
        >>> counted(1, "claim"), counted(3, "claim")
        ('1 claim', '3 claims')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def record(plain: Mapping[str, Any]) -> str:
    """Write what a ledger record says, for a reader: indented, with long lists cut short.

    Args:
        plain: The record as the ledger gives it back.

    Returns:
        Its fields as JSON; of a list of more than eight, the first three and how many more there are.

    Example:
        >>> print(record({"noun": "Plant", "kind": "liar", "marks": list(range(60))}))
        {
          "noun": "Plant",
          "kind": "liar",
          "marks": [0, 1, 2, "... and 57 more"]
        }
    """
    fields = [f'  "{key}": {json.dumps(_cut(value), ensure_ascii=False)}' for key, value in plain.items()]
    return "\n".join(["{", ",\n".join(fields), "}"])


def _cut(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _cut(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        short = list(value) if len(value) <= LIST_MAX else [*value[:3], f"... and {len(value) - 3} more"]
        return [_cut(inner) for inner in short]
    return value
