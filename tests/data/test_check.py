"""Leaks on the ground between files, by any CRS; what the commands show is in tests/cli/test_train_check.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio.warp
from rasterio.transform import from_origin

from rsseg.data.check import check_dataset
from rsseg.errors import OptionError
from tests.data.labelled import replace_label, write_features, write_tiles
from tests.making import UTM, random_pixels, write_raster

SIDE = 64


def leaks(folder: Path, *, window: int = 1) -> list[str]:
    return [f.text for f in check_dataset(folder, window=window).findings if f.kind == "leaks"]


def write_pair(folder: Path, *, shift: int, labels: np.ndarray | None = None, **val: object) -> Path:
    """A train tile, and a val tile so many columns to the right of it, or as `val` says."""
    write_tiles(folder, names=("a", "b"), size=(SIDE, SIDE), split={"train": ["a"], "val": ["b"]})
    profile = {"transform": UTM["transform"] * rasterio.Affine.translation(shift, 0), **val}
    write_raster(folder / "images" / "b.tif", random_pixels(SIDE, SIDE, seed=1), **profile)
    labels = np.zeros((SIDE, SIDE), np.uint8) if labels is None else labels
    replace_label(folder, "b", labels, **profile)
    return folder


def test_tiles_that_touch_share_no_ground(tmp_path: Path) -> None:
    assert leaks(write_pair(tmp_path / "d", shift=SIDE)) == []


def test_a_column_in_common_is_found(tmp_path: Path) -> None:
    (text,) = leaks(write_pair(tmp_path / "d", shift=SIDE - 1))

    assert f"b.tif: {1 / SIDE:.1%} of its labelled pixels" in text


def test_ground_that_is_not_labelled_does_not_count(tmp_path: Path) -> None:
    labels = np.full((SIDE, SIDE), 255, np.uint8)
    labels[:, 40:] = 1

    assert leaks(write_pair(tmp_path / "d", shift=SIDE // 2, labels=labels)) == []


def test_a_sample_more_than_the_gap_is_too_near(tmp_path: Path) -> None:
    folder = write_pair(tmp_path / "d", shift=SIDE + 20)

    assert leaks(folder, window=21) == []
    assert "less than a sample of 22 px" in leaks(folder, window=22)[0]


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326", "EPSG:32644"])
def test_overlap_is_found_across_projections(crs: str, tmp_path: Path) -> None:
    """The val tile is laid with its upper left corner on the middle of the train tile."""
    middle = UTM["transform"] * rasterio.Affine.translation(SIDE / 2, SIDE / 2)
    (x,), (y,) = rasterio.warp.transform("EPSG:32645", crs, [middle.c], [middle.f])
    pixel = 0.15 / 111_000 if crs == "EPSG:4326" else 0.15

    (text,) = leaks(write_pair(tmp_path / "d", shift=0, crs=crs, transform=from_origin(x, y, pixel, pixel)))

    share = float(text.split("b.tif: ")[1].split("%")[0])
    assert 20 < share < 40  # a quarter, and what the projection shrinks
    assert "train a.tif" in text


def test_rasters_without_a_crs_lie_on_one_plane(tmp_path: Path) -> None:
    folder = write_pair(tmp_path / "d", shift=SIDE // 2, crs=None)
    write_raster(folder / "images" / "a.tif", random_pixels(SIDE, SIDE), crs=None)

    assert "50.0% of its labelled pixels" in leaks(folder)[0]


def test_a_vector_and_a_raster_of_the_same_ground_are_found(tmp_path: Path) -> None:
    write_pair(tmp_path / "d", shift=10 * SIDE)
    square = [[350_000, 3_060_000], [350_003, 3_060_000], [350_003, 3_059_997], [350_000, 3_059_997]]
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Polygon", "coordinates": [[*square, square[0]]]},
    }
    write_features(tmp_path / "aoi.geojson", feature)
    write_raster(tmp_path / "copy.tif", random_pixels(SIDE, SIDE, seed=5))
    (tmp_path / "manifest.toml").write_text(
        'tiles = "d"\n[[val]]\nimage = "copy.tif"\nlabels = "aoi.geojson"\nclass = "red"\naoi = "aoi.geojson"\n'
    )

    (text,) = leaks(tmp_path / "manifest.toml")

    assert "val: copy.tif: 100.0%" in text


def test_progress_ends_at_one_and_never_goes_back(tmp_path: Path) -> None:
    told: list[float] = []

    check_dataset(write_pair(tmp_path / "d", shift=0), on_progress=told.append, threads=3)

    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_an_unknown_preset_is_a_mistake_of_the_call(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="preset 'x': unknown"):
        check_dataset(tmp_path, preset="x")
