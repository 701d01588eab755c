"""`rsseg evaluate --data`: a part of a data set is predicted as `rsseg predict` would, and compared with its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rsseg.cli.evaluate_jobs import (
    Job,
    band_names,
    check_jobs,
    labelled_area,
    labelled_scenes,
    make_jobs,
    named_bands,
    predict_all,
)
from rsseg.cli.evaluate_options import DataPart
from rsseg.errors import LabelError, OptionError, ResourceError

if TYPE_CHECKING:
    from rsseg.classes import ClassTable
    from rsseg.data.entries import DataSetPlan
    from rsseg.data.pool import FilePool
    from rsseg.data.scenes import Scene
    from rsseg.evaluation import EvaluateOptions, Evaluation, Pair
    from rsseg.evaluation.counters import CounterChoice, PairFacts
    from rsseg.weights import WeightCard

_PREDICTING = 0.95
"""What share of the work it is."""
_AGAINST = "against"
"""The folder in that of the class maps where those of the second weights lie."""
_ASKED = 200
"""Of so many maps it is looked up how they were made."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found, the image of each pair, and what a page says the maps were made with."""

    evaluation: Evaluation
    images: Sequence[Path]
    made_with: Mapping[str, str]


def evaluate_part(
    part: DataPart,
    *,
    options: EvaluateOptions,
    counters: Callable[[int], CounterChoice] | None = None,
    calibration: bool = False,
    against: str | None = None,
    on_progress: Callable[[float], None],
) -> Found:
    """Predict the labelled ground of each scene, and compare all of them with their labels.

    The scores are those of `rsseg predict` on each image and `rsseg evaluate` on all maps.

    Args:
        part: what is predicted, and how.
        options: how it is compared.
        counters: gives what else is counted, for so many pairs; see `evaluate_maps`.
        calibration: let the prediction write its confidence, too, and measure it.
        against: second weights, whose maps the first are compared with.
        on_progress: is told the share done, from 0 to 1.

    Raises:
        OptionError: options do not fit one another, the weights or the images, or a map is there already.
        LabelError: there is no such data set or part, it has other classes, or labels cannot be read.
        RasterError, WeightsError, ResourceError: see `rsseg.prediction.engine.Predictor`.
    """
    from rsseg.data.pool import FilePool
    from rsseg.data.presets.registry import find_preset
    from rsseg.data.scenes import OPEN_FILES, plan_dataset
    from rsseg.evaluation import check_eroded, evaluate_maps
    from rsseg.evaluation.door import check_measured
    from rsseg.raster import gdal_env
    from rsseg.weights import default_weights

    if part.preset:
        eroded = find_preset(part.preset).eroded
        check_eroded(f"--preset {part.preset}", eroded=eroded, erode=options.erode)
    weights = [part.weights or default_weights(), *([against] if against else [])]
    plan = plan_dataset(part.data, preset=part.preset)
    cards, classes = _check_weights(weights, part, plan, options)
    made_of = _made_of(part, weights)
    with gdal_env(), closing(FilePool(OPEN_FILES)) as pool, TemporaryDirectory(prefix="rsseg-") as scratch:
        folder = Path(scratch)
        scenes = labelled_scenes(pool, plan, part.split)
        areas = [s.entry.aoi or labelled_area(s, folder / f"{n}.csv") for n, s in enumerate(scenes)]
        maps = part.maps or folder
        places = [maps, *(maps / _AGAINST for _ in weights[1:])]
        rounds = [
            make_jobs(
                scenes, plan, card, how=part.how, areas=areas, maps=place, sure=calibration and place == maps
            )
            for card, place in zip(cards, places, strict=True)
        ]
        pairs = [_pair(jobs, pool, plan.classes) for jobs in zip(*rounds, strict=True)]
        check_measured(pairs, _facts(scenes, classes), options)
        for place, jobs in zip(places, rounds, strict=True):
            if place != maps:
                _make_folder(place)
            check_jobs(jobs)
        part_of = _PREDICTING / len(rounds)
        for number, (name, jobs) in enumerate(zip(weights, rounds, strict=True)):
            tell = partial(_tell, on_progress, number * part_of, part_of)
            predict_all(jobs, name, scratch=folder, on_progress=tell)
        evaluation = evaluate_maps(
            pairs,
            options=options,
            counters=None if counters is None else counters(len(pairs)),
            on_progress=partial(_tell, on_progress, _PREDICTING, 1 - _PREDICTING),
        )
        made_with = {} if counters is None else _made_with(part, rounds)
    return Found(
        evaluation=replace(_without_folder(evaluation, folder), made_with=made_of),
        images=[job.scene.entry.image for job in rounds[0]],
        made_with=made_with,
    )


def _tell(on_progress: Callable[[float], None], done: float, of: float, share: float) -> None:
    on_progress(done + of * share)


def _check_weights(
    weights: Sequence[str], part: DataPart, plan: DataSetPlan, options: EvaluateOptions
) -> tuple[list[WeightCard], ClassTable]:
    """Refuse what can be seen to fail, before torch is imported and anything is predicted.

    Returns:
        The cards of the weights, and the classes that are compared.
    """
    from rsseg.evaluation.agreement import agree_on_tables
    from rsseg.evaluation.door import check_agreed
    from rsseg.prediction.door import check_options
    from rsseg.weights import find_weights, load_card, read_limits

    cards = [load_card(name) for name in weights]
    for name, card in zip(weights, cards, strict=True):
        check_options(card, read_limits(find_weights(name)), part.how)
    # `buildings` and `./buildings` are two weights, though one path: the second are called by their file.
    others = {find_weights(name): card.classes for name, card in zip(weights[1:], cards[1:], strict=True)}
    agreed = agree_on_tables(
        {Path(weights[0]): cards[0].classes},
        {part.data: plan.classes},
        None,
        moves=options.moves,
        protocol=options.protocol_used(),
        others=others,
    )
    check_agreed(agreed, options)
    for name, card in zip(weights, cards, strict=True):
        if plan.bands is not None and len(named_bands(plan, card) or ()) != len(card.bands):
            raise LabelError(
                f"{part.data}: its images have {len(plan.bands)} bands: {', '.join(band_names(plan))}; {name} expects"
                f" {len(card.bands)}: {', '.join(card.bands)}",
                hint="a manifest can choose bands = [1, 2, 3]",
            )
    if part.maps is not None and not part.maps.is_dir():
        raise OptionError(f"{part.maps}: no such folder", hint=f"make it first: mkdir -p {part.maps}")
    assert agreed.classes is not None  # those of weights have names
    return cards, agreed.classes


def _facts(scenes: Sequence[Scene], classes: ClassTable) -> list[PairFacts]:
    """What is known of each map before it is made; messages name its image, which somebody has given."""
    from rsseg.evaluation.counters import PairFacts

    return [
        PairFacts(pair=n, image=n, path=scene.entry.image, grid=scene.image.grid, table=classes)
        for n, scene in enumerate(scenes)
    ]


def _make_folder(path: Path) -> None:
    """Make the folder of the second maps, unless it is there."""
    try:
        path.mkdir(exist_ok=True)
    except FileExistsError as err:
        raise OptionError(
            f"{path}: is a file; the maps of --against go into a folder of this name",
            hint="choose another --maps FOLDER",
        ) from err
    except OSError as err:
        raise ResourceError(
            f"{path}: the folder for the maps of --against cannot be made ({err.strerror})",
            hint="choose another --maps FOLDER",
        ) from err


def _made_of(part: DataPart, weights: Sequence[str]) -> dict[str, str]:
    """What numbers of a data set mean nothing without: the weights, by name and hash, and the part.

    Raises:
        OptionError: both weights are the same.
    """
    from rsseg.weights import find_weights
    from rsseg.weights.files import file_sha256

    hashes = [file_sha256(find_weights(name)) for name in weights]
    if len(set(hashes)) < len(hashes):
        raise OptionError(
            f"--against {weights[1]}: these are the weights {weights[0]} themselves (SHA-256 {hashes[0][:12]}...)",
            hint="compare with other weights, or leave --against out",
        )
    made = {"data_set": str(part.data), "preset": part.preset, "part": part.split}
    for title, name, sha256 in zip(("weights", _AGAINST), weights, hashes, strict=False):
        made |= {title: Path(name).stem, f"{title}_sha256": sha256}
    return {name: text for name, text in made.items() if text}


def _pair(jobs: Sequence[Job], pool: FilePool, classes: ClassTable) -> Pair:
    """The maps of a scene, made or to be made, with its labels; where they count is left to the evaluation."""
    from rsseg.data.labels import open_labels
    from rsseg.evaluation import Pair
    from rsseg.evaluation.pairs import OpenedLabels

    job, entry = jobs[0], jobs[0].scene.entry
    source = open_labels(pool, replace(entry, aoi=None), job.scene.image.grid)
    opened = OpenedLabels(source=source, classes=classes, aoi=entry.aoi)
    other = jobs[1].output if len(jobs) > 1 else None
    return Pair(job.output, entry.labels, opened, confidence=job.confidence, other=other)


def _made_with(part: DataPart, rounds: Sequence[Sequence[Job]]) -> dict[str, str]:
    """The data set, and what its maps say of themselves, where nobody can ask them later; of many, some are asked."""
    from rsseg.raster.facts import read_facts

    said = {"data set": part.data.name, "preset": part.preset, "part": part.split}
    made = {name: text for name, text in said.items() if text}
    if part.maps is not None:
        return made
    for title, jobs in zip(("", f"{_AGAINST}: "), rounds, strict=False):
        first, *others = (read_facts(job.output).made_with for job in jobs[:_ASKED])
        for name, text in sorted(first.items(), key=lambda tag: (not tag[0].startswith("weights"), tag[0])):
            if name != "version" and made.get(name) != text and all(o.get(name) == text for o in others):
                made[f"{title}{name}"] = text
    return made


def _without_folder(evaluation: Evaluation, folder: Path) -> Evaluation:
    """The same with bare names for maps in a folder that is gone."""
    return replace(
        evaluation,
        pairs=tuple(
            replace(
                pair,
                prediction=_bare(pair.prediction, folder),
                confidence=pair.confidence and _bare(pair.confidence, folder),
                other=pair.other and _bare(pair.other, folder),
                notes=tuple(note.replace(f"{folder}/", "") for note in pair.notes),
                gone=pair.prediction.is_relative_to(folder),
            )
            for pair in evaluation.pairs
        ),
        sections=tuple(
            replace(s, facts={name: _bare_names(value, folder) for name, value in s.facts.items()})
            for s in evaluation.sections
        ),
    )


def _bare(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _bare_names(fact: Any, folder: Path) -> Any:
    """A list of paths without the folder; any other fact as it is."""
    if not isinstance(fact, list):
        return fact
    return [item.removeprefix(f"{folder}/") if isinstance(item, str) else item for item in fact]
