"""Small files that appear complete or not at all."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from rsseg.errors import ResourceError

_HINTS = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "your quota of the disk is used up: make room",
    errno.EFBIG: "the file system, or a limit such as ulimit -f, allows no file of that size",
    errno.ENOENT: "the folder was moved or removed while it was in use",
    errno.EIO: "the disk, or the way to it, fails; the system's log may say more",
}

_SUFFIX = ".part"


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file beside its place and rename it, so that a kill or a full disk leaves the old one or the new one.

    Raises:
        ResourceError: the disk does not take it; what was written of it is removed.
    """
    replace_file(path, lambda draft: draft.write_bytes(content))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """The same for a file that `write` makes under the name that it is given.

    The draft lies in a folder of its own beside the place, so that writers of one file do not meet, and the file has
    the permissions that any new file gets. Of several writers the last one to finish wins.

    Raises:
        ResourceError: the disk does not take it, or `write` raises an OSError.
    """
    try:
        with TemporaryDirectory(
            dir=path.parent, prefix=_prefix(path), suffix=_SUFFIX, ignore_cleanup_errors=True
        ) as folder:
            draft = Path(folder) / path.name
            write(draft)
            sync_file(draft)
            draft.replace(path)
            sync_folder(path.parent)
    except OSError as err:
        raise ResourceError(
            f"{path}: cannot be written ({err.strerror or err})", hint=disk_hint(err)
        ) from err


def remove_drafts(path: Path) -> None:
    """Remove what writers of a file that were killed left beside it; nobody may be writing it now.

    Raises:
        OSError: the folder cannot be written to.
    """
    for folder in path.parent.glob(f"{glob.escape(_prefix(path))}*{_SUFFIX}"):
        shutil.rmtree(folder)


def _prefix(path: Path) -> str:
    """How the name of a draft's folder begins; names of files may be as long as those of folders."""
    return f".rsseg-{path.name[:40]}-"


def sync_file(path: Path) -> None:
    """Wait until what was written to a file is on the disk.

    Raises:
        OSError: the disk did not take it.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, on file systems that can do that.

    A refusal is no error: the files are there, and only a power cut in the next seconds could take them back.
    """
    with suppress(OSError):
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def disk_hint(err: BaseException) -> str:
    """What to do about a file that could not be written."""
    known = _HINTS.get(err.errno or 0) if isinstance(err, OSError) else None
    return known or "is the disk full, or the folder not writable?"
