"""LoveDA: towns and countryside at 0.3 m; label values 1 to 7 are the classes 0 to 6, and 0 is no data."""

from __future__ import annotations

from pathlib import Path

from rsseg.data.coding import LabelCoding
from rsseg.data.entries import CardNotes, DataSetPlan, SceneEntry
from rsseg.data.presets.codings import published_labels
from rsseg.data.presets.folders import find_files, find_folder, pair

_PRESET = "loveda"
_NAME = r"(\d+)\.png"


def plan_loveda(folder: Path) -> DataSetPlan:
    """List both published parts that have labels, urban and rural.

    Raises:
        LabelError: folders or files are missing.
    """
    labels = published_labels(_PRESET)
    return DataSetPlan(
        source=folder,
        classes=labels.classes,
        train=_part(folder, "Train", labels.coding),
        val=_part(folder, "Val", labels.coding),
        card=CardNotes(data="LoveDA", licence="data under CC BY-NC-SA 4.0, academic use only", gsd_m=0.3),
    )


def _part(folder: Path, part: str, coding: LabelCoding) -> tuple[SceneEntry, ...]:
    entries: list[SceneEntry] = []
    for kind in ("Urban", "Rural"):
        place = find_folder(find_folder(folder, [part], preset=_PRESET), [kind], preset=_PRESET)
        images = find_files(find_folder(place, ["images_png"], preset=_PRESET), _NAME, preset=_PRESET)
        labels = find_files(find_folder(place, ["masks_png"], preset=_PRESET), _NAME, preset=_PRESET)
        entries += pair(images, labels, coding, preset=_PRESET)
    return tuple(entries)
