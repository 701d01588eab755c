"""Cityscapes: streets seen from a car, town by town; 19 of the label ids are classes, the others are left out."""

from __future__ import annotations

from pathlib import Path

from rsseg.data.coding import LabelCoding
from rsseg.data.entries import CardNotes, DataSetPlan, SceneEntry
from rsseg.data.presets.codings import published_labels
from rsseg.data.presets.folders import find_files, find_folder, pair

_PRESET = "cityscapes"


def plan_cityscapes(folder: Path) -> DataSetPlan:
    """List both published parts with fine labels.

    Raises:
        LabelError: folders or files are missing.
    """
    labels = published_labels(_PRESET)
    return DataSetPlan(
        source=folder,
        classes=labels.classes,
        train=_part(folder, "train", labels.coding),
        val=_part(folder, "val", labels.coding),
        card=CardNotes(data="Cityscapes, fine labels", licence="data for non-commercial research"),
    )


def _part(folder: Path, part: str, coding: LabelCoding) -> tuple[SceneEntry, ...]:
    images = _by_frame(folder, "leftImg8bit", part, r"(.+)_leftImg8bit\.png")
    labels = _by_frame(folder, "gtFine", part, r"(.+)_gtFine_labelIds\.png")
    return pair(images, labels, coding, preset=_PRESET)


def _by_frame(folder: Path, kind: str, part: str, pattern: str) -> dict[str, Path]:
    place = find_folder(find_folder(folder, [kind], preset=_PRESET), [part], preset=_PRESET)
    towns = [path for path in sorted(place.iterdir()) if path.is_dir()]
    if not towns:
        find_folder(place, ["TOWN"], preset=_PRESET)
    return {
        f"{town.name}/{frame}": path
        for town in towns
        for frame, path in find_files(town, pattern, preset=_PRESET).items()
    }
