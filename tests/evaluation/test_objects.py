"""Objects: whole scenes labelled by SciPy and matched pair by pair, any cuts, and scenes drawn by hand."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from rsseg.evaluation.block_counter import BlockGrid
from rsseg.evaluation.block_counts import BlockCounts, Place
from rsseg.evaluation.counters import Seen
from rsseg.evaluation.objects import ObjectCounter, ObjectCounts, ObjectScores
from rsseg.tiling import Window
from tests.evaluation.cutting import any_partition, counted

Ids = NDArray[np.uint8]


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Ids, Ids]:
    """Labels, and a map that is like them here and there, so that there are matches."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=10))
    maps = hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 1, 1, 2, 255]))
    label, noise = draw(maps), draw(maps)
    alike = draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1))) < 0.7
    return label, np.where(alike, label, noise)


counters = st.builds(
    ObjectCounter,
    classes=st.sampled_from([(1,), (1, 2)]),
    min_area=st.integers(1, 4),
)


class Outcome(NamedTuple):
    """What became of a region: `kind` is a field of `ObjectScores`; `first` is its first known pixel, if it has one."""

    class_id: int
    kind: str
    first: tuple[int, int] | None
    iou: float = 0.0


def outcomes_one_by_one(label: Ids, prediction: Ids, counter: ObjectCounter) -> list[Outcome]:
    """The definition: all regions of the whole, every pair of them."""
    known_label, known_map = prediction != 255, label != 255
    outcomes = []
    for k in counter.classes:
        sides = []
        for ids, known in ((label, known_label), (prediction, known_map)):
            numbers, count = ndimage.label(ids == k)
            sides.append([(numbers == i, known) for i in range(1, count + 1)])
        of_label, of_map = sides
        label_found, map_found = set(), set()
        for i, (g, _) in enumerate(of_label):
            for j, (p, _) in enumerate(of_map):
                iou = (g & p).sum() / max(((g & known_label) | (p & known_map)).sum(), 1)
                if iou > 0.5:
                    assert i not in label_found
                    assert j not in map_found
                    label_found.add(i)
                    map_found.add(j)
                    if g.sum() >= counter.min_area:
                        outcomes.append(Outcome(k, "matched", first_of(g & known_label), iou))
                    else:
                        outcomes += [Outcome(k, "left_out_label", None), Outcome(k, "left_out_map", None)]
        for regions, found, kind, left in (
            (of_label, label_found, "missed", "left_out_label"),
            (of_map, map_found, "false_alarms", "left_out_map"),
        ):
            for i, (region, known) in enumerate(regions):
                excused = region.sum() < counter.min_area or 2 * (region & ~known).sum() > region.sum()
                if i not in found:
                    outcomes.append(Outcome(k, left if excused else kind, first_of(region & known)))
    return outcomes


def first_of(pixels: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The first of some pixels, row by row."""
    return next((tuple(at) for at in np.argwhere(pixels).tolist()), None)


def matched_one_by_one(label: Ids, prediction: Ids, counter: ObjectCounter) -> dict[int, ObjectScores]:
    outcomes = outcomes_one_by_one(label, prediction, counter)
    scores = {}
    for k in counter.classes:
        of_class = [outcome for outcome in outcomes if outcome.class_id == k]
        numbers = {
            field.name: sum(o.kind == field.name for o in of_class)
            for field in fields(ObjectScores)
            if field.name != "iou"
        }
        scores[k] = ObjectScores(iou=math.fsum(o.iou for o in of_class), **numbers)
    return scores


@given(scenes(), counters)
def test_scores_are_those_of_matching_one_by_one(scene: tuple[Ids, Ids], counter: ObjectCounter) -> None:
    found = counted(counter, *scene)

    expected = matched_one_by_one(*scene, counter)
    for k, scores in found.scores.items():
        assert scores.iou == pytest.approx(expected[k].iou)
        assert replace(scores, iou=0) == replace(expected[k], iou=0)
    assert found.scores.keys() == expected.keys()


@given(scenes(), counters, st.integers(0, 2**32))
def test_any_windows_in_any_order_give_the_same(
    scene: tuple[Ids, Ids], counter: ObjectCounter, seed: int
) -> None:
    area = Window(7, 2, scene[0].shape[1], scene[0].shape[0])
    windows = any_partition(area, np.random.default_rng(seed))

    found = counted(counter, *scene, windows, origin=(7, 2))

    assert found.scores == counted(counter, *scene).scores
    assert not found.pieces


def listed(counts: BlockCounts) -> tuple[int, dict[Place, tuple[list[int], list[int]]]]:
    return counts.doublings, {
        place: (of.cells.tolist(), of.counts.tolist()) for place, of in counts.blocks.items()
    }


@given(scenes(), counters, st.integers(1, 6))
def test_a_region_is_counted_in_the_block_of_its_first_known_pixel(
    scene: tuple[Ids, Ids], counter: ObjectCounter, side: int
) -> None:
    found = counted(replace(counter, blocks=BlockGrid(side=side, image=2)), *scene)

    compared = np.argwhere((scene[0] != 255) & (scene[1] != 255)) // side
    expected = {Place(2, row, col): np.zeros((4, len(counter.classes))) for row, col in compared.tolist()}
    for outcome in outcomes_one_by_one(*scene, counter):
        if outcome.kind in KINDS:
            assert outcome.first is not None
            row, col = outcome.first
            values = expected[Place(2, row // side, col // side)]
            values[KINDS.index(outcome.kind) + 1, counter.classes.index(outcome.class_id)] += 1
            values[0, counter.classes.index(outcome.class_id)] += outcome.iou * 2**30
    assert found.blocks.blocks.keys() == expected.keys()
    for place, values in expected.items():
        np.testing.assert_allclose(found.blocks.arrays([place])[0], values, atol=len(expected) + 1)
        np.testing.assert_array_equal(found.blocks.arrays([place])[0, 1:], values[1:])


KINDS = ("matched", "missed", "false_alarms")


@given(scenes(), counters, st.integers(1, 6), st.integers(1, 12), st.integers(0, 2**32))
def test_any_windows_give_the_same_blocks_and_these_add_up_to_the_scores(
    scene: tuple[Ids, Ids], counter: ObjectCounter, side: int, most: int, seed: int
) -> None:
    counter = replace(counter, blocks=BlockGrid(side=side))
    area = Window(7, 2, scene[0].shape[1], scene[0].shape[0])
    windows = any_partition(area, np.random.default_rng(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rsseg.evaluation.block_counts._MOST_BLOCKS", most)

        whole = counted(counter, *scene, origin=(7, 2))
        parts = counted(counter, *scene, windows, origin=(7, 2))

    assert listed(parts.blocks) == listed(whole.blocks)
    assert len(whole.blocks.blocks) <= most
    for k, column in zip(counter.classes, whole.blocks.total().T, strict=True):
        total, scores = ObjectScores.of(column), whole.scores[k]
        assert total.iou == pytest.approx(scores.iou, abs=1e-9 * max(scores.matched, 1))
        assert replace(total, iou=0) == replace(scores, iou=0, left_out_label=0, left_out_map=0)


def test_without_blocks_there_are_none() -> None:
    assert counted(ObjectCounter(classes=(1,)), drawn("11."), drawn("11.")).blocks is None


def test_a_match_over_two_blocks_belongs_to_that_of_the_labels() -> None:
    label, prediction = drawn("...111...", "........."), drawn("..111....", ".........")

    found = counted(ObjectCounter(classes=(1,), blocks=BlockGrid(side=3)), label, prediction)

    assert found.scores[1].matched == 0  # an IoU of one half
    assert found.blocks.arrays()[:, :, 0].tolist() == [[0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]
    better = counted(
        ObjectCounter(classes=(1,), blocks=BlockGrid(side=3)), label, drawn("..1111...", ".........")
    )
    assert better.blocks.arrays()[:, 1:, 0].tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_unknown_ground_is_no_block_even_where_a_region_begins_there() -> None:
    found = counted(ObjectCounter(classes=(1,), blocks=BlockGrid(side=1)), drawn("111.x."), drawn("x11.11"))

    assert sorted(place.col for place in found.blocks.blocks) == [1, 2, 3, 5]
    assert found.blocks.arrays()[:, 1:, 0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]]


@settings(max_examples=20)
@given(scenes())
def test_windows_of_a_pixel_give_the_same(scene: tuple[Ids, Ids]) -> None:
    counter = ObjectCounter(classes=(1, 2))
    height, width = scene[0].shape
    pixels = [Window(col, row, 1, 1) for row in range(height) for col in range(width)]

    assert counted(counter, *scene, pixels).scores == counted(counter, *scene).scores


@settings(max_examples=40)
@given(scenes(), scenes(), st.integers(0, 2**32))
def test_pairs_add_up_and_do_not_touch(one: tuple[Ids, Ids], two: tuple[Ids, Ids], seed: int) -> None:
    counter = ObjectCounter(classes=(1, 2))
    rng = np.random.default_rng(seed)
    parts = [
        counted(counter, *scene, any_partition(Window(0, 0, *scene[0].shape[::-1]), rng), pair=i)
        for i, scene in enumerate((one, two))
    ]

    total = parts[0] + parts[1]

    for k in (1, 2):
        expected = [matched_one_by_one(*scene, counter)[k] for scene in (one, two)]
        assert total.scores[k].iou == pytest.approx(expected[0].iou + expected[1].iou)
        assert total.scores[k].matched == expected[0].matched + expected[1].matched
        assert total.scores[k].missed == expected[0].missed + expected[1].missed


def test_windows_of_two_pairs_may_come_mixed() -> None:
    counter = ObjectCounter(classes=(1,))
    ones = np.ones((2, 4), dtype=np.uint8)
    left, right = Window(0, 0, 2, 2), Window(2, 0, 2, 2)
    halves = [
        _half(counter, ones, window, pair=pair)
        for pair, window in ((0, left), (1, right), (1, left), (0, right))
    ]

    total = sum(halves[1:], halves[0])

    assert total.scores == {1: ObjectScores(iou=2.0, matched=2)}
    assert not total.pieces


def _half(counter: ObjectCounter, ones: Ids, window: Window, *, pair: int) -> ObjectCounts:
    part = ones[window.slices()]
    return counter.count(
        Seen(
            keep=window, read=window, whole=Window(0, 0, 4, 2), label=part, prediction=part.copy(), pair=pair
        )
    )


def drawn(*rows: str) -> Ids:
    """A map of digits; a dot is class 0, an x 255."""
    values = {".": 0, "x": 255}
    return np.array([[values.get(c) if c in values else int(c) for c in row] for row in rows], np.uint8)


def scores(label: Ids, prediction: Ids, **rules: int) -> ObjectScores:
    found: ObjectScores = counted(ObjectCounter(classes=(1,), **rules), label, prediction).scores[1]
    return found


def test_one_found_one_missed_one_false_alarm() -> None:
    label = drawn("11.....", "11...11", ".......")
    prediction = drawn("11.....", "1......", "..1....")

    found = scores(label, prediction)

    assert found == ObjectScores(iou=0.75, matched=1, missed=1, false_alarms=1)
    assert (found.precision, found.recall, found.f1, found.mean_iou) == (0.5, 0.5, 0.5, 0.75)


def test_an_iou_of_exactly_one_half_is_no_match() -> None:
    assert scores(drawn("11.."), drawn("1...")) == ObjectScores(missed=1, false_alarms=1)


def test_corners_do_not_connect() -> None:
    diagonal = drawn("1.", ".1")

    assert scores(diagonal, diagonal).matched == 2


def test_a_region_mostly_on_ignored_ground_is_left_out_and_half_of_it_is_not() -> None:
    assert scores(drawn(".xx"), drawn("111")) == ObjectScores(left_out_map=1)
    assert scores(drawn(".x"), drawn("11")) == ObjectScores(false_alarms=1)
    assert scores(drawn("111"), drawn(".xx")) == ObjectScores(left_out_label=1)


def test_ignored_pixels_do_not_speak_against_a_match() -> None:
    assert scores(drawn("11xx"), drawn("1111")) == ObjectScores(iou=1.0, matched=1)


def test_small_regions_are_left_out_and_so_is_what_matches_them() -> None:
    label, prediction = drawn("111..11..", "111......"), drawn("111..11.1", "111......")

    assert scores(label, prediction, min_area=3) == ObjectScores(
        iou=1.0, matched=1, left_out_label=1, left_out_map=2
    )


def test_a_small_region_may_still_match_a_large_one() -> None:
    assert scores(drawn("111"), drawn("11."), min_area=3) == ObjectScores(iou=2 / 3, matched=1)


@pytest.mark.parametrize(
    ("label", "prediction"), [(drawn("."), drawn(".")), (drawn("x"), drawn(".")), (drawn("x"), drawn("x"))]
)
def test_without_objects_the_scores_are_undefined(label: Ids, prediction: Ids) -> None:
    found = scores(label, prediction)

    assert found == ObjectScores()
    assert all(math.isnan(v) for v in (found.precision, found.recall, found.f1, found.mean_iou))


def test_one_pixel_found() -> None:
    assert scores(drawn("1"), drawn("1")) == ObjectScores(iou=1.0, matched=1)
