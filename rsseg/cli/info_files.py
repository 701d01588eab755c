"""What `rsseg info` tells of each kind of input, and how it knows which kind that is."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rsseg.cli.info_report import Report
from rsseg.cli.weights_text import card_lines
from rsseg.errors import RasterError

if TYPE_CHECKING:
    from rsseg.data.entries import DataSetPlan, SceneEntry
    from rsseg.raster.vector_facts import VectorLayer
    from rsseg.weights import WeightCard

__all__ = ["Report", "report_on"]

_WEIGHTS = (".safetensors", ".onnx", ".pt", ".pt2", ".pth", ".ckpt")
_SHOWN_VALUES = 8


def report_on(name: str, card: WeightCard | None) -> Report:
    """Look what an input is, and tell about it.

    Args:
        name: a path, an address, or the name of bundled weights.
        card: of the weights that images are compared with.

    Raises:
        RasterError, LabelError, WeightsError: there is nothing there, or it cannot be read as what it seems to be.
    """
    from rsseg.cli.info_raster import report_on_raster
    from rsseg.raster.vectors import is_vector_file

    path = Path(name)
    if os.path.isdir(name):  # noqa: PTH112 - Path's methods raise where a folder is closed or a name too long
        return _report_on_folder(name, path, card)
    if path.suffix.lower() == ".toml":
        return _report_on_data(name, path)
    if path.suffix.lower() in _WEIGHTS or _is_bare_word(path):
        return _report_on_weights(name)
    return _report_on_polygons(name) if is_vector_file(path) else report_on_raster(name, card)


def _is_bare_word(path: Path) -> bool:
    """Whether it can be meant as a name of weights: no file of that name, no folder, no ending."""
    found = os.path.lexists(path)
    return not found and not path.suffix and len(path.parts) == 1 and ":" not in path.name


def _report_on_folder(name: str, path: Path, card: WeightCard | None) -> Report:
    """A run, a data set, or a raster whose format is a folder."""
    from rsseg.cli.info_raster import report_on_raster
    from rsseg.cli.info_run import report_on_run

    inside = _names_in(path)
    if "config.toml" in inside:
        return report_on_run(name, path)
    if "manifest.toml" in inside or {"images", "labels"} <= inside:
        return _report_on_data(name, path)
    try:
        return report_on_raster(name, card)
    except RasterError as err:
        raise RasterError(
            f"{name}: is a folder, but neither a run (config.toml) nor a data set (images/ and labels/, or a"
            " manifest.toml)",
            hint=f"name the files in it, such as {name.rstrip('/')}/*.tif",
        ) from err


def _names_in(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208
    except OSError as err:
        raise RasterError(
            f"{folder}: cannot be looked into ({err.strerror})", hint="check its permissions"
        ) from err


def _report_on_weights(name: str) -> Report:
    from rsseg.weights import find_weights, list_weights, load_card
    from rsseg.weights.files import file_sha256

    card, path = load_card(name), find_weights(name)
    bundled = {entry.name: entry.sha256 for entry in list_weights()}
    sha256 = file_sha256(path)
    warnings = []
    if bundled.get(name, sha256) != sha256:
        warnings.append((f"is not the file of the index: its sha256 is {sha256}", "reinstall rsseg"))
    if card.gsd_m is None:
        warnings.append(
            ("does not say how large pixels are on the ground", "--gsd auto will leave rasters as they are")
        )
    return Report(
        path=name,
        kind="weights",
        title=f"weights, {path.stat().st_size / 1e6:.1f} MB",
        rows=[*card_lines(card), ("file", str(path)), ("sha256", sha256)],
        warnings=warnings,
        details={"file": str(path), "sha256": sha256, "card": json.loads(card.to_json())},
    )


def _report_on_data(name: str, path: Path) -> Report:
    from rsseg.data.scenes import plan_dataset

    plan = plan_dataset(path)
    parts = {"train": plan.train, "val": plan.val, "test": plan.test}
    return Report(
        path=name,
        kind="data set",
        title="data set",
        rows=[
            ("classes", ", ".join(f"{c.id} {c.name}" for c in plan.classes)),
            *((part, _entries_text(entries)) for part, entries in parts.items() if entries),
            ("bands", "" if plan.bands is None else ", ".join(map(str, plan.bands))),
            *_card_notes(plan),
            ("next", f"rsseg train --check {name}"),
        ],
        details={
            "classes": list(plan.classes.names),
            "scenes": {part: len(entries) for part, entries in parts.items()},
            "images": {part: [str(e.image) for e in entries] for part, entries in parts.items()},
            "bands": plan.bands,
        },
    )


def _entries_text(entries: Sequence[SceneEntry]) -> str:
    polygons = sum(entry.vector is not None for entry in entries)
    within = sum(entry.aoi is not None for entry in entries)
    images = len({entry.image for entry in entries})
    text = f"{len(entries)} scene{'s' * (len(entries) != 1)}"
    text += f" in {images} image{'s' * (images != 1)}" * (images != len(entries))
    kinds = [
        (polygons, "labelled by polygons"),
        (len(entries) - polygons, "by pixels"),
        (within, "within an area"),
    ]
    return text + "".join(f", {number} {what}" for number, what in kinds if number)


def _card_notes(plan: DataSetPlan) -> list[tuple[str, str]]:
    card = plan.card
    size = "" if card.gsd_m is None else f"{card.gsd_m:g} m"
    return [("description", card.description), ("ground size", size), ("licence", card.licence)]


def _report_on_polygons(name: str) -> Report:
    from rsseg.raster.vector_facts import read_vector_facts

    layers = read_vector_facts(name)
    areas = [layer for layer in layers if layer.holds_polygons]
    warnings: list[tuple[str, str | None]] = []
    if not areas:
        warnings.append(
            ("has no layer with polygons, which labels and areas need", "turn lines and points into areas")
        )
    if len(areas) > 1:
        names = ", ".join(layer.name for layer in areas)
        warnings.append((f"has several layers with polygons: {names}", "say which with --layer"))
    warnings += [
        (f"layer {layer.name} has no CRS: its coordinates are taken in that of the image", None)
        for layer in areas
        if not layer.crs
    ]
    return Report(
        path=name,
        kind="polygons" if areas else "vectors",
        title="polygons: labels, or an area of interest" if areas else "a vector file without polygons",
        rows=[row for layer in layers for row in _layer_rows(layer)],
        warnings=warnings,
        details={
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "features": layer.features,
                    "crs": layer.crs or None,
                    "attributes": {field: dict(values) for field, values in layer.attributes.items()},
                }
                for layer in layers
            ]
        },
    )


def _layer_rows(layer: VectorLayer) -> list[tuple[str, str]]:
    count = f"{layer.features:,} feature{'s' * (layer.features != 1)}"
    rows = [("layer", f"{layer.name}: {count}, {layer.kind or 'no geometry'}, {layer.crs or 'no CRS'}")]
    for field, values in layer.attributes.items():
        listed = [f"{value} {number:,}" for value, number in list(values.items())[:_SHOWN_VALUES]]
        more = [f"and {len(values) - len(listed)} more"] if len(values) > len(listed) else []
        rows.append(("attribute", f"{field}: {', '.join(listed + more) or 'many values'}"))
    return rows
