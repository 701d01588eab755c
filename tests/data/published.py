"""Published data sets as they are handed out, in miniature: folders, names and codings are theirs, pixels are ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.data.presets.folders import load_table
from tests.making import random_pixels, write_raster

Ids = NDArray[np.uint8]
SIZE = (24, 20)


def image(bands: int = 3) -> NDArray[np.uint8]:
    return random_pixels(*SIZE, bands=bands)


def class_ids(count: int) -> Ids:
    """All classes and pixels to leave out (255), in no order."""
    ids = np.random.default_rng(1).integers(0, count, SIZE).astype(np.uint8)
    ids.ravel()[: min(count, ids.size)] = np.arange(min(count, ids.size))
    ids[-1, -3:] = 255
    return ids


def as_colors(ids: Ids, table: str, *, left_out: tuple[int, int, int] = (0, 0, 0)) -> NDArray[np.uint8]:
    """Class ids as (3, rows, cols) of the colours of a table."""
    palette = np.full((256, 3), left_out, dtype=np.uint8)
    for info in load_table(table).classes:
        palette[info.id] = info.rgb
    return palette[ids].transpose(2, 0, 1)


def as_values(ids: Ids, table: str, *, left_out: int = 0) -> NDArray[np.uint8]:
    """Class ids as the (1, rows, cols) values of a table."""
    values = np.full(256, left_out, dtype=np.uint8)
    for value, class_id in load_table(table).values.items():
        values[class_id] = value
    return values[ids][None]


def put(path: Path, pixels: NDArray[Any]) -> Path:
    """Write a TIFF, PNG or JPEG without a place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # not what other names of it hold
    driver = {".tif": "GTiff", ".png": "PNG", ".jpg": "JPEG"}[path.suffix]
    quality = {"quality": 95} if driver == "JPEG" else {}
    return write_raster(path, pixels, driver=driver, crs=None, transform=None, **quality)


def copies(first: Path, names: Iterable[str]) -> None:
    for name in names:
        (first.parent / name).hardlink_to(first)


def write_vaihingen(
    folder: Path, pixels: NDArray[Any], ids: Ids, *, eroded: bool = False, has_test: bool = False
) -> Path:
    table = load_table("vaihingen")
    names = [n for part in ("train", "val", *(["test"] if has_test else [])) for n in table.lists[part]]
    labels = folder / ("gts_eroded_for_participants" if eroded else "gts_for_participants")
    end = "_noBoundary" if eroded else ""
    first = put(folder / "top" / f"top_mosaic_09cm_area{names[0]}.tif", pixels)
    copies(first, (f"top_mosaic_09cm_area{n}.tif" for n in names[1:]))
    first = put(labels / f"top_mosaic_09cm_area{names[0]}{end}.tif", as_colors(ids, "vaihingen"))
    copies(first, (f"top_mosaic_09cm_area{n}{end}.tif" for n in names[1:]))
    return folder


def write_potsdam(
    folder: Path, pixels: NDArray[Any], ids: Ids, *, product: str = "RGB", eroded: bool = False
) -> Path:
    names = [n for part in ("train", "val", "test") for n in load_table("potsdam").lists[part]] + ["7_10"]
    place = {"RGB": "2_Ortho_RGB", "IRRG": "3_Ortho_IRRG", "RGBIR": "4_Ortho_RGBIR"}[product]
    labels = folder / ("5_Labels_all_noBoundary" if eroded else "5_Labels_all")
    end = "_label_noBoundary" if eroded else "_label"
    first = put(folder / place / f"top_potsdam_{names[0]}_{product}.tif", pixels)
    copies(first, (f"top_potsdam_{n}_{product}.tif" for n in names[1:]))
    first = put(labels / f"top_potsdam_{names[0]}{end}.tif", as_colors(ids, "potsdam"))
    copies(first, (f"top_potsdam_{n}{end}.tif" for n in names[1:]))
    return folder


def write_uavid(folder: Path, pixels: NDArray[Any], ids: Ids) -> Path:
    for sequence in ("uavid_train/seq1", "uavid_train/seq12", "uavid_val/seq16"):
        put(folder / sequence / "Images" / "000000.png", pixels)
        put(folder / sequence / "Labels" / "000000.png", as_colors(ids, "uavid"))
    return folder


def write_loveda(folder: Path, pixels: NDArray[Any], ids: Ids) -> Path:
    places = ("Train/Urban", "Train/Rural", "Val/Urban", "Val/Rural")
    for number, place in enumerate(places):
        put(folder / place / "images_png" / f"{number}.png", pixels)
        put(folder / place / "masks_png" / f"{number}.png", as_values(ids, "loveda"))
    return folder


def write_cityscapes(folder: Path, pixels: NDArray[Any], ids: Ids) -> Path:
    for part, town in (("train", "aachen"), ("train", "bochum"), ("val", "frankfurt")):
        frame = f"{town}_000000_000294"
        put(folder / "leftImg8bit" / part / town / f"{frame}_leftImg8bit.png", pixels)
        labels = folder / "gtFine" / part / town
        put(labels / f"{frame}_gtFine_labelIds.png", as_values(ids, "cityscapes", left_out=4))
        put(labels / f"{frame}_gtFine_instanceIds.png", as_values(ids, "cityscapes"))
    return folder


def write_ade20k(folder: Path, pixels: NDArray[Any], ids: Ids) -> Path:
    for part, short in (("training", "train"), ("validation", "val")):
        put(folder / "images" / part / f"ADE_{short}_00000001.jpg", pixels)
        put(folder / "annotations" / part / f"ADE_{short}_00000001.png", as_values(ids, "ade20k"))
    return folder


def write_coco(folder: Path, pixels: NDArray[Any], ids: Ids) -> Path:
    """Each class of the label is a segment with the number 100000 + 7 times its id."""
    segments = np.where(ids == 255, 0, 100_000 + 7 * ids.astype(np.uint32))
    painted = np.stack([segments % 256, segments // 256 % 256, segments // 65536]).astype(np.uint8)
    category = {class_id: value for value, class_id in load_table("coco-panoptic").values.items()}
    rows = [
        {"id": 100_000 + 7 * int(i), "category_id": category[int(i)], "area": 1, "iscrowd": 0}
        for i in np.unique(ids[ids != 255])
    ]
    for part, name in (("train2017", "000000000009"), ("val2017", "000000000139")):
        put(folder / part / f"{name}.jpg", pixels)
        put(folder / "annotations" / f"panoptic_{part}" / f"{name}.png", painted)
        document = {
            "images": [{"id": int(name), "file_name": f"{name}.jpg"}],
            "annotations": [{"image_id": int(name), "file_name": f"{name}.png", "segments_info": rows}],
            "categories": [],
        }
        (folder / "annotations" / f"panoptic_{part}.json").write_text(json.dumps(document))
    return folder


Writer = Callable[[Path, NDArray[Any], Ids], Path]

WRITERS: dict[str, Writer] = {
    "vaihingen": write_vaihingen,
    "vaihingen-eroded": lambda f, p, i: write_vaihingen(f, p, i, eroded=True),
    "potsdam": write_potsdam,
    "potsdam-eroded": lambda f, p, i: write_potsdam(f, p, i, eroded=True),
    "potsdam-irrg": lambda f, p, i: write_potsdam(f, p, i, product="IRRG"),
    "potsdam-irrg-eroded": lambda f, p, i: write_potsdam(f, p, i, product="IRRG", eroded=True),
    "potsdam-rgbir": lambda f, p, i: write_potsdam(f, p, i, product="RGBIR"),
    "potsdam-rgbir-eroded": lambda f, p, i: write_potsdam(f, p, i, product="RGBIR", eroded=True),
    "uavid": write_uavid,
    "loveda": write_loveda,
    "cityscapes": write_cityscapes,
    "ade20k": write_ade20k,
    "coco-panoptic": write_coco,
}
"""Writes a data set in miniature, by the name of its preset."""
