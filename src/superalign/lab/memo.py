"""Where the finished jobs of a study are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from superalign import jobs


def to_bytes(value: Any) -> bytes:
    """Write a job's plain value for its memo."""
    return json.dumps(value).encode()


def memo(folder: Path, name: str) -> jobs.Memo[Any]:
    """Where the finished jobs of one stage are kept, so that a killed run goes on from there.

    A value is named by what it was made from, the content of models and files and the code included: see `jobs.Memo`.
    """
    return jobs.Memo(folder=folder / "work" / name, version="1", encode=to_bytes, decode=json.loads)
