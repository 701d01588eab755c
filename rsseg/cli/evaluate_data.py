"""`rsseg evaluate --data`: a part of a data set is predicted as `rsseg predict` would, and compared with its labels."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rsseg.cli.evaluate_options import DataPart
from rsseg.errors import LabelError, OptionError
from rsseg.log import logger

if TYPE_CHECKING:
    from rsseg.classes import ClassTable
    from rsseg.data.entries import DataSetPlan
    from rsseg.data.pool import FilePool
    from rsseg.data.scenes import Scene
    from rsseg.evaluation import EvaluateOptions, Evaluation, Pair
    from rsseg.evaluation.counters import CounterChoice
    from rsseg.prediction.options import PredictOptions
    from rsseg.weights import WeightCard

_MUCH_LABELLED = 0.5
"""Up to this share of a raster, only what is labelled is predicted."""
_SHOWN_NOTES = 5
_PREDICTING = 0.95
"""What share of the work it is."""


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A scene, the class map that it becomes, and how."""

    scene: Scene
    output: Path
    options: PredictOptions


def evaluate_part(
    part: DataPart,
    *,
    options: EvaluateOptions,
    counters: Callable[[int], CounterChoice] | None = None,
    on_progress: Callable[[float], None],
) -> tuple[Evaluation, list[Path]]:
    """Predict the labelled ground of each scene, and compare all of them with their labels.

    The scores are those of `rsseg predict` on each image and `rsseg evaluate` on all maps.

    Args:
        part: what is predicted, and how.
        options: how it is compared.
        counters: gives what else is counted, for so many pairs; see `evaluate_maps`.
        on_progress: is told the share done, from 0 to 1.

    Returns:
        What was found, and the image of each pair.

    Raises:
        OptionError: options do not fit one another or the weights, or a map is there already.
        LabelError: there is no such data set or part, it has other classes, or labels cannot be read.
        RasterError, WeightsError, ResourceError: see `rsseg.prediction.engine.Predictor`.
    """
    from rsseg.data.pool import FilePool
    from rsseg.data.scenes import OPEN_FILES, plan_dataset
    from rsseg.evaluation import evaluate_maps
    from rsseg.raster import gdal_env
    from rsseg.weights import default_weights

    weights = part.weights or default_weights()
    plan = plan_dataset(part.data, preset=part.preset)
    card = _check_weights(weights, part, plan, options)
    with gdal_env(), closing(FilePool(OPEN_FILES)) as pool, TemporaryDirectory(prefix="rsseg-") as scratch:
        folder = Path(scratch)
        scenes = _labelled_scenes(pool, plan, part.split)
        jobs = _jobs(scenes, plan, card, how=part.how, maps=part.maps or folder, scratch=folder)
        _predict_all(
            jobs, weights, scratch=folder, on_progress=lambda share: on_progress(_PREDICTING * share)
        )
        pairs = [_pair(job, pool, plan.classes) for job in jobs]
        evaluation = evaluate_maps(
            pairs,
            options=options,
            counters=None if counters is None else counters(len(pairs)),
            on_progress=lambda share: on_progress(_PREDICTING + (1 - _PREDICTING) * share),
        )
    return _without_folder(evaluation, folder), [job.scene.entry.image for job in jobs]


def _check_weights(weights: str, part: DataPart, plan: DataSetPlan, options: EvaluateOptions) -> WeightCard:
    """Refuse what can be seen to fail, before torch is imported and anything is predicted."""
    from rsseg.evaluation.agreement import agree_on_tables
    from rsseg.evaluation.engine import check_agreed
    from rsseg.prediction.door import check_options
    from rsseg.weights import find_weights, load_card, read_limits

    card = load_card(weights)
    check_options(card, read_limits(find_weights(weights)), part.how)
    agreed = agree_on_tables(
        {Path(weights): card.classes},
        {part.data: plan.classes},
        None,
        moves=options.moves,
        protocol=options.protocol_used(),
    )
    check_agreed(agreed, options)
    if plan.bands is not None and len(_named_bands(plan, card) or ()) != len(card.bands):
        raise LabelError(
            f"{part.data}: its images have {len(plan.bands)} bands: {', '.join(_band_names(plan))}; {weights} expects"
            f" {len(card.bands)}: {', '.join(card.bands)}",
            hint="a manifest can choose bands = [1, 2, 3]",
        )
    if part.maps is not None and not part.maps.is_dir():
        raise OptionError(f"{part.maps}: no such folder", hint=f"make it first: mkdir -p {part.maps}")
    return card


def _band_names(plan: DataSetPlan) -> Sequence[str]:
    return plan.band_names or [f"band {number}" for number in plan.bands or ()]


def _named_bands(plan: DataSetPlan, card: WeightCard) -> tuple[int, ...] | None:
    """The bands of the images that the weights expect: by name where the data set names them, else in its order.

    None where the data set leaves the choice to the reader, as `rsseg predict` does.
    """
    if plan.bands is None:
        return None
    numbers = dict(zip(_band_names(plan), plan.bands, strict=True))
    if all(name in numbers for name in card.bands):
        return tuple(numbers[name] for name in card.bands)
    return plan.bands


def _labelled_scenes(pool: FilePool, plan: DataSetPlan, split: str) -> list[Scene]:
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


def _jobs(
    scenes: Sequence[Scene],
    plan: DataSetPlan,
    card: WeightCard,
    *,
    how: PredictOptions,
    maps: Path,
    scratch: Path,
) -> list[_Job]:
    """What each scene becomes; all maps must be free to write."""
    from rsseg.prediction.door import check_outputs, identify_files

    bands, seen, jobs = _named_bands(plan, card), Counter[str](), []
    inputs = identify_files(path for s in scenes for path in (s.entry.image, s.entry.labels))
    for number, scene in enumerate(scenes):
        stem = scene.entry.image.stem
        seen[stem] += 1
        name = stem if seen[stem] == 1 else f"{stem}_{seen[stem]}"
        own_bands = scene.image.bands if plan.gray_as_rgb and len(set(scene.image.bands)) == 1 else bands
        aoi = scene.entry.aoi or _labelled_area(scene, scratch / f"{number}.csv")
        job = _Job(
            scene=scene,
            output=maps / f"{name}_classes.tif",
            options=replace(how, bands=own_bands, aoi=aoi),
        )
        check_outputs(job.output, job.options, inputs=inputs)
        jobs.append(job)
    return jobs


def _labelled_area(scene: Scene, path: Path) -> Path | None:
    """An area of interest around the labels of a scene, where that saves work: those of many lie in few places."""
    from rsseg.data.survey import merge_cells
    from rsseg.raster.area import can_write_area, write_area

    grid, cells = scene.image.grid, list(scene.cells)
    if sum(cell.pixels for cell in cells) > _MUCH_LABELLED * grid.window.pixels or not can_write_area(grid):
        return None
    write_area(path, merge_cells(cells), grid)
    return path


def _predict_all(
    jobs: Sequence[_Job], weights: str, *, scratch: Path, on_progress: Callable[[float], None]
) -> None:
    """Write all maps; scenes that are predicted alike share a predictor."""
    from rsseg.prediction.engine import Predictor
    from rsseg.weights import load_weights

    loaded = load_weights(weights)
    predictor = lru_cache(maxsize=1)(lambda options: Predictor(loaded, options))
    sizes = [len(job.scene.cells) for job in jobs]

    def tell(number: int, share: float) -> None:
        on_progress((sum(sizes[:number]) + share * sizes[number]) / sum(sizes))

    with _few_notes(hidden=scratch):
        for number, job in enumerate(jobs):
            predictor(job.options).predict(
                job.scene.image.path, job.output, on_progress=partial(tell, number)
            )


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


def _pair(job: _Job, pool: FilePool, classes: ClassTable) -> Pair:
    """A finished map with the labels of its scene; where they count is left to the evaluation."""
    from rsseg.data.labels import open_labels
    from rsseg.evaluation import Pair
    from rsseg.evaluation.pairs import OpenedLabels

    entry = job.scene.entry
    source = open_labels(pool, replace(entry, aoi=None), job.scene.image.grid)
    return Pair(job.output, entry.labels, OpenedLabels(source=source, classes=classes, aoi=entry.aoi))


def _without_folder(evaluation: Evaluation, folder: Path) -> Evaluation:
    """The same with bare names for maps in a folder that is gone."""
    return replace(
        evaluation,
        pairs=tuple(
            replace(
                pair,
                prediction=Path(pair.prediction.name)
                if pair.prediction.parent == folder
                else pair.prediction,
                notes=tuple(note.replace(f"{folder}/", "") for note in pair.notes),
            )
            for pair in evaluation.pairs
        ),
    )
