"""UAVid: frames of drone videos, sequence by sequence; labels painted in eight colours, of which black is clutter."""

from __future__ import annotations

from pathlib import Path

from rsseg.data.coding import LabelCoding
from rsseg.data.entries import CardNotes, DataSetPlan, SceneEntry
from rsseg.data.presets.codings import published_labels
from rsseg.data.presets.folders import find_files, find_folder, pair

_PRESET = "uavid"
_FRAME = r"(\d+)\.png"


def plan_uavid(folder: Path) -> DataSetPlan:
    """List the frames of both published parts that have labels.

    Raises:
        LabelError: folders or files are missing.
    """
    labels = published_labels(_PRESET)
    return DataSetPlan(
        source=folder,
        classes=labels.classes,
        train=_frames(find_folder(folder, ["uavid_train", "train"], preset=_PRESET), labels.coding),
        val=_frames(find_folder(folder, ["uavid_val", "val"], preset=_PRESET), labels.coding),
        card=CardNotes(data="UAVid"),
    )


def _frames(part: Path, coding: LabelCoding) -> tuple[SceneEntry, ...]:
    sequences = [path for path in sorted(part.glob("seq*")) if path.is_dir()]
    if not sequences:
        find_folder(part, ["seq1"], preset=_PRESET)
    entries: list[SceneEntry] = []
    for sequence in sequences:
        images = find_files(find_folder(sequence, ["Images"], preset=_PRESET), _FRAME, preset=_PRESET)
        labels = find_files(find_folder(sequence, ["Labels"], preset=_PRESET), _FRAME, preset=_PRESET)
        entries += pair(images, labels, coding, preset=_PRESET)
    return tuple(entries)
