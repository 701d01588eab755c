from __future__ import annotations

import threading
import warnings
from pathlib import Path

import rasterio
from rasterio.env import getenv

from rsseg.raster import gdal_env, open_raster
from rsseg.raster.env import georeference_optional, reason
from tests.raster.make import noise, write_tiff


def test_the_block_cache_is_bounded_but_not_to_nothing() -> None:
    with gdal_env(cache_bytes=3 * 2**20):
        assert getenv()["GDAL_CACHEMAX"] == 3 * 2**20
    with gdal_env(cache_bytes=1):
        assert getenv()["GDAL_CACHEMAX"] == 2**20


def test_opening_in_many_threads_leaves_the_warning_filters_as_they_were(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "plain.tif", noise())
    before = list(warnings.filters)

    threads = [threading.Thread(target=lambda: open_raster(path).close()) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert warnings.filters == before


def test_the_same_thread_may_ask_twice() -> None:
    with georeference_optional(), georeference_optional():
        pass


def test_the_reason_is_what_gdal_said_first() -> None:
    inner = rasterio.errors.RasterioIOError("TIFFReadEncodedTile()\n failed.")
    outer = rasterio.errors.RasterioIOError("Read failed. See previous exception for details.")
    outer.__cause__ = inner

    assert reason(outer) == "TIFFReadEncodedTile() failed."
    assert reason(ValueError()) == "ValueError"
