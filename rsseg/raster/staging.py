"""Files appear complete or not at all: everything is made in a folder beside the output and renamed at the end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rsseg.errors import OptionError, ResourceError
from rsseg.files import disk_hint, sync_file, sync_folder, write_file
from rsseg.log import logger
from rsseg.raster.env import GDAL_ERRORS, reason

_LOCK = "rsseg.lock"
_PLACING = "placing.json"
"""Written when the first file is about to be put in place: the places, and by what the files can be known there."""
_BELONGINGS = (".ovr", ".msk", ".aux.xml")
"""What GDAL would read as part of the output: overviews, a mask, a sidecar. They count as existing output."""


def check_output(path: Path, *, overwrite: bool, output: Path | None = None) -> None:
    """Refuse an output that cannot be written, before any work is done.

    What an interrupted run of the same output has put in place already is no obstacle.

    Args:
        path: the file to be.
        overwrite: whether an existing file may be replaced.
        output: the file together with which it is put in place; None: it has a staging folder of its own.

    Raises:
        OptionError: the folder does not exist, the path is a folder, or the file exists and may not be replaced.
        ResourceError: the folder is not writable.
    """
    if not _is_utf8(path):
        raise OptionError(f"{str(path)!r}: the name is not UTF-8 text, which GDAL needs")
    # os.path answers False where a folder cannot be looked into; Path's own methods raise.
    if not os.path.isdir(path.parent):  # noqa: PTH112
        raise OptionError(f"{path}: the folder {path.parent} does not exist", hint=f"mkdir -p {path.parent}")
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        raise OptionError(f"{path}: is a folder or a device, expected the name of a file")
    existing = [p for p in (path, *_belongings(path)) if os.path.lexists(p)]
    if existing and not overwrite:
        placed = _placed(output or path)
        existing = [p for p in existing if _place(p) not in placed]
    if existing and not overwrite:
        raise OptionError(f"{existing[0]}: exists already", hint="choose another output, or add --overwrite")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ResourceError(f"{path}: the folder {path.parent} is not writable", hint="choose another folder")


class StagingFolder:
    """The folder `OUTPUT.part`, locked while it is in use: `make` it, then end it well with `publish`, or `remove` it.

    Raises:
        OptionError, ResourceError: see `check_output`.
    """

    def __init__(self, output: Path, *, overwrite: bool) -> None:
        check_output(output, overwrite=overwrite)
        self.output = output
        self.path = _folder_of(output)
        self._ours = False
        self._lock: IO[bytes] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether the folder is there, in use by this run, and still needed."""
        return self._ours and self.path.is_dir() and not _is_complete(self.output)

    def make(self, *, keep: bool = False) -> None:
        """Make the folder, or take over what a killed run left there: kept, or replaced with a line in the log.

        Raises:
            OptionError: it holds files of others.
            ResourceError: another run uses it, or the disk does not take it.
        """
        with disk_errors(f"{self.output}: cannot be written"):
            with suppress(FileNotFoundError):  # the run that used it has just ended and removed it
                if self._take_over(keep=keep):
                    return
            self._ours = True  # before it is there, so that an interrupt in between leaves nothing
            try:
                self.path.mkdir()
            except FileExistsError as err:
                self._ours = False
                raise self._in_use() from err
            self._lock = _locked(self.path / _LOCK)
            if self._lock is None:  # of two that begin together the other was quicker
                self._ours = False
                raise self._in_use()

    def _take_over(self, *, keep: bool) -> bool:
        """Lock the folder of a killed run and keep it, or discard it; whether it is there now."""
        if not os.path.lexists(self.path):
            return False
        if not self.path.is_dir() or (not (self.path / _LOCK).exists() and any(self.path.iterdir())):
            raise OptionError(
                f"{self.path}: exists and is not from rsseg; it is needed while the output is made",
                hint="move it away, or choose another output",
            )
        lock = _locked(self.path / _LOCK)
        if lock is None:
            raise self._in_use()
        if keep:
            self._lock = lock
            self._ours = True
            return True
        logger.warning("%s: replaces what an interrupted run left", self.path)
        self._discard()
        lock.close()
        return False

    def _in_use(self) -> ResourceError:
        return ResourceError(f"{self.output}: is being written by another run", hint="wait for it to end")

    def publish(self, files: dict[Path, Path]) -> None:
        """Move finished files to their places in the order given, the output itself last, and remove the folder.

        Whatever ends this half-way, a kill or the disk, the next run is not refused because of the files that are in
        place: it makes all of them anew.

        Args:
            files: file in this folder to its final place.
        """
        places = set(files.values())
        with disk_errors(f"{self.output}: cannot be written"):
            for source in files:
                sync_file(source)
            self._note_places(files)
            for source, target in files.items():
                # Before and not after: old overviews beside a new map would be wrong, and nobody would see it.
                for stale in set(_belongings(target)) - places:
                    stale.unlink(missing_ok=True)
                source.replace(target)
            for folder in {target.parent for target in places}:
                sync_folder(folder)
        self.remove()

    def _note_places(self, files: dict[Path, Path]) -> None:
        """Write down where the files will be, before the first of them is there."""
        placed = _placed(self.output)
        note = {}
        for source, target in files.items():
            known = [source, target] if _place(target) in placed else [source]
            note[str(_place(target))] = [_identity(path) for path in known]
        write_file(self.path / _PLACING, json.dumps(note).encode())

    def remove(self) -> None:
        """Remove the folder with all it holds, and what is in place without the output itself.

        Does nothing if the folder is gone or was never made.
        """
        if self._ours:
            with suppress(OSError):
                self._discard()
        self.leave()

    def _discard(self) -> None:
        """Remove the folder, the lock last: a kill on the way leaves what the next run knows as ours."""
        for path in _placed(self.output):
            path.unlink(missing_ok=True)
        for path in self.path.iterdir():
            if path.name not in (_LOCK, _PLACING):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for name in (_PLACING, _LOCK):
            (self.path / name).unlink(missing_ok=True)
        self.path.rmdir()

    def leave(self) -> None:
        """Let go of the folder as it is, so that a later run can take it over."""
        self._ours = False
        if self._lock is not None:
            self._lock.close()
            self._lock = None


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn failures to write into one error with its cause.

    Raises:
        ResourceError: `what`, with the reason.
    """
    try:
        yield
    except OSError as err:  # rasterio's errors of input and output are OSErrors too
        why = reason(err) if isinstance(err, GDAL_ERRORS) else (err.strerror or str(err))
        raise ResourceError(f"{what} ({why})", hint=disk_hint(err)) from err
    except GDAL_ERRORS as err:
        raise ResourceError(f"{what} ({reason(err)})", hint=disk_hint(err)) from err


def _is_utf8(path: Path) -> bool:
    """Bytes of a file name that are no UTF-8 arrive as lone surrogates."""
    return not any("\ud800" <= c <= "\udfff" for c in str(path))


def _folder_of(output: Path) -> Path:
    return output.with_name(output.name + ".part")


def _belongings(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in _BELONGINGS]


def _placed(output: Path) -> set[Path]:
    """What an interrupted run has put in place, by `_place`; nothing if the output is there, too: it was complete."""
    placed = _noted(output)
    return set() if _place(output) in placed else placed


def _is_complete(output: Path) -> bool:
    return _place(output) in _noted(output)


def _noted(output: Path) -> set[Path]:
    """The files of the note in the staging folder that are in their places."""
    try:
        note = json.loads((_folder_of(output) / _PLACING).read_bytes())
    except (OSError, ValueError):
        return set()
    return {Path(place) for place, identities in note.items() if _identity(Path(place)) in identities}


def _place(path: Path) -> Path:
    """A path by which a file is known from any working directory."""
    return path.parent.resolve() / path.name


def _identity(path: Path) -> list[int]:
    """What a file keeps when it is renamed, and loses when it is changed or replaced; empty if there is none."""
    try:
        status = path.lstat()
    except OSError:
        return []
    return [status.st_ino, status.st_mtime_ns]


def _locked(path: Path) -> IO[bytes] | None:
    """The opened and locked file, or None if another process holds it, or has removed it in this moment."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    if os.fstat(file.fileno()).st_nlink == 0:
        file.close()
        return None
    return file
