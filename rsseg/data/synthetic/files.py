"""Synthetic scenes as files: one scene with its labels, or a data set of many."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS, ClassTable
from rsseg.data.synthetic.noise import place_rng
from rsseg.data.synthetic.palette import BUILDING, BUILDINGS, LANDCOVER
from rsseg.data.synthetic.render import CELL, NODATA, Scene, render_window
from rsseg.data.synthetic.streets import TOWN_PITCH_M
from rsseg.errors import OptionError, ResourceError
from rsseg.raster import ClassMapWriter, Grid, ImageWriter, check_output, gdal_env, north_up_grid
from rsseg.tiling import Window, plan_blocks
from rsseg.version import __version__

LabelKind = Literal["landcover", "buildings"]

TABLES: Final[dict[LabelKind, ClassTable]] = {"landcover": LANDCOVER, "buildings": BUILDINGS}

EPSG: Final = 32645
WEST_M: Final = 500_000.0
NORTH_M: Final = 3_060_000.0
"""Origin of the synthetic world: UTM zone 45 north, on its central meridian. The town exists nowhere."""

BAND_CELLS: Final = 8
"""Scenes are made in bands of so many cells, so that what neighbours share is still at hand."""

Progress = Callable[[float], None]


@dataclass(frozen=True)
class SceneFiles:
    """The files of one scene; `pixels` counts those with data per class of the land cover labels."""

    image: Path
    labels: Path
    classes: Path
    buildings: Path
    pixels: tuple[int, ...]


@dataclass(frozen=True)
class DatasetFiles:
    """A folder of labelled tiles as `rsseg train` takes it."""

    folder: Path
    train: tuple[str, ...]
    val: tuple[str, ...]


def write_scene(
    folder: Path, scene: Scene, *, overwrite: bool = False, on_progress: Progress | None = None
) -> SceneFiles:
    """Write a scene: `image.tif`, `labels.tif` (land cover), `classes.json`, and `buildings.tif`.

    Memory does not depend on the size of the scene. Each file appears complete or not at all, the image last.

    Args:
        folder: where to; made if it is missing.
        scene: which scene.
        overwrite: whether existing files may be replaced.
        on_progress: told the share done, from 0 to 1.

    Raises:
        OptionError: the folder is a file, or an output exists.
        ResourceError: the folder cannot be written.
    """
    files = [folder / name for name in ("image.tif", "labels.tif", "classes.json", "buildings.tif")]
    image, labels, classes, buildings = files
    with _folder(folder), gdal_env():
        for path in files:
            check_output(path, overwrite=overwrite)
        maps: dict[LabelKind, Path] = {"landcover": labels, "buildings": buildings}
        pixels = _render_to(image, maps, scene, overwrite=overwrite, on_progress=on_progress)
        _write_json(classes, _class_document(LANDCOVER))
    return SceneFiles(image, labels, classes, buildings, pixels)


def write_dataset(
    folder: Path,
    scene: Scene,
    *,
    tiles: int,
    labels: LabelKind = "buildings",
    overwrite: bool = False,
    on_progress: Progress | None = None,
) -> DatasetFiles:
    """Write a folder of labelled tiles: `images/`, `labels/`, `classes.json`, `split.json`.

    Each tile is a scene of its own, with the next seed and at another place between town and fields; every fifth is
    for validation.

    Args:
        folder: where to; made if it is missing.
        scene: size and pixel size of a tile, and the first seed.
        tiles: how many, at least 2.
        labels: which classes.
        overwrite: whether existing files may be replaced.
        on_progress: told the share done, from 0 to 1.

    Raises:
        OptionError: fewer than 2 tiles, the folder is a file, or an output exists.
        ResourceError: the folder cannot be written.
    """
    if tiles < 2:
        raise OptionError(
            f"tiles is {tiles}; a data set needs one to train on and one to validate with, at least"
        )
    stems = [f"town_{scene.seed + k:05d}" for k in range(tiles)]
    val = tuple(stems[::5])
    with _folder(folder), _folder(folder / "images"), _folder(folder / "labels"), gdal_env():
        places = [(folder / "images" / f"{s}.tif", folder / "labels" / f"{s}.tif") for s in stems]
        for path in (*(p for pair in places for p in pair), folder / "classes.json", folder / "split.json"):
            check_output(path, overwrite=overwrite)
        for k, (image, label) in enumerate(places):
            part = _elsewhere(scene, k)
            _render_to(
                image, {labels: label}, part, overwrite=overwrite, on_progress=_share(on_progress, k, tiles)
            )
        train = tuple(s for s in stems if s not in val)
        _write_json(folder / "classes.json", _class_document(TABLES[labels]))
        _write_json(folder / "split.json", {"train": train, "val": val})
    return DatasetFiles(folder, train, val)


def scene_grid(scene: Scene) -> Grid:
    """Where a scene lies: north up, square pixels."""
    cell_m = CELL * scene.gsd_m
    return north_up_grid(
        scene.width,
        scene.height,
        west=WEST_M + scene.cells_east * cell_m,
        north=NORTH_M - scene.cells_south * cell_m,
        gsd_m=scene.gsd_m,
        epsg=EPSG,
    )


def _render_to(
    image: Path,
    maps: dict[LabelKind, Path],
    scene: Scene,
    *,
    overwrite: bool,
    on_progress: Progress | None,
) -> tuple[int, ...]:
    """Write image and label maps cell by cell, the image last; gives the pixels per land cover class."""
    grid = scene_grid(scene)
    tags = {"RSSEG_VERSION": __version__, "RSSEG_SCENE": f"seed {scene.seed}, gsd {scene.gsd_m} m"}
    counts = np.zeros(256, dtype=np.int64)
    with ExitStack() as stack:
        pixels = stack.enter_context(
            ImageWriter(image, grid=grid, bands=3, dtype="uint8", nodata=NODATA, overwrite=overwrite)
        )
        writers = {
            kind: stack.enter_context(
                ClassMapWriter(path, grid=grid, classes=TABLES[kind], tags=tags, overwrite=overwrite)
            )
            for kind, path in maps.items()
        }
        windows = _windows(scene)
        for k, window in enumerate(windows, start=1):
            made = render_window(scene, window)
            pixels.write(window, made.rgb)
            for kind, writer in writers.items():
                writer.write_block(window, {"classes": label_of_kind(made.label, kind)[None]})
            counts += np.bincount(made.label.ravel(), minlength=256)
            if on_progress:
                on_progress(k / len(windows))
        for writer in writers.values():
            writer.finish()
        pixels.finish()
    return tuple(counts[: len(LANDCOVER)].tolist())


def label_of_kind(label: NDArray[np.uint8], kind: LabelKind) -> NDArray[np.uint8]:
    """Land cover ids, or of those only building (1) and background (0); 255 stays 255."""
    if kind == "landcover":
        return label
    return np.where(label == NODATA_CLASS, label, label == BUILDING).astype(np.uint8)


def _windows(scene: Scene) -> list[Window]:
    """The cells of a scene, cut at its frame, in bands of columns."""
    cells = plan_blocks(scene.width, scene.height, block=CELL)
    return sorted(cells, key=lambda w: (w.col_off // (BAND_CELLS * CELL), w.row_off, w.col_off))


def _class_document(table: ClassTable) -> dict[str, Any]:
    return {"classes": table.to_list(), "ignore_index": IGNORE_INDEX}


def _elsewhere(scene: Scene, k: int) -> Scene:
    """The scene with the k-th next seed, moved within one distance of towns."""
    seed = scene.seed + k
    across = max(round(TOWN_PITCH_M / (CELL * scene.gsd_m)), 1)
    east, south = place_rng(seed, 4).integers(across, size=2).tolist()
    return replace(
        scene, seed=seed, cells_east=scene.cells_east + east, cells_south=scene.cells_south + south
    )


def _share(on_progress: Progress | None, k: int, count: int) -> Progress | None:
    """Progress of one part among `count`."""
    if on_progress is None:
        return None
    report = on_progress
    return lambda share: report((k + share) / count)


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make a folder if it is missing; take it away again if what follows fails and leaves nothing in it."""
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"{folder}: is a file, expected a folder", hint="choose another folder")
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ResourceError(
            f"{folder}: cannot be made ({err.strerror})", hint="choose a folder that can be written"
        ) from err
    try:
        yield
    except BaseException:
        if made and not any(folder.iterdir()):
            folder.rmdir()
        raise


def _write_json(path: Path, document: object) -> None:
    """Write beside, then rename."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as err:
        raise ResourceError(f"{path}: cannot be written ({err.strerror})") from err
