"""Ledger in, decision out: rules fixed before the evidence. No torch."""

from superalign.gate.rule import Deferred, Rule, decide
from superalign.gate.training import NOT_REWARDED, Overoptimisation

__all__ = ["NOT_REWARDED", "Deferred", "Overoptimisation", "Rule", "decide"]
