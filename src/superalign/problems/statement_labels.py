"""Labels that a supervisor of the user's own gave to statements: a file with one on each line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from superalign.errors import DataError
from superalign.problems.lines import read_jsonl

EXAMPLE = '{"statement": "Paris is in France.", "true": 0.8}'


def read_labels(path: str) -> Mapping[str, float]:
    """Read labels: statement -> the probability that it is true, as the supervisor says.

    Raises:
        DataError: If the file cannot be read, or a line has no statement or no probability.
    """
    out = {}
    for number, row in read_jsonl(path, example=EXAMPLE, field="statement"):
        statement, true = row.get("statement"), row.get("true")
        if not isinstance(statement, str) or not isinstance(true, int | Decimal) or not 0 <= true <= 1:
            raise DataError(
                f"Line {number} of {path} has no statement, or no probability from 0 to 1 that it is true. What its supervisor "
                f"says could not be learned from. Write lines like {EXAMPLE}"
            )
        out[statement.strip()] = float(true)
    return out


def labels_for(texts: Sequence[str], path: str) -> tuple[float, ...]:
    """Return the label of every statement.

    Raises:
        DataError: If one has none: labels of other statements are no labels.
    """
    found = read_labels(path)
    missing = [text for text in texts if text not in found]
    if missing:
        raise DataError(
            f"{path} labels {len(texts) - len(missing)} of the {len(texts)} statements that are drawn, and not, for example, "
            f"{missing[0]!r}. A student would learn from half of a supervisor. Label every statement of the problems' files."
        )
    return tuple(found[text] for text in texts)
