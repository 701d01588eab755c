"""Opened data sets: scenes with their image, their labels, and where those labels are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, ClassTable
from rsseg.data.cells import Cells, find_cells
from rsseg.data.channels import name_channels
from rsseg.data.entries import CardNotes, DataSetPlan, SceneEntry
from rsseg.data.labels import open_labels
from rsseg.data.manifest import plan_manifest
from rsseg.data.pool import FilePool, PooledRaster
from rsseg.data.presets.registry import plan_preset
from rsseg.data.tiles import plan_tile_folder
from rsseg.errors import LabelError, RasterError
from rsseg.log import logger
from rsseg.raster import LabelSource, RasterSource, open_raster

SHOWN_NOTES = 5
"""Notes of the reader that are shown; the others are counted."""

OPENERS = 4
"""Threads that open scenes and look for their labels."""

FILES_OF_A_SCENE = 2
"""Image and label: what is open where each scene is looked at once."""

OPEN_FILES = 64
"""Rasters that are open at one time, each once per reading thread."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One image with its labels on the same grid.

    `entry` is what was opened, `cells` tell where labels are. `image` and `labels` may be read from any thread.
    """

    entry: SceneEntry
    image: PooledRaster
    labels: LabelSource
    cells: Cells

    @property
    def name(self) -> str:
        """The name of the image's file."""
        return self.entry.image.name

    @property
    def class_pixels(self) -> NDArray[np.int64]:
        """How many pixels of each class are labelled (classes,)."""
        return self.cells.class_pixels


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Scenes to learn from and scenes to choose the best weights by; all have the same channels and classes.

    `band_names` are the channels' (see `name_channels`); `bands_chosen` tells whether somebody chose the bands.
    """

    classes: ClassTable
    train: tuple[Scene, ...]
    val: tuple[Scene, ...]
    card: CardNotes
    band_names: tuple[str, ...]
    bands_chosen: bool

    @property
    def channels(self) -> int:
        """How many channels every image has."""
        return len(self.train[0].image.bands)

    @property
    def dtype(self) -> str:
        """The pixel type of every image."""
        return self.train[0].image.dtype

    def shares(self) -> NDArray[np.float64]:
        """The share of samples that each train scene gives, by weight or by labelled area; they add up to 1."""
        sizes = [s.class_pixels.sum() if s.entry.weight is None else s.entry.weight for s in self.train]
        return np.asarray(sizes, dtype=np.float64) / np.sum(sizes, dtype=np.float64)

    def gsd_m(self) -> float | None:
        """The ground size of a training pixel: the card's note, or the scenes' geometric mean; None if unknown."""
        known = [(s.image.grid.gsd_m, share) for s, share in zip(self.train, self.shares(), strict=True)]
        sizes = [(np.log(gsd), share) for gsd, share in known if gsd is not None]
        if self.card.gsd_m is not None or not sizes:
            return self.card.gsd_m
        logs, shares = zip(*sizes, strict=True)
        return round(float(np.exp(np.average(logs, weights=shares))), 4)


def plan_dataset(path: Path, *, preset: str = "") -> DataSetPlan:
    """Read the description of a data set: a folder of labelled tiles, a manifest.toml, or a published data set.

    Args:
        path: the folder or the manifest.
        preset: the name of a published data set whose own folders and codings are read; see `rsseg.data.presets`.

    Raises:
        OptionError: there is no such preset.
        LabelError: the path is neither, may not be looked into, or what it describes is incomplete.
    """
    try:
        return plan_preset(preset, path) if preset else _plan_dataset(path)
    except OSError as err:  # Path's questions raise where a folder is closed or a name too long
        raise LabelError(
            f"{path}: cannot be looked into ({err.strerror})", hint="check the path and its permissions"
        ) from err


def _plan_dataset(path: Path) -> DataSetPlan:
    if path.suffix.lower() == ".toml":
        return plan_manifest(path)
    if path.is_dir() and (path / "manifest.toml").is_file() and not (path / "images").is_dir():
        return plan_manifest(path / "manifest.toml")
    if not path.exists():
        raise LabelError(
            f"{path}: no such folder or manifest",
            hint="a data set is a folder with images/, labels/ and classes.json, or a manifest.toml",
        )
    if not path.is_dir():
        raise LabelError(
            f"{path}: is neither a folder of labelled tiles nor a manifest.toml",
            hint="a folder holds images/, labels/ and classes.json",
        )
    return plan_tile_folder(path)


@contextmanager
def open_dataset(plan: DataSetPlan) -> Iterator[DataSet]:
    """Open all scenes of a plan, check them, and close them at the end.

    All labels are read once, to find where they are and that they are within the classes.

    Raises:
        RasterError: an image or label cannot be read, or lies on another grid than its image.
        LabelError: labels outside the classes, no labels at all, or a pixel that is labelled in train and in val.
    """
    with closing(FilePool(OPEN_FILES)) as pool:
        train = _open_scenes(pool, plan.train, plan)
        val = _open_scenes(pool, plan.val, plan)
        check_alike((*train, *val))
        check_apart(train, val)
        images = {scene.image.path: scene.image for scene in (*train, *val)}
        _show_notes([note for image in images.values() for note in image.notes])
        yield DataSet(
            classes=plan.classes,
            train=train,
            val=val,
            card=plan.card,
            band_names=plan.band_names
            or name_channels(images, bands=plan.bands, count=len(train[0].image.bands)),
            bands_chosen=plan.bands is not None or plan.band_names is not None,
        )


def _show_notes(notes: Sequence[str]) -> None:
    """Say what the reader noticed; a folder of thousands of tiles alike gets no thousands of lines."""
    for note in notes[:SHOWN_NOTES]:
        logger.info(note)
    if len(notes) > SHOWN_NOTES:
        logger.info(f"{len(notes) - SHOWN_NOTES} more notes like these about other images")


def _open_scenes(pool: FilePool, entries: Sequence[SceneEntry], plan: DataSetPlan) -> tuple[Scene, ...]:
    """Open the scenes of one part; those without any label are left out, but not all of them."""
    with ThreadPoolExecutor(OPENERS, thread_name_prefix="open") as threads:
        scenes = list(threads.map(partial(open_scene, pool, plan), entries))
    labelled = tuple(scene for scene in scenes if scene.cells)
    if not labelled:
        raise LabelError(
            f"{entries[0].labels}: holds no labelled pixel on its image, nor do the other {len(entries) - 1} labels",
            hint="check the attribute, its values and the area of interest; 255 is left out",
        )
    for scene in scenes:
        if not scene.cells:
            logger.warning(f"{scene.name}: has no labelled pixel and is left out")
    return labelled


def open_scene(pool: FilePool, plan: DataSetPlan, entry: SceneEntry) -> Scene:
    """Open one entry of a plan and read all its labels once; may be called from any thread.

    Raises:
        RasterError: image or label cannot be read, or lie on two grids.
        LabelError: labels outside the classes, or polygons that do not fit.
    """
    image = PooledRaster(pool, partial(_open_image, entry.image, plan))
    labels = open_labels(pool, entry, image.grid)
    return Scene(
        entry=entry,
        image=image,
        labels=labels,
        cells=find_cells(labels, path=entry.labels, classes=plan.classes),
    )


def _open_image(path: Path, plan: DataSetPlan) -> RasterSource:
    source = open_raster(path, bands=plan.bands)
    if plan.gray_as_rgb and plan.bands is None and len(source.bands) == 1:
        source.close()
        return open_raster(path, bands=(1, 1, 1))
    return source


def check_alike(scenes: Sequence[Scene]) -> None:
    """Refuse images that differ in the number of their bands or in their pixel type.

    Raises:
        RasterError: the first image that differs from the first of all.
    """
    for scene in scenes[1:]:
        first, image = scenes[0].image, scene.image
        if (len(image.bands), image.dtype) != (len(first.bands), first.dtype):
            raise RasterError(
                f"{image.path}: has {len(image.bands)} bands of {image.dtype}; {first.path} has"
                f" {len(first.bands)} of {first.dtype}",
                hint="all images of a data set need the same kind of bands; a manifest can choose bands = [1, 2, 3]",
            )


def check_apart(train: Sequence[Scene], val: Sequence[Scene]) -> None:
    """Refuse pixels that are labelled in both parts, cell by cell where both have labels in one image.

    Raises:
        LabelError: the first cell with such pixels.
    """
    learnt: dict[Path, list[Scene]] = {}
    for scene in train:
        learnt.setdefault(Path(scene.image.path).resolve(), []).append(scene)
    for scene in val:
        for other in learnt.get(Path(scene.image.path).resolve(), []):
            for number in np.intersect1d(scene.cells.numbers, other.cells.numbers).tolist():
                cell = scene.cells.window(number)
                both = (scene.labels.read(cell) != IGNORE_INDEX) & (other.labels.read(cell) != IGNORE_INDEX)
                if both.any():
                    raise LabelError(
                        f"{scene.name}: {both.sum()} pixels of {cell} are labelled in both train and val",
                        hint="scores on pixels that were learnt from say nothing; areas of interest must not overlap",
                    )
