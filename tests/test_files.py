"""Files and folders are there whole or not at all: after a failure, a kill, and whatever stood there before."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from superalign import files
from superalign.files import PART, whole_file, whole_folder, write_whole

KILLED = """
import os, signal, sys
from pathlib import Path
from superalign.files import {name}
with {name}(Path(sys.argv[1])) as made:
    {write}
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def inside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_holds_what_was_written_and_nothing_stays_beside_it(tmp_path: Path, durable: bool) -> None:
    for data, found in (("né\n", "né\n".encode()), (b"\0\xff", b"\0\xff"), ("", b"")):
        write_whole(tmp_path / "a", data, durable=durable)
        assert (tmp_path / "a").read_bytes() == found
        assert inside(tmp_path) == ["a"]


def write_half(target: Path, error: type[BaseException]) -> None:
    with whole_file(target) as file:
        file.write(b"half")
        file.flush()
        raise error


def fill_half(target: Path, error: type[BaseException]) -> None:
    with whole_folder(target) as folder:
        (folder / "half").write_text("1")
        raise error


def test_a_file_that_fails_half_way_leaves_the_older_one(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            write_half(tmp_path / "a", error)
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a", "\ud800")
    assert (inside(tmp_path), (tmp_path / "a").read_text()) == (["a"], "old")


def test_a_full_disk_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    write_whole(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", "new")
    assert (inside(tmp_path), (tmp_path / "a").read_text()) == (["a"], "old")


@pytest.mark.parametrize(
    ("name", "write"),
    [("whole_file", "made.write(b'half'); made.flush()"), ("whole_folder", "(made / 'half').write_text('1')")],
)
def test_a_kill_leaves_no_half_under_the_name(tmp_path: Path, name: str, write: str) -> None:
    target = tmp_path / "a"
    if name == "whole_file":
        target.write_text("old")
    script = KILLED.format(name=name, write=write)
    assert subprocess.run([sys.executable, "-c", script, str(target)], check=False).returncode == -9
    rest = [n for n in inside(tmp_path) if n != "a"]
    assert len(rest) == 1, "the kill came after something was written"
    assert rest[0].startswith(PART)
    assert not target.exists() if name == "whole_folder" else target.read_text() == "old"


def test_a_reader_never_meets_half_a_file(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_whole(target, "old")
    with whole_file(target) as file:
        file.write(b"new, ")
        file.flush()
        assert target.read_text() == "old"
        file.write(b"whole")
    assert target.read_text() == "new, whole"


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("1")
    (tmp_path / "usual folder").mkdir()
    write_whole(tmp_path / "a", "1")
    with whole_folder(tmp_path / "b") as folder:
        (folder / "c").write_text("1")
    assert mode(tmp_path / "a") == mode(tmp_path / "b" / "c") == mode(tmp_path / "usual") == 0o640
    assert mode(tmp_path / "b") == mode(tmp_path / "usual folder") == 0o750


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_replaced_and_what_it_points_to_is_not_touched(tmp_path: Path, there: bool) -> None:
    elsewhere = tmp_path / "elsewhere"
    if there:
        elsewhere.write_text("old")
    (tmp_path / "a").symlink_to(elsewhere)
    write_whole(tmp_path / "a", "new")
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_text() == "new"
    assert elsewhere.read_text() == "old" if there else not elsewhere.exists()


def test_a_folder_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "b").write_text("1")
    for name in ("empty", "full"):
        with pytest.raises(IsADirectoryError):
            write_whole(tmp_path / name, "1")
    assert (inside(tmp_path), inside(tmp_path / "full")) == (["empty", "full"], ["b"])


def test_no_folder_is_made_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "a", "1")
    assert inside(tmp_path) == []


def put_nothing(target: Path) -> None:
    pass


def put_link(target: Path) -> None:
    (target.parent / "elsewhere").mkdir()
    target.symlink_to(target.parent / "elsewhere")


@pytest.mark.parametrize("put", [put_nothing, Path.mkdir, put_link])
def test_a_folder_takes_the_place_of_nothing_an_empty_one_or_a_link_to_one(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    put(tmp_path / "a")
    before = inside(tmp_path)
    with whole_folder(tmp_path / "a") as folder:
        (folder / "b").write_text("1")
        assert not (tmp_path / "a" / "b").exists()
    assert inside(tmp_path / "a") == ["b"]
    assert inside(tmp_path) == (before or ["a"])


def test_a_folder_with_something_in_it_or_a_file_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("1")
    (tmp_path / "b").write_text("old")
    for name in ("a", "b"):
        with pytest.raises(OSError, match=r"not empty|Not a directory"), whole_folder(tmp_path / name) as folder:
            (folder / "new").write_text("1")
    assert (inside(tmp_path), inside(tmp_path / "a"), (tmp_path / "b").read_text()) == (["a", "b"], ["old"], "old")


def test_a_folder_that_fails_half_way_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fill_half(tmp_path / "a", KeyboardInterrupt)
    assert inside(tmp_path) == []


def test_durable_waits_for_the_bytes_and_then_for_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[tuple[str, bool]] = []

    def fsync(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        waited.append((kind, (tmp_path / "a").exists()))

    monkeypatch.setattr(files.os, "fsync", fsync)
    write_whole(tmp_path / "a", "1", durable=False)
    (tmp_path / "a").unlink()
    assert waited == []
    write_whole(tmp_path / "a", "1")
    assert waited == [("file", False), ("folder", True)]
