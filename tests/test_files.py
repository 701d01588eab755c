from __future__ import annotations

import errno
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rsseg.errors import ResourceError
from rsseg.files import remove_drafts, replace_file, write_file


def test_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    together = threading.Barrier(4)

    def write(letter: bytes) -> None:
        def draft(part: Path) -> None:
            part.write_bytes(letter * 1000)
            together.wait(timeout=10)

        replace_file(path, draft)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [b"a", b"b", b"c", b"d"]))

    content = path.read_bytes()
    assert content in {letter * 1000 for letter in (b"a", b"b", b"c", b"d")}
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_what_lies_at_a_likely_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(b"mine")

    write_file(tmp_path / "a.bin", b"new")

    assert (tmp_path / "a.bin.part").read_bytes() == b"mine"
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_a_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "a.bin", b"new")
    finally:
        os.umask(before)

    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o640


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")

    def fail(draft: Path) -> None:
        draft.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ResourceError, match=r"a\.bin: cannot be written \(No space left on device\)"):
        replace_file(tmp_path / "a.bin", fail)

    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_folder_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"a\.bin: cannot be written \(No such file or directory\)"):
        write_file(tmp_path / "gone/a.bin", b"new")


def test_a_file_and_its_name_are_on_the_disk_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def sync(file: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file")
        fsync(file)

    def rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)

    write_file(tmp_path / "a.bin", b"new")

    assert steps == ["file", "rename", "folder"]


def test_a_file_system_that_cannot_sync_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def refuse(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(file)

    monkeypatch.setattr(os, "fsync", refuse)

    write_file(tmp_path / "a.bin", b"new")

    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """A process that is killed leaves its draft; another writer of another file may be at work beside it."""
    names = ["[a].bin", "[a].bin.txt", "a.bin", "x" * 250]
    with ThreadPoolExecutor(len(names)) as pool:
        begun, killed = threading.Barrier(len(names) + 1), threading.Event()

        def draft(part: Path) -> None:
            part.write_bytes(b"draft")
            begun.wait(timeout=10)
            assert killed.wait(timeout=10)

        written = [pool.submit(replace_file, tmp_path / name, draft) for name in names]
        begun.wait(timeout=10)
        remove_drafts(tmp_path / "[a].bin")
        left = {path.name for path in tmp_path.glob(".rsseg-*.part/*")}
        killed.set()

    assert left == set(names[1:])
    assert isinstance(written[0].exception(), ResourceError)
    assert {path.name for path in tmp_path.iterdir()} == left
