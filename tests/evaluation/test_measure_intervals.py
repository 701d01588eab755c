"""Intervals of boundaries, objects and calibration: against a bootstrap written out, and where there is nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from rsseg.classes import ClassTable
from rsseg.evaluation import EvaluateOptions, Length, MeasureOptions, Pair, Section, evaluate_maps, table_text
from rsseg.evaluation.bootstrap import Interval, ScoreIntervals
from rsseg.evaluation.measures.blocks import cautions
from rsseg.evaluation.values import Values
from tests.evaluation.files import DEGREES, write_ids

Ids = NDArray[np.uint8]
Blocks = NDArray[np.float64]

SIDE, REPLICATES, SEED, BINS = 16, 50, 5, 15
HEIGHT, WIDTH = 48, 80
COUNT = (HEIGHT // SIDE) * (WIDTH // SIDE)


class Scene(NamedTuple):
    """Label, map and confidence (rows, cols); all of the labels are known."""

    label: Ids
    map: Ids
    confidence: Ids


@pytest.fixture(scope="module")
def scene() -> Scene:
    rng = np.random.default_rng(2)
    label = ndimage.gaussian_filter(rng.normal(size=(HEIGHT, WIDTH)), 2.5)
    found = label + 0.5 * ndimage.gaussian_filter(rng.normal(size=(HEIGHT, WIDTH)), 2)
    ids = [(values > 0).astype(np.uint8) for values in (label, found)]
    sure = np.where(ids[0] == ids[1], 220, 150) + rng.integers(-20, 20, label.shape)
    return Scene(ids[0], ids[1], sure.astype(np.uint8))


@pytest.fixture(scope="module")
def sections(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Section]:
    return evaluated(scene, tmp_path_factory.mktemp("scene"))


def evaluated(scene: Scene, folder: Path, *, side: int = SIDE) -> dict[str, Section]:
    paths = [
        write_ids(folder / f"{name}.tif", ids, **DEGREES)
        for name, ids in zip(
            ("map", "label", "sure"), (scene.map, scene.label, scene.confidence), strict=True
        )
    ]
    options = MeasureOptions(
        boundary=Length(2), objects=("1",), intervals=Length(side), replicates=REPLICATES, seed=SEED
    )
    found = evaluate_maps(
        [Pair(paths[0], paths[1], confidence=paths[2])],
        ClassTable.unnamed(2),
        options=EvaluateOptions(measures=options),
    )
    assert table_text(found)
    return {section.name: section for section in found.sections}


def in_blocks(mask: NDArray[Any]) -> Blocks:
    """The sum of what lies in each block (N,), row by row of blocks."""
    cut = mask.reshape(HEIGHT // SIDE, SIDE, WIDTH // SIDE, SIDE)
    return cut.sum(axis=(1, 3)).ravel().astype(np.float64)


def assert_bootstrapped(
    found: Callable[[str], float], score: Callable[..., NDArray[np.float64]], *counts: Blocks
) -> None:
    """Value, ends and standard error are those of the score of counts (N,) summed over the blocks of each draw."""
    draws = np.random.default_rng(SEED).integers(COUNT, size=(REPLICATES, COUNT))
    values = score(*(of[draws].sum(axis=1) for of in counts))
    low, high = np.quantile(values, [0.025, 0.975])

    assert found("") == pytest.approx(float(score(*(of.sum() for of in counts))))
    assert found("_low") == pytest.approx(low)
    assert found("_high") == pytest.approx(high)
    assert found("_se") == pytest.approx(np.std(values, ddof=1))
    assert found("_low") < found("") < found("_high")


def test_boundary_scores_are_bootstrapped_by_blocks(scene: Scene, sections: dict[str, Section]) -> None:
    ids = scene.label == 1, scene.map == 1
    inner = [of & (ndimage.distance_transform_edt(of) <= 2) for of in ids]
    contour = [of & (ndimage.distance_transform_edt(of) == 1) for of in ids]
    near = [contour[i] & (ndimage.distance_transform_edt(~contour[1 - i]) <= 2) for i in range(2)]
    numbers = sections["boundary"].class_scores

    def of_one(name: str) -> Callable[[str], float]:
        return lambda end: numbers[f"{name}{end}"][1]

    both = in_blocks(inner[0] & inner[1])
    assert_bootstrapped(of_one("boundary_iou"), lambda a, b, c: c / (a + b - c), *map(in_blocks, inner), both)
    assert_bootstrapped(of_one("boundary_recall"), np.divide, in_blocks(near[0]), in_blocks(contour[0]))
    assert_bootstrapped(of_one("boundary_precision"), np.divide, in_blocks(near[1]), in_blocks(contour[1]))
    assert_bootstrapped(
        of_one("boundary_f1"),
        lambda r, a, p, b: 2 * (p / b) * (r / a) / (p / b + r / a),
        *map(in_blocks, (near[0], contour[0], near[1], contour[1])),
    )


def test_object_scores_are_bootstrapped_by_blocks(scene: Scene, sections: dict[str, Section]) -> None:
    (of_label, count), (of_map, other) = (ndimage.label(ids == 1) for ids in (scene.label, scene.map))
    ious, missed, false_alarms = np.zeros((HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH)), np.ones(other + 1)
    for g in range(1, count + 1):
        first = tuple(np.argwhere(of_label == g)[0])
        missed[first] = 1
        for p in range(1, other + 1):
            iou = ((of_label == g) & (of_map == p)).sum() / ((of_label == g) | (of_map == p)).sum()
            if iou > 0.5:
                ious[first], missed[first], false_alarms[p] = iou, 0, 0
    alarms = np.zeros((HEIGHT, WIDTH))
    for p in np.flatnonzero(false_alarms)[1:]:
        alarms[tuple(np.argwhere(of_map == p)[0])] = 1
    matched, lost, extra = in_blocks(ious > 0), in_blocks(missed), in_blocks(alarms)
    numbers = sections["objects"].class_scores

    def of_one(name: str) -> Callable[[str], float]:
        return lambda end: numbers[f"{name}{end}"][1]

    assert_bootstrapped(of_one("object_f1"), lambda m, a, b: 2 * m / (2 * m + a + b), matched, lost, extra)
    assert_bootstrapped(of_one("object_precision"), lambda m, b: m / (m + b), matched, extra)
    assert_bootstrapped(of_one("object_recall"), lambda m, a: m / (m + a), matched, lost)
    assert_bootstrapped(of_one("object_iou"), np.divide, in_blocks(ious), matched)


def test_calibration_is_bootstrapped_by_blocks(scene: Scene, sections: dict[str, Section]) -> None:
    sure, right = scene.confidence / 254, (scene.label == scene.map).astype(np.float64)
    pixels = in_blocks(np.ones_like(sure))
    numbers = sections["calibration"].scores

    def found(name: str) -> Callable[[str], float]:
        return lambda end: numbers[f"{name}{end}"]

    assert_bootstrapped(found("accuracy"), np.divide, in_blocks(right), pixels)
    assert_bootstrapped(found("mean_confidence"), np.divide, in_blocks(sure), pixels)
    assert_bootstrapped(found("brier"), np.divide, in_blocks((sure - right) ** 2), pixels)
    which = np.ceil(sure * BINS - 1e-9)
    gaps = [in_blocks((which == b) * (right - sure)) for b in range(1, BINS + 1)]
    assert_bootstrapped(
        found("ece"), lambda n, *of: np.sum([np.abs(gap) for gap in of], axis=0) / n, pixels, *gaps
    )


def test_sections_say_what_was_drawn(sections: dict[str, Section]) -> None:
    words = {
        "intervals": "plain+blocks16px",
        "boundary": "plain+boundary2px+blocks16px",
        "objects": "plain+objects+blocks16px",
        "calibration": "plain+15bins+blocks16px",
    }
    assert {name: section.protocol for name, section in sections.items()} == words
    for section in sections.values():
        assert (section.facts["blocks"], section.facts["block_side"]) == (COUNT, "16 px")
        assert (section.facts["level"], section.facts["seed"]) == (0.95, SEED)
        assert any("15 labelled blocks of 16 px, 50 replicates, seed 5" in line for line in section.text)
        assert section.tables[-1].head == ("score", "value", "95 % from", "to", "SE")


def test_without_objects_and_boundaries_intervals_are_unknown(tmp_path: Path) -> None:
    nothing = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)

    found = evaluated(Scene(nothing, nothing, nothing + 254), tmp_path)

    for name, score in (("boundary", "boundary_f1"), ("objects", "object_f1")):
        values = [found[name].class_scores[f"{score}{end}"][1] for end in ("", "_low", "_high", "_se")]
        assert all(math.isnan(value) for value in values)
        assert found[name].tables[-1].rows[-1][1:] == ("-", "-", "-", "-")
        assert found[name].facts["blocks"] == COUNT  # ground without an object is drawn, too
    assert found["calibration"].scores["ece_high"] == 0.0


def test_one_block_gives_no_interval(scene: Scene, tmp_path: Path) -> None:
    found = evaluated(scene, tmp_path, side=128)

    assert found["boundary"].facts["blocks"] == 1
    assert math.isnan(found["boundary"].scores["mean_boundary_f1_low"])
    assert not math.isnan(found["boundary"].scores["mean_boundary_f1"])
    assert math.isnan(found["objects"].class_scores["object_f1_se"][1])
    assert math.isnan(found["calibration"].scores["ece_se"])


def test_what_rests_on_few_blocks_is_said(scene: Scene, tmp_path: Path) -> None:
    """Class 2 lies in a corner of one block, class 3 in two blocks."""
    label, prediction = scene.label.copy(), scene.map.copy()
    label[:4, :4], prediction[:4, :5] = 2, 2
    label[20:24, [2, 40]], prediction[20:23, [2, 40]] = 3, 3
    paths = [
        write_ids(tmp_path / name, ids, **DEGREES)
        for name, ids in (("map.tif", prediction), ("l.tif", label))
    ]
    measures = MeasureOptions(boundary=Length(2), intervals=Length(SIDE), replicates=REPLICATES)

    whole = evaluate_maps([Pair(*paths)], ClassTable.unnamed(4), options=EvaluateOptions(measures=measures))

    names = whole.classes.names
    for section, mean, score in zip(
        whole.sections, ("mean_iou", "mean_boundary_iou"), ("iou", "boundary_iou"), strict=True
    ):
        low, blocks = section.class_scores[f"{score}_low"], section.class_scores["blocks"]
        assert [math.isnan(low[k]) for k in range(4)] == [False, False, True, False]
        assert (blocks[2], blocks[3]) == (1, 2)
        assert math.isnan(section.scores[f"{mean}_low"])  # it is over class 2, too
        text = " ".join(section.text)
        assert f"few blocks have something of {names[2]} (1):" in text  # class 3 is among few blocks anyway
        assert 0 < section.facts["replicates_left_out"] < REPLICATES / 2
        assert (
            f"up to {section.facts['replicates_left_out']} of 50 replicates drew no block with some class"
            in text
        )


def test_a_class_that_few_of_many_blocks_have_is_named() -> None:
    intervals = {k: Interval(low=0.1, high=0.9, se=0.1, blocks=n) for k, n in enumerate((40, 3, 12))}
    values = Values(classes={"iou": dict.fromkeys(intervals, 0.5)})
    found = ScoreIntervals(
        values=values,
        summary={},
        classes={"iou": intervals},
        blocks=40,
        doublings=0,
        level=0.95,
        replicates=9,
        left_out=0,
    )

    (said,) = cautions(found, ClassTable.unnamed(3))

    assert (
        f"of {ClassTable.unnamed(3).names[1]} (3), {ClassTable.unnamed(3).names[2]} (12): with fewer than 30"
        in said
    )


def test_the_score_of_a_benchmark_has_an_interval(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    label, found = rng.integers(0, 150, (2, HEIGHT, WIDTH), dtype=np.uint8)
    found = np.where(rng.random(label.shape) < 0.6, label, found)
    paths = [
        write_ids(tmp_path / name, ids, **DEGREES) for name, ids in (("map.tif", found), ("l.tif", label))
    ]
    measures = MeasureOptions(intervals=Length(SIDE), replicates=REPLICATES)

    whole = evaluate_maps([Pair(*paths)], options=EvaluateOptions(protocol="ade20k", measures=measures))

    scores = whole.sections[0].scores
    assert scores["benchmark_score_low"] < whole.summary["benchmark_score"] < scores["benchmark_score_high"]
    assert "benchmark score" in {row[0] for row in whole.sections[0].tables[0].rows}
