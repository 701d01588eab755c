from __future__ import annotations

from pathlib import Path

import numpy as np

from rsseg.raster import checksum_pixels, open_raster, sample_pixels
from tests.making import write_sparse_raster
from tests.raster.make import UTM, noise, write_tiff


def test_of_a_small_raster_all_valid_pixels_are_taken(tmp_path: Path) -> None:
    data = noise(2, 70, 130, "float32")
    data[:, :10] = np.nan
    path = write_tiff(tmp_path / "i.tif", data, **UTM)

    with open_raster(path) as source:
        values, looked_at = sample_pixels(source)

    assert looked_at == 70 * 130
    np.testing.assert_array_equal(np.sort(values, axis=1), np.sort(data[:, 10:].reshape(2, -1), axis=1))


def test_of_a_large_raster_as_many_are_looked_at_in_the_middles_of_a_net(tmp_path: Path) -> None:
    path = write_sparse_raster(tmp_path / "i.tif", width=40_000, height=1500)

    with open_raster(path) as source:
        reads = []
        source.read_once = lambda window: (reads.append(window), source.read(window))[1]  # type: ignore[method-assign]
        values, looked_at = sample_pixels(source)

    assert looked_at == values.shape[1] == 1024 * 1024
    assert len(reads) == 256
    assert all(window.intersection(source.grid.window) == window for window in reads)
    assert {window.cols.start + 32 for window in reads} == {1250 + 2500 * place for place in range(16)}


def test_overviews_change_nothing(tmp_path: Path) -> None:
    data = noise(1, 64, 1200)
    plain = write_tiff(tmp_path / "plain.tif", data, **UTM)
    with_overviews = write_tiff(tmp_path / "ovr.tif", data, overviews=[2, 4, 8], **UTM)

    with open_raster(plain) as one, open_raster(with_overviews) as other:
        np.testing.assert_array_equal(sample_pixels(one)[0], sample_pixels(other)[0])


def test_a_checksum_tells_images_apart_by_pixels_and_validity_and_reads_little(tmp_path: Path) -> None:
    data = noise(1, 300, 40_000)
    other = data.copy()
    other[0, 140:160] += 1
    paths = [
        write_tiff(tmp_path / "a.tif", data, **UTM, tiled=True),
        write_tiff(tmp_path / "same.tif", data, **UTM, compress="deflate"),
        write_tiff(tmp_path / "other.tif", other, **UTM),
        write_tiff(tmp_path / "nodata.tif", data, nodata=3, **UTM),
    ]
    checksums, reads = [], []

    for path in paths:
        with open_raster(path) as source:
            read = source.read
            source.read_once = lambda window, read=read: (reads.append(window), read(window))[1]  # type: ignore[method-assign]
            checksums.append(checksum_pixels(source))

    assert checksums[0] == checksums[1]
    assert len(set(checksums)) == 3
    assert len(reads) == 4 * 9
