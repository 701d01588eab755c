from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.windows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsseg.errors import OptionError, RasterError, ResourceError
from rsseg.raster import collar as collar_module
from rsseg.raster import mask_file, open_raster
from rsseg.raster.collar import CollarColor, CollarSource
from rsseg.raster.env import georeference_optional
from rsseg.tiling import Window
from tests.raster.make import UTM, damage_block, noise, write_tiff
from tests.raster.test_flood import flooded
from tests.shared import shared_folder


def nothing(_share: float) -> None:
    """Progress that nobody watches."""


def valid_pixels(path: Path, folder: Path, color: CollarColor = "white", **options: Any) -> NDArray[np.bool_]:
    """Which pixels are valid without the collar."""
    with CollarSource(open_raster(path, **options), color) as source:
        source.find(folder, on_progress=nothing)
        return source.read(source.grid.window).valid


def frames(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """White, black and grey blobs (3, height, width)."""
    rng = np.random.default_rng(seed)
    small = rng.choice([0, 9, 100, 245, 255], (-(-height // 3), -(-width // 3)), p=[0.2, 0.1, 0.2, 0.1, 0.4])
    grey = np.kron(small, np.ones((3, 3)))[:height, :width]
    pixels = np.repeat(grey[None], 3, axis=0).astype(np.uint8)
    pixels[1][rng.random((height, width)) < 0.05] = 128
    return pixels


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    side=st.integers(1, 70),
    color=st.sampled_from(["white", "black"]),
    nodata=st.sampled_from([None, 100]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_collar_is_what_a_flood_fill_of_the_whole_raster_finds(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    side: int,
    color: CollarColor,
    nodata: int | None,
    seed: int,
) -> None:
    monkeypatch.setattr(collar_module, "SIDE", side)
    folder, pixels = tmp_path_factory.mktemp("collar"), frames(*size, seed)
    path = write_tiff(folder / "i.tif", pixels, nodata=nodata, **UTM)

    found = valid_pixels(path, folder, color)

    declared = (pixels == 100).all(axis=0) if nodata else np.zeros(size, dtype=np.bool_)
    colored = (pixels >= 240).all(axis=0) if color == "white" else (pixels <= 15).all(axis=0)
    np.testing.assert_array_equal(found, ~declared & ~(flooded(colored | declared) & colored))


def with_roof(dtype: str = "uint8", white: int = 255) -> NDArray[Any]:
    """A white corner, and a white roof that does not hang together with it."""
    pixels = noise(rows=60, cols=70, dtype=dtype) + np.array(16, dtype=dtype)
    pixels[:, :20, :30] = white
    pixels[:, 40:50, 40:50] = white
    return pixels


def corner() -> NDArray[np.bool_]:
    """Which pixels of `with_roof` are not its corner."""
    valid = np.ones((60, 70), dtype=np.bool_)
    valid[:20, :30] = False
    return valid


@pytest.mark.parametrize(("dtype", "white"), [("uint8", 255), ("uint8", 241), ("uint16", 65535)])
def test_a_white_roof_inside_stays(tmp_path: Path, dtype: str, white: int) -> None:
    path = write_tiff(tmp_path / "i.tif", with_roof(dtype, white), **UTM)

    np.testing.assert_array_equal(valid_pixels(path, tmp_path), corner())


@pytest.mark.parametrize(
    ("dtype", "value", "color"),
    [("uint8", 239, "white"), ("uint8", 16, "black"), ("uint16", 65534, "white"), ("float32", 0.5, "black")],
)
def test_what_is_farther_from_the_colour_stays(
    tmp_path: Path, dtype: str, value: float, color: CollarColor
) -> None:
    pixels = np.full((3, 20, 20), value, dtype=dtype)
    path = write_tiff(tmp_path / "i.tif", pixels, **UTM)

    assert valid_pixels(path, tmp_path, color).all()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_black_is_known_in_every_type(tmp_path: Path, dtype: str) -> None:
    path = write_tiff(tmp_path / "i.tif", with_roof(dtype, 0), **UTM)

    np.testing.assert_array_equal(valid_pixels(path, tmp_path, "black"), corner())


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_types_without_white_are_refused(tmp_path: Path, dtype: str) -> None:
    path = write_tiff(tmp_path / "i.tif", noise(dtype=dtype), **UTM)

    with (
        open_raster(path) as source,
        pytest.raises(OptionError, match=f"{dtype} pixels, of which none is") as e,
    ):
        CollarSource(source, "white")

    assert "--nodata" in str(e.value.hint)


def test_a_pixel_must_have_the_colour_in_all_bands_that_are_read(tmp_path: Path) -> None:
    pixels = with_roof()
    pixels[2] = 7
    path = write_tiff(tmp_path / "i.tif", pixels, **UTM)
    (tmp_path / "two").mkdir()

    assert valid_pixels(path, tmp_path).all()
    np.testing.assert_array_equal(valid_pixels(path, tmp_path / "two", bands=(1, 2)), corner())


def test_the_collar_goes_on_behind_what_is_invalid_already(tmp_path: Path) -> None:
    pixels = noise(rows=40, cols=40)
    pixels[:, :, :5] = 0  # declared
    pixels[:, 10:20, 5:12] = 255  # hangs on it
    pixels[:, 10:20, 25:30] = 0  # declared, inside
    pixels[:, 10:20, 30:33] = 255  # hangs on that only
    path = write_tiff(tmp_path / "i.tif", pixels, nodata=0, **UTM)

    valid = valid_pixels(path, tmp_path)

    assert not valid[10:20, :12].any()
    assert valid[10:20, 30:33].all()


@pytest.mark.parametrize("profile", [{"tiled": True, "blockxsize": 64, "blockysize": 64}, {"blockysize": 3}])
def test_it_does_not_matter_how_the_file_is_stored(tmp_path: Path, profile: dict[str, Any]) -> None:
    pixels = np.kron(frames(100, 800, 3), np.ones((1, 3, 3), dtype=np.uint8))  # 300 x 2400: strips are wide
    path = write_tiff(tmp_path / "i.tif", pixels, **UTM, **profile)

    colored = (pixels >= 240).all(axis=0)
    np.testing.assert_array_equal(valid_pixels(path, tmp_path), ~flooded(colored))


def test_windows_see_what_the_whole_sees_also_out_of_the_raster(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "i.tif", with_roof(), **UTM)

    with CollarSource(open_raster(path), "white") as source:
        source.find(tmp_path, on_progress=nothing)
        frame = source.grid.window.expanded(9)
        for window in (Window(-9, -9, 50, 40), Window(25, 15, 10, 10), Window(60, 50, 19, 19)):
            part = source.read(window)
            np.testing.assert_array_equal(part.valid, source.read(frame).valid[window.slices(frame)])
        np.testing.assert_array_equal(source.read(source.grid.window).data, with_roof())


def test_a_smaller_version_shows_the_collar_without_a_search(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "i.tif", with_roof(), **UTM)

    with CollarSource(open_raster(path), "white") as source:
        whole = source.read_decimated(max_side=1000)
        smaller = source.read_decimated(max_side=35)

    np.testing.assert_array_equal(whole.valid, corner())
    np.testing.assert_array_equal(smaller.valid, corner()[::2, ::2])


def test_reading_before_the_search_is_a_mistake(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "i.tif", noise(), **UTM)

    with CollarSource(open_raster(path), "white") as source, pytest.raises(ValueError, match="looked for"):
        source.read(Window(0, 0, 4, 4))


def test_threads_read_on_when_the_folder_is_gone(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "i.tif", with_roof(), **UTM)
    folder = tmp_path / "staging"
    folder.mkdir()

    with CollarSource(open_raster(path), "white") as source, ThreadPoolExecutor(4) as pool:
        source.find(folder, on_progress=nothing)
        shutil.rmtree(folder)
        reads = list(pool.map(source.read, [source.grid.window] * 8))

    assert all((read.valid == corner()).all() for read in reads)


def test_a_later_run_takes_the_mask_that_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_tiff(tmp_path / "i.tif", with_roof(), **UTM)
    with caplog.at_level(logging.INFO, logger="rsseg"):
        valid_pixels(path, tmp_path)
    assert f"{path}: its white collar is 14.29 % of it" in caplog.text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["collar.tif", "i.tif"]
    with (
        georeference_optional(),
        rasterio.open(tmp_path / "collar.tif", "r+") as mask,
    ):  # a mark to know it by
        mask.write(np.ones((1, 10, 10), np.uint8), window=rasterio.windows.Window(60, 50, 10, 10))

    again = valid_pixels(path, tmp_path)

    assert not again[50:, 60:].any()


@pytest.mark.parametrize("size", [0, 100, -10])
def test_a_mask_that_is_damaged_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    path, mask = write_tiff(tmp_path / "i.tif", with_roof(), **UTM), tmp_path / "collar.tif"
    valid_pixels(path, tmp_path)
    whole = mask.read_bytes()
    mask.write_bytes(whole[:size])

    np.testing.assert_array_equal(valid_pixels(path, tmp_path), corner())

    assert f"{mask}: " in caplog.text
    assert "it is made anew" in caplog.text
    assert mask.read_bytes() == whole


def test_a_raster_without_a_collar_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_tiff(tmp_path / "i.tif", noise(), **UTM)

    assert valid_pixels(path, tmp_path).all()

    assert f"{path}: has no white collar at its edge" in caplog.text


def test_progress_rises_to_one_and_windows_may_be_looked_at_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collar_module, "SIDE", 16)
    path = write_tiff(tmp_path / "i.tif", with_roof(), **UTM)
    shares: list[float] = []
    looked: list[Window] = []

    def ahead(work: Any, windows: Sequence[Window]) -> Any:
        for window in windows:
            looked.append(window)
            yield work(window)

    with CollarSource(open_raster(path), "white") as source:
        source.find(tmp_path, on_progress=shares.append, ahead=ahead)

    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(looked) == 4 * 5


def test_a_damaged_block_ends_the_search_and_leaves_no_mask(tmp_path: Path) -> None:
    whole = write_tiff(
        tmp_path / "i.tif", noise(rows=128, cols=128), tiled=True, blockxsize=64, blockysize=64,
        compress="deflate", **UTM,
    )  # fmt: skip
    path = damage_block(whole, tmp_path / "damaged.tif", zeros=False)

    with pytest.raises(RasterError, match=r"damaged\.tif: cannot read 128 x 128 px at column 0, row 0"):
        valid_pixels(path, tmp_path)

    assert not (tmp_path / "collar.tif").exists()


def test_what_goes_wrong_first_is_told_though_closing_fails_too(tmp_path: Path) -> None:
    class Failing:
        def close(self) -> None:
            raise rasterio.errors.RasterioIOError("the second")

    def fail() -> None:
        with mask_file.MaskWriter(tmp_path / "m.tif", 9, 9) as writer:
            writer._dataset.close()
            writer._dataset = Failing()
            raise ValueError("the first")

    with pytest.raises(ValueError, match="the first"):
        fail()


def test_a_full_disk_ends_the_search_and_leaves_no_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL drops, without a word, what the disk refuses when a file is closed: here, the end of the file."""
    path = write_tiff(tmp_path / "i.tif", with_roof(), **UTM)
    check = mask_file.check_blocks_on_disk

    def cut_off(written: Path, *args: Any) -> None:
        with written.open("r+b") as file:
            file.truncate(written.stat().st_size - 10)
        check(written, *args)

    monkeypatch.setattr(mask_file, "check_blocks_on_disk", cut_off)

    with pytest.raises(ResourceError, match=r"collar\.tif: cannot be written .*not on the disk") as caught:
        valid_pixels(path, tmp_path)

    assert caught.value.hint
    assert not (tmp_path / "collar.tif").exists()


def test_a_real_orthophoto_loses_its_white_corner_and_nothing_else(tmp_path: Path) -> None:
    """The part of it where JPEG blurs the rim; the other white area does not reach the edge, and white roofs stay."""
    photo = shared_folder("data", "buildings_banepa", "banepa.tif")
    with rasterio.open(photo) as dataset:
        pixels = dataset.read(window=rasterio.windows.Window(10240, 0, 1024, 2048))
    path = write_tiff(tmp_path / "corner.tif", pixels, **UTM)

    valid = valid_pixels(path, tmp_path)

    white = (pixels >= 250).all(axis=0)
    assert 714_000 < (~valid).sum() < 716_000
    assert (white & valid).sum() > 300  # roofs
    assert not (~valid & ~(pixels >= 240).all(axis=0)).any()
