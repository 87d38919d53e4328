"""Answers and seals, held by another process under another user: register, submit, reveal."""

from superalign.vault.benches import Arrays, Bench, Part, read_bench, write_bench

__all__ = ["Arrays", "Bench", "Part", "read_bench", "write_bench"]
