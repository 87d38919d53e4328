"""Seal a folder, and verify one that came from elsewhere.

To verify, the manifest is made anew from what lies in the folder and compared byte by byte; the one that came along is read only
to say what differs. What others can write to may change afterwards: verify a copy of your own, and load that. The signature is
over the bytes of the manifest, so that others can check it too:
`openssl pkeyutl -verify -rawin -pubin -inkey KEY -sigfile SIGNATURE -in MANIFEST.json`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from superalign.canonical import canonical_json
from superalign.errors import DataError
from superalign.files import write_whole
from superalign.sealed_folder.contents import MANIFEST, SIGNATURE, difference, manifest_of, reading, sizes

MOST_BYTES = 1 << 26  # bytes of a manifest: it is held in memory before anything about it is known
AGAIN = "What is there may not be what was sealed, so do not use any of it. Get it again from whoever sealed it."


def seal(folder: Path, *, key: Path | None = None) -> str:
    """Write what a folder holds into its MANIFEST.json and, with a key, sign that; an older seal is replaced.

    Args:
        folder: Holds JSON, safetensors and text only, under paths of ASCII letters, digits and `._+=-`.
        key: Ed25519 private key without a passphrase, as `ssh-keygen -t ed25519` or openssl (PEM) writes it; outside the folder.

    Returns:
        The digest of the manifest, which names all that the folder holds.

    Raises:
        DataError: For files and paths that `verify` would refuse, and for a key that cannot be used. Nothing is written then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "verdicts.json").write_text("[]")
        ...     seal(Path(folder)) == verify(Path(folder))
        True

    Source: Josefsson and Liusvaara, 2017 (RFC 8032), for Ed25519.
    """
    private = None if key is None else _private_key(key, folder)
    manifest = manifest_of(folder, sizes(folder))
    text = canonical_json(manifest).encode()
    (folder / SIGNATURE).unlink(missing_ok=True)  # it is over another manifest
    write_whole(folder / MANIFEST, text)
    if private is not None:
        write_whole(folder / SIGNATURE, private.sign(text))
    return manifest.digest


def verify(folder: Path, *, public_key: Path | None = None) -> str:
    """Check that a folder holds what was sealed and nothing else, before anything in it is used.

    Args:
        folder: To be checked; no name, link or byte in it is believed.
        public_key: Whose seal it must be: an Ed25519 public key in OpenSSH or PEM form, which lies outside the folder. Without
            one a signature is not looked at, and anybody may have sealed it: compare the digest with one that you were told.

    Returns:
        The digest of the manifest, as `seal` returned it.

    Raises:
        DataError: For the first thing found that is not as it was sealed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     verify(Path(folder))
        Traceback (most recent call last):
        ...
        superalign.errors.DataError: ...
    """
    found = sizes(folder)
    if MANIFEST not in found:
        raise DataError(
            f"{folder} holds no {MANIFEST}. So nothing says what was sealed. Get all of it again, or seal your own."
        )
    if found[MANIFEST] > MOST_BYTES:
        raise DataError(f"{MANIFEST} in {folder} has {found[MANIFEST]} bytes, and may have {MOST_BYTES}. {AGAIN}")
    with reading(folder / MANIFEST):
        text = (folder / MANIFEST).read_bytes()
    if public_key is not None:
        _check_signature(folder, found.get(SIGNATURE), text, _public_key(public_key, folder))
    manifest = manifest_of(folder, found)
    if canonical_json(manifest).encode() != text:
        raise DataError(f"{difference(text, manifest.files)} (in {folder}). {AGAIN}")
    return manifest.digest


def _check_signature(folder: Path, size: int | None, text: bytes, key: Ed25519PublicKey) -> None:
    if size is None:
        raise DataError(f"{folder} holds no {SIGNATURE}. So anybody may have sealed it. Ask for one that is signed.")
    with reading(folder / SIGNATURE):
        signature = (folder / SIGNATURE).read_bytes() if size == 64 else b""
    try:
        key.verify(signature, text)
    except InvalidSignature as error:
        raise DataError(
            f"{SIGNATURE} in {folder} is not by this key over this {MANIFEST}. Somebody else sealed the folder, or it was "
            "changed since. Get it again from whoever holds the key, and the public key from where they publish it."
        ) from error


def _private_key(path: Path, folder: Path) -> Ed25519PrivateKey:
    with _usable(path, folder, half="private") as data:
        openssh = b"BEGIN OPENSSH" in data
        key = (serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key)(data, None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError("another kind of key")
        return key


def _public_key(path: Path, folder: Path) -> Ed25519PublicKey:
    with _usable(path, folder, half="public") as data:
        openssh = data.startswith(b"ssh-")
        key = (serialization.load_ssh_public_key if openssh else serialization.load_pem_public_key)(data)
        if not isinstance(key, Ed25519PublicKey):
            raise TypeError("another kind of key")
        return key


@contextlib.contextmanager
def _usable(path: Path, folder: Path, *, half: str) -> Iterator[bytes]:
    """Read the file of a key, and refuse one that cannot be used inside the block."""
    with reading(path):
        data = path.read_bytes()
    if path.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"The key {path} lies in the folder itself. A private key would be passed on with it, and a public key that came "
            "with it proves nothing. Keep keys elsewhere; get a public key from whoever sealed the folder."
        )
    try:
        yield data
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise DataError(
            f"{path} cannot be used as the {half} half of an Ed25519 key ({error}). Without it a seal does not say whose it is. "
            f"Give the {half} key as `ssh-keygen -t ed25519` or openssl writes it, without a passphrase."
        ) from error
