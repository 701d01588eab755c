"""Small data sets that tests make for themselves: a pixel's class is its brightest band."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import ClassTable
from rsseg.data.cells import find_cells
from rsseg.data.entries import SceneEntry
from rsseg.data.pool import PooledRaster
from rsseg.data.scenes import Scene
from rsseg.raster import Grid
from rsseg.tiling import Window
from tests.making import THREE, random_pixels, write_raster


def write_classes(folder: Path, names: Sequence[str] = THREE.names) -> Path:
    rows = [{"id": i, "name": n, "color": f"#{i:02X}8040"} for i, n in enumerate(names)]
    path = folder / "classes.json"
    path.write_text(json.dumps({"classes": rows}))
    return path


def brightest(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """The label (1, rows, cols) of an image."""
    return pixels.argmax(axis=0).astype(np.uint8)[None]


def write_tiles(
    folder: Path,
    *,
    names: Sequence[str] = ("a", "b", "c"),
    size: tuple[int, int] = (40, 48),
    split: Mapping[str, Sequence[str]] | None = None,
    **profile: Any,
) -> Path:
    """A folder of labelled tiles (rows, cols), without split.json unless `split` is given."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for seed, name in enumerate(names):
        pixels = random_pixels(*size, seed=seed)
        write_raster(folder / "images" / f"{name}.tif", pixels, **profile)
        write_raster(folder / "labels" / f"{name}.tif", brightest(pixels), nodata=255, **profile)
    write_classes(folder)
    if split is not None:
        (folder / "split.json").write_text(json.dumps(split))
    return folder


def replace_label(folder: Path, name: str, label: NDArray[np.uint8], **profile: Any) -> None:
    """Put (rows, cols) in the place of a tile's label."""
    write_raster(folder / "labels" / f"{name}.tif", label[None], **{"nodata": 255, **profile})


def square(col: int, row: int, side: int, **properties: Any) -> dict[str, Any]:
    """A GeoJSON feature that covers a square of pixels of `tests.making.UTM`."""
    left, top, step = 350_000 + 0.15 * col, 3_060_000 - 0.15 * row, 0.15 * side
    ring = [[left, top], [left + step, top], [left + step, top - step], [left, top - step], [left, top]]
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }


def write_features(path: Path, *features: dict[str, Any]) -> Path:
    """A GeoJSON file in the CRS of `tests.making.UTM`."""
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32645"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": list(features)}))
    return path


class LabelsInMemory:
    """Labels (rows, cols) that count how often they are read."""

    def __init__(self, ids: NDArray[np.uint8]) -> None:
        self.grid = Grid(width=ids.shape[1], height=ids.shape[0])
        self.ids = ids
        self.reads = 0

    def read(self, window: Window) -> NDArray[np.uint8]:
        self.reads += 1
        return self.ids[window.slices()]

    def close(self) -> None: ...


def scene_of(ids: NDArray[np.uint8], *, classes: int = 3) -> Scene:
    """A scene with labels in memory and nothing but a grid as its image."""
    labels = LabelsInMemory(ids)
    cells = find_cells(labels, path=Path("labels.tif"), classes=ClassTable.unnamed(classes))
    labels.reads = 0
    image = cast(PooledRaster, SimpleNamespace(grid=labels.grid))
    entry = SceneEntry(image=Path("image.tif"), labels=Path("labels.tif"))
    return Scene(entry=entry, image=image, labels=labels, cells=cells)
