"""Answers and seals, held by another process under another user: register, submit, reveal."""

from superalign.vault.benches import Bench, Part, read_bench, write_bench

__all__ = ["Bench", "Part", "read_bench", "write_bench"]
