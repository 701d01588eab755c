"""Small label rasters, class maps and polygons, and the counts they must give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import Affine, from_origin

from rsseg.classes import ClassTable
from rsseg.evaluation import Confusion, count_pixels
from rsseg.raster import ClassMapWriter
from rsseg.raster.labels import open_label_raster
from tests.making import THREE, write_raster

DEGREES: dict[str, Any] = {"crs": "EPSG:4326", "transform": from_origin(85.0, 27.0, 1e-5, 1e-5)}
"""A raster on which GeoJSON needs no reprojection; one pixel is 1e-5 degrees."""

NOWHERE: dict[str, Any] = {"crs": None, "transform": Affine.identity()}


def random_ids(
    height: int, width: int, *, seed: int, values: tuple[int, ...] = (0, 1, 2, 255)
) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(np.array(values, np.uint8), size=(height, width))


def write_ids(path: Path, ids: NDArray[Any], **profile: Any) -> Path:
    return write_raster(path, ids[None], **{"nodata": 255 if ids.dtype == np.uint8 else None, **profile})


def write_map(path: Path, ids: NDArray[np.uint8], classes: ClassTable = THREE) -> Path:
    """A class map as `rsseg predict` writes it."""
    bare = write_ids(path.with_name("grid_" + path.name), ids, **DEGREES)
    with open_label_raster(bare) as source:
        grid = source.grid
    with ClassMapWriter(path, grid=grid, classes=classes) as writer:
        writer.write_block(grid.window, {"classes": ids[None]})
        writer.finish()
    return path


def write_boxes(path: Path, *boxes: tuple[int, int, int, int], kinds: tuple[str, ...] = ()) -> Path:
    """Polygons around pixels: left, top, right, bottom as columns and rows of a raster in `DEGREES`."""
    features = []
    for number, (left, top, right, bottom) in enumerate(boxes):
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        ring = [(85.0 + 1e-5 * x, 27.0 - 1e-5 * y) for x, y in corners]
        properties = {"kind": kinds[number]} if kinds else {}
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def assert_counts(
    found: Confusion, label: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int
) -> None:
    expected = count_pixels(label, prediction, classes)
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    assert (found.ignored, found.nodata) == (expected.ignored, expected.nodata)


def shifted(cols: float, rows: float, **changes: Any) -> dict[str, Any]:
    """The place of a raster whose corner lies that many pixels from the corner of `DEGREES`."""
    return {**DEGREES, "transform": DEGREES["transform"] * Affine.translation(cols, rows), **changes}
