"""Which class map is compared with which labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rsseg.classes import ClassTable
from rsseg.data.presets.codings import PublishedLabels, published_labels
from rsseg.errors import LabelError, OptionError, RasterError
from rsseg.evaluation.protocols import Erosion
from rsseg.raster.labels import LabelSource
from rsseg.raster.vectors import is_vector_file

MAP_ENDING = "_classes"
"""`rsseg predict --output-dir` calls the map of `town.tif` `town_classes.tif`."""

_RASTERS = frozenset((".tif", ".tiff", ".png", ".vrt", ".img", ".jp2", ".asc"))
"""What is looked at in folders, where other files may lie as well."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenedLabels:
    """Labels that somebody has opened on the grid of the class map, whatever their coding: those of a data set.

    `classes` are those of the ids that `source` gives. Outside the polygons of `aoi` nothing counts.
    """

    source: LabelSource
    classes: ClassTable
    aoi: Path | None = None


@dataclass(frozen=True)
class Pair:
    """A class map and the labels it is compared with: a file, which is not looked into where it is `opened`.

    `confidence` is what `rsseg predict --confidence` wrote with the map, `other` a second class map that the first is
    compared with; both have the pixels of the map. `coding` is what the values or colours of a label raster mean that
    lies as a published data set hands it out; None: they are class ids.
    """

    prediction: Path
    labels: Path
    opened: OpenedLabels | None = None
    confidence: Path | None = None
    other: Path | None = None
    coding: PublishedLabels | None = None


def pair_up(predictions: Sequence[Path], labels: Sequence[Path]) -> list[Pair]:
    """Join class maps with labels: in the order given, by name where folders are given, or one with all.

    One folder of labels: each map is joined with the file of its name, with or without `_classes`. A folder of maps
    stands for the maps in it. One class map goes with any number of labels (which may be chips of it), and one
    vector file with any number of maps.

    Raises:
        OptionError: the numbers of maps and labels do not fit each other, or a map is joined with the same labels
            twice, whose pixels would count twice.
        RasterError: a map, or a folder of maps, is missing or empty.
        LabelError: labels are missing.
    """
    pairs = _joined(predictions, labels)
    _check_once(pairs)
    return pairs


def _joined(predictions: Sequence[Path], labels: Sequence[Path]) -> list[Pair]:
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


def read_pairs(lines: Iterable[str], *, source: str) -> list[Pair]:
    """Read pairs from lines of a class map, a tab and its labels; empty lines count for nothing.

    Args:
        lines: with or without their ends; paths are relative to the working directory.
        source: how messages call what they come from.

    Raises:
        OptionError: a line has another number of columns, there is none, or a pair is listed twice.
        RasterError: a class map is missing.
        LabelError: labels are missing.
    """
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        columns = line.rstrip("\r\n").split("\t")
        if len(columns) != 2 or not all(columns):
            raise OptionError(
                f"{source}, line {number}: has {len(columns)} columns, expected a class map, a tab and its labels",
                hint="class maps alone, one a line, go with --labels: rsseg evaluate - --labels LABEL...",
            )
        pairs.append(Pair(Path(columns[0]), Path(columns[1])))
    if not pairs:
        raise OptionError(f"{source}: lists no pair", hint="a line is a class map, a tab and its labels")
    _check_exist([pair.prediction for pair in pairs], [pair.labels for pair in pairs])
    _check_once(pairs)
    return pairs


def read_as(pairs: Sequence[Pair], name: str, *, erode: Erosion) -> list[Pair]:
    """Read the labels of all pairs as a published data set hands them out.

    Args:
        pairs: with label rasters.
        name: one of `rsseg.data.presets.codings.PUBLISHED_LABELS`.
        erode: what is said of the edges of objects; see `EvaluateOptions`.

    Raises:
        OptionError: see `find_coding`; or labels are polygons.
    """
    coding = find_coding(name, erode=erode)
    for pair in pairs:
        if is_vector_file(pair.labels):
            raise OptionError(
                f"{pair.labels}: these labels are polygons; --labels-as {name} is about label rasters",
                hint="say what polygons are with --class or --attribute",
            )
    return [replace(pair, coding=coding) for pair in pairs]


def find_coding(name: str, *, erode: Erosion) -> PublishedLabels:
    """How label rasters of a published data set are read; see `read_as`.

    Raises:
        OptionError: there is none of that name, or it does not come without the edges of objects and is said to, or the
            reverse, so that scores would go by a wrong name.
    """
    coding = published_labels(name)
    check_eroded(f"--labels-as {name}", eroded=coding.eroded, erode=erode)
    return coding


def check_eroded(option: str, *, eroded: bool | None, erode: Erosion) -> None:
    """Refuse to give scores a wrong name: of references that are said to be eroded and are not, or the reverse.

    Args:
        option: says which references are read, as the user spells it.
        eroded: whether the edges of objects are left out of them; None where there are only whole ones.
        erode: see `EvaluateOptions`.

    Raises:
        OptionError: see above.
    """
    if eroded and erode != "given":
        raise OptionError(
            f"{option}: these references came without the edges of objects", hint="add --erode given"
        )
    if eroded is False and erode == "given":
        raise OptionError(
            f"{option}: these are whole references, not eroded ones",
            hint=f"{option}-eroded --erode given, or --erode 3 to erode them here",
        )
    if eroded is None and erode == "given":
        raise OptionError(
            f"{option}: these labels are never handed out without the edges of objects",
            hint="leave --erode out, or --erode 3 to erode them here",
        )


def beside_maps(maps: Sequence[Path], given: Sequence[Path], *, option: str, ending: str) -> dict[Path, Path]:
    """Find the file that goes with each class map: in the order given, or by name in a folder.

    Args:
        maps: the class maps, each once.
        given: a file for each of them, or one folder.
        option: that names them, for messages.
        ending: how names may end in a folder instead of `_classes`, such as `_confidence`.

    Raises:
        OptionError: there are more or fewer of them than class maps.
        RasterError: a file is missing, or the folder does not hold one for each map.
    """
    for path in given:
        if not path.exists():
            raise RasterError(f"{option} {path}: no such file")
    if len(given) == 1 and given[0].is_dir():
        return {path: _file_for(path, given[0], option=option, ending=ending) for path in maps}
    if len(given) != len(maps):
        raise OptionError(
            f"{option}: {len(given)} {'file' if len(given) == 1 else 'files'} for {len(maps)} class maps; "
            "one for each is expected, in the same order",
            hint="or give their folder, whose files are then found by name",
        )
    return dict(zip(maps, given, strict=True))


def _file_for(prediction: Path, folder: Path, *, option: str, ending: str) -> Path:
    """The raster of the folder that is called like the map."""
    stem = prediction.stem.removesuffix(MAP_ENDING)
    names = (stem, prediction.stem, stem + ending)
    found = [path for path in _rasters_in(folder) if path.stem in names and path != prediction]
    if len(found) != 1:
        raise RasterError(
            f"{option} {folder}: holds {len(found)} files for {prediction.name}, expected one",
            hint=f"files are found by name: {stem}{ending}.tif",
        )
    return found[0]


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


def _check_once(pairs: Sequence[Pair]) -> None:
    seen = set[tuple[Path, Path]]()
    for pair in pairs:
        files = (pair.prediction.absolute(), pair.labels.absolute())
        if files in seen:
            raise OptionError(
                f"{pair.prediction} with {pair.labels}: given twice, so that its pixels would count twice",
                hint="give each class map with the same labels once",
            )
        seen.add(files)


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
