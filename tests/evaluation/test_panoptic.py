"""Panoptic quality: the published fixtures, the definition over sets of pixels, and scenes drawn by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rsseg.errors import LabelError
from rsseg.evaluation.panoptic import CategorySums, PanopticSums, Segment, match_segments
from tests.conftest import PARITY
from tests.shared import shared_folder

TOLERANCE = 1e-12
Map = tuple[NDArray[np.int32], list[Segment]]


def fixture_sums(name: str) -> tuple[dict[str, Any], PanopticSums]:
    folder = shared_folder("specs", "fixtures")
    about = json.loads((folder / "metrics.json").read_text())["panoptic"][name]
    with np.load(folder / "metrics.npz") as arrays:
        label, predicted = arrays[f"{name}/gt_ids"], arrays[f"{name}/pred_ids"]
    segments = {
        which: [Segment(s["id"], s["category_id"], bool(s["iscrowd"])) for s in about[which]]
        for which in ("gt_segments", "pred_segments")
    }
    return about, match_segments(label, segments["gt_segments"], predicted, segments["pred_segments"])


@pytest.mark.parametrize("name", ["pan1", "pan2"])
def test_sums_and_scores_are_those_of_the_fixtures(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    about, sums = fixture_sums(name)
    expected = about["result"]
    things = {c["id"] for c in about["categories"].values() if c["isthing"]}
    stuff = {c["id"] for c in about["categories"].values()} - things

    errors = []
    for category, counts in expected["counts"].items():
        found = sums.categories[int(category)]
        assert (found.tp, found.fp, found.fn) == (counts["tp"], counts["fp"], counts["fn"])
        errors.append(abs(found.iou - counts["iou"]))
        scores = expected["per_class"][category]
        errors += [abs(getattr(found, score) - scores[score]) for score in ("pq", "sq", "rq")]
    for group, over in {"all": None, "things": things, "stuff": stuff}.items():
        mean = sums.mean(over)
        assert mean.categories == expected[group]["n"]
        errors += [abs(getattr(mean, score) - expected[group][score]) for score in ("pq", "sq", "rq")]
    record_property(
        PARITY,
        f"{f'metrics {name} panoptic quality':48} float64  {max(errors):8.1e}  {TOLERANCE:8.1e}"
        f"  {max(errors) / TOLERANCE:6.3f}",
    )
    assert max(errors) <= TOLERANCE


def test_sums_of_several_images_add_up() -> None:
    (_, one), (_, other) = fixture_sums("pan1"), fixture_sums("pan2")

    both = one + other

    assert (both.categories[2].tp, both.categories[2].fp, both.categories[2].fn) == (5, 2, 5)
    assert both.categories[2].iou == pytest.approx(1.0 + 2.470899178833193)
    assert both.categories[1].pq == pytest.approx(
        (1.813123793768955 + 0.7017543859649122) / (4 + 2 / 2 + 4 / 2)
    )
    assert sum([one, other], PanopticSums()) == both


def by_the_definition(label: Map, predicted: Map) -> dict[int, list[float]]:
    """[sum of IoU, TP, FP, FN] of each category, from sets of pixels."""
    sums: dict[int, list[float]] = {}
    void = pixels_of(label[0], 0)
    matched = set()
    for g in label[1]:
        found = False
        for p in predicted[1]:
            gs, ps = pixels_of(label[0], g.id), pixels_of(predicted[0], p.id)
            iou = len(gs & ps) / len((gs | ps) - (ps & void))
            if g.category == p.category and not g.crowd and iou > 0.5:
                found = True
                matched.add(p.id)
                totals = sums.setdefault(g.category, [0, 0, 0, 0])
                totals[0] += iou
                totals[1] += 1
        if not found and not g.crowd:
            sums.setdefault(g.category, [0, 0, 0, 0])[3] += 1
    for p in predicted[1]:
        crowds = [pixels_of(label[0], g.id) for g in label[1] if g.crowd and g.category == p.category]
        ps = pixels_of(predicted[0], p.id)
        if p.id not in matched and len(ps & void.union(*crowds)) / len(ps) <= 0.5:
            sums.setdefault(p.category, [0, 0, 0, 0])[2] += 1
    return sums


def pixels_of(ids: NDArray[np.int32], segment: int) -> set[int]:
    return set(np.flatnonzero(ids == segment).tolist())


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Map, Map]:
    """A map of a few large segments and a copy of it with errors, both with random categories and crowds."""
    label = draw(hnp.arrays(np.int32, (3, 4), elements=st.integers(0, 5))).repeat(2, axis=0)
    errors = draw(hnp.arrays(np.int32, label.shape, elements=st.sampled_from([-1] * 6 + [0, 1, 2, 3, 4, 5])))
    predicted = np.where(errors < 0, label, errors)
    return (label, draw(segments_of(label, crowds=True))), (
        predicted,
        draw(segments_of(predicted, crowds=False)),
    )


def segments_of(ids: NDArray[np.int32], *, crowds: bool) -> st.SearchStrategy[list[Segment]]:
    crowd = st.booleans() if crowds else st.just(False)
    segments = [
        st.builds(Segment, st.just(i), st.sampled_from([7, 7, 8]), crowd)
        for i in np.unique(ids).tolist()
        if i != 0
    ]
    return st.tuples(*segments).map(list)


@given(scenes())
def test_matching_is_its_definition(scene: tuple[Map, Map]) -> None:
    (label, label_segments), (predicted, predicted_segments) = scene

    sums = match_segments(label, label_segments, predicted, predicted_segments)

    found = {category: [s.iou, s.tp, s.fp, s.fn] for category, s in sums.categories.items()}
    expected = by_the_definition(*scene)
    assert found.keys() == expected.keys()
    for category, numbers in expected.items():
        assert found[category] == pytest.approx(numbers)


@given(scenes(), st.permutations(list(range(1, 6))))
def test_ids_mean_nothing(scene: tuple[Map, Map], order: list[int]) -> None:
    new = np.array([0, *(n * 65536 + 7 for n in order)], dtype=np.int32)
    renamed = [
        (new[ids], [Segment(int(new[s.id]), s.category, s.crowd) for s in segments])
        for ids, segments in scene
    ]

    one, other = match_segments(*scene[0], *scene[1]), match_segments(*renamed[0], *renamed[1])

    assert one.categories.keys() == other.categories.keys()
    for category, sums in one.categories.items():
        assert (sums.tp, sums.fp, sums.fn) == tuple(
            getattr(other.categories[category], name) for name in ("tp", "fp", "fn")
        )
        assert other.categories[category].iou == pytest.approx(sums.iou)


def row(text: str, category: int = 1, crowd: str = "") -> Map:
    """`110022` as a map of one row, all segments of one category."""
    ids = np.array([[int(c) for c in text]], dtype=np.int32)
    return ids, [Segment(i, category, str(i) in crowd) for i in np.unique(ids).tolist() if i]


@pytest.mark.parametrize(
    ("label", "predicted", "expected"),
    [
        (row("1111"), row("1111"), CategorySums(iou=1.0, tp=1)),
        (row("1111"), row("1100"), CategorySums(fp=1, fn=1)),  # an IoU of one half is no match
        (row("111000"), row("111111"), CategorySums(iou=1.0, tp=1)),  # void under a prediction is left out
        (row("111110"), row("000011"), CategorySums(fp=1, fn=1)),  # half in void is not more than half
        (row("11000"), row("00111"), CategorySums(fn=1)),
        (row("1111", crowd="1"), row("1122"), None),  # nothing to find, nobody to blame
        (row("1111222", crowd="1"), row("1111110"), CategorySums(fn=1)),
    ],
)
def test_scenes_of_one_row(label: Map, predicted: Map, expected: CategorySums | None) -> None:
    sums = match_segments(*label, *predicted)

    assert dict(sums.categories) == ({} if expected is None else {1: expected})


def test_a_crowd_excuses_predictions_of_its_own_category_only() -> None:
    sums = match_segments(*row("1111", category=1, crowd="1"), *row("1111", category=2))

    assert dict(sums.categories) == {2: CategorySums(fp=1)}


def test_another_category_is_no_match() -> None:
    sums = match_segments(*row("1111", category=1), *row("1111", category=2))

    assert dict(sums.categories) == {1: CategorySums(fn=1), 2: CategorySums(fp=1)}


def test_means_leave_out_categories_without_segments() -> None:
    sums = PanopticSums({1: CategorySums(iou=0.8, tp=1), 2: CategorySums(fn=3), 3: CategorySums()})

    mean = sums.mean()

    assert (mean.pq, mean.sq, mean.rq, mean.categories) == pytest.approx((0.4, 0.4, 0.5, 2))
    assert sums.mean({1, 3}).pq == pytest.approx(0.8)
    assert sums.mean({3}).categories == 0
    assert math.isnan(sums.mean({3}).pq)
    assert math.isnan(sums.categories[3].pq)


def test_maps_of_different_sizes_are_refused() -> None:
    with pytest.raises(LabelError, match=r"shape \(1, 3\); its reference has \(1, 4\)"):
        match_segments(*row("1111"), *row("111"))


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([Segment(1, 1)], "segment 2 of the reference is in the map but not listed"),
        (
            [Segment(1, 1), Segment(2, 1), Segment(9, 1)],
            "segment 9 of the reference is listed but not in the map",
        ),
    ],
)
def test_a_list_that_is_not_the_map_s_is_refused(segments: list[Segment], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        match_segments(np.array([[1, 2]]), segments, *row("11"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64, np.int64])
def test_maps_of_any_integer_type_mean_the_same(dtype: type[np.integer[Any]]) -> None:
    ids, segments = np.array([[1, 1, 2], [0, 2, 2]]), [Segment(1, 7), Segment(2, 8)]

    sums = match_segments(ids.astype(dtype), segments, ids.astype(dtype), segments)

    assert {category: (s.iou, s.tp, s.fp, s.fn) for category, s in sums.categories.items()} == {
        7: (1.0, 1, 0, 0),
        8: (1.0, 1, 0, 0),
    }


def test_a_segment_that_is_listed_twice_is_refused() -> None:
    ids, once = np.array([[1, 2]]), [Segment(1, 7), Segment(2, 8)]

    with pytest.raises(LabelError, match="segment 2 of the prediction is listed more than once"):
        match_segments(ids, once, ids, [*once, Segment(2, 7)])
