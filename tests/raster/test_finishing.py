from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsseg.raster import Grid, finishing
from rsseg.raster.block_file import BlockFile
from rsseg.raster.env import open_dataset
from rsseg.raster.finishing import resample_layer, sieve_classes
from rsseg.tiling import Window, plan_blocks

SIZES = st.integers(1, 50)


def stage(path: Path, pixels: NDArray[np.uint8]) -> Grid:
    """Write (bands, rows, cols) as a sealed file of blocks."""
    grid = Grid(pixels.shape[2], pixels.shape[1])
    file = BlockFile(path, grid=grid, bands=len(pixels))
    file.open()
    blocks = [(w.col_off // 512, w.row_off // 512) for w in plan_blocks(grid.width, grid.height, block=512)]
    for block, window in zip(blocks, plan_blocks(grid.width, grid.height, block=512), strict=True):
        file.write(block, pixels[:, *window.slices()])
    file.seal(blocks)
    file.close()
    return grid


def read(path: Path) -> NDArray[Any]:
    with open_dataset(path) as dataset:
        pixels: NDArray[Any] = dataset.read()
    return pixels


def noise(bands: int, rows: int, cols: int) -> NDArray[np.uint8]:
    """Values from 0 to 254 and, in every fifth pixel, 255."""
    random = np.random.default_rng(rows * cols)
    pixels = random.integers(0, 255, (bands, rows, cols)).astype(np.uint8)
    pixels[:, random.random((rows, cols)) < 0.2] = 255
    return pixels


def resampled(folder: Path, pixels: NDArray[np.uint8], *, rows: int, cols: int, how: Any) -> NDArray[Any]:
    grid = stage(folder / "a.tif", pixels)
    resample_layer(folder / "a.tif", folder / "b.tif", grid=grid, target=Grid(cols, rows), how=how)
    return read(folder / "b.tif")


@given(SIZES, SIZES, SIZES, SIZES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nearest_takes_the_pixel_under_the_centre(tmp_path: Path, a: int, b: int, c: int, d: int) -> None:
    pixels = noise(2, a, b)

    found = resampled(tmp_path, pixels, rows=c, cols=d, how="nearest")

    under = np.array(
        [
            [
                [band[(2 * i + 1) * a // (2 * c), (2 * j + 1) * b // (2 * d)] for j in range(d)]
                for i in range(c)
            ]
            for band in pixels
        ]
    )
    assert (found == under).all()


@given(SIZES, SIZES, SIZES, SIZES)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bilinear_averages_the_four_pixels_around_the_centre(
    tmp_path: Path, a: int, b: int, c: int, d: int
) -> None:
    pixels = noise(1, a, b)

    found = resampled(tmp_path, pixels, rows=c, cols=d, how="bilinear")[0]

    expected = np.array(
        [[average(pixels[0], (i + 0.5) * a / c, (j + 0.5) * b / d) for j in range(d)] for i in range(c)]
    )
    nearest = resampled(tmp_path, pixels, rows=c, cols=d, how="nearest")[0]
    assert ((found == 255) == (nearest == 255)).all()
    known = found != 255
    assert (abs(found[known] - expected[known]) <= 0.501).all()


def average(band: NDArray[np.uint8], y: float, x: float) -> float:
    """Pixels weighted by how much a square of one pixel around the place covers of them."""
    total = weights = 0.0
    for row in range(int(y - 0.5) - 1, int(y + 0.5) + 2):
        for col in range(int(x - 0.5) - 1, int(x + 0.5) + 2):
            weight = max(0.0, 1 - abs(row + 0.5 - y)) * max(0.0, 1 - abs(col + 0.5 - x))
            value = band[min(max(row, 0), len(band) - 1), min(max(col, 0), band.shape[1] - 1)]
            if value != 255:
                total, weights = total + weight * value, weights + weight
    return total / weights if weights else 255.0


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
def test_the_same_size_is_the_same_raster(tmp_path: Path, how: str) -> None:
    pixels = noise(3, 530, 1030)

    assert (resampled(tmp_path, pixels, rows=530, cols=1030, how=how) == pixels).all()


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
@pytest.mark.parametrize(("rows", "cols"), [(100, 3000), (1200, 60)])
def test_blocks_of_the_target_do_not_show(tmp_path: Path, how: str, rows: int, cols: int) -> None:
    """A slope stays a slope, whatever its ratio of sizes."""
    slope = np.add.outer(np.arange(600) // 6, np.arange(640) // 5).astype(np.uint8)[None]

    found = resampled(tmp_path, slope, rows=rows, cols=cols, how=how)[0].astype(int)

    expected = np.add.outer((np.arange(rows) + 0.5) * 100 / rows, (np.arange(cols) + 0.5) * 128 / cols)
    assert abs(found - expected).max() < 2.2


def test_parts_without_data_become_holes(tmp_path: Path) -> None:
    pixels = np.full((1, 1024, 1024), 255, dtype=np.uint8)
    pixels[:, 600, 600] = 7

    found = resampled(tmp_path, pixels, rows=2048, cols=2048, how="nearest")

    assert (found[0, 1200:1202, 1200:1202] == 7).all()
    assert (found != 255).sum() == 4
    with open_dataset(tmp_path / "b.tif") as dataset:
        assert dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1) is None
        assert dataset.get_tag_item("BLOCK_OFFSET_2_2", "TIFF", bidx=1) is not None


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
def test_what_is_not_valid_itself_has_no_data(tmp_path: Path, how: Any) -> None:
    pixels = noise(2, 40, 300)
    grid = stage(tmp_path / "a.tif", pixels)
    whole = resampled(tmp_path, pixels, rows=80, cols=600, how=how)
    valid = np.random.default_rng(0).random((80, 600)) < 0.5

    resample_layer(
        tmp_path / "a.tif",
        tmp_path / "b.tif",
        grid=grid,
        target=Grid(600, 80),
        how=how,
        valid=lambda window: valid[window.slices()],
    )

    assert (read(tmp_path / "b.tif") == np.where(valid, whole, 255)).all()


def test_only_blocks_with_data_are_asked_whether_they_are_valid(tmp_path: Path) -> None:
    pixels = np.full((1, 64, 1024), 255, dtype=np.uint8)
    pixels[:, 3, 700] = 1
    asked: list[Window] = []

    resample_layer(
        tmp_path / "a.tif",
        tmp_path / "b.tif",
        grid=stage(tmp_path / "a.tif", pixels),
        target=Grid(2048, 128),
        how="nearest",
        valid=asked.append,
    )

    assert asked == [Window(1024, 0, 512, 128)]
    assert (read(tmp_path / "b.tif") != 255).sum() == 4


def test_resampling_reads_no_more_than_a_strip_of_one_band_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = finishing._read
    monkeypatch.setattr(
        finishing, "_read", lambda *where: (sizes.append(where[1].pixels), original(*where))[1]
    )

    resampled(tmp_path, noise(3, 2000, 2000), rows=200, cols=200, how="bilinear")

    assert max(sizes) <= 2000 * (64 * 10 + 2)
    assert len(sizes) == 3 * 4


def test_small_regions_are_merged_across_blocks(tmp_path: Path) -> None:
    classes = np.zeros((1, 700, 1100), dtype=np.uint8)
    classes[0, 500:520, 500:520] = 1  # where four blocks meet: 400 px
    classes[0, 100:110, 100:110] = 2
    classes[0, :, 1000:] = 255
    classes[0, 300:302, 1050:1052] = 3  # alone
    stage(tmp_path / "a.tif", classes)

    sieve_classes(tmp_path / "a.tif", tmp_path / "b.tif", min_area=400)

    expected = classes.copy()
    expected[expected == 2] = 0
    assert (read(tmp_path / "b.tif") == expected).all()


def test_a_file_that_a_killed_run_left_is_made_anew(tmp_path: Path) -> None:
    grid = stage(tmp_path / "a.tif", noise(1, 40, 600))
    sieve_classes(tmp_path / "a.tif", tmp_path / "b.tif", min_area=9)
    first = (tmp_path / "b.tif").read_bytes()
    resample_layer(tmp_path / "a.tif", tmp_path / "c.tif", grid=grid, target=Grid(900, 60), how="nearest")
    second = (tmp_path / "c.tif").read_bytes()

    for name in ("b.tif", "c.tif"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 10_000)
    sieve_classes(tmp_path / "a.tif", tmp_path / "b.tif", min_area=9)
    resample_layer(tmp_path / "a.tif", tmp_path / "c.tif", grid=grid, target=Grid(900, 60), how="nearest")

    assert (tmp_path / "b.tif").read_bytes() == first
    assert (tmp_path / "c.tif").read_bytes() == second
