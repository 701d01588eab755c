from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.transform import from_origin

from rsseg.errors import OptionError, RasterError
from rsseg.raster import RasterSource, gdal_env, handles, open_raster
from rsseg.raster import reader as reader_module
from rsseg.raster import swaths as swaths_module
from rsseg.raster.env import georeference_optional
from rsseg.tiling import Window
from tests.raster.make import UTM, damage_block, noise, write_tiff

windows = st.builds(
    Window, st.integers(-60, 60), st.integers(-60, 60), st.integers(0, 70), st.integers(0, 70)
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> RasterSource:
    data = noise(3)
    data[:, 5:20, 7:30] = 0
    path = write_tiff(tmp_path_factory.mktemp("reader") / "image.tif", data, nodata=0, **UTM)
    return open_raster(path)


@given(windows)
def test_reading_a_window_equals_cutting_it_from_the_whole(source: RasterSource, window: Window) -> None:
    frame = source.grid.window.expanded(140)
    whole = source.read(frame)

    part = source.read(window)

    rows, cols = window.slices(frame)
    np.testing.assert_array_equal(part.data, whole.data[:, rows, cols])
    np.testing.assert_array_equal(part.valid, whole.valid[rows, cols])


def test_pixels_outside_the_raster_are_zero_and_invalid(source: RasterSource) -> None:
    pixels = source.read(Window(-2, -2, 4, 4))

    assert not pixels.valid[:2].any()
    assert not pixels.valid[:, :2].any()
    assert not pixels.data[:, :2].any()
    assert pixels.valid[2:, 2:].all()


def test_threads_read_the_same_as_one_with_a_handle_to_each_and_all_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opened_handles(monkeypatch)
    path = write_tiff(tmp_path / "image.tif", noise(3, 64, 64), **UTM)
    barrier = threading.Barrier(4)

    def read(row: int) -> NDArray[np.uint8]:
        with source._handles.use() as dataset:
            barrier.wait()  # all read at the same time
            barrier.wait()
            assert dataset.count == 3
        return source.read(Window(0, row * 16, 64, 16)).data

    with open_raster(path) as source:
        for _ in range(3):  # as many passes, each with threads of its own
            with ThreadPoolExecutor(4) as pool:
                parts = list(pool.map(read, range(4)))
        whole = source.read(source.grid.window).data

    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    assert [dataset.closed for dataset in opened] == [True] * 4
    with pytest.raises(ValueError, match="is closed"):
        source.read(Window(0, 0, 1, 1))


def test_a_file_that_is_gone_is_read_to_its_end_by_threads_in_turn(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "image.tif", noise(3, 64, 64), **UTM)
    with open_raster(path) as source, ThreadPoolExecutor(4) as pool:
        whole = source.read(source.grid.window).data
        path.unlink()
        with source._handles.use():
            parts = [pool.submit(source.read, Window(0, row * 16, 64, 16)) for row in range(4)]
            time.sleep(0.2)
            assert not any(part.done() for part in parts)  # each waits for the one handle there is

        read = np.concatenate([part.result(timeout=60).data for part in parts], axis=1)

    np.testing.assert_array_equal(read, whole)


def test_bands_come_in_the_order_asked_for(tmp_path: Path) -> None:
    data = noise(3)
    path = write_tiff(tmp_path / "image.tif", data, **UTM)

    with open_raster(path, bands=[3, 1, 1], channels=3) as source:
        pixels = source.read(source.grid.window)

    np.testing.assert_array_equal(pixels.data, data[[2, 0, 0]])


def test_alpha_masks_and_nodata_all_count(tmp_path: Path) -> None:
    data = noise(4)
    data[3] = 255
    data[3, :, :5] = 0
    data[:3, :, 5:8] = 0
    mask = np.ones(data.shape[1:], dtype=np.bool_)
    mask[:, 8:10] = False
    path = write_tiff(
        tmp_path / "all.tif", data, colors=["red", "green", "blue", "alpha"], nodata=0, mask=mask, **UTM
    )

    with open_raster(path, channels=3) as source:
        valid = source.read(source.grid.window).valid
    with open_raster(path, channels=3, nodata=None) as ignoring:
        valid_without_nodata = ignoring.read(ignoring.grid.window).valid

    assert valid.any(axis=0).tolist() == [False] * 10 + [True] * 38
    assert valid_without_nodata.any(axis=0).tolist() == [False] * 5 + [True] * 3 + [False] * 2 + [True] * 38


@pytest.mark.parametrize(("nodata", "invalid"), [("auto", 7), (None, 0), (9.0, 3), (-1.0, 0)])
def test_nodata_can_be_taken_ignored_or_replaced(tmp_path: Path, nodata: float | None, invalid: int) -> None:
    data = np.full((1, 4, 4), 50, dtype=np.uint8)
    data[0].flat[:7] = 0
    data[0].flat[7:10] = 9
    path = write_tiff(tmp_path / "image.tif", data, nodata=0, **UTM)

    with open_raster(path, nodata=nodata) as source:  # type: ignore[arg-type]
        pixels = source.read(source.grid.window)

    assert (~pixels.valid).sum() == invalid


def test_bands_with_different_nodata_values_need_all_of_them(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.array([[[1, 1, 3]]], dtype=np.uint8), nodata=1, **UTM)
    write_tiff(tmp_path / "b.tif", np.array([[[2, 5, 2]]], dtype=np.uint8), nodata=2, **UTM)
    path = stacked(tmp_path, "a.tif", "b.tif", nodata=["1", "2"])

    with open_raster(path) as source:
        assert source.read(source.grid.window).valid.tolist() == [[False, True, True]]


def test_a_band_without_a_nodata_value_keeps_all_pixels_valid(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.array([[[1, 1, 3]]], dtype=np.uint8), nodata=1, **UTM)
    write_tiff(tmp_path / "b.tif", np.array([[[2, 5, 2]]], dtype=np.uint8), **UTM)
    path = stacked(tmp_path, "a.tif", "b.tif", nodata=["1", None])

    with open_raster(path) as source:
        assert source.read(source.grid.window).valid.all()


def stacked(folder: Path, *names: str, nodata: list[str | None]) -> Path:
    """A VRT of one-band files."""
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{i}">'
        + (f"<NoDataValue>{value}</NoDataValue>" if value else "")
        + f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for i, (name, value) in enumerate(zip(names, nodata, strict=True), start=1)
    )
    path = folder / "stack.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="3" rasterYSize="1"><GeoTransform>0, 1, 0, 0, 0, -1</GeoTransform>'
        f"{bands}</VRTDataset>",
        encoding="utf-8",
    )
    return path


def test_bands_of_different_types_are_read_in_one_that_holds_both(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.array([[[1, 1, 3]]], dtype=np.uint8), **UTM)
    write_tiff(tmp_path / "b.tif", np.array([[[300, 5, 2]]], dtype=np.uint16), **UTM)
    path = stacked(tmp_path, "a.tif", "b.tif", nodata=[None, None])
    path.write_text(
        path.read_text(encoding="utf-8").replace('"Byte" band="2"', '"UInt16" band="2"'), encoding="utf-8"
    )

    with open_raster(path) as source:
        pixels = source.read(source.grid.window)

    assert source.dtype == "uint16"
    assert pixels.data.tolist() == [[[1, 1, 3]], [[300, 5, 2]]]


def test_the_block_shape_says_how_the_file_is_stored(tmp_path: Path) -> None:
    tiled = {"tiled": True, "blockxsize": 32, "blockysize": 16}
    path = write_tiff(tmp_path / "tiled.tif", noise(), **tiled, **UTM)

    with open_raster(path) as source:
        assert source.block_shape == (16, 32)


def test_a_raster_without_georeference_works_and_says_so(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "plain.tif", noise())

    with open_raster(path) as source, ThreadPoolExecutor(2) as pool:
        results = list(pool.map(source.read, [Window(0, 0, 8, 8)] * 2))

    assert all(pixels.valid.all() for pixels in results)
    assert source.notes == (f"{path}: has no CRS and no georeference; what is made from it has none either",)
    assert source.grid.gsd_m is None


def test_a_preview_is_small_and_keeps_invalid_areas(tmp_path: Path) -> None:
    data = noise(3, 60, 64)
    data[:, :, :32] = 0
    path = write_tiff(tmp_path / "image.tif", data, nodata=0, **UTM)

    with open_raster(path) as source:
        small = source.read_decimated(max_side=16)
        same = source.read_decimated(max_side=1000)

    assert small.data.shape == (3, 15, 16)
    assert small.valid[:, 8:].all()
    assert not small.valid[:, :7].any()
    np.testing.assert_array_equal(same.data, data)


@pytest.mark.parametrize(
    ("compress", "zeros"),
    [("jpeg", True), ("jpeg", False), ("lzw", True), ("lzw", False), ("deflate", False)],
)
def test_a_damaged_block_is_an_error_that_names_file_and_window(
    tmp_path: Path, compress: str, zeros: bool
) -> None:
    tiled = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": compress, "interleave": "pixel"}
    data = np.random.default_rng(0).integers(0, 255, (3, 128, 128)).astype(np.uint8)
    path = write_tiff(tmp_path / "good.tif", data, **tiled, **UTM)
    damaged = damage_block(path, tmp_path / "bad.tif", zeros=zeros)

    with open_raster(damaged) as source:
        assert source.read(Window(0, 0, 64, 64)).valid.all()
        with pytest.raises(RasterError) as caught:
            source.read(Window(64, 64, 64, 64))

    assert str(caught.value).startswith(f"{damaged}: cannot read 64 x 64 px at column 64, row 64 (")
    assert caught.value.hint is not None


def test_other_messages_of_gdal_still_reach_the_log(
    source: RasterSource, caplog: pytest.LogCaptureFixture
) -> None:
    gdal_log = logging.getLogger("rasterio._err")

    with caplog.at_level(logging.WARNING, logger="rasterio._err"), reader_module.damage_is_an_error("x"):
        gdal_log.warning("something harmless")
        gdal_log.info("more of it")

    assert "something harmless" in caplog.text


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match=r"none\.tif: no such file"):
        open_raster(tmp_path / "none.tif")


def test_a_text_file_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "text.tif"
    path.write_text("this is no raster", encoding="utf-8")

    with pytest.raises(RasterError, match=r"text\.tif: is not a raster that GDAL can read"):
        open_raster(path)


def test_a_file_of_several_rasters_names_one_of_them(tmp_path: Path) -> None:
    container = tmp_path / "both.gpkg"
    place = {
        "crs": "EPSG:3857",
        "transform": from_origin(100, 100, 2, 2),
        "width": 8,
        "height": 8,
        "dtype": "uint8",
    }
    for name in ("first", "second"):
        options = {"RASTER_TABLE": name, "APPEND_SUBDATASET": "YES"}
        with rasterio.open(container, "w", driver="GPKG", count=1, **place, **options) as dataset:
            dataset.write(noise(1, 8, 8))

    with pytest.raises(RasterError, match="has no bands") as caught:
        open_raster(container)

    assert f"such as GPKG:{container}:first" in (caught.value.hint or "")


def test_a_wrong_option_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiff(tmp_path / "image.tif", noise(), **UTM)
    opened = opened_handles(monkeypatch)

    with pytest.raises(OptionError):
        open_raster(path, bands=[1, 2], channels=3)

    assert [dataset.closed for dataset in opened] == [True]


def opened_handles(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All handles that are opened from now on."""
    opened: list[Any] = []
    monkeypatch.setattr(handles, "open_dataset", lambda p: opened.append(rasterio.open(p)) or opened[-1])
    return opened


def test_closing_waits_for_what_is_being_read(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "image.tif", noise(1, 8, 8), **UTM)
    source, reads, closes = open_raster(path), threading.Event(), threading.Event()

    def read() -> bool:
        with source._handles.use() as dataset:
            reads.set()
            closes.wait()
            return bool(dataset.closed)

    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(read)
        reads.wait()
        closing = pool.submit(source.close)
        while not source._handles._closed:
            pass
        assert not closing.done()
        closes.set()
        assert not reading.result()
        closing.result()

    with pytest.raises(ValueError, match="is closed"):
        source.read(Window(0, 0, 1, 1))


def test_alpha_of_another_type_decides_validity_and_not_the_type(tmp_path: Path) -> None:
    colors = write_tiff(tmp_path / "rgb.tif", noise(3, 8, 8), **UTM)
    values = np.full((1, 8, 8), 256, np.uint16)  # 0 if it were cut to 8 bits
    values[0, 2:4] = 0
    alpha = write_tiff(tmp_path / "a.tif", values, **UTM)
    bands = [(colors, 1, "Byte", "Red"), (colors, 2, "Byte", "Green"), (colors, 3, "Byte", "Blue")]
    text = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{number}"><ColorInterp>{color}</ColorInterp><SimpleSource>'
        f"<SourceFilename>{file}</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for number, (file, band, kind, color) in enumerate([*bands, (alpha, 1, "UInt16", "Alpha")], start=1)
    )
    path = tmp_path / "rgba.vrt"
    path.write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{text}</VRTDataset>')

    with open_raster(path) as source:
        pixels = source.read(source.grid.window)

    assert source.dtype == pixels.data.dtype == "uint8"
    np.testing.assert_array_equal(pixels.data, noise(3, 8, 8))
    assert pixels.valid.tolist() == [[row not in (2, 3)] * 8 for row in range(8)]


@pytest.mark.parametrize(("interleave", "refused"), [("pixel", True), ("band", False)])
def test_bands_that_are_stored_together_are_one_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interleave: str, refused: bool
) -> None:
    how = {"blockysize": 64, "compress": "deflate", "interleave": interleave}
    path = write_tiff(tmp_path / "s.tif", noise(3, 64, 64), **how, **UTM)
    monkeypatch.setattr(reader_module, "LARGEST_BLOCK_BYTES", 3 * 64 * 64 - 1)

    with pytest.raises(RasterError, match="each decoded as a whole") if refused else nullcontext():
        open_raster(path).close()


def test_one_giant_strip_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiff(tmp_path / "strip.tif", noise(1, 64, 64), blockysize=64, compress="deflate", **UTM)
    monkeypatch.setattr(reader_module, "LARGEST_BLOCK_BYTES", 64 * 64 - 1)

    with pytest.raises(RasterError, match=r"stored in blocks of 64 x 64 px") as caught:
        open_raster(path)

    assert "TILED=YES" in (caught.value.hint or "")


def test_wide_strips_are_read_once_for_all_windows_of_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_WIDE", 1000)
    monkeypatch.setattr(swaths_module, "SWATH_BYTES", 512 * 16 * 4)
    pixels = noise(3, 40, 1300)
    strips = write_tiff(tmp_path / "strips.tif", pixels, blockysize=4, interleave="pixel", nodata=7, **UTM)
    whole: list[Window] = []

    with open_raster(strips) as source:
        monkeypatch.setattr(
            source._swaths, "_read", lambda window: (whole.append(window), source._read_inside(window))[1]
        )
        assert source.is_striped
        assert source.swath_columns(16) == 512
        windows = [Window(col, row, 64, 16) for row in (0, 12, 24) for col in range(0, 1300, 48)]
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(source.read, windows))

    assert len(whole) == 3 * 3
    for window, read in zip(windows, found, strict=True):
        inside = window.intersection(Window(0, 0, 1300, 40))
        expected = pixels[:, *inside.slices()]
        assert (read.data[:, : inside.height, : inside.width] == expected).all()
        assert (read.valid[: inside.height, : inside.width] == (expected != 7).any(axis=0)).all()


def test_a_strip_that_cannot_be_read_fails_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_WIDE", 100)
    path = write_tiff(tmp_path / "strips.tif", noise(3, 64, 200), blockysize=4, compress="deflate", **UTM)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"x" * 2000 + content[len(content) // 2 + 2000 :])

    with open_raster(path) as source:
        for _ in range(2):
            with pytest.raises(RasterError, match="cannot read"):
                source.read(Window(10, 0, 20, 64))


@pytest.mark.parametrize("driver", ["PNG", "JPEG"])
def test_a_picture_that_was_cut_off_is_an_error(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "picture"
    shape = {"width": 64, "height": 64, "count": 3, "dtype": "uint8"}
    with georeference_optional(), rasterio.open(path, "w", driver=driver, **shape) as dataset:
        dataset.write(noise(3, 64, 64))
    path.write_bytes(path.read_bytes()[:-1500])

    with gdal_env(), open_raster(path) as source, pytest.raises(RasterError, match="cannot read 64 x 64 px"):
        source.read(source.grid.window)


def test_closing_waits_for_threads_that_read(tmp_path: Path) -> None:
    """Closing under a reading thread would crash the whole process."""
    path = write_tiff(tmp_path / "i.tif", noise(3, 64, 64), **UTM)
    source = open_raster(path)
    ended: list[str] = []

    def read_until_closed() -> None:
        try:
            while True:
                source.read(Window(0, 0, 64, 64))
        except ValueError as err:
            ended.append(str(err))

    threads = [threading.Thread(target=read_until_closed) for _ in range(3)]
    for thread in threads:
        thread.start()
    source.close()
    for thread in threads:
        thread.join(timeout=20)

    assert [f"{path} is closed"] * 3 == ended
