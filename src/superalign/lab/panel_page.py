"""The standard panel for a page that is not made of parts yet."""

from __future__ import annotations

from collections.abc import Sequence

from superalign.lab.panel import keep_decisions, panel
from superalign.ledger import Ledger
from superalign.report import Section
from superalign.trials.oversight_panel import PLACEBO, Item
from superalign.types import Claim


def panel_part(
    items: Sequence[Item], *, protocol: str, ledger: Ledger, text: str = "", note: str = "", nothing: str = PLACEBO
) -> tuple[list[Claim], Section]:
    """Keep decisions and hold a protocol against its panel, see `superalign.lab.panel.panel`."""
    made = panel(keep_decisions(items, ledger), protocol=protocol, text=text, note=note, nothing=nothing)
    return list(made.claims), made.section
