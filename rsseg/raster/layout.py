"""How a raster is stored, as far as that decides how quickly windows of it are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rasterio.enums import MaskFlags

from rsseg.raster.env import is_remote, open_dataset


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a raster is stored.

    Attributes:
        driver: GDAL's name of the format.
        compression: such as `deflate`; empty where there is none, or none that the format tells.
        block_shape: (rows, cols) of the blocks of its first band.
        block_bytes: of a block with all bands that are stored together.
        has_overviews: whether smaller versions of it are stored, too.
        is_remote: whether it is read over a network.
        all_valid: whether nothing says that any pixel may be missing.
    """

    driver: str
    compression: str
    block_shape: tuple[int, int]
    block_bytes: int
    has_overviews: bool
    is_remote: bool
    all_valid: bool


def read_layout(path: str | Path) -> Layout:
    """Look how a raster is stored.

    Raises:
        RasterError: there is none at `path`.
    """
    with open_dataset(path) as dataset:
        rows, cols = dataset.block_shapes[0]
        together = dataset.dtypes if dataset.profile.get("interleave") == "pixel" else dataset.dtypes[:1]
        return Layout(
            driver=dataset.driver,
            compression=(dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION") or "").lower(),
            block_shape=(rows, cols),
            block_bytes=rows * cols * sum(_BYTES.get(dtype, 8) for dtype in together),
            has_overviews=bool(dataset.overviews(1)),
            is_remote=is_remote(str(path)),
            all_valid=all(MaskFlags.all_valid in flags for flags in dataset.mask_flag_enums),
        )


_BYTES = {"uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "uint32": 4, "int32": 4, "float32": 4}
