"""Everything that superalign raises on purpose, as one tree.

    SuperalignError
    |-- BadInput (also ValueError)       the user gave something that cannot be used: exit code 2
    |   |-- ConfigError                  a setting that does not exist, or has the wrong type
    |   `-- DataError                    a file or record that cannot be read as what it should be
    |-- LedgerError (also ValueError)    evidence on disk does not verify
    |-- OrderError (also RuntimeError)   something was done before what must come first (unsealing before registering)
    `-- TapError (also RuntimeError)     an activation tap did not fire

A message has three parts: what was wrong, why it matters, what to do.
"""

from __future__ import annotations


class SuperalignError(Exception):
    """Anything that superalign raises on purpose."""


class BadInput(SuperalignError, ValueError):
    """Something the user gave cannot be used: what was wrong, why it matters, what to do."""


class ConfigError(BadInput):
    """A setting that does not exist or has the wrong type."""


class DataError(BadInput):
    """A file or record that cannot be read as what it should be."""


class LedgerError(SuperalignError, ValueError):
    """Evidence on disk does not verify."""


class OrderError(SuperalignError, RuntimeError):
    """Something was done before what must come first."""


class TapError(SuperalignError, RuntimeError):
    """An activation tap did not fire, so what it would have returned is not a measurement."""
