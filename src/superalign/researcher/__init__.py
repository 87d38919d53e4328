"""The researcher, untrusted by design: it proposes methods, registers plans, submits artefacts, and reads the answers."""

from superalign.researcher.campaign import Campaign, Settings, Totals, researchers_of
from superalign.researcher.client import Client, VaultError
from superalign.researcher.notebook import Entry, Notebook, effective_ideas, uplift
from superalign.researcher.programs import Program, random_program, source_of
from superalign.researcher.proposing import Proposal, Researcher

__all__ = [
    "Campaign",
    "Client",
    "Entry",
    "Notebook",
    "Program",
    "Proposal",
    "Researcher",
    "Settings",
    "Totals",
    "VaultError",
    "effective_ideas",
    "random_program",
    "researchers_of",
    "source_of",
    "uplift",
]
