"""How GDAL is set up, opened and listened to; everything odd about talking to it stays here.

Two things need care. rasterio says through Python warnings that a file has no georeference, which is a normal
case for us. And GDAL reports some damaged data only as a warning in a log: a JPEG block that ends too early is
filled with gray, and the read succeeds.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from rsseg.errors import RasterError

CACHE_BYTES = 32 * 2**20
"""GDAL's block cache. Its own default, 5 % of the machine's memory, makes memory depend on the machine. This one is
filled by 4096 x 4096 pixels of an image and its map, so memory is the same for all rasters from there on."""

RETRY_DELAY_S = 1.0
"""Before a server that fails is asked again; three times, which takes about 9 s."""

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""What rasterio raises when GDAL fails; `rasterio.shutil` lets GDAL's own errors through."""

# `warnings.catch_warnings` changes the whole process, so two threads must not do it at once.
_warnings_lock = threading.RLock()


def gdal_env(*, cache_bytes: int = CACHE_BYTES) -> AbstractContextManager[Any]:
    """Set GDAL up for a run: a bounded block cache, damaged pictures as errors, patience with servers.

    The cache is one for the process and all its threads; the setting stays after the context has ended.

    Args:
        cache_bytes: bound on GDAL's block cache; at least 1 MB.
    """
    env: AbstractContextManager[Any] = rasterio.Env(
        GDAL_CACHEMAX=max(cache_bytes, 2**20),
        GDAL_ERROR_ON_LIBJPEG_WARNING=True,
        GDAL_PNG_WHOLE_IMAGE_OPTIM=False,  # that way a PNG that was cut off reads without an error
        # Ask for each sidecar by name: a list of a remote folder costs a request, and may have no end.
        GDAL_DISABLE_READDIR_ON_OPEN=True,
        GDAL_HTTP_MAX_RETRY=3,
        GDAL_HTTP_RETRY_DELAY=RETRY_DELAY_S,  # doubled each time
        GDAL_HTTP_CONNECTTIMEOUT=10,
        GDAL_HTTP_LOW_SPEED_TIME=30,  # a server that has gone silent must not hold us for ever
        GDAL_HTTP_LOW_SPEED_LIMIT=1,
    )
    return env


@contextmanager
def georeference_optional() -> Iterator[None]:
    """Open files in here whose georeference may be missing without a warning about it."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def open_dataset(path: str | Path) -> Any:
    """Open whatever GDAL opens; the caller closes the rasterio dataset.

    Raises:
        RasterError: there is nothing at `path`, or it is not a raster.
    """
    try:
        with georeference_optional():
            return rasterio.open(str(path))
    except UnicodeEncodeError as err:
        raise RasterError(f"{str(path)!r}: the name is not UTF-8 text, which GDAL needs") from err
    except GDAL_ERRORS as err:
        raise _not_a_raster(str(path), err) from err


def is_remote(path: str) -> bool:
    """Whether a path leads over the network, also from within an archive."""
    scheme, found, _ = path.partition("://")
    asks = bool(found) and not _LOCAL_SCHEMES.issuperset(scheme.split("+"))
    return asks or any(f"/{system}" in path for system in _NETWORK)


def files_of(dataset: Any, path: str) -> tuple[str, ...]:
    """All files that an open rasterio dataset is read from; a remote one counts as one file.

    GDAL would ask a server for two dozen names, of metadata that we do not use.

    Raises:
        RasterError: a source of a mosaic is missing, which GDAL says only when it is read.
    """
    if is_remote(path):
        return (path,)
    files: tuple[str, ...] = tuple(dataset.files)
    for file in files:
        # Parts of a file ("HDF5:...") and archives are left to GDAL.
        if ":" not in file and not file.startswith("/vsi") and not os.path.exists(file):  # noqa: PTH110
            raise _damaged(f"{path}: is not complete", f"{file}: No such file or directory")
    return files


def reason(err: BaseException) -> str:
    """What GDAL said, from the bottom of the chain that rasterio wraps it in, on one line."""
    while err.__cause__ is not None and isinstance(err.__cause__, GDAL_ERRORS):
        err = err.__cause__
    return " ".join(str(err).split()) or type(err).__name__


@contextmanager
def damage_is_an_error(what: str) -> Iterator[None]:
    """Turn any failure of GDAL to decode pixels into an error, also where GDAL itself goes on.

    Args:
        what: who cannot do what, such as `ortho.tif: cannot read 512 x 512 px at column 0, row 0`.

    Raises:
        RasterError: `what`, with GDAL's reason.
    """
    damage = _listener.start()
    try:
        yield
    except GDAL_ERRORS as err:
        raise _damaged(what, reason(err)) from err
    finally:
        _listener.stop()
    if damage:
        raise _damaged(what, damage[0])


class _DamageListener(logging.Filter):
    """Hears what GDAL says while this thread reads, and remembers what means damage.

    Decoding happens in the thread that reads, and so does the logging; every thread has its own list.
    """

    signs = ("JPEGLib:", "Corrupt JPEG data", "Premature end of JPEG")

    def __init__(self) -> None:
        super().__init__()
        self._heard = threading.local()

    def start(self) -> list[str]:
        self._heard.messages = messages = list[str]()
        return messages

    def stop(self) -> None:
        self._heard.messages = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, except those that become an error of ours."""
        messages = getattr(self._heard, "messages", None)
        if messages is None or record.levelno < logging.WARNING:
            return True
        text = record.getMessage()
        if not any(sign in text for sign in self.signs):
            return True
        messages.append(text.rpartition("JPEGLib:")[2])
        return False


_NETWORK = ("vsicurl", "vsis3", "vsigs", "vsiaz", "vsiadls", "vsioss", "vsiswift", "vsihdfs", "vsiwebhdfs")
"""GDAL's file systems that ask a server; each has a variant for streams."""
_LOCAL_SCHEMES = frozenset(("file", "zip", "tar", "gzip"))

_listener = _DamageListener()
_gdal_log = logging.getLogger("rasterio._err")
_gdal_log.addFilter(_listener)
_gdal_log.setLevel(logging.WARNING)  # a quieter "rasterio" logger must not make us deaf


def _damaged(what: str, why: str) -> RasterError:
    hint = "the file seems to be damaged or cut off; copy or download it again"
    if missing := re.search(r"^(.+): No such file or directory", why):
        why, hint = (
            f"{missing[1]} is missing",
            "a mosaic needs all its files; put it back, or make the mosaic anew",
        )
    elif is_remote(what) or is_remote(why):
        hint = "the server or the way to it failed; the same command goes on from what is done"
    return RasterError(f"{what} ({why})", hint=hint)


def _not_a_raster(path: str, err: BaseException) -> RasterError:
    if is_remote(path):
        return _not_served(path, reason(err))
    if "does not exist in the file system" in reason(err):
        return RasterError(f"{path}: no such file", hint="check the path")
    if not path.startswith("/vsi") and not os.path.exists(path):  # noqa: PTH110 - Path raises where a folder is closed
        return RasterError(f"{path}: no such file", hint="check the path")
    if path.lower().endswith(".zip"):
        return RasterError(f"{path}: is an archive", hint=f"name a raster in it: /vsizip/{path}/NAME.tif")
    return RasterError(
        f"{path}: is not a raster that GDAL can read ({reason(err)})",
        hint=f"`rio info {path}` or `gdalinfo {path}` should be able to open it",
    )


def _not_served(path: str, why: str) -> RasterError:
    """The error for an address that gives no raster, by what the server said."""
    status = re.search(r"HTTP response code: (\d+)", why)
    code = int(status[1]) if status else 0
    if code in (404, 410):
        return RasterError(f"{path}: no such file on the server (HTTP {code})", hint="check the address")
    if code in (401, 403):
        return RasterError(
            f"{path}: the server does not let us read it (HTTP {code})",
            hint="use a signed address, or give GDAL your credentials: GDAL_HTTP_HEADERS, AWS_ACCESS_KEY_ID ...",
        )
    if code or "curl error" in why.lower() or "could not resolve" in why.lower():
        return RasterError(
            f"{path}: cannot be read from the server ({why})", hint="try again later, or download it first"
        )
    return RasterError(
        f"{path}: what the server gives is not a raster that GDAL can read ({why})",
        hint="open the address in a browser: it may be a page, or ask for a login",
    )
