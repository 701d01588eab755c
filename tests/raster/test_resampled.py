from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from rsseg.raster import Pixels, RasterSource, ResampledSource, open_raster
from rsseg.raster import reader as reader_module
from rsseg.raster import resampled as resampled_module
from rsseg.raster import swaths as swaths_module
from rsseg.tiling import Window, plan_tiles
from tests.raster.make import UTM, noise, write_tiff
from tests.shared import shared_folder

ROWS, COLS = 40, 48


def odd_file(folder: Path, dtype: str = "uint8") -> Path:
    """Noise with alpha, a mask and nodata, each of which makes other pixels invalid."""
    random = np.random.default_rng(4)
    data = noise(4, ROWS, COLS, dtype)
    data[3] = np.where(random.random((ROWS, COLS)) < 0.1, 0, 255)
    data[:3, 5:20, 7:30] = 0
    mask = np.ones((ROWS, COLS), dtype=np.bool_)
    mask[30:, 40:] = False
    colors = ["red", "green", "blue", "alpha"]
    return write_tiff(folder / f"odd_{dtype}.tif", data, colors=colors, nodata=0, mask=mask, **UTM)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RasterSource]:
    folder = tmp_path_factory.mktemp("resampled")
    return {name: open_raster(odd_file(folder, name), channels=3) for name in ("uint8", "uint16", "float32")}


def whole(source: RasterSource) -> Pixels:
    return source.read(source.grid.window)


def averaged(values: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """Mean over the ground of each new pixel: every pixel is cut into as many parts as there are new ones."""
    fine = np.repeat(np.repeat(values.astype(np.float64), height, axis=0), width, axis=1)
    mean: NDArray[np.float64] = fine.reshape(height, values.shape[0], width, values.shape[1]).mean((1, 3))
    return mean


def between(values: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """Values on the straight lines between the middles of pixels, first along columns, then along rows."""
    rows, cols = values.shape
    y, x = (np.arange(height) + 0.5) * rows / height - 0.5, (np.arange(width) + 0.5) * cols / width - 0.5
    tall = np.stack([np.interp(y, np.arange(rows), column) for column in values.T], axis=1)
    return np.stack([np.interp(x, np.arange(cols), row) for row in tall])


@settings(max_examples=30)
@given(st.integers(1, ROWS), st.integers(1, COLS), st.sampled_from(["uint8", "uint16", "float32"]))
def test_coarser_pixels_are_averages_of_what_is_valid(
    odd: dict[str, RasterSource], height: int, width: int, dtype: str
) -> None:
    base = whole(odd[dtype])

    made = whole(ResampledSource(odd[dtype], width=width, height=height))

    weight = averaged(base.valid, height, width)
    middle = [((np.arange(n) + 0.5) * full / n).astype(int) for n, full in ((height, ROWS), (width, COLS))]
    np.testing.assert_array_equal(made.valid, base.valid[np.ix_(*middle)])
    for band, found in zip(base.data, made.data, strict=True):
        expected = averaged(np.where(base.valid, band, 0), height, width)[made.valid] / weight[made.valid]
        np.testing.assert_allclose(found[made.valid], expected, atol=0.5005 if dtype != "float32" else 1e-4)
    assert made.data.dtype == dtype
    assert not made.data[:, ~made.valid].any()


@settings(max_examples=30)
@given(st.integers(ROWS + 1, 200), st.integers(COLS + 1, 200), st.sampled_from(["uint8", "float32"]))
def test_finer_pixels_lie_between_what_is_valid(
    odd: dict[str, RasterSource], height: int, width: int, dtype: str
) -> None:
    base = whole(odd[dtype])

    made = whole(ResampledSource(odd[dtype], width=width, height=height))

    weight = between(base.valid.astype(float), height, width)[made.valid]
    assert weight.min() > 0.2
    for band, found in zip(base.data, made.data, strict=True):
        expected = between(np.where(base.valid, band, 0.0), height, width)[made.valid] / weight
        np.testing.assert_allclose(found[made.valid], expected, atol=0.5005 if dtype != "float32" else 1e-4)


@settings(max_examples=200)
@given(
    st.sampled_from([(13, 17), (20, 24), (39, 48), (40, 31), (41, 49), (80, 96), (100, 20), (131, 147)]),
    st.sampled_from(["uint8", "uint16", "float32"]),
    st.builds(Window, st.integers(-20, 120), st.integers(-20, 120), st.integers(0, 70), st.integers(0, 70)),
    st.sampled_from([1, 500, 2**24]),
)
def test_reading_a_window_equals_cutting_it_from_the_whole(
    odd: dict[str, RasterSource], size: tuple[int, int], dtype: str, window: Window, chunk_bytes: int
) -> None:
    source = ResampledSource(odd[dtype], width=size[1], height=size[0])
    frame = source.grid.window.expanded(200)
    cut = source.read(frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampled_module, "CHUNK_BYTES", chunk_bytes)
        part = source.read(window)

    rows, cols = window.slices(frame)
    np.testing.assert_array_equal(part.data, cut.data[:, rows, cols])
    np.testing.assert_array_equal(part.valid, cut.valid[rows, cols])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("factor", [2, 3, 7])
def test_pixels_that_were_repeated_become_the_original_again(tmp_path: Path, factor: int, dtype: str) -> None:
    original = (noise(2, 9, 11, "float64") * 1.37).astype(dtype)
    repeated = np.repeat(np.repeat(original, factor, axis=1), factor, axis=2)
    path = write_tiff(tmp_path / "i.tif", repeated, **UTM)

    with ResampledSource(open_raster(path), width=11, height=9) as source:
        made = whole(source)

    np.testing.assert_allclose(made.data, original, rtol=3e-7 if dtype == "float32" else 1e-15)


@pytest.mark.parametrize(("size", "how"), [((50, 61), Resampling.average), ((140, 203), Resampling.bilinear)])
def test_what_gdal_makes_of_it_is_at_most_a_step_off(
    tmp_path: Path, size: tuple[int, int], how: Resampling
) -> None:
    data = noise(3, 100, 120)
    path = write_tiff(tmp_path / "i.tif", data, **UTM)
    height, width = size
    transform = UTM["transform"] @ Affine.scale(120 / width, 100 / height)

    with (
        rasterio.open(path) as dataset,
        WarpedVRT(dataset, width=width, height=height, transform=transform, resampling=how) as vrt,
    ):
        expected = vrt.read().astype(int)
    with ResampledSource(open_raster(path), width=width, height=height) as source:
        made = whole(source).data.astype(int)
        assert source.grid.transform.almost_equals(transform)

    assert np.abs(made - expected).max() <= 1


def test_threads_read_the_same_as_one(odd: dict[str, RasterSource]) -> None:
    source = ResampledSource(odd["uint8"], width=61, height=33)
    windows = [Window(col, row, 20, 11) for row in (0, 11, 22) for col in (0, 20, 40)] * 3

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(source.read, windows))

    full = whole(source)
    for window, part in zip(windows, parts, strict=True):
        rows, cols = window.slices()
        np.testing.assert_array_equal(part.data, full.data[:, rows, cols])


def test_wide_strips_are_decoded_once_for_the_tiles_of_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_WIDE", 1000)
    strips = write_tiff(tmp_path / "strips.tif", noise(3, 60, 1300), blockysize=4, interleave="pixel", **UTM)

    with open_raster(strips) as base:
        reads: list[Window] = []
        inside = base._read_inside
        monkeypatch.setattr(base, "_read_inside", lambda window: (reads.append(window), inside(window))[1])
        source = ResampledSource(base, width=650, height=30)
        tiles = list(plan_tiles(650, 30, tile=16, halo=4, stride=1))
        made = [source.read(tile.read) for tile in tiles]

    assert source.is_striped
    assert len(tiles) > 200
    assert len(reads) == len({tile.read.row_off for tile in tiles})
    assert all(part.data.shape == (3, 16, 16) for part in made)


def test_swaths_of_a_wide_raster_are_bounded_in_the_new_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_WIDE", 1000)
    monkeypatch.setattr(swaths_module, "SWATH_BYTES", 512 * 16 * 3)
    strips = write_tiff(tmp_path / "strips.tif", noise(3, 40, 2600), blockysize=4, interleave="pixel", **UTM)

    with open_raster(strips) as base, ResampledSource(base, width=1300, height=20) as source:
        assert source.swath_columns(16) == 512
        parts = np.concatenate([source.read(Window(col, 2, 130, 16)).data for col in range(0, 1300, 130)], 2)
        straight = source.read_once(Window(0, 2, 1300, 16)).data

    np.testing.assert_array_equal(parts, straight)


def test_a_preview_is_that_of_the_raster_itself(odd: dict[str, RasterSource]) -> None:
    source = ResampledSource(odd["uint8"], width=20, height=40)

    assert source.read_decimated(max_side=24).data.shape == (3, 20, 24)
    assert (source.files, source.bands, source.dtype) == (odd["uint8"].files, (1, 2, 3), "uint8")


def test_a_pixel_of_file_type_limits_never_wraps_around(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "i.tif", np.full((1, 9, 9), 2**32 - 1, dtype=np.uint32), **UTM)

    with ResampledSource(open_raster(path), width=13, height=4) as source:
        assert (whole(source).data == 2**32 - 1).all()


def test_little_of_the_file_is_held_at_a_time(
    odd: dict[str, RasterSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, bound = odd["uint8"], 5 * COLS * 3
    monkeypatch.setattr(resampled_module, "CHUNK_BYTES", bound)
    reads: list[Window] = []
    inside = base._read_inside
    monkeypatch.setattr(base, "_read_inside", lambda window: (reads.append(window), inside(window))[1])

    whole(ResampledSource(base, width=20, height=15))

    assert len(reads) > 4
    assert max(window.pixels for window in reads) * base.pixel_bytes <= bound


@pytest.mark.parametrize(
    "name",
    [
        "colorado_rgb_extmask.tif",
        "colorado_rgb_nodata0.tif",
        "rgba_and_nodata_both.tif",
        "drone_pix4d_rgba_lzw.tif",
        "cog_jpeg_mask_overviews.tif",
    ],
)
@pytest.mark.parametrize("ratio", [0.6, 1.7])
def test_real_files_keep_what_is_invalid(name: str, ratio: float) -> None:
    with open_raster(shared_folder("data", "robust", name), channels=3) as base:
        width, height = round(base.grid.width * ratio), round(base.grid.height * ratio)
        source = ResampledSource(base, width=width, height=height)

        made = np.concatenate(
            [source.read(Window(0, row, width, 150)).valid for row in range(0, height, 150)]
        )[:height]
        before = whole(base).valid

    rows = ((np.arange(height) + 0.5) * len(before) / height).astype(int)
    cols = ((np.arange(width) + 0.5) * before.shape[1] / width).astype(int)
    np.testing.assert_array_equal(made, before[np.ix_(rows, cols)])
