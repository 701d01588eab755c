"""Small rasters and vectors for tests, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from rsseg.raster.env import georeference_optional

UTM = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 400000, 0, -0.5, 5000000)}


def noise(bands: int = 3, rows: int = 40, cols: int = 48, dtype: str = "uint8") -> NDArray[Any]:
    """Values from 1 up, so that 0 can serve as nodata."""
    return np.random.default_rng(1).integers(1, 200, (bands, rows, cols)).astype(dtype)


def write_tiff(
    path: Path,
    data: NDArray[Any],
    *,
    colors: Sequence[str] = (),
    mask: NDArray[np.bool_] | None = None,
    palette: Mapping[int, tuple[int, int, int, int]] | None = None,
    overviews: Sequence[int] = (),
    environment: Mapping[str, Any] | None = None,
    **profile: Any,
) -> Path:
    """Write (bands, rows, cols) as GeoTIFF; `colors` are colour interpretations, `mask` an internal mask."""
    bands, rows, cols = data.shape
    shape = {"width": cols, "height": rows, "count": bands, "dtype": profile.pop("dtype", data.dtype)}
    with rasterio.Env(**(environment or {"GDAL_TIFF_INTERNAL_MASK": True})), georeference_optional():
        with rasterio.open(path, "w", driver="GTiff", **shape, **profile) as dataset:
            if colors:
                dataset.colorinterp = [ColorInterp[name] for name in colors]
            dataset.write(data)
            if palette:
                dataset.write_colormap(1, palette)
            if mask is not None:
                dataset.write_mask(mask)
        if overviews:
            with rasterio.open(path, "r+") as dataset:
                dataset.build_overviews(list(overviews))
    return path


def write_geojson(
    path: Path, features: Sequence[tuple[Any, Mapping[str, Any]]], *, epsg: int | None = 32633
) -> Path:
    """Write (shapely geometry, attributes) pairs."""
    document: dict[str, Any] = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": shape.__geo_interface__ if shape else None,
                "properties": dict(attributes),
            }
            for shape, attributes in features
        ],
    }
    if epsg is not None:
        document["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{epsg}"}}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def damage_block(path: Path, damaged: Path, *, col: int = 1, row: int = 1, zeros: bool = True) -> Path:
    """Copy a tiled GeoTIFF with the second half of a block zeroed, or (not `zeros`) the file cut off there."""
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1))
        size = int(dataset.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    half = offset + size // 2
    if zeros:
        content[half : offset + size] = bytes(offset + size - half)
    damaged.write_bytes(content if zeros else content[:half])
    return damaged
