"""What the loop found, as claims, tables and plots: numbers in, `Study` out."""

from superalign.recipes.loop_page.planted import planted_section
from superalign.recipes.loop_page.turn import ArmFinding, ResponseFinding, Turn, arm_findings, evidence
from superalign.recipes.loop_page.whole import page

__all__ = ["ArmFinding", "ResponseFinding", "Turn", "arm_findings", "evidence", "page", "planted_section"]
