"""Ledger in, decision out: rules fixed before the evidence. No torch."""

from superalign.gate.rule import Rule, decide

__all__ = ["Rule", "decide"]
