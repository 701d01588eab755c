"""A manifest.toml: rasters of any size with label rasters, or with label vectors inside areas of interest.

classes = "classes.json"
tiles = "more_tiles"              # optional: a folder of labelled tiles as well

[[train]]
image = "town.tif"
labels = "footprints.geojson"
attribute = "class"
values = {building = "building"}  # value of the attribute = class name or id
unlabelled = "background"         # class under no feature, or "ignore"
priority = "values"               # what paints over what: see below
pixels = "centre"                 # a feature has the pixels whose "centre" it holds, or all "touched" ones
aoi = "aoi_train.geojson"         # outside nothing is labelled; for label rasters, too
weight = 3                        # optional share of the samples

[[val]]
image = "other.tif"
labels = "other_labels.tif"

[card]                            # optional: description, data, licence, gsd_m

`priority` is "values" (features of later `values` paint over those of earlier ones; the default where there are
values), "file" (later features paint over earlier ones; the default otherwise), or a list of classes, of which later
ones paint over earlier ones.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from rsseg.classes import IGNORE_INDEX, ClassTable, load_classes
from rsseg.data.entries import CardNotes, DataSetPlan, SceneEntry, VectorRules
from rsseg.data.tiles import plan_tile_folder
from rsseg.errors import LabelError
from rsseg.raster.vectors import is_vector_file

_TOP = {"classes", "tiles", "bands", "train", "val", "card"}
_VECTOR = {"attribute", "values", "unlabelled", "class", "layer", "priority", "pixels"}
_ENTRY = {"image", "labels", "weight", "aoi", *_VECTOR}
_PIXELS = ("centre", "touched")


def plan_manifest(path: Path) -> DataSetPlan:
    """Read a manifest; its paths are relative to the folder it lies in.

    Raises:
        LabelError: the file is no TOML, a key is unknown or of the wrong type, a file or a class does not exist.
    """
    document = read_manifest(path)
    _check_keys(document, _TOP, f"{path}")
    folder = path.parent
    tiles = plan_tile_folder(folder / _text(document, "tiles", path)) if "tiles" in document else None
    classes = _classes(path, document, tiles)
    return DataSetPlan(
        source=path,
        classes=classes,
        train=(*(tiles.train if tiles else ()), *_entries(path, document, "train", classes)),
        val=(*(tiles.val if tiles else ()), *_entries(path, document, "val", classes)),
        bands=_bands(path, document),
        card=_card(path, document),
    )


def read_manifest(path: Path) -> dict[str, Any]:
    """The tables of a manifest as they are written.

    Raises:
        LabelError: the file cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise LabelError(f"{path}: cannot be read ({err.strerror})") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise LabelError(f"{path}: is not TOML ({err})") from err


def _check_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(table.keys() - known)
    if unknown:
        raise LabelError(f"{where}: unknown key {unknown[0]!r}", hint=f"known are {', '.join(sorted(known))}")


def _text(table: Mapping[str, Any], key: str, where: object) -> str:
    if key not in table:
        raise LabelError(f"{where}: lacks {key!r}")
    if not isinstance(table[key], str):
        raise LabelError(f"{where}: {key} is {table[key]!r}; expected text")
    return str(table[key])


def _classes(path: Path, document: Mapping[str, Any], tiles: DataSetPlan | None) -> ClassTable:
    if tiles is not None and "classes" not in document:
        return tiles.classes
    classes = load_classes(path.parent / _text(document, "classes", path))
    if tiles is not None and tiles.classes.names != classes.names:
        raise LabelError(
            f"{path}: classes are {list(classes.names)}, those of {tiles.source} {list(tiles.classes.names)}",
            hint="all labels of a data set share one table of classes",
        )
    return classes


def _bands(path: Path, document: Mapping[str, Any]) -> tuple[int, ...] | None:
    bands = document.get("bands")
    if bands is None:
        return None
    if not isinstance(bands, list) or not bands or not all(type(b) is int and b > 0 for b in bands):
        raise LabelError(f"{path}: bands is {bands!r}; expected a list such as [1, 2, 3], counted from 1")
    return tuple(bands)


def _card(path: Path, document: Mapping[str, Any]) -> CardNotes:
    table = document.get("card", {})
    if not isinstance(table, dict):
        raise LabelError(f"{path}: card must be written as a [card] table")
    _check_keys(table, {f.name for f in fields(CardNotes)}, f"{path}: [card]")
    texts = {key: _text(table, key, f"{path}: [card]") for key in table if key != "gsd_m"}
    gsd_m = table.get("gsd_m")
    if gsd_m is not None and not _is_measure(gsd_m):
        raise LabelError(f"{path}: [card]: gsd_m is {gsd_m!r}; expected metres, more than 0 and at most 1e6")
    return CardNotes(**texts, gsd_m=None if gsd_m is None else float(gsd_m))


def _entries(path: Path, document: Mapping[str, Any], part: str, classes: ClassTable) -> list[SceneEntry]:
    tables = document.get(part, [])
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise LabelError(f"{path}: {part} must be written as [[{part}]] tables")
    return [_entry(path, t, f"{path}: [[{part}]] {n}", classes) for n, t in enumerate(tables, start=1)]


def _entry(path: Path, table: Mapping[str, Any], where: str, classes: ClassTable) -> SceneEntry:
    _check_keys(table, _ENTRY, where)
    labels = _existing(path.parent / _text(table, "labels", where), where)
    is_raster = not is_vector_file(labels)
    if is_raster and _VECTOR & table.keys():
        key = sorted(_VECTOR & table.keys())[0]
        raise LabelError(
            f"{where}: {key!r} is for label vectors, but {labels.name} is a raster",
            hint="a label raster holds class ids already; 255 is left out",
        )
    return SceneEntry(
        image=_existing(path.parent / _text(table, "image", where), where),
        labels=labels,
        vector=None if is_raster else _rules(table, where, classes),
        aoi=_existing(path.parent / _text(table, "aoi", where), where) if "aoi" in table else None,
        weight=_weight(table, where),
    )


def _existing(path: Path, where: str) -> Path:
    if not path.exists():
        raise LabelError(f"{where}: {path} does not exist", hint="paths are relative to the manifest")
    return path


def _weight(table: Mapping[str, Any], where: str) -> float | None:
    weight = table.get("weight")
    if weight is None:
        return None
    if not _is_measure(weight):
        raise LabelError(f"{where}: weight is {weight!r}; expected a number above 0 and at most 1e6")
    return float(weight)


def _is_measure(value: object) -> bool:
    """Whether it is a number that sums and squares of stay finite; NaN is in no range."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1e6


def _rules(table: Mapping[str, Any], where: str, classes: ClassTable) -> VectorRules:
    if ("class" in table) == ("attribute" in table):
        raise LabelError(
            f"{where}: label vectors need either class or attribute",
            hint='class = "building" makes all features one class; attribute names the field that decides',
        )
    if "values" in table and "attribute" not in table:
        raise LabelError(f"{where}: has values but no attribute to find them in")
    unlabelled = table.get("unlabelled", "ignore")
    pixels = table.get("pixels", _PIXELS[0])
    if pixels not in _PIXELS:
        raise LabelError(f"{where}: pixels is {pixels!r}; expected one of {', '.join(_PIXELS)}")
    values = _values(table, where, classes) if "attribute" in table else None
    ranked, values = _priority(table, values, where, classes)
    return VectorRules(
        class_id=_class_id(table["class"], where, classes) if "class" in table else None,
        attribute=_text(table, "attribute", where) if "attribute" in table else None,
        values=values,
        ranked=ranked,
        unlabelled=None if unlabelled == "ignore" else _class_id(unlabelled, where, classes),
        layer=_text(table, "layer", where) if "layer" in table else None,
        all_touched=pixels == "touched",
    )


def _priority(
    table: Mapping[str, Any], values: dict[str, int] | None, where: str, classes: ClassTable
) -> tuple[bool, dict[str, int] | None]:
    """Whether features paint over one another in the order of the values, and the values in that order."""
    if values is None:
        if "priority" in table:
            raise LabelError(f"{where}: has priority, but all features are one class")
        return True, None
    priority = table.get("priority", "values" if "values" in table else "file")
    if priority in ("values", "file"):
        return priority == "values", values
    if not isinstance(priority, list):
        raise LabelError(f'{where}: priority is {priority!r}; expected "values", "file" or a list of classes')
    ranks = [_class_id(name, where, classes) for name in priority]
    missing = sorted({*values.values()} - {*ranks, IGNORE_INDEX})
    if missing or len(set(ranks)) < len(ranks):
        what = f"lacks the class {classes.names[missing[0]]!r}" if missing else "names a class twice"
        raise LabelError(
            f"{where}: priority {what}",
            hint="list every class of values once; later ones paint over earlier ones",
        )
    ranks = ranks if IGNORE_INDEX in ranks else [*ranks, IGNORE_INDEX]
    return True, dict(sorted(values.items(), key=lambda item: ranks.index(item[1])))


def _values(table: Mapping[str, Any], where: str, classes: ClassTable) -> dict[str, int]:
    """Without `values` the attribute holds the names of the classes."""
    values = table.get("values")
    if values is None:
        return {c.name: c.id for c in classes}
    if not isinstance(values, dict) or not values:
        raise LabelError(f"{where}: values is {values!r}; expected a table such as {{house = 'building'}}")
    return {str(value): _class_id(target, where, classes) for value, target in values.items()}


def _class_id(target: object, where: str, classes: ClassTable) -> int:
    """The id of a class given by name or id; 255 or "ignore" leaves pixels out."""
    ids = {c.name: c.id for c in classes}
    if isinstance(target, str) and target in ids:
        return ids[target]
    if target in ("ignore", IGNORE_INDEX):
        return IGNORE_INDEX
    if type(target) is int and 0 <= target < len(classes):
        return target
    raise LabelError(
        f"{where}: {target!r} is no class; classes are {', '.join(f'{c.id} {c.name}' for c in classes)}"
    )
