"""Files appear complete or not at all: everything is made in a folder beside the output and renamed at the end."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rsseg.errors import OptionError, ResourceError
from rsseg.log import logger
from rsseg.raster.env import GDAL_ERRORS, reason

_LOCK = "rsseg.lock"
_BELONGINGS = (".ovr", ".msk", ".aux.xml")
"""What GDAL would read as part of the output: overviews, a mask, a sidecar. They count as existing output."""


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Args:
        path: the file to be.
        overwrite: whether an existing file may be replaced.

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
    existing = [p for p in (path, *_sidecars(path, _BELONGINGS)) if os.path.lexists(p)]
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
        self.path = output.with_name(output.name + ".part")
        self._ours = False
        self._lock: IO[bytes] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether the folder is there and in use by this run."""
        return self._ours

    def make(self, *, keep: bool = False) -> None:
        """Make the folder, or take over what a killed run left there: kept, or replaced with a line in the log.

        Raises:
            OptionError: it holds files of others.
            ResourceError: another run uses it, or the disk does not take it.
        """
        with disk_errors(f"{self.output}: cannot be written"):
            if self._take_over(keep=keep):
                return
            self._ours = True  # before it is there, so that an interrupt in between leaves nothing
            try:
                self.path.mkdir()
            except FileExistsError as err:
                self._ours = False
                raise self._in_use() from err
            self._lock = _locked(self.path / _LOCK)

    def _take_over(self, *, keep: bool) -> bool:
        """Lock the folder of a killed run and keep it, or discard it; whether it is there now."""
        if not self.path.exists():
            return False
        if not (self.path / _LOCK).exists() and any(self.path.iterdir()):
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
        shutil.rmtree(self.path)
        lock.close()
        return False

    def _in_use(self) -> ResourceError:
        return ResourceError(f"{self.output}: is being written by another run", hint="wait for it to end")

    def publish(self, files: dict[Path, Path]) -> None:
        """Move finished files to their places in the order given, the output itself last, and remove the folder.

        Args:
            files: file in this folder to its final place.
        """
        placed: list[Path] = []
        with disk_errors(f"{self.output}: cannot be written"):
            try:
                for source in files:
                    _sync(source)
                for stale in _sidecars(self.output, _BELONGINGS):
                    stale.unlink(missing_ok=True)
                for source, target in files.items():
                    source.replace(target)
                    placed.append(target)
            finally:
                if self.output not in placed:
                    for target in placed:
                        target.unlink(missing_ok=True)
        self.remove()

    def remove(self) -> None:
        """Remove the folder with all it holds; does nothing if it is gone or was never made."""
        if self._ours:
            shutil.rmtree(self.path, ignore_errors=True)
        self.leave()

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
    hint = "is the disk full, or the folder not writable?"
    try:
        yield
    except OSError as err:  # rasterio's errors of input and output are OSErrors too
        why = reason(err) if isinstance(err, GDAL_ERRORS) else (err.strerror or str(err))
        raise ResourceError(f"{what} ({why})", hint=hint) from err
    except GDAL_ERRORS as err:
        raise ResourceError(f"{what} ({reason(err)})", hint=hint) from err


def _is_utf8(path: Path) -> bool:
    """Bytes of a file name that are no UTF-8 arrive as lone surrogates."""
    return not any("\ud800" <= c <= "\udfff" for c in str(path))


def _sidecars(output: Path, suffixes: Sequence[str]) -> list[Path]:
    return [output.with_name(output.name + suffix) for suffix in suffixes]


def _locked(path: Path) -> IO[bytes] | None:
    """The opened and locked file, or None if another process holds it."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
