"""The published data sets that `--preset` knows, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rsseg.classes import ClassTable
from rsseg.data.entries import DataSetPlan
from rsseg.data.presets.ade20k import plan_ade20k
from rsseg.data.presets.cityscapes import plan_cityscapes
from rsseg.data.presets.coco import plan_coco_panoptic
from rsseg.data.presets.folders import load_table
from rsseg.data.presets.isprs import Layout, plan_isprs, potsdam, vaihingen
from rsseg.data.presets.loveda import plan_loveda
from rsseg.data.presets.uavid import plan_uavid
from rsseg.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published data set: how it lies on the disk, and how it is used.

    `files` are what is read, as paths in its folder with `*` for what differs. `split` says which part is what,
    `protocol` how scores are taken; `left_out_of_means` are classes that count as pixels but in no mean; `eroded` says
    whether the edges of objects are left out of the labels, None where there is only one kind of these.
    """

    name: str
    table: str
    images: str
    files: tuple[str, ...]
    split: str
    protocol: str
    plan: Callable[[Path], DataSetPlan]
    left_out_of_means: tuple[str, ...] = ()
    eroded: bool | None = None

    @property
    def classes(self) -> ClassTable:
        """Its classes, in the order of their ids."""
        return load_table(self.table).classes


def plan_preset(name: str, folder: Path) -> DataSetPlan:
    """Read a published data set as its folder is.

    Raises:
        OptionError: there is no such preset.
        LabelError: the folder is not laid out like it, or is incomplete; the message says what was found.
    """
    return find_preset(name).plan(folder)


def find_preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        OptionError: there is none of that name.
    """
    if name not in PRESETS:
        raise OptionError(f"preset {name!r}: unknown", hint=f"presets are: {', '.join(PRESETS)}")
    return PRESETS[name]


def _isprs(name: str, layout: Layout, images: str, split: str) -> Preset:
    pictures = f"{layout.images}/{_starred(layout.image_name)}"
    eroded = "references with the edges of objects left out" if layout.eroded else "whole references"
    return Preset(
        name=name,
        table=layout.table,
        images=images,
        files=(pictures, *(f"{folder}/{_starred(layout.label_name)}" for folder in layout.labels)),
        split=split,
        protocol=f"mean IoU and F1 over all classes but clutter, overall accuracy over all; {eroded}",
        plan=partial(plan_isprs, layout=layout),
        left_out_of_means=("clutter",),
        eroded=layout.eroded,
    )


def _starred(pattern: str) -> str:
    return pattern.replace(r"(\d+_\d+)", "*").replace(r"(\d+)", "*").replace("\\", "")


_V = "train 15 of the organisers' 16 tiles, val 30, test their 17 where the references are there"
_P = "train 22 of the organisers' 24 tiles (7_10 has errors), val 2_10, test their 14 where the references are there"

PRESETS = {
    preset.name: preset
    for preset in (
        _isprs("vaihingen", vaihingen(eroded=False), "near infrared, red, green at 9 cm", _V),
        _isprs("vaihingen-eroded", vaihingen(eroded=True), "near infrared, red, green at 9 cm", _V),
        _isprs("potsdam", potsdam("RGB", eroded=False), "red, green, blue at 5 cm", _P),
        _isprs("potsdam-eroded", potsdam("RGB", eroded=True), "red, green, blue at 5 cm", _P),
        _isprs("potsdam-irrg", potsdam("IRRG", eroded=False), "near infrared, red, green at 5 cm", _P),
        _isprs("potsdam-irrg-eroded", potsdam("IRRG", eroded=True), "near infrared, red, green at 5 cm", _P),
        _isprs(
            "potsdam-rgbir", potsdam("RGBIR", eroded=False), "red, green, blue, near infrared at 5 cm", _P
        ),
        _isprs(
            "potsdam-rgbir-eroded",
            potsdam("RGBIR", eroded=True),
            "red, green, blue, near infrared at 5 cm",
            _P,
        ),
        Preset(
            name="uavid",
            table="uavid",
            images="oblique frames of drone videos, RGB",
            files=(
                "uavid_train/seq*/Images/*.png",
                "uavid_train/seq*/Labels/*.png",
                "uavid_val/seq*/Images/*.png",
                "uavid_val/seq*/Labels/*.png",
            ),
            split="train and val as published; the labels of test are not",
            protocol="mean IoU over all 8 classes",
            plan=plan_uavid,
        ),
        Preset(
            name="loveda",
            table="loveda",
            images="satellite images, RGB at 0.3 m",
            files=tuple(
                f"{part}/{kind}/{files}/*.png"
                for part in ("Train", "Val")
                for kind in ("Urban", "Rural")
                for files in ("images_png", "masks_png")
            ),
            split="Train and Val as published, urban and rural together; the labels of Test are not",
            protocol="mean IoU over all 7 classes, no data left out",
            plan=plan_loveda,
        ),
        Preset(
            name="cityscapes",
            table="cityscapes",
            images="streets from a car, RGB",
            files=tuple(
                f"{kind}/{part}/*/*_{ending}.png"
                for part in ("train", "val")
                for kind, ending in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds"))
            ),
            split="train and val as published; the labels of test are not",
            protocol="mean IoU over 19 classes, all other label ids left out",
            plan=plan_cityscapes,
        ),
        Preset(
            name="ade20k",
            table="ade20k",
            images="photos of scenes, RGB",
            files=tuple(
                f"{kind}/{part}/ADE_*.{suffix}"
                for part in ("training", "validation")
                for kind, suffix in (("images", "jpg"), ("annotations", "png"))
            ),
            split="training and validation as published",
            protocol="mean IoU over 150 classes and pixel accuracy, 0 left out",
            plan=plan_ade20k,
        ),
        Preset(
            name="coco-panoptic",
            table="coco-panoptic",
            images="photos of everyday scenes, RGB",
            files=tuple(
                name
                for part in ("train2017", "val2017")
                for name in (
                    f"{part}/*.jpg",
                    f"annotations/panoptic_{part}/*.png",
                    f"annotations/panoptic_{part}.json",
                )
            ),
            split="train2017 and val2017 as published",
            protocol="semantic: mean IoU over 133 classes, void left out",
            plan=plan_coco_panoptic,
        ),
    )
}
"""Variants that differ in bands or references are presets of their own."""
