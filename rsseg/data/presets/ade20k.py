"""ADE20K as the scene parsing benchmark hands it out: label values 1 to 150 are the classes 0 to 149, 0 is left out."""

from __future__ import annotations

from pathlib import Path

from rsseg.data.coding import LabelCoding
from rsseg.data.entries import CardNotes, DataSetPlan, SceneEntry
from rsseg.data.presets.codings import published_labels
from rsseg.data.presets.folders import find_files, find_folder, pair

_PRESET = "ade20k"


def plan_ade20k(folder: Path) -> DataSetPlan:
    """List both published parts.

    Raises:
        LabelError: folders or files are missing.
    """
    labels = published_labels(_PRESET)
    return DataSetPlan(
        source=folder,
        classes=labels.classes,
        train=_part(folder, "training", "train", labels.coding),
        val=_part(folder, "validation", "val", labels.coding),
        gray_as_rgb=True,
        card=CardNotes(data="ADE20K, scene parsing (150 classes)", licence="images for research"),
    )


def _part(folder: Path, part: str, short: str, coding: LabelCoding) -> tuple[SceneEntry, ...]:
    images, labels = (
        find_files(
            find_folder(find_folder(folder, [kind], preset=_PRESET), [part], preset=_PRESET),
            rf"ADE_{short}_(\d+)\.{suffix}",
            preset=_PRESET,
        )
        for kind, suffix in (("images", "jpg"), ("annotations", "png"))
    )
    return pair(images, labels, coding, preset=_PRESET)
