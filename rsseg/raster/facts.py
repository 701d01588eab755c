"""What a raster says about itself, without reading a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.enums import MaskFlags

from rsseg.classes import ClassTable
from rsseg.raster.bands import FileBands, file_bands
from rsseg.raster.categories import read_categories
from rsseg.raster.env import files_of, open_dataset
from rsseg.raster.grid import Grid, grid_of
from rsseg.raster.layout import Layout, read_layout
from rsseg.raster.reader import check_has_bands


@dataclass(frozen=True, kw_only=True)
class RasterFacts:
    """What a raster says about itself.

    Attributes:
        path: the file, as the user named it.
        files: all files that it is read from.
        grid: size and place.
        layout: how it is stored.
        bands: what the file says about its bands.
        bits: of a pixel, where the file says that they are fewer than the type has; else None.
        nodata: the value of each band that means missing data; None where there is none.
        has_mask: whether a mask says where data are missing, in the file or beside it.
        classes: the classes that a class map names; None where none are named.
        made_with: what `rsseg predict` wrote into a map of its own, by name.
    """

    path: str
    files: tuple[str, ...]
    grid: Grid
    layout: Layout
    bands: FileBands
    bits: int | None
    nodata: tuple[float | None, ...]
    has_mask: bool
    classes: ClassTable | None
    made_with: dict[str, str]

    @property
    def data_bands(self) -> tuple[int, ...]:
        """The numbers of the bands that are not alpha."""
        return tuple(band for band in range(1, self.bands.count + 1) if band not in self.bands.of("alpha"))

    @property
    def is_lossy(self) -> bool:
        """Whether pixels are stored as JPEG, which changes them."""
        return "jpeg" in self.layout.compression or self.layout.driver == "JPEG"

    @property
    def nodata_text(self) -> str:
        """The nodata values in words, empty where there are none."""
        values = dict.fromkeys(self.nodata[band - 1] for band in self.data_bands)
        return "" if not any(v is not None for v in values) else ", ".join(map(_number, values))


def read_facts(path: str | Path) -> RasterFacts:
    """Ask a raster about itself.

    Raises:
        RasterError: there is none at `path`, or it has no bands.
        LabelError: the sidecar that names its classes is damaged.
    """
    with open_dataset(path) as dataset:
        name = str(path)
        check_has_bands(name, dataset)
        return RasterFacts(
            path=name,
            files=files_of(dataset, name),
            grid=grid_of(dataset),
            layout=read_layout(path),
            bands=file_bands(name, dataset),
            bits=_bits(dataset),
            nodata=tuple(dataset.nodatavals),
            has_mask=any(_is_masked(flags) for flags in dataset.mask_flag_enums),
            classes=read_categories(path),
            made_with={
                key.removeprefix("RSSEG_").lower(): text
                for key, text in dataset.tags().items()
                if key.startswith("RSSEG_")
            },
        )


def _bits(dataset: Any) -> int | None:
    text = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    return int(text) if text and text.isdecimal() else None


def _is_masked(flags: list[MaskFlags]) -> bool:
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags and MaskFlags.nodata not in flags


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
