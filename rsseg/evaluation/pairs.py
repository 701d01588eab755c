"""Which class map is compared with which labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rsseg.errors import LabelError, OptionError, RasterError
from rsseg.raster.vectors import is_vector_file

MAP_ENDING = "_classes"
"""`rsseg predict --output-dir` calls the map of `town.tif` `town_classes.tif`."""

_RASTERS = frozenset((".tif", ".tiff", ".png", ".vrt", ".img", ".jp2", ".asc"))
"""What is looked at in folders, where other files may lie as well."""


@dataclass(frozen=True)
class Pair:
    """A class map and the labels it is compared with."""

    prediction: Path
    labels: Path


def pair_up(predictions: Sequence[Path], labels: Sequence[Path]) -> list[Pair]:
    """Join class maps with labels: in the order given, by name where folders are given, or one with all.

    One folder of labels: each map is joined with the file of its name, with or without `_classes`. A folder of maps
    stands for the maps in it. One class map goes with any number of labels (which may be chips of it), and one
    vector file with any number of maps.

    Raises:
        OptionError: the numbers of maps and labels do not fit each other.
        RasterError: a map, or a folder of maps, is missing or empty.
        LabelError: labels are missing.
    """
    maps = [path for given in predictions for path in _maps_of(given)]
    _check_exist(maps, labels)
    if len(labels) == 1 and labels[0].is_dir():
        return [Pair(path, _label_for(path, labels[0])) for path in maps]
    if len(maps) == 1:
        return [Pair(maps[0], path) for path in labels]
    if len(labels) == 1 and is_vector_file(labels[0]):
        return [Pair(path, labels[0]) for path in maps]
    if len(maps) != len(labels):
        raise OptionError(
            f"{len(maps)} class maps but {len(labels)} labels; one for each is expected, in the same order",
            hint="or give the folder of the labels, whose files are then found by name",
        )
    return [Pair(*pair) for pair in zip(maps, labels, strict=True)]


def _maps_of(path: Path) -> list[Path]:
    """The file itself, or the rasters in a folder in the order of their names."""
    if not path.is_dir():
        return [path]
    maps = _rasters_in(path)
    named = [m for m in maps if m.stem.endswith(MAP_ENDING)]
    if not maps:
        raise RasterError(f"{path}: holds no class map", hint="maps are rasters such as town_classes.tif")
    # Beside the maps a folder may hold images and previews.
    return named or maps


def _check_exist(maps: Sequence[Path], labels: Sequence[Path]) -> None:
    for path in maps:
        if not path.exists():
            raise RasterError(f"{path}: no such class map", hint="`rsseg predict` makes class maps")
    for path in labels:
        if not path.exists():
            raise LabelError(f"{path}: no such labels")


def _label_for(prediction: Path, folder: Path) -> Path:
    """The file of the folder that is called like the map."""
    stems = (prediction.stem, prediction.stem.removesuffix(MAP_ENDING))
    found = [path for path in _rasters_in(folder) if path.stem in stems]
    if len(found) != 1:
        raise LabelError(
            f"{folder}: holds {len(found)} labels for {prediction.name}, expected one",
            hint=f"labels are found by name: {stems[-1]}.tif",
        )
    return found[0]


def _rasters_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _RASTERS)
