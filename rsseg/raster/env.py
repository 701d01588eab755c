"""How GDAL is set up, opened and listened to; everything odd about talking to it stays here.

Two things need care. rasterio says through Python warnings that a file has no georeference, which is a normal
case for us. And GDAL reports some damaged data only as a warning in a log: a JPEG block that ends too early is
filled with gray, and the read succeeds.
"""

from __future__ import annotations

import logging
import os
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
        GDAL_HTTP_MAX_RETRY=3,
        GDAL_HTTP_RETRY_DELAY=1,
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


_listener = _DamageListener()
_gdal_log = logging.getLogger("rasterio._err")
_gdal_log.addFilter(_listener)
_gdal_log.setLevel(logging.WARNING)  # a quieter "rasterio" logger must not make us deaf


def _damaged(what: str, why: str) -> RasterError:
    return RasterError(
        f"{what} ({why})", hint="the file seems to be damaged or cut off; copy or download it again"
    )


def _not_a_raster(path: str, err: BaseException) -> RasterError:
    local = "://" not in path and not path.startswith("/vsi")
    if local and not os.path.exists(path):  # noqa: PTH110 - Path raises where a folder is closed
        return RasterError(f"{path}: no such file", hint="check the path")
    return RasterError(
        f"{path}: is not a raster that GDAL can read ({reason(err)})",
        hint=f"`rio info {path}` or `gdalinfo {path}` should be able to open it",
    )
