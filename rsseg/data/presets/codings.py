"""How published data sets code their label files: for training on them, and for labels that are compared alone."""

from __future__ import annotations

from dataclasses import dataclass

from rsseg.classes import IGNORE_INDEX, ClassTable
from rsseg.data.coding import LabelCoding
from rsseg.data.presets.folders import load_table
from rsseg.errors import OptionError

PUBLISHED_LABELS = ("isprs", "isprs-eroded", "uavid", "loveda", "cityscapes", "ade20k")
"""The data sets whose label files need nothing besides to be read; those of COCO panoptic need a JSON file, too."""

_BLACK = (0, 0, 0)
"""What the edges of objects are painted in, in the eroded references of ISPRS alone."""


@dataclass(frozen=True, kw_only=True)
class PublishedLabels:
    """Label files as a data set hands them out.

    Attributes:
        name: one of `PUBLISHED_LABELS`.
        classes: those of the ids that pixels become.
        coding: which values or colours become which ids.
        eroded: whether the edges of objects are left out of them; None where there are only whole ones.
    """

    name: str
    classes: ClassTable
    coding: LabelCoding
    eroded: bool | None = None

    @property
    def text(self) -> str:
        """How they are read, for a person."""
        codes = zip(self.coding.codes.tolist(), self.coding.ids.tolist(), strict=True)
        left_out = [self.coding.describe(code) for code, class_id in codes if class_id == IGNORE_INDEX]
        out = f"; left out: {', '.join(left_out)}" if left_out else ""
        return f"read as {self.name} hands them out, {len(self.classes)} classes by {self.coding.kind}{out}"


def published_labels(name: str) -> PublishedLabels:
    """How the label files of a data set are coded.

    Raises:
        OptionError: there is none of that name.
    """
    if name not in PUBLISHED_LABELS:
        raise OptionError(
            f"labels of {name!r}: unknown", hint=f"codings are known of: {', '.join(PUBLISHED_LABELS)}"
        )
    # Vaihingen and Potsdam have the same classes in the same colours.
    table = load_table("vaihingen" if name.startswith("isprs") else name)
    eroded = name == "isprs-eroded" if name.startswith("isprs") else None
    if table.values:  # 0 is no class where the table lists nothing else
        coding = table.value_coding(left_out=map(int, table.lists.get("left_out", ("0",))))
    else:
        coding = table.color_coding(left_out=[_BLACK] if eroded else [])
    return PublishedLabels(name=name, classes=table.classes, coding=coding, eroded=eroded)
