"""Boundary IoU and F1: the definitions pixel by pixel, distance transforms, cuts, and scenes drawn by hand."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from rsseg.errors import OptionError
from rsseg.evaluation.boundary_scores import (
    BoundaryCounter,
    BoundaryCounts,
    boundary_scores_of,
    count_boundaries,
    tolerance_in_pixels,
)
from rsseg.tiling import Window
from tests.evaluation.cutting import any_partition, counted

CLASSES = 3
Ids = NDArray[np.uint8]

shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)
tolerances = st.sampled_from([1.0, 1.5, 2.0, math.sqrt(5), 3.0])


@st.composite
def scenes(draw: st.DrawFn, ids: tuple[int, ...] = (0, 1, 2, 255)) -> tuple[Ids, Ids]:
    shape = draw(shapes)
    maps = hnp.arrays(np.uint8, shape, elements=st.sampled_from(ids))
    return draw(maps), draw(maps)


def as_arrays(counts: BoundaryCounts) -> dict[str, list[int]]:
    return {field.name: getattr(counts, field.name).tolist() for field in fields(counts)}


def pixel_by_pixel(label: Ids, prediction: Ids, classes: int, tolerance: float) -> dict[str, list[int]]:
    """The definitions, written out."""
    known = (label != 255) & (prediction != 255)
    rows, cols = np.indices(label.shape)
    regions: dict[str, list[set[tuple[int, int]]]] = {}
    for which, ids in (("label", label), ("map", prediction)):
        for name, distance in (("inner", tolerance), ("contour", 1.0)):
            regions[f"{name}_{which}"] = [set() for _ in range(classes)]
            for row, col in zip(*np.nonzero(known), strict=True):
                near = (rows - row) ** 2 + (cols - col) ** 2 <= distance**2 + 1e-9
                if (known & near & (ids != ids[row, col])).any():
                    regions[f"{name}_{which}"][ids[row, col]].add((int(row), int(col)))
    regions["inner_both"] = [a & b for a, b in zip(regions["inner_label"], regions["inner_map"], strict=True)]
    for which, other in (("label", "map"), ("map", "label")):
        regions[f"matched_{which}"] = [
            {x for x in mine if any(math.dist(x, y) <= tolerance + 1e-9 for y in theirs)}
            for mine, theirs in zip(regions[f"contour_{which}"], regions[f"contour_{other}"], strict=True)
        ]
    return {name: [len(pixels) for pixels in of_classes] for name, of_classes in regions.items()}


@given(scenes(), tolerances)
def test_counts_are_their_definition(scene: tuple[Ids, Ids], tolerance: float) -> None:
    counts = count_boundaries(*scene, CLASSES, tolerance=tolerance)

    assert as_arrays(counts) == pixel_by_pixel(*scene, CLASSES, tolerance)


@settings(max_examples=40)
@given(scenes(ids=(0, 7, 8, 15, 16, 253, 254, 255)), tolerances)
def test_counts_are_their_definition_with_more_classes_than_bits(
    scene: tuple[Ids, Ids], tolerance: float
) -> None:
    counts = count_boundaries(*scene, 255, tolerance=tolerance)

    assert as_arrays(counts) == pixel_by_pixel(*scene, 255, tolerance)


@given(scenes(), tolerances, st.integers(0, 2**32))
def test_any_windows_with_the_margin_give_the_same(
    scene: tuple[Ids, Ids], tolerance: float, seed: int
) -> None:
    counter = BoundaryCounter(classes=CLASSES, tolerance=tolerance)
    area = Window(5, 3, scene[0].shape[1], scene[0].shape[0])
    windows = any_partition(area, np.random.default_rng(seed))

    parts = counted(counter, *scene, windows, origin=(5, 3))

    assert as_arrays(parts) == as_arrays(count_boundaries(*scene, CLASSES, tolerance=tolerance))


@pytest.mark.parametrize("tolerance", [1, 3, 7.5, 40])
def test_regions_are_those_of_distance_transforms(tolerance: float) -> None:
    rng = np.random.default_rng(4)
    label, prediction = (
        (ndimage.gaussian_filter(rng.normal(size=(33, 29)), 3) > 0).astype(np.uint8) for _ in range(2)
    )

    counts = count_boundaries(label, prediction, 2, tolerance=tolerance)

    inner = [ids * (ndimage.distance_transform_edt(ids) <= tolerance) for ids in (label, prediction)]
    contour = [ids * (ndimage.distance_transform_edt(ids) == 1) for ids in (label, prediction)]
    to_label, to_map = (ndimage.distance_transform_edt(1 - edge) for edge in contour)
    assert counts.inner_label[1] == inner[0].sum()
    assert counts.inner_both[1] == (inner[0] & inner[1]).sum()
    assert counts.contour_map[1] == contour[1].sum()
    assert counts.matched_map[1] == (contour[1] & (to_label <= tolerance)).sum()
    assert counts.matched_label[1] == (contour[0] & (to_map <= tolerance)).sum()


def square(top: int, left: int, side: int = 8) -> Ids:
    ids = np.zeros((20, 20), dtype=np.uint8)
    ids[top : top + side, left : left + side] = 1
    return ids


def test_a_square_moved_by_a_pixel_by_hand() -> None:
    one = count_boundaries(square(5, 5), square(5, 6), 2, tolerance=1)

    # A frame of 28 pixels each; 7 + 7 of their top and bottom rows coincide, and nothing of their sides.
    assert (one.inner_label[1], one.inner_map[1], one.inner_both[1]) == (28, 28, 14)
    assert (one.matched_label[1], one.matched_map[1]) == (28, 28)
    scores = boundary_scores_of(one)
    assert scores.iou[1] == 14 / 42
    assert scores.f1[1] == 1.0


def test_a_square_moved_beyond_the_tolerance_loses_the_pixels_that_are_too_far() -> None:
    scores = boundary_scores_of(count_boundaries(square(5, 5), square(5, 8), 2, tolerance=2))

    # Of a frame of 28 pixels are too far: the left column, and of the right one the two pixels that are 3 px from the
    # other square's top and bottom rows.
    assert scores.recall[1] == scores.precision[1] == 18 / 28
    assert scores.f1[1] == pytest.approx(scores.recall[1])


def test_equal_maps_score_one_and_means_are_over_the_classes_asked_for() -> None:
    label = square(5, 5)

    scores = boundary_scores_of(count_boundaries(label, label, 3, tolerance=3), mean_over=[1, 2])

    assert scores.iou[:2] == scores.f1[:2] == scores.recall[:2] == (1.0, 1.0)
    assert (scores.mean_iou, scores.mean_f1) == (1.0, 1.0)
    assert math.isnan(scores.iou[2])


def test_a_class_in_one_map_only_scores_zero() -> None:
    scores = boundary_scores_of(count_boundaries(np.zeros((20, 20), np.uint8), square(5, 5), 2, tolerance=2))

    assert (scores.iou[1], scores.f1[1], scores.precision[1]) == (0.0, 0.0, 0.0)
    assert math.isnan(scores.recall[1])


def test_contours_that_never_meet_score_zero() -> None:
    scores = boundary_scores_of(count_boundaries(square(0, 0, 4), square(15, 15, 4), 2, tolerance=1))

    assert (scores.f1[1], scores.precision[1], scores.recall[1]) == (0.0, 0.0, 0.0)


def test_a_boundary_against_ignored_ground_or_the_raster_edge_is_none() -> None:
    label = np.ones((6, 6), dtype=np.uint8)
    label[:, 3:] = 255
    prediction = np.ones((6, 6), dtype=np.uint8)
    prediction[:, 3:] = 0  # a boundary of the map where the labels say nothing

    counts = count_boundaries(label, prediction, 2, tolerance=2)

    assert not any(any(values) for values in as_arrays(counts).values())


@pytest.mark.parametrize(
    ("label", "prediction"),
    [
        (np.full((4, 5), 255, np.uint8), np.ones((4, 5), np.uint8)),
        (np.ones((4, 5), np.uint8), np.full((4, 5), 255, np.uint8)),
        (np.ones((1, 1), np.uint8), np.zeros((1, 1), np.uint8)),
        (np.ones((0, 3), np.uint8), np.zeros((0, 3), np.uint8)),
    ],
)
def test_without_a_boundary_all_scores_are_undefined(label: Ids, prediction: Ids) -> None:
    scores = boundary_scores_of(count_boundaries(label, prediction, 2, tolerance=3))

    assert math.isnan(scores.mean_iou)
    assert math.isnan(scores.mean_f1)


def test_metres_are_pixels_of_the_raster() -> None:
    assert tolerance_in_pixels(0.6, 0.2) == pytest.approx(3)
    # 0.6 / 0.2 is a little less than 3 in floating point; its disc must still reach 3 pixels.
    assert BoundaryCounter(classes=2, tolerance=tolerance_in_pixels(0.6, 0.2)).margin == 4


def test_a_tolerance_below_a_pixel_is_refused() -> None:
    with pytest.raises(OptionError, match=r"0\.05 m, 0\.5 px of 0\.1 m; it must be at least 1 px"):
        tolerance_in_pixels(0.05, 0.1)
