"""Who lets a submission run: nobody has to, a person is asked, or it is refused. Silence is a denial."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from superalign.errors import BadInput
from superalign.files import write_whole
from superalign.types import Record, Tier, Unmeasured, canonical_json

Risk: TypeAlias = Literal["auto", "ask", "refuse"]
TICK_S = 0.05


class Read(Protocol):
    """What a monitor said, as far as this room needs it."""

    @property
    def suspicion(self) -> float | Unmeasured: ...  # noqa: D102
    @property
    def flagged(self) -> bool: ...  # noqa: D102
