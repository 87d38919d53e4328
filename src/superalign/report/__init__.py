"""Claims and ledger in, one self-contained page out."""

from superalign.report.findings import NOUNS, Cell, Cost, Findings, Plot, Section, Table
from superalign.report.page import Meta, Row, render

__all__ = ["NOUNS", "Cell", "Cost", "Findings", "Meta", "Plot", "Row", "Section", "Table", "render"]
