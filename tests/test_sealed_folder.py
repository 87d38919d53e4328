"""A sealed folder verifies as it was sealed; one in which anything else stands is refused, in words, before it is used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.errors import DataError
from superalign.sealed_folder import MANIFEST, SIGNATURE, seal, verify

FILES = {
    "README.md": b"What two planted subjects show.\n",
    "verdicts.json": b'{"a":[0.1,0.9]}',
    "a/adapter_config.json": b"{}",
    "a/adapter_model.safetensors": bytes(range(64)),
    "b/adapter_model.safetensors": bytes(reversed(range(64))),
    "b/deeper/notes.txt": b"",
}
ADAPTERS = ("a/adapter_model.safetensors", "b/adapter_model.safetensors")
Private = Ed25519PrivateKey | rsa.RSAPrivateKey


def write_keys(folder: Path, name: str, key: Private, *, passphrase: bytes = b"") -> None:
    """Write NAME and NAME.pub as ssh-keygen does, NAME.pem and NAME.pub.pem as openssl does."""
    lock = forms.BestAvailableEncryption(passphrase) if passphrase else forms.NoEncryption()
    public, raw, pem = key.public_key(), forms.Encoding, forms.PrivateFormat
    if not passphrase:  # an OpenSSH key with a passphrase takes another library to write
        (folder / name).write_bytes(key.private_bytes(raw.PEM, pem.OpenSSH, lock))
    (folder / f"{name}.pem").write_bytes(key.private_bytes(raw.PEM, pem.PKCS8, lock))
    (folder / f"{name}.pub").write_bytes(public.public_bytes(raw.OpenSSH, forms.PublicFormat.OpenSSH) + b" me@here\n")
    (folder / f"{name}.pub.pem").write_bytes(public.public_bytes(raw.PEM, forms.PublicFormat.SubjectPublicKeyInfo))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    write_keys(folder, "mine", Ed25519PrivateKey.generate())
    write_keys(folder, "other", Ed25519PrivateKey.generate())
    write_keys(folder, "locked", Ed25519PrivateKey.generate(), passphrase=b"open")
    write_keys(folder, "rsa", rsa.generate_private_key(public_exponent=65537, key_size=2048))
    (folder / "damaged").write_bytes((folder / "mine").read_bytes()[:150])
    (folder / "damaged.pub").write_bytes((folder / "mine.pub").read_bytes()[:40])
    (folder / "noise").write_bytes(b"\xff\0" * 20)
    return folder


def fill(folder: Path) -> Path:
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return fill(tmp_path / "pack")


def inside(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_an_untouched_folder_verifies(pack: Path, keys: Path) -> None:
    assert seal(pack) == verify(pack)
    assert seal(pack, key=keys / "mine") == verify(pack) == verify(pack, public_key=keys / "mine.pub")
    assert inside(pack).keys() == FILES.keys() | {MANIFEST, SIGNATURE}


def test_what_names_a_folder_is_its_content_alone(pack: Path, tmp_path: Path) -> None:
    name = seal(pack)
    assert name == hashlib.sha256((pack / MANIFEST).read_bytes()).hexdigest()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(pack, elsewhere, copy_function=shutil.copyfile)
    assert verify(elsewhere) == name == seal(elsewhere)
    (elsewhere / "README.md").write_text("Something else.\n")
    assert seal(elsewhere) != name


def test_the_manifest_lists_every_file_in_order(pack: Path) -> None:
    seal(pack)
    found = json.loads((pack / MANIFEST).read_text())
    assert list(found["files"]) == sorted(FILES)
    for name, data in FILES.items():
        assert found["files"][name]["sha256"] == hashlib.sha256(data).hexdigest()
        assert found["files"][name]["size"] == len(data)


@pytest.mark.parametrize("public", ["mine.pub", "mine.pub.pem"])
@pytest.mark.parametrize("private", ["mine", "mine.pem"])
def test_keys_are_read_as_ssh_keygen_and_openssl_write_them(pack: Path, keys: Path, private: str, public: str) -> None:
    assert seal(pack, key=keys / private) == verify(pack, public_key=keys / public)


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """A manifest that says something else, written as `seal` would."""

    def tamper(folder: Path) -> None:
        told = json.loads((folder / MANIFEST).read_text())
        change(told)
        (folder / MANIFEST).write_text(json.dumps(told, sort_keys=True, separators=(",", ":")))

    return tamper


def listed(path: str) -> Callable[[Path], object]:
    """A manifest that lists one file more."""
    return rewritten(lambda told: told["files"].update({path: told["files"]["README.md"]}))


def put(path: str, data: bytes = b"{}") -> Callable[[Path], object]:
    """A file more in the folder."""

    def tamper(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)

    return tamper


def swap(folder: Path) -> None:
    first, second = (folder / name for name in ADAPTERS)
    first.rename(folder / "between")
    second.rename(first)
    (folder / "between").rename(second)


def link_to_own_copy(folder: Path) -> None:
    shutil.copy(folder / "README.md", folder.parent / "README.md")
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(folder.parent / "README.md")


def link_the_folder(folder: Path) -> None:
    shutil.move(folder / "a", folder.parent / "a")
    (folder / "a").symlink_to(folder.parent / "a")


def write_twice(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    entry = text.index('"README.md":')
    (folder / MANIFEST).write_text(text[:entry] + '"README.md":{},' + text[entry:])


def make_deep(folder: Path) -> None:
    """Folders in folders until no path reaches the last."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


OUT = "may lead out of the folder"
CODE = r"ends in none of \.json \.jsonl \.md \.safetensors \.txt"
CHANGED = "The bytes of '{}' are not those that were sealed"
TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda f: (f / MANIFEST).unlink(), f"holds no {MANIFEST}"),
    "a manifest that is empty": (lambda f: (f / MANIFEST).write_bytes(b""), "is not JSON"),
    "a manifest that is not JSON": (lambda f: (f / MANIFEST).write_text("files: all"), "is not JSON"),
    "a manifest that is not text": (lambda f: (f / MANIFEST).write_bytes(b'{"\xff'), "is not JSON"),
    "a manifest that is too deep": (lambda f: (f / MANIFEST).write_text("[" * 100_000), "is not JSON"),
    "a manifest too large to hold": (lambda f: os.truncate(f / MANIFEST, 1 << 40), "bytes, and may have"),
    "a manifest cut short": (lambda f: os.truncate(f / MANIFEST, 300), "is not JSON"),
    "a manifest that is a list": (lambda f: (f / MANIFEST).write_text("[]"), "is not of the format"),
    "a manifest of another version": (rewritten(lambda t: t.update(format="2")), "is not of the format"),
    "a manifest without files": (rewritten(lambda t: t.pop("files")), "is not of the format"),
    "a manifest with more in it": (rewritten(lambda t: t.update(run="me")), "is not written as `seal` writes it"),
    "a manifest in other spaces": (
        lambda f: (f / MANIFEST).write_text((f / MANIFEST).read_text() + "\n"),
        "is not written as `seal` writes it",
    ),
    "an entry that is no record": (rewritten(lambda t: t["files"].update({"README.md": 1})), "sealed with None"),
    "a missing file": (lambda f: (f / "verdicts.json").unlink(), "'verdicts.json' is missing"),
    "a missing folder": (lambda f: shutil.rmtree(f / "b" / "deeper"), "'b/deeper/notes.txt' is missing"),
    "an extra file": (put("extra.json"), "'extra.json' is there and was not sealed"),
    "an extra file in a new folder": (put("c/extra.json"), "'c/extra.json' is there and was not sealed"),
    "a changed byte": (put("verdicts.json", b'{"a":[0.1,0.8]}'), CHANGED.format("verdicts.json")),
    "a byte more": (put("verdicts.json", FILES["verdicts.json"] + b" "), "has 16 bytes and was sealed with 15"),
    "a truncated file": (lambda f: os.truncate(f / ADAPTERS[0], 32), "has 32 bytes and was sealed with 64"),
    "an emptied file": (put("README.md", b""), "has 0 bytes and was sealed with 32"),
    "an empty file filled": (put("b/deeper/notes.txt", b"1"), "has 1 bytes and was sealed with 0"),
    "a renamed file": (
        lambda f: (f / "verdicts.json").rename(f / "verdict.json"),
        "'verdicts.json' is missing, and 'verdict.json' is there that was not sealed",
    ),
    "a file renamed by case": (
        lambda f: (f / "README.md").rename(f / "readme.md"),
        "'README.md' is missing, and 'readme.md' is there",
    ),
    "a file in another folder": (
        lambda f: (f / "a" / "adapter_config.json").rename(f / "b" / "adapter_config.json"),
        "'a/adapter_config.json' is missing, and 'b/adapter_config.json' is there",
    ),
    "two files swapped": (swap, CHANGED.format(ADAPTERS[0])),
    "a link in place of a file": (link_to_own_copy, "'README.md' is a symbolic link"),
    "a link in place of a folder": (link_the_folder, "'a' is a symbolic link"),
    "a link more": (lambda f: (f / "more.json").symlink_to("verdicts.json"), "'more.json' is a symbolic link"),
    "a link to nothing": (lambda f: (f / "more.json").symlink_to("nowhere"), "'more.json' is a symbolic link"),
    "a link to the folder itself": (lambda f: (f / "b" / "c").symlink_to(f), "'b/c' is a symbolic link"),
    "a pipe": (lambda f: os.mkfifo(f / "pipe.json"), "'pipe.json' is neither a file nor a folder"),
    "a pipe for a manifest": (
        lambda f: ((f / MANIFEST).unlink(), os.mkfifo(f / MANIFEST)),
        f"'{MANIFEST}' is neither a file nor a folder",
    ),
    "a folder for a manifest": (
        lambda f: (
            (f / MANIFEST).rename(f / "m.json"),
            (f / MANIFEST).mkdir(),
            (f / "m.json").rename(f / MANIFEST / "m.json"),
        ),
        "are one where case does not count",
    ),
    "a path upwards": (listed("../x.json"), OUT),
    "a path upwards from inside": (listed("a/../../x.json"), OUT),
    "an absolute path": (listed("/etc/x.json"), OUT),
    "a path with a backslash": (listed("..\\x.json"), OUT),
    "a path with a drive": (listed("C:x.json"), OUT),
    "a path with NUL": (listed("x.json\0.json"), OUT),
    "a path with a dot": (listed("./x.json"), OUT),
    "a path with an empty piece": (listed("a//x.json"), OUT),
    "an empty path": (listed(""), OUT),
    "a backslash in the folder": (put("..\\x.json"), OUT),
    "a path too long": (listed("a/" * 200 + "x.json"), "has more than 200 characters"),
    "a path twice": (write_twice, "'README.md' stands there twice"),
    "a path twice by case": (listed("readme.MD".lower()), "are one where case does not count"),
    "a file twice by case": (put("readme.md"), "'README.md' and 'readme.md' are one where case does not count"),
    "a folder twice by case": (put("A/x.json"), "'A' and 'a' are one where case does not count"),
    "another manifest by case": (put("manifest.json"), f"'{MANIFEST}' and 'manifest.json' are one"),
    "a manifest that lists itself": (listed(MANIFEST), "are one where case does not count"),
    "a hidden file": (put(".x.json"), r"'\.x\.json' is hidden"),
    "a hidden folder": (put(".git/x.json"), r"'\.git/x\.json' is hidden"),
    "a hidden path": (listed("a/.x.json"), "is hidden"),
    "a name in other letters": (put("verdісts.json"), "is not of letters"),
    "a name with an end of line": (put("x\n.json"), "is not of letters"),
    "a name that is no text": (lambda f: Path(os.fsdecode(bytes(f) + b"/\xff.json")).touch(), "is not of letters"),
    "a folder that ends in a dot": (put("a./x.json"), "is not of letters"),
    "an empty folder": (lambda f: (f / "c").mkdir(), "The folder 'c/' is empty"),
    "an empty folder left behind": (
        lambda f: (f / "b" / "deeper" / "notes.txt").unlink(),
        "The folder 'b/deeper/' is empty",
    ),
    "nothing at all": (lambda f: (shutil.rmtree(f), f.mkdir()), "The folder '.*pack' is empty"),
    "no folder": (shutil.rmtree, r"cannot be read \(No such file or directory\)"),
    "a file for the folder": (lambda f: (shutil.rmtree(f), f.touch()), r"cannot be read \(Not a directory\)"),
    "folders without end": (make_deep, r"cannot be read \(File name too long\)"),
    **{f"a file *{end}": (put(f"a/x{end}"), CODE) for end in (".pkl", ".pt", ".bin", ".py", ".so", ".JSON", "")},
    "a path to a pickle": (listed("a/x.pkl"), CODE),
}


@pytest.mark.parametrize(("tamper", "message"), TAMPERED.values(), ids=TAMPERED.keys())
def test_what_is_not_as_it_was_sealed_is_refused(pack: Path, tamper: Callable[[Path], object], message: str) -> None:
    assert seal(pack) == verify(pack)
    tamper(pack)
    with pytest.raises(DataError, match=message) as caught:
        verify(pack)
    assert str(caught.value).count(". ") >= 2, "what is wrong, why it matters, what to do"


def test_a_file_that_cannot_be_read_is_refused(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions would not do: whoever runs the tests may be allowed everything."""
    seal(pack)
    whole = Path.open

    def closed(path: Path, *args: Any) -> Any:
        if path.name == "verdicts.json":
            raise PermissionError(13, "Permission denied")
        return whole(path, *args)

    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(DataError, match=r"verdicts\.json' cannot be read \(Permission denied\)"):
        verify(pack)


def sealed_by_other(folder: Path, keys: Path) -> None:
    seal(folder, key=keys / "other")


def signed_before(folder: Path, keys: Path) -> None:
    """The owner's own signature, over what the folder held before."""
    older = (folder / SIGNATURE).read_bytes()
    (folder / "verdicts.json").write_text("[]")
    seal(folder)
    (folder / SIGNATURE).write_bytes(older)


def unsigned(folder: Path, keys: Path) -> None:
    (folder / "verdicts.json").write_text("[]")
    seal(folder)


def changed(data: Callable[[bytes], bytes]) -> Callable[[Path, Path], None]:
    return lambda folder, keys: put(SIGNATURE, data((folder / SIGNATURE).read_bytes()))(folder)


FORGED: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "signature missing": (lambda f, k: (f / SIGNATURE).unlink(), f"holds no {SIGNATURE}"),
    "sealed anew without a key": (unsigned, f"holds no {SIGNATURE}"),
    "signature by another key": (sealed_by_other, "is not by this key over this"),
    "signature over another manifest": (signed_before, "is not by this key over this"),
    "signature with a bit turned": (changed(lambda s: bytes([s[0] ^ 1]) + s[1:]), "is not by this key over this"),
    "signature cut short": (changed(lambda s: s[:-1]), "is not by this key over this"),
    "signature with more behind": (changed(lambda s: s + b"\n"), "is not by this key over this"),
    "signature empty": (changed(lambda s: b""), "is not by this key over this"),
    "signature of zeros": (changed(lambda s: bytes(64)), "is not by this key over this"),
    "signature a link": (
        lambda f, k: ((f / SIGNATURE).rename(f.parent / SIGNATURE), (f / SIGNATURE).symlink_to(f.parent / SIGNATURE)),
        f"'{SIGNATURE}' is a symbolic link",
    ),
    "manifest rewritten": (lambda f, k: listed("x.json")(f), "is not by this key over this"),
}


@pytest.mark.parametrize(("forge", "message"), FORGED.values(), ids=FORGED.keys())
def test_what_is_not_sealed_by_the_key_is_refused(
    pack: Path, keys: Path, forge: Callable[[Path, Path], object], message: str
) -> None:
    assert seal(pack, key=keys / "mine") == verify(pack, public_key=keys / "mine.pub")
    forge(pack, keys)
    with pytest.raises(DataError, match=message):
        verify(pack, public_key=keys / "mine.pub")


def test_a_changed_file_under_a_good_signature_is_refused(pack: Path, keys: Path) -> None:
    seal(pack, key=keys / "mine")
    swap(pack)
    with pytest.raises(DataError, match=CHANGED.format(ADAPTERS[0])):
        verify(pack, public_key=keys / "mine.pub")


@pytest.mark.parametrize("name", ["damaged.pub", "noise", "rsa.pub", "rsa.pub.pem", "mine", "mine.pem"])
def test_a_public_key_that_is_none_is_refused(pack: Path, keys: Path, name: str) -> None:
    seal(pack, key=keys / "mine")
    with pytest.raises(DataError, match=f"{name} cannot be used as the public half of an Ed25519 key"):
        verify(pack, public_key=keys / name)


@pytest.mark.parametrize("name", ["damaged", "noise", "rsa", "rsa.pem", "mine.pub", "mine.pub.pem", "locked.pem"])
def test_a_private_key_that_is_none_is_refused_before_anything_is_written(pack: Path, keys: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name} cannot be used as the private half of an Ed25519 key"):
        seal(pack, key=keys / name)
    assert inside(pack) == FILES


def test_a_key_that_is_not_there_is_refused(pack: Path, keys: Path) -> None:
    with pytest.raises(DataError, match=r"none' cannot be read \(No such file"):
        seal(pack, key=keys / "none")
    seal(pack)
    with pytest.raises(DataError, match=r"none' cannot be read \(No such file"):
        verify(pack, public_key=keys / "none")


def test_a_key_in_the_folder_is_refused(pack: Path, keys: Path) -> None:
    """A private key would be passed on; a public key that came along would vouch for itself."""
    shutil.copy(keys / "mine", pack / "key.txt")
    with pytest.raises(DataError, match="lies in the folder itself"):
        seal(pack, key=pack / "key.txt")
    shutil.copy(keys / "mine.pub", pack / "key.txt")
    seal(pack, key=keys / "mine")
    with pytest.raises(DataError, match="lies in the folder itself"):
        verify(pack, public_key=pack / "key.txt")


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        pytest.param(link_the_folder, "symbolic link", id="a link"),
        pytest.param(put("a/x.pkl"), CODE, id="a pickle"),
        pytest.param(put(".x.json"), "is hidden", id="a hidden file"),
        pytest.param(put("readme.md"), "are one where", id="a file twice by case"),
        pytest.param(lambda f: (f / "c").mkdir(), "is empty", id="an empty folder"),
        pytest.param(lambda f: os.mkfifo(f / "x.json"), "neither a file", id="a pipe"),
    ],
)
def test_what_would_not_verify_is_not_sealed(pack: Path, tamper: Callable[[Path], object], message: str) -> None:
    tamper(pack)
    with pytest.raises(DataError, match=message):
        seal(pack)
    assert not (pack / MANIFEST).exists()


def test_a_folder_without_files_is_not_sealed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        seal(tmp_path)
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(DataError, match="holds no file"):
        seal(tmp_path)
    (tmp_path / MANIFEST).write_text('{"files":{},"format":"superalign sealed folder 1","noun":"Manifest"}')
    with pytest.raises(DataError, match="holds no file"):
        verify(tmp_path)


def test_sealing_anew_without_a_key_takes_the_older_signature_away(pack: Path, keys: Path) -> None:
    seal(pack, key=keys / "mine")
    (pack / "verdicts.json").write_text("[]")
    assert seal(pack) == verify(pack)
    assert not (pack / SIGNATURE).exists()


def test_a_full_disk_leaves_the_older_manifest_whole(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    before = seal(pack)
    (pack / "verdicts.json").write_text("[]")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        seal(pack)
    (pack / "verdicts.json").write_bytes(FILES["verdicts.json"])
    assert verify(pack) == before


def test_a_large_file_is_read_in_pieces(pack: Path) -> None:
    os.truncate(pack / ADAPTERS[0], 64 << 20)
    tracemalloc.start()
    try:
        assert seal(pack) == verify(pack)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    folder = fill(tmp_path_factory.mktemp("signed"))
    seal(folder, key=keys / "mine")
    return folder


@settings(max_examples=400)
@given(data=st.data())
def test_one_byte_anywhere_is_one_too_many(signed: Path, keys: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name, found in inside(signed).items() if found]))
    before = (signed / name).read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != before[place]))
    (signed / name).write_bytes(before[:place] + bytes([byte]) + before[place + 1 :])
    try:
        with pytest.raises(DataError):
            verify(signed, public_key=keys / "mine.pub")
        if name != SIGNATURE:  # without a key nobody can say whose it is
            with pytest.raises(DataError):
                verify(signed)
    finally:
        (signed / name).write_bytes(before)
    verify(signed, public_key=keys / "mine.pub")
