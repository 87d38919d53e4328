"""Ledger in, decision out: rules fixed before the evidence. No torch."""

from superalign.gate.rule import Deferred, Rule, decide

__all__ = ["Deferred", "Rule", "decide"]
