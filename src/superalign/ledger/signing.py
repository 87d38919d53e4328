"""Findings are signed by the vault, so that whoever holds its public key can tell them from numbers that somebody typed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from superalign.files import write_whole
from superalign.types import Finding, Record

KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultKey(Record):
    """What a vault's findings are verified with: the public half of the key that it signs them with."""

    public: str  # Ed25519, in hex


def key_of(folder: Path) -> Ed25519PrivateKey:
    """Return the key of a vault; make it on first use, readable by its owner alone.

    Source: Josefsson and Liusvaara, 2017 (RFC 8032).
    """
    file = folder / KEY
    if not file.exists():
        write_whole(file, Ed25519PrivateKey.generate().private_bytes_raw())
        file.chmod(0o600)
    return Ed25519PrivateKey.from_private_bytes(file.read_bytes())


def public_key(key: Ed25519PrivateKey) -> str:
    """Return the public half in hexadecimal: what a reader needs."""
    return key.public_key().public_bytes_raw().hex()


def signed(finding: Finding, key: Ed25519PrivateKey) -> Finding:
    """Return a finding with the vault's signature over the digest of the rest."""
    rest = replace(finding, signature="")
    return replace(rest, signature=key.sign(rest.digest.encode()).hex())


def is_signed(finding: Finding, public: str) -> bool:
    """Say whether a finding is as the vault of this public key signed it.

    Example:
        >>> key = Ed25519PrivateKey.generate()
        >>> from superalign.types import Unmeasured
        >>> none = Unmeasured("it did not run")
        >>> one = signed(Finding(ticket="t", question="q", gain=none, baseline=none, replicated=none), key)
        >>> is_signed(one, public_key(key)), is_signed(replace(one, question="r"), public_key(key))
        (True, False)
    """
    try:
        rest = replace(finding, signature="").digest.encode()
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(finding.signature), rest)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True
