"""What a data set is made of, before anything is opened: images, their labels, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rsseg.classes import ClassTable
from rsseg.data.coding import LabelCoding
from rsseg.errors import LabelError

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".png", ".jpg", ".jpeg", ".jp2", ".img")
"""What counts as an image or a label raster."""


@dataclass(frozen=True, kw_only=True)
class VectorRules:
    """How features become class ids; see `rsseg.raster.vectors.open_label_vector`.

    `unlabelled` is the class of pixels under no feature, None for pixels to leave out. Features that are `ranked`
    paint over one another in the order of `values`, others in the order of the file. A pixel belongs to a polygon that
    holds its centre, or with `all_touched` to any that it touches.
    """

    class_id: int | None = None
    attribute: str | None = None
    values: Mapping[str, int] | None = None
    ranked: bool = True
    unlabelled: int | None = None
    layer: str | None = None
    all_touched: bool = False


@dataclass(frozen=True, kw_only=True)
class SceneEntry:
    """One image with its labels: a label raster, or vectors where `vector` says how to read them.

    `coding` says what the numbers or colours of a label raster mean; None for class ids. Outside the polygons of `aoi`
    nothing is labelled. `weight` is the share of training samples taken here, relative to the other entries; None where
    samples follow the labelled area.
    """

    image: Path
    labels: Path
    vector: VectorRules | None = None
    coding: LabelCoding | None = None
    aoi: Path | None = None
    weight: float | None = None


@dataclass(frozen=True, kw_only=True)
class CardNotes:
    """What the weights' card shall say about the data; empty and None where nobody said."""

    description: str = ""
    data: str = ""
    licence: str = ""
    gsd_m: float | None = None


@dataclass(frozen=True, kw_only=True)
class DataSetPlan:
    """A data set as it is described: nothing is opened yet.

    `test` is what neither learns nor chooses; it may be empty. `bands` are the bands to read of every image, counted
    from 1; None leaves the choice to the reader. `band_names` are what they show, where that is known from elsewhere
    than the files. With `gray_as_rgb` an image of one band stands for three equal ones.
    """

    source: Path
    classes: ClassTable
    train: tuple[SceneEntry, ...]
    val: tuple[SceneEntry, ...]
    test: tuple[SceneEntry, ...] = ()
    bands: tuple[int, ...] | None = None
    band_names: tuple[str, ...] | None = None
    gray_as_rgb: bool = False
    card: CardNotes = field(default_factory=CardNotes)

    def __post_init__(self) -> None:
        for name, entries in (("train", self.train), ("val", self.val)):
            if not entries:
                raise LabelError(
                    f"{self.source}: has no {name} entries",
                    hint="training needs images to learn from (train) and others to choose the best weights by (val)",
                )
        learnt: dict[tuple[Path, Path], list[SceneEntry]] = {}
        for entry in self.train:
            learnt.setdefault((entry.image, entry.labels), []).append(entry)
        for entry in self.val:
            same = learnt.get((entry.image, entry.labels), ())
            if any((e.vector, e.aoi) == (entry.vector, entry.aoi) for e in same):
                raise LabelError(
                    f"{self.source}: {entry.image.name} with the same labels is in both train and val",
                    hint="scores on labels that were learnt from say nothing; keep each on one side",
                )
        given = [e.weight is not None for e in self.train]
        if any(given) and not all(given):
            raise LabelError(
                f"{self.source}: {sum(given)} of {len(given)} train entries have a weight",
                hint="give all train entries a weight, or none (then samples follow the labelled area)",
            )
