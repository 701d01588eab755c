"""What is written of a prediction: rasters of one grid, block by block, in 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import ClassTable
from rsseg.errors import OptionError
from rsseg.raster.staging import check_output

Layers = dict[str, NDArray[np.uint8]]
"""By name: `classes` (1, rows, cols), `probabilities` (K, rows, cols), `confidence` (1, rows, cols); 255 is no data."""

CLASSES, PROBABILITIES, CONFIDENCE = "classes", "probabilities", "confidence"

CERTAIN = 254
"""The value that stands for a probability of 1; 255 is no data."""


def band_names(layer: str, classes: ClassTable) -> tuple[str, ...]:
    """What the bands of a layer are called."""
    return classes.names if layer == PROBABILITIES else (layer,)


def check_layer_output(path: Path, *, output: Path, overwrite: bool) -> None:
    """Refuse the file of a layer that cannot be put in place together with the class map.

    Args:
        path: the file to be.
        output: the class map.
        overwrite: whether an existing file may be replaced.

    Raises:
        OptionError: it is not named as a GeoTIFF, lies on another disk, or see `check_output`.
        ResourceError: see `check_output`.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise OptionError(f"{path}: is written as GeoTIFF", hint="name it FILE.tif")
    check_output(path, overwrite=overwrite, output=output)
    if path.parent.stat().st_dev != output.parent.stat().st_dev:
        raise OptionError(
            f"{path}: is on another disk than {output}; they appear together, which only one disk can do",
            hint=f"choose a name in {output.parent}",
        )
