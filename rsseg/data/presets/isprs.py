"""ISPRS Vaihingen and Potsdam: true orthophotos with references painted in six colours.

The split is that of the papers of this group: validation is one of the organisers' training tiles, test their test
tiles (where their references are there). Potsdam's 7_10 is left out, whose annotation has errors. Black is found in
the eroded references only, around objects, and left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rsseg.data.entries import CardNotes, DataSetPlan
from rsseg.data.presets.codings import published_labels
from rsseg.data.presets.folders import find_files, find_folder, load_table, pick


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where a product lies: folders, and patterns whose group is the name of a tile."""

    table: str
    images: str
    image_name: str
    labels: tuple[str, ...]
    label_name: str
    band_names: tuple[str, ...]
    gsd_m: float
    eroded: bool


def vaihingen(*, eroded: bool) -> Layout:
    """Near infrared, red, green at 9 cm."""
    ground_truth = "ISPRS_semantic_labeling_Vaihingen_ground_truth"
    return Layout(
        table="vaihingen",
        images="top",
        image_name=r"top_mosaic_09cm_area(\d+)\.tif",
        labels=(f"{ground_truth}_eroded_COMPLETE", "gts_eroded_for_participants")
        if eroded
        else (f"{ground_truth}_COMPLETE", "gts_for_participants"),
        label_name=rf"top_mosaic_09cm_area(\d+){'_noBoundary' if eroded else ''}\.tif",
        band_names=("nir", "red", "green"),
        gsd_m=0.09,
        eroded=eroded,
    )


def potsdam(product: str, *, eroded: bool) -> Layout:
    """One of the products RGB, IRRG and RGBIR at 5 cm."""
    folder, band_names = {
        "RGB": ("2_Ortho_RGB", ("red", "green", "blue")),
        "IRRG": ("3_Ortho_IRRG", ("nir", "red", "green")),
        "RGBIR": ("4_Ortho_RGBIR", ("red", "green", "blue", "nir")),
    }[product]
    return Layout(
        table="potsdam",
        images=folder,
        image_name=rf"top_potsdam_(\d+_\d+)_{product}\.tif",
        labels=("5_Labels_all_noBoundary", "5_Labels_for_participants_no_Boundary")
        if eroded
        else ("5_Labels_all", "5_Labels_for_participants"),
        label_name=rf"top_potsdam_(\d+_\d+)_label{'_noBoundary' if eroded else ''}\.tif",
        band_names=band_names,
        gsd_m=0.05,
        eroded=eroded,
    )


def plan_isprs(folder: Path, layout: Layout) -> DataSetPlan:
    """List the tiles of the published split.

    Raises:
        LabelError: folders or tiles are missing.
    """
    preset = layout.table
    table = load_table(preset)
    coding = published_labels("isprs-eroded" if layout.eroded else "isprs").coding
    images = find_files(find_folder(folder, [layout.images], preset=preset), layout.image_name, preset=preset)
    labels = find_files(find_folder(folder, layout.labels, preset=preset), layout.label_name, preset=preset)
    lists = table.lists
    has_test = images.keys() & labels.keys() >= {*lists["test"]}
    train, val, test = (
        pick(names, images, labels, coding, preset=preset)
        for names in (lists["train"], lists["val"], lists["test"] if has_test else ())
    )
    return DataSetPlan(
        source=folder,
        classes=table.classes,
        train=train,
        val=val,
        test=test,
        bands=tuple(range(1, len(layout.band_names) + 1)),
        band_names=layout.band_names,
        card=CardNotes(
            data=f"ISPRS {preset.capitalize()}, {len(train)} tiles, validated on {', '.join(lists['val'])}",
            licence="data of the ISPRS benchmark: for research",
            gsd_m=layout.gsd_m,
        ),
    )
