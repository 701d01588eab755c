"""`rsseg data split`: a proposal which ground to learn from and which to validate on, without a leak between them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import tomli_w
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, ClassTable
from rsseg.data.blocks import Choice, SplitOptions, Units, choose_units, margin_around
from rsseg.data.entries import DataSetPlan, SceneEntry
from rsseg.data.leaks import pixel_sides
from rsseg.data.manifest import read_manifest
from rsseg.data.pool import FilePool
from rsseg.data.scenes import FILES_OF_A_SCENE, Scene, open_scene, plan_dataset
from rsseg.data.tiles import plan_all_tiles
from rsseg.errors import LabelError, OptionError
from rsseg.files import write_file
from rsseg.raster import gdal_env
from rsseg.raster.footprint import Plane, area_geojson, area_in_pixels, polygons_in_pixels
from rsseg.tiling import plan_blocks


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """What was proposed: `class_pixels` by part, as estimates where blocks were cut, and what is left out.

    `output` is the split.json or the manifest.toml, `files` all that was written.
    """

    output: Path
    files: tuple[Path, ...]
    classes: ClassTable
    class_pixels: dict[str, tuple[int, ...]]
    pieces: dict[str, int]

    def missing(self) -> dict[str, tuple[str, ...]]:
        """Classes that a part lacks, of those that occur at all."""
        there = np.sum(list(self.class_pixels.values()), axis=0) > 0
        return {
            part: tuple(
                n
                for n, t, c in zip(self.classes.names, there, self.class_pixels[part], strict=True)
                if t and not c
            )
            for part in ("train", "val")
        }


def propose_split(
    data: Path,
    output: Path,
    *,
    options: SplitOptions,
    overwrite: bool = False,
    threads: int = 2,
    on_progress: Callable[[float], None] | None = None,
) -> SplitSummary:
    """Part a folder of georeferenced tiles, or the rasters of a manifest.

    A folder gives a split.json: whole tiles, some of them in no part. A manifest gives another manifest.toml, in which
    each raster has an area of interest for each part, written beside it as GeoJSON.

    Args:
        data: see `rsseg.data.scenes.plan_dataset`; how it is split now does not matter.
        output: a .json for a folder, a .toml for a manifest.
        options: what it shall be like.
        overwrite: replace existing files.
        threads: how many scenes are read at a time.
        on_progress: is told the share done.

    Raises:
        OptionError: the output exists or is of the wrong kind.
        LabelError: the data cannot be placed on the ground, or cannot be parted.
        RasterError: a file cannot be read.
    """
    is_folder = data.suffix.lower() != ".toml" and (data / "images").is_dir()
    plan = plan_all_tiles(data) if is_folder else plan_dataset(data)
    is_manifest = plan.source.suffix.lower() == ".toml"
    expected = ".toml" if is_manifest else ".json"
    if output.suffix.lower() != expected:
        raise OptionError(
            f"{output}: expected a name that ends in {expected}",
            hint="a folder of tiles gives a split.json, a manifest.toml another manifest",
        )
    if output.exists() and not overwrite:
        raise OptionError(f"{output}: exists already", hint="choose another -o, or add --overwrite")
    with gdal_env(), closing(FilePool(FILES_OF_A_SCENE * threads)) as pool:
        entries = (*plan.train, *plan.val)
        scenes = _open_all(pool, plan, entries, threads, on_progress)
        plane = _plane(scenes, source=plan.source)
        if is_manifest:
            return _split_rasters(plan, scenes, plane, output, options=options, overwrite=overwrite)
        return _split_tiles(plan, scenes, plane, output, options=options)


def _open_all(
    pool: FilePool,
    plan: DataSetPlan,
    entries: Sequence[SceneEntry],
    threads: int,
    on_progress: Callable[[float], None] | None,
) -> list[Scene]:
    scenes = []
    with ThreadPoolExecutor(threads, thread_name_prefix="split") as executor:
        for number, scene in enumerate(executor.map(partial(open_scene, pool, plan), entries), start=1):
            scenes.append(scene)
            if on_progress is not None:
                on_progress(number / len(entries))
    return scenes


def _plane(scenes: Sequence[Scene], *, source: Path) -> Plane:
    plane = Plane.of(scene.image.grid for scene in scenes)
    lost = [s.name for s in scenes if plane is None or not _has_place(plane, s)]
    if plane is None or lost:
        raise LabelError(
            f"{source}: {min(lost)} has no place on the ground, nor have {len(lost) - 1} others; expected a CRS and a"
            " transform",
            hint="only who knows what images share ground can split them: write split.json by hand",
        )
    return plane


def _has_place(plane: Plane, scene: Scene) -> bool:
    grid = scene.image.grid
    return plane.holds(grid) and not shapely.is_empty(plane.outlines(grid, [grid.window]))[0]


def _split_tiles(
    plan: DataSetPlan, scenes: Sequence[Scene], plane: Plane, output: Path, *, options: SplitOptions
) -> SplitSummary:
    scenes = [scene for scene in scenes if scene.cells]
    units = Units(
        outlines=np.concatenate([plane.outlines(s.image.grid, [s.image.grid.window]) for s in scenes]),
        class_pixels=np.array([s.class_pixels for s in scenes]),
        margins=options.window * _sides(plane, scenes),
        divisible=False,
    )
    choice = choose_units(units, options, source=str(plan.source))
    stems = np.array([Path(s.image.path).stem for s in scenes])
    parts = {"train": choice.train > 0, "val": choice.val, "left_out": ~choice.val & (choice.train == 0)}
    document = {part: sorted(stems[chosen].tolist()) for part, chosen in parts.items()}
    write_file(output, (json.dumps(document, indent=1) + "\n").encode())
    return _summary(plan, units, choice, output, [output])


def _sides(plane: Plane, scenes: Sequence[Scene]) -> NDArray[np.float64]:
    return np.concatenate(
        [pixel_sides(plane.outlines(g, [g.window]), [g.window]) for g in (s.image.grid for s in scenes)]
    )


def _split_rasters(
    plan: DataSetPlan,
    scenes: Sequence[Scene],
    plane: Plane,
    output: Path,
    *,
    options: SplitOptions,
    overwrite: bool,
) -> SplitSummary:
    document = read_manifest(plan.source)
    if "tiles" in document:
        raise LabelError(
            f"{plan.source}: has tiles beside rasters, which cannot be split together",
            hint="split the folder of tiles by itself",
        )
    units, owners = _cut(scenes, plane, options)
    choice = choose_units(units, options, source=str(plan.source))
    tables = [*document.get("train", []), *document.get("val", [])]
    entries = (*plan.train, *plan.val)
    margin = margin_around(units, choice.val)
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
    files: dict[Path, bytes] = {}
    for number, (scene, entry, table) in enumerate(zip(scenes, entries, tables, strict=True)):
        mine = owners == number
        regions = {
            "train": shapely.difference(shapely.union_all(units.outlines[mine & ~choice.val]), margin),
            "val": shapely.union_all(units.outlines[mine & choice.val]),
        }
        for part, region in regions.items():
            area = _on_raster(region, plane, scene, entry)
            if shapely.is_empty(area):
                continue
            path = output.with_name(f"{output.stem}.{part}.{len(parts[part]) + 1}.geojson")
            files[path] = area_geojson(area, scene.image.grid)
            parts[part].append(_table(table, entry, path, output.parent))
    existing = [path for path in files if path.exists()]
    if existing and not overwrite:
        raise OptionError(f"{existing[0]}: exists already", hint="choose another -o, or add --overwrite")
    head = {key: value for key, value in document.items() if key not in parts}
    head["classes"] = _relative(plan.source.parent / head["classes"], output.parent)
    for path, content in files.items():
        write_file(path, content)
    write_file(output, tomli_w.dumps({**head, **parts}).encode())
    return _summary(plan, units, choice, output, [*files, output])


def _cut(scenes: Sequence[Scene], plane: Plane, options: SplitOptions) -> tuple[Units, NDArray[np.intp]]:
    """Blocks of all rasters that hold labels, and the number of the scene that each is of."""
    outlines, counts, sides, owners = [], [], [], []
    for number, scene in enumerate(scenes):
        grid, classes = scene.image.grid, len(scene.class_pixels)
        for block in plan_blocks(grid.width, grid.height, block=options.block_side):
            found = np.bincount(scene.labels.read(block).ravel(), minlength=IGNORE_INDEX + 1)[:classes]
            if not found.any():
                continue
            outline = plane.outlines(grid, [block])
            outlines.append(outline)
            sides.append(pixel_sides(outline, [block]))
            counts.append(found)
            owners.append(number)
    units = Units(
        outlines=np.concatenate(outlines),
        class_pixels=np.array(counts),
        margins=options.window * np.concatenate(sides),
        divisible=True,
    )
    return units, np.array(owners)


def _on_raster(region: Any, plane: Plane, scene: Scene, entry: SceneEntry) -> Any:
    """A region of the plane in a raster's pixel coordinates, as far as the entry was labelled before."""
    grid = scene.image.grid
    area = polygons_in_pixels(np.array([region], dtype=object), plane, grid)[0]
    if entry.aoi is not None:
        area = shapely.intersection(shapely.make_valid(area), area_in_pixels(entry.aoi, grid))
    return shapely.union_all([part for part in shapely.get_parts(area) if shapely.get_type_id(part) == 3])


def _table(table: dict[str, Any], entry: SceneEntry, aoi: Path, folder: Path) -> dict[str, Any]:
    """An entry of the old manifest as one of the new: other area, and paths from the new folder."""
    return {
        **table,
        "image": _relative(entry.image, folder),
        "labels": _relative(entry.labels, folder),
        "aoi": _relative(aoi, folder),
    }


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder)


def _summary(
    plan: DataSetPlan, units: Units, choice: Choice, output: Path, files: Sequence[Path]
) -> SplitSummary:
    val = units.class_pixels[choice.val].sum(axis=0)
    train = (units.class_pixels * choice.train[:, None]).sum(axis=0)
    rest = units.class_pixels.sum(axis=0) - val - train
    counts = {"train": train, "val": val, "left out": rest}
    return SplitSummary(
        output=output,
        files=tuple(files),
        classes=plan.classes,
        class_pixels={part: tuple(round(float(v)) for v in found) for part, found in counts.items()},
        pieces={
            "train": int((choice.train > 0).sum()),
            "val": int(choice.val.sum()),
            "left out": int((~choice.val & (choice.train == 0)).sum()),
        },
    )
