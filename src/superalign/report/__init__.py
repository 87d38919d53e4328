"""Claims and ledger in, one self-contained page out."""

from superalign.report.page import Meta, Row, render
from superalign.report.study import NOUNS, Cell, Cost, Plot, Section, Study, Table

__all__ = ["NOUNS", "Cell", "Cost", "Meta", "Plot", "Row", "Section", "Study", "Table", "render"]
