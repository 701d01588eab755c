"""`rsseg train --check`: what training would see of a data set, and what is wrong with it, without training."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from rsseg.data.check_report import CheckReport, Finding, Kind, PartFacts
from rsseg.data.entries import DataSetPlan, SceneEntry
from rsseg.data.leaks import GroundLeaks, Leak, shared_marks
from rsseg.data.pool import FilePool
from rsseg.data.scenes import FILES_OF_A_SCENE, check_alike, check_apart, open_scene, plan_dataset
from rsseg.data.survey import Survey, survey_scene
from rsseg.data.tiles import find_unpaired
from rsseg.errors import InputError
from rsseg.raster import gdal_env
from rsseg.raster.footprint import Plane

_UNLIKE_GSD = 2.0
"""Ground sizes that differ by more are worth a warning: a network learns objects of one size."""

_UNSEEN = 0.01
"""The share of labelled pixels on no data from which on a scene is worth a warning."""

_NAMES = 5
"""Names that a message lists."""


def check_dataset(
    path: Path,
    *,
    preset: str = "",
    window: int = 256,
    threads: int = 2,
    on_progress: Callable[[float], None] | None = None,
) -> CheckReport:
    """Read a data set once, all of it, and tell what training would see.

    Memory is bounded by blocks of 512 px a thread, and grows with the number of scenes and labelled cells only.

    Args:
        path: see `rsseg.data.scenes.plan_dataset`.
        preset: the published data set that the folder holds, if it does.
        window: side of a training sample, in pixels: parts that are closer count as neighbours.
        threads: how many scenes are read at a time.
        on_progress: is told the share done, from 0 to 1.

    Returns:
        The report; what training would refuse is in it, and not raised.

    Raises:
        OptionError: there is no such preset.
    """
    findings = list(_unpaired(path)) if not preset else []
    try:
        plan = plan_dataset(path, preset=preset)
    except InputError as err:
        return CheckReport.of_failure(path, [_error("data set", err), *findings])
    with gdal_env(), closing(FilePool(FILES_OF_A_SCENE * threads)) as pool:
        surveys, failed = _survey_all(pool, plan, threads, on_progress or _ignore)
        findings += failed
        findings += _judge(plan, surveys, window=window)
    return CheckReport(
        source=plan.source,
        classes=plan.classes,
        parts=tuple(_facts(part, surveys, len(plan.classes)) for part, _ in _parts(plan)),
        images=tuple(sorted({f"{len(s.scene.image.bands)} bands of {s.scene.image.dtype}" for s in surveys})),
        findings=tuple(findings),
    )


def _unpaired(path: Path) -> Iterator[Finding]:
    """Files of a folder of tiles that have no partner."""
    if not (path / "images").is_dir() or not (path / "labels").is_dir():
        return
    try:
        images, labels = find_unpaired(path)
    except InputError:
        return  # planning says why
    for names, what in ((images, "image without a label, left out"), (labels, "label without an image")):
        for name in names:
            yield Finding("warning", "pairs", f"{name}: {what}")


def _parts(plan: DataSetPlan) -> list[tuple[str, tuple[SceneEntry, ...]]]:
    return [("train", plan.train), ("val", plan.val), *([("test", plan.test)] if plan.test else [])]


def _survey_all(
    pool: FilePool, plan: DataSetPlan, threads: int, on_progress: Callable[[float], None]
) -> tuple[list[Survey], list[Finding]]:
    """Look at all scenes; those that cannot be read become findings."""
    jobs = [(part, entry) for part, entries in _parts(plan) for entry in entries]
    shares = _Shares(len(jobs), on_progress)
    with ThreadPoolExecutor(threads, thread_name_prefix="check") as executor:
        work = partial(_survey_one, pool, plan, shares=shares)
        results = list(executor.map(work, range(len(jobs)), *zip(*jobs, strict=True)))
    surveys = [r for r in results if isinstance(r, Survey)]
    return surveys, [r for r in results if isinstance(r, Finding)]


def _survey_one(
    pool: FilePool, plan: DataSetPlan, number: int, part: str, entry: SceneEntry, *, shares: _Shares
) -> Survey | Finding:
    try:
        scene = open_scene(pool, plan, entry)
        mark = Plane.of([scene.image.grid]) is None
        return survey_scene(scene, part=part, mark=mark, on_progress=partial(shares.tell, number))
    except InputError as err:
        return _error("files", err, part=part)
    finally:
        shares.tell(number, 1.0)


class _Shares:
    """Adds up the progress of jobs that run side by side."""

    def __init__(self, jobs: int, on_progress: Callable[[float], None]) -> None:
        self._done = [0.0] * jobs
        self._sum = 0.0
        self._on_progress = on_progress
        self._lock = threading.Lock()

    def tell(self, job: int, share: float) -> None:
        with self._lock:
            self._sum += share - self._done[job]
            self._done[job] = share
            self._on_progress(min(1.0, self._sum / len(self._done)))


def _judge(plan: DataSetPlan, surveys: Sequence[Survey], *, window: int) -> Iterator[Finding]:
    """Say what is wrong with what was read, all scenes together."""
    by_part = {part: [s for s in surveys if s.part == part] for part, _ in _parts(plan)}
    scenes = {part: tuple(s.scene for s in found if s.scene.cells) for part, found in by_part.items()}
    for part in ("train", "val"):
        if not scenes[part]:
            yield Finding("error", "labels", f"{part}: no scene with a labelled pixel can be read")
        elif not any(s.class_pixels.any() for s in by_part[part]):
            yield Finding("error", "labels", f"{part}: all labels lie where the images have no data")
    checks: list[tuple[Kind, Callable[[], None]]] = [
        ("bands", partial(check_alike, [s for found in scenes.values() for s in found])),
        ("leaks", partial(check_apart, scenes["train"], scenes["val"])),
    ]
    for kind, check in checks:
        try:
            check()
        except InputError as err:
            yield _error(kind, err)
    for survey in surveys:
        yield from _judge_one(survey)
    for part, found in by_part.items():
        yield from _missing_classes(plan, part, found)
    yield from _ground_sizes(surveys)
    yield from _leaks(by_part, window=window)


def _judge_one(survey: Survey) -> Iterator[Finding]:
    scene = survey.scene
    where = f"{survey.part}: {scene.name}"
    labelled = int(scene.class_pixels.sum())
    if not labelled:
        yield Finding("warning", "labels", f"{where}: has no labelled pixel and is left out")
    elif survey.unseen == labelled:
        yield Finding("warning", "labels", f"{where}: has labels only where the image has no data")
    elif survey.unseen > _UNSEEN * labelled:
        share = survey.unseen / labelled
        yield Finding(
            "warning", "labels", f"{where}: {share:.1%} of its labels lie where the image has no data"
        )


def _missing_classes(plan: DataSetPlan, part: str, surveys: Sequence[Survey]) -> Iterator[Finding]:
    counts = np.sum([s.class_pixels for s in surveys], axis=0) if surveys else np.zeros(len(plan.classes))
    missing = [name for name, count in zip(plan.classes.names, counts, strict=True) if not count]
    if missing and counts.any():
        names = ", ".join(missing[:_NAMES]) + (
            f" and {len(missing) - _NAMES} more" if len(missing) > _NAMES else ""
        )
        means = "nothing to learn" if part == "train" else "no score"
        yield Finding("warning", "classes", f"{part}: has no pixel of {names}: {means} there")


def _ground_sizes(surveys: Sequence[Survey]) -> Iterator[Finding]:
    known = [(s.scene.image.grid.gsd_m, s) for s in surveys]
    sizes = sorted(((gsd, s.part, s.scene.name) for gsd, s in known if gsd is not None))
    if sizes and sizes[-1][0] > _UNLIKE_GSD * sizes[0][0]:
        (low, low_part, low_name), (high, high_part, high_name) = sizes[0], sizes[-1]
        yield Finding(
            "warning",
            "ground size",
            f"pixels differ in size on the ground: {low:.3g} m in {low_part} {low_name}, {high:.3g} m in {high_part}"
            f" {high_name}; a network learns objects of one size",
        )


def _leaks(by_part: dict[str, list[Survey]], *, window: int) -> Iterator[Finding]:
    """What val and test have in common with train, on the ground or, without a place, by pixels."""
    found = {part: [s for s in surveys if s.scene.cells] for part, surveys in by_part.items()}
    plane = Plane.of(s.scene.image.grid for surveys in found.values() for s in surveys)
    others = [s for part in found if part != "train" for s in found[part]]
    if plane is not None:
        on_plane = [s for s in found["train"] if plane.holds(s.scene.image.grid)]
        ground = GroundLeaks(plane, on_plane)
        for part in found:
            placed = [s for s in others if s.part == part and plane.holds(s.scene.image.grid)]
            yield from _on_ground(ground, placed, window=window)
    for leak in shared_marks(found["train"], others):
        yield Finding("warning", "leaks", f"{_named(leak)} shows the very pixels of train {_listed(leak)}")


def _on_ground(ground: GroundLeaks, surveys: Sequence[Survey], *, window: int) -> Iterator[Finding]:
    near: list[str] = []
    for survey in surveys:
        leak = ground.look(survey, window=window)
        if leak == "near":
            near.append(survey.scene.name)
        elif leak != "apart":
            yield Finding(
                "warning",
                "leaks",
                f"{_named(leak)}: {max(leak.share, 0.001):.1%} of its labelled pixels lie on ground that train"
                f" {_listed(leak)} has labelled, too",
            )
    if near:
        yield Finding(
            "warning",
            "leaks",
            f"{surveys[0].part}: {len(near)} of {len(surveys)} scenes ({', '.join(near[:_NAMES])}"
            f"{' ...' if len(near) > _NAMES else ''}) lie less than a sample of {window} px from labels of train;"
            " `rsseg data split` leaves such a margin",
        )


def _named(leak: Leak) -> str:
    return f"{leak.part}: {leak.scene}"


def _listed(leak: Leak) -> str:
    more = len(leak.others) - _NAMES
    return ", ".join(leak.others[:_NAMES]) + (f" and {more} more" if more > 0 else "")


def _facts(part: str, surveys: Sequence[Survey], classes: int) -> PartFacts:
    mine = [s for s in surveys if s.part == part]
    grids = [s.scene.image.grid for s in mine]
    sizes = [gsd for g in grids if (gsd := g.gsd_m) is not None]
    counts = np.sum([s.class_pixels for s in mine], axis=0) if mine else np.zeros(classes, dtype=np.int64)
    return PartFacts(
        name=part,
        scenes=len(mine),
        pixels=sum(g.window.pixels for g in grids),
        class_pixels=tuple(int(v) for v in counts),
        widths=(min(g.width for g in grids), max(g.width for g in grids)) if grids else None,
        heights=(min(g.height for g in grids), max(g.height for g in grids)) if grids else None,
        gsd_m=(min(sizes), max(sizes)) if sizes else None,
    )


def _error(kind: Kind, err: InputError, *, part: str = "") -> Finding:
    return Finding("error", kind, f"{part}: {err}" if part else str(err), err.hint)


def _ignore(_share: float) -> None:
    """Progress that nobody watches."""
