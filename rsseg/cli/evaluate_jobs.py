"""What `rsseg evaluate --data` predicts: the labelled ground of each scene of a part of a data set."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from rsseg.errors import LabelError
from rsseg.log import logger

if TYPE_CHECKING:
    from rsseg.data.entries import DataSetPlan
    from rsseg.data.pool import FilePool
    from rsseg.data.scenes import Scene
    from rsseg.prediction.options import PredictOptions
    from rsseg.weights import WeightCard

_MUCH_LABELLED = 0.5
"""Up to this share of a raster, only what is labelled is predicted."""
_SHOWN_NOTES = 5
_CONFIDENCE = ".rsseg-confidence.tif"
"""What the confidence of every map is called while it is made: predictions that differ in nothing share a predictor."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A scene, the class map that it becomes, its confidence if that is wanted, and how."""

    scene: Scene
    output: Path
    confidence: Path | None
    options: PredictOptions


def labelled_scenes(pool: FilePool, plan: DataSetPlan, split: str) -> list[Scene]:
    """The opened scenes of a part that hold labels."""
    from rsseg.data.scenes import open_scene

    entries = {"train": plan.train, "val": plan.val, "test": plan.test}[split]
    if not entries:
        raise LabelError(f"{plan.source}: has no {split} part", hint="choose another --split")
    scenes = [open_scene(pool, plan, entry) for entry in entries]
    for scene in scenes:
        if not scene.cells:
            logger.warning(f"{scene.name}: has no labelled pixel and is left out")
    if not any(scene.cells for scene in scenes):
        raise LabelError(
            f"{entries[0].labels}: holds no labelled pixel on its image, nor do the other {len(entries) - 1} labels",
            hint="check the attribute, its values and the area of interest; 255 is left out",
        )
    return [scene for scene in scenes if scene.cells]


def labelled_area(scene: Scene, path: Path) -> Path | None:
    """An area of interest around the labels of a scene, where that saves work: those of many lie in few places."""
    from rsseg.data.survey import merge_cells
    from rsseg.raster.area import can_write_area, write_area

    grid, cells = scene.image.grid, list(scene.cells)
    if sum(cell.pixels for cell in cells) > _MUCH_LABELLED * grid.window.pixels or not can_write_area(grid):
        return None
    write_area(path, merge_cells(cells), grid)
    return path


def make_jobs(
    scenes: Sequence[Scene],
    plan: DataSetPlan,
    card: WeightCard,
    *,
    how: PredictOptions,
    areas: Sequence[Path | None],
    maps: Path,
    sure: bool,
) -> list[Job]:
    """What each scene becomes, with `sure` also how confident it is."""
    bands, seen, jobs = named_bands(plan, card), Counter[str](), []
    for scene, aoi in zip(scenes, areas, strict=True):
        stem = scene.entry.image.stem
        seen[stem] += 1
        name = stem if seen[stem] == 1 else f"{stem}_{seen[stem]}"
        own_bands = scene.image.bands if plan.gray_as_rgb and len(set(scene.image.bands)) == 1 else bands
        jobs.append(
            Job(
                scene=scene,
                output=maps / f"{name}_classes.tif",
                confidence=maps / f"{name}_confidence.tif" if sure else None,
                options=replace(
                    how, bands=own_bands, aoi=aoi, confidence=maps / _CONFIDENCE if sure else None
                ),
            )
        )
    return jobs


def check_jobs(jobs: Sequence[Job]) -> None:
    """Refuse jobs whose files are not free to write; see `rsseg.prediction.door.check_outputs`."""
    from rsseg.prediction.door import check_outputs, identify_files

    inputs = identify_files(path for job in jobs for path in (job.scene.entry.image, job.scene.entry.labels))
    for job in jobs:
        check_outputs(job.output, replace(job.options, confidence=job.confidence), inputs=inputs)


def band_names(plan: DataSetPlan) -> Sequence[str]:
    """What the bands are called that a data set chooses."""
    return plan.band_names or [f"band {number}" for number in plan.bands or ()]


def named_bands(plan: DataSetPlan, card: WeightCard) -> tuple[int, ...] | None:
    """The bands of the images that the weights expect: by name where the data set names them, else in its order.

    None where the data set leaves the choice to the reader, as `rsseg predict` does.
    """
    if plan.bands is None:
        return None
    numbers = dict(zip(band_names(plan), plan.bands, strict=True))
    if all(name in numbers for name in card.bands):
        return tuple(numbers[name] for name in card.bands)
    return plan.bands


def predict_all(
    jobs: Sequence[Job], weights: str, *, scratch: Path, on_progress: Callable[[float], None]
) -> None:
    """Write all maps with what goes with them; scenes that are predicted alike share a predictor."""
    from rsseg.prediction.engine import Predictor
    from rsseg.weights import load_weights

    loaded = load_weights(weights)
    predictor = lru_cache(maxsize=1)(lambda options: Predictor(loaded, options))
    sizes = [len(job.scene.cells) for job in jobs]

    def tell(number: int, share: float) -> None:
        on_progress((sum(sizes[:number]) + share * sizes[number]) / sum(sizes))

    with _few_notes(hidden=scratch):
        for number, job in enumerate(jobs):
            # Nobody gave this name: what lies there was left by a run that was killed.
            if job.options.confidence is not None:
                job.options.confidence.unlink(missing_ok=True)
            predictor(job.options).predict(
                job.scene.image.path, job.output, on_progress=partial(tell, number)
            )
            if job.confidence is not None and job.options.confidence is not None:
                job.options.confidence.replace(job.confidence)


@contextmanager
def _few_notes(*, hidden: Path) -> Iterator[None]:
    """Let only some notes through: a folder of thousands of tiles alike shall not give thousands of lines.

    What is said of files in the `hidden` folder, which nobody gave, is no news.
    """
    seen = 0

    def is_shown(record: logging.LogRecord) -> bool:
        nonlocal seen
        if record.levelno != logging.INFO:
            return True
        if str(hidden) in record.getMessage():
            return False
        seen += 1
        return seen <= _SHOWN_NOTES

    logger.addFilter(is_shown)
    try:
        yield
    finally:
        logger.removeFilter(is_shown)
    if seen > _SHOWN_NOTES:
        logger.info(f"{seen - _SHOWN_NOTES} more notes like these")
