"""COCO panoptic as semantic labels: a PNG numbers the segments of an image, a JSON file says their categories.

The 133 categories, things and stuff, have ids with gaps; sorted, they are the classes 0 to 132. Segment 0 is void.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsseg.classes import IGNORE_INDEX
from rsseg.data.coding import LabelCoding
from rsseg.data.entries import CardNotes, DataSetPlan, SceneEntry
from rsseg.data.presets.folders import find_files, find_folder, load_table
from rsseg.errors import LabelError

_PRESET = "coco-panoptic"
_VOID = 0


def plan_coco_panoptic(folder: Path) -> DataSetPlan:
    """List both published parts that have labels.

    Raises:
        LabelError: folders or files are missing, or the annotations are damaged.
    """
    table = load_table(_PRESET)
    return DataSetPlan(
        source=folder,
        classes=table.classes,
        train=_part(folder, "train2017", table.values),
        val=_part(folder, "val2017", table.values),
        gray_as_rgb=True,
        card=CardNotes(
            data="COCO panoptic 2017", licence="annotations CC BY 4.0; images by the terms of Flickr"
        ),
    )


def _part(folder: Path, part: str, class_ids: Mapping[int, int]) -> tuple[SceneEntry, ...]:
    images = find_files(find_folder(folder, [part], preset=_PRESET), r"(\d+)\.jpg", preset=_PRESET)
    annotations = find_folder(folder, ["annotations"], preset=_PRESET)
    labels = find_files(
        find_folder(annotations, [f"panoptic_{part}"], preset=_PRESET), r"(\d+)\.png", preset=_PRESET
    )
    path = annotations / f"panoptic_{part}.json"
    entries = []
    for row in _annotations(path):
        name, coding = _coding(path, row, class_ids)
        for kind, found in (("image", images), ("label", labels)):
            if name not in found:
                raise LabelError(
                    f"{path}: names {name}, of which there is no {kind} in {next(iter(found.values())).parent}",
                    hint=f"is this copy of {_PRESET} complete?",
                )
        entries.append(SceneEntry(image=images[name], labels=labels[name], coding=coding))
    return tuple(entries)


def _annotations(path: Path) -> list[Any]:
    try:
        document = json.loads(path.read_bytes(), object_hook=_short)
    except OSError as err:
        raise LabelError(f"{path}: cannot be read ({err.strerror})") from err
    except ValueError as err:
        raise LabelError(f"{path}: is not JSON ({err})") from err
    rows = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not rows:
        raise LabelError(f'{path}: has no list "annotations"; expected that of COCO panoptic')
    return rows


def _short(row: dict[str, Any]) -> Any:
    """A segment as (id, category): the file of the large part describes more than a million of them."""
    return (row["id"], row["category_id"]) if "category_id" in row and "id" in row else row


def _coding(path: Path, row: Any, class_ids: Mapping[int, int]) -> tuple[str, LabelCoding]:
    """The name of an annotated image, and which class each of its segments is."""
    try:
        name = Path(row["file_name"]).stem
        ids = {int(segment): class_ids[category] for segment, category in row["segments_info"]}
    except (KeyError, TypeError, ValueError) as err:
        raise LabelError(
            f"{path}: the annotation {str(row)[:60]!r} lacks something or has an unknown category ({err})",
            hint="expected file_name and segments_info with id and category_id, as in COCO panoptic 2017",
        ) from err
    return name, LabelCoding.of("segment", {**ids, _VOID: IGNORE_INDEX})
