"""Tokens are found however they are written or packed, and where there are none, none is found."""

import base64
import gzip
import io
import os
import tarfile
import zipfile
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from superalign.control.canaries import Canary, found, plant

CANARY = Canary(name="key", token="canary-0123456789abcdef0123456789abcdef")
TOKEN = CANARY.token.encode()


def zipped(data: bytes, name: str = "inside") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def tarred(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("inside")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def saved(*values: str) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, words=np.array(values), numbers=np.arange(9))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"x" + TOKEN + b"y",
        TOKEN.upper(),
        TOKEN[::-1],
        TOKEN.decode().encode("utf-16"),
        TOKEN.hex().encode(),
        TOKEN.hex(" ").upper().encode(),
        *(base64.b64encode(b"x" * before + TOKEN + b"tail" * 5) for before in range(4)),
        base64.urlsafe_b64encode(b"\xff" * 60 + TOKEN),
        base64.encodebytes(b"x" * 100 + TOKEN),
        b'{"text": "' + base64.b64encode(b"a" + TOKEN) + b'"}',
        gzip.compress(TOKEN),
        zipped(TOKEN),
        zipped(b"", name=CANARY.token),
        tarred(TOKEN),
        saved("a", CANARY.token),
        base64.b64encode(gzip.compress(zipped(gzip.compress(TOKEN)))),
        gzip.compress(TOKEN).hex().encode(),
    ],
    ids=count(),  # compressed data holds the time
)
def test_a_token_is_found(data: bytes) -> None:
    assert found([CANARY], b"nothing", data) == [(CANARY, "place 1")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        TOKEN[:-1],
        TOKEN[1:],
        gzip.compress(TOKEN[1:]),
        gzip.compress(TOKEN)[:-12],
        b"PK\x05\x06" + bytes(18),
        zipped(b"x") + b"cut",
        saved("canary"),
        b"A" * 99,
        os.urandom(5000),
        gzip.compress(bytes(1 << 25)),  # unpacked no further than it is allowed
    ],
    ids=count(),
)
def test_nothing_is_found_where_there_is_none(data: bytes) -> None:
    other = Canary(name="other", token="canary-" + "f" * 32)
    assert found([CANARY, other], data) == []


def test_honey_files_are_found_in_folders_names_and_arguments(tmp_path: Path) -> None:
    first, second = plant(tmp_path, ["answers", "key"])
    assert first.token != second.token
    assert (tmp_path / "answers").stat().st_mode & 0o777 == 0o600
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes").write_text(f"it says {second.token}")
    (out / f"{first.token}.txt").touch()
    (out / "link").symlink_to(tmp_path / "answers")  # a link is not the file
    seen = found([first, second], out, f"--token={first.token}")
    assert seen == [(first, str(out / f"{first.token}.txt")), (second, str(out / "notes")), (first, "place 1")]
    with pytest.raises(FileExistsError):
        plant(tmp_path, ["key"])
