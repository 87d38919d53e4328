"""Who lets a submission run: nobody has to, a person is asked, or it is refused. Silence is a denial."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

from superalign.types import Unmeasured

Risk: TypeAlias = Literal["auto", "ask", "refuse"]
TICK_S = 0.05


class Read(Protocol):
    """What a monitor said, as far as this room needs it."""

    @property
    def suspicion(self) -> float | Unmeasured: ...  # noqa: D102
    @property
    def flagged(self) -> bool: ...  # noqa: D102
