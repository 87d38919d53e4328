"""Claims and ledger in, one self-contained page out."""

from superalign.report.page import Meta, Row, render
from superalign.report.study import Cell, Cost, Plot, Section, Study, Table, from_plain

__all__ = ["Cell", "Cost", "Meta", "Plot", "Row", "Section", "Study", "Table", "from_plain", "render"]
