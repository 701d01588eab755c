"""A folder of labelled tiles: `images/NAME.tif`, `labels/NAME.tif`, `classes.json` and `split.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rsseg.classes import load_classes
from rsseg.data.entries import RASTER_SUFFIXES, DataSetPlan, SceneEntry
from rsseg.errors import LabelError

VAL_SHARE = 5
"""Without a split.json every fifth tile, in the order of the names, is for validation."""


def plan_tile_folder(folder: Path) -> DataSetPlan:
    """List the labelled tiles of a folder.

    Every image has a label of the same stem. `split.json` maps `train` and `val` to lists of stems; tiles it does
    not name are left out. Without it the first tile and every fifth after it are for validation.

    Raises:
        LabelError: images, labels, classes or split are missing or contradict one another.
    """
    classes = load_classes(folder / "classes.json")
    images, labels = _by_stem(folder / "images"), _by_stem(folder / "labels")
    _check_pairs(folder, images, labels)
    split = _read_split(folder, sorted(images.keys() & labels.keys()))
    return DataSetPlan(
        source=folder,
        classes=classes,
        train=tuple(_entry(folder, stem, images, labels) for stem in split["train"]),
        val=tuple(_entry(folder, stem, images, labels) for stem in split["val"]),
    )


def plan_all_tiles(folder: Path) -> DataSetPlan:
    """List all labelled tiles of a folder, whatever its split.json says; where they are in the plan means nothing.

    Raises:
        LabelError: images, labels or classes are missing or contradict one another, or there are less than two.
    """
    classes = load_classes(folder / "classes.json")
    images, labels = _by_stem(folder / "images"), _by_stem(folder / "labels")
    _check_pairs(folder, images, labels)
    entries = [_entry(folder, stem, images, labels) for stem in sorted(images.keys() & labels.keys())]
    return DataSetPlan(source=folder, classes=classes, train=tuple(entries[1:]), val=tuple(entries[:1]))


def find_unpaired(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of images without a label, and of labels without an image.

    Raises:
        LabelError: a folder is missing, or two of its files have one name.
    """
    images, labels = _by_stem(folder / "images"), _by_stem(folder / "labels")
    return tuple(sorted(images.keys() - labels.keys())), tuple(sorted(labels.keys() - images.keys()))


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise LabelError(
            f"{folder}: no such folder",
            hint="a data set is a folder with images/, labels/ and classes.json, or a manifest.toml",
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix not in RASTER_SUFFIXES:
            continue
        if path.stem in found:
            raise LabelError(f"{folder}: both {found[path.stem].name} and {path.name}; names must differ")
        found[path.stem] = path
    return found


def _check_pairs(folder: Path, images: dict[str, Path], labels: dict[str, Path]) -> None:
    """A label without its image is a mistake; an image without a label is merely not labelled yet."""
    orphans = sorted(labels.keys() - images.keys())
    if orphans:
        raise LabelError(
            f"{labels[orphans[0]]}: {len(orphans)} label(s) have no image; expected images/{orphans[0]}.tif",
            hint="an image and its label have the same name; add the image or remove the label",
        )
    if not labels:
        raise LabelError(
            f"{folder}: holds no labelled tiles", hint=f"labels/ may hold {', '.join(RASTER_SUFFIXES)}"
        )


def _read_split(folder: Path, stems: list[str]) -> dict[str, list[str]]:
    path = folder / "split.json"
    if not path.exists():
        return {"train": [s for i, s in enumerate(stems) if i % VAL_SHARE], "val": stems[::VAL_SHARE]}
    document = _read_json_object(path)
    split = {part: _stems_of(path, document, part) for part in ("train", "val")}
    both = sorted(set(split["train"]) & set(split["val"]))
    if both:
        raise LabelError(
            f"{path}: {', '.join(both[:3])} in both train and val",
            hint="scores on tiles that were learnt from say nothing; keep each tile on one side",
        )
    return split


def _read_json_object(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise LabelError(f"{path}: cannot be read ({err.strerror})") from err
    except ValueError as err:
        raise LabelError(f"{path}: is not JSON ({err})") from err
    if not isinstance(document, dict):
        raise LabelError(f'{path}: expected an object with the lists "train" and "val"')
    return document


def _stems_of(path: Path, document: dict[str, Any], part: str) -> list[str]:
    names = document.get(part)
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise LabelError(
            f'{path}: has no list "{part}" of names', hint='expected {"train": [...], "val": [...]}'
        )
    if not names:
        raise LabelError(f"{path}: {part} is empty", hint=f"name at least one tile under {part}")
    return list(dict.fromkeys(names))


def _entry(folder: Path, stem: str, images: dict[str, Path], labels: dict[str, Path]) -> SceneEntry:
    for kind, found in (("images", images), ("labels", labels)):
        if stem not in found:
            raise LabelError(
                f"{folder / 'split.json'}: names {stem!r}, which is not in {kind}/",
                hint="split.json holds names without folder and suffix",
            )
    return SceneEntry(image=images[stem], labels=labels[stem])
