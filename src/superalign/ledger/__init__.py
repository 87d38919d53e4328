"""The append-only record of every noun: a hash chain in SQLite, files by digest, one writer and many readers.

The format is written down in docs/ledger-format.md; tools/verify_ledger.py checks a ledger with nothing but Python.
"""

from superalign.ledger.chain import Head
from superalign.ledger.records import Blob, Entry
from superalign.ledger.store import Ledger
from superalign.ledger.verification import Verification, describe, read_verified, verify

__all__ = ["Blob", "Entry", "Head", "Ledger", "Verification", "describe", "read_verified", "verify"]
