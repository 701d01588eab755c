"""Marks of pixels, and windows that cover what is labelled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.data.survey import PATCH, marks_of, merge_cells
from rsseg.raster import Pixels
from rsseg.tiling import Window, plan_blocks
from tests.making import random_pixels


def marks(data: np.ndarray, labels: np.ndarray | None = None, *, share: float = 0.02) -> set[int]:
    shape = data.shape[1:]
    labels = np.zeros(shape, np.uint8) if labels is None else labels
    return set(marks_of(Pixels(data, np.ones(shape, np.bool_)), labels, share=share).tolist())


@given(st.integers(0, 30), st.integers(0, 30))
def test_a_cut_has_the_marks_of_the_whole_that_lie_in_it(row: int, col: int) -> None:
    whole = random_pixels(80, 80)
    labels = np.full((80, 80), 255, np.uint8)
    half = PATCH // 2
    labels[row + half : row + 40 - half + 1, col + half : col + 40 - half + 1] = (
        0  # middles of patches in the cut
    )

    inside = marks(whole[:, row : row + 40, col : col + 40])

    assert inside == marks(whole, labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
def test_pixels_of_any_type_have_marks_and_others_have_others(dtype: type) -> None:
    first, second = (random_pixels(64, 64, seed=seed).astype(dtype) for seed in (1, 2))

    assert len(marks(first)) > 10
    assert not marks(first) & marks(second)


def test_about_the_share_asked_for_become_marks() -> None:
    assert 60 < len(marks(random_pixels(100, 100), share=1 / 64)) < 180


def test_flat_ground_has_no_marks() -> None:
    assert not marks(np.full((3, 64, 64), 255, np.uint8), share=1.0)


def test_what_is_smaller_than_a_patch_has_no_marks() -> None:
    assert not marks(random_pixels(PATCH - 1, 40), share=1.0)


@given(st.integers(1, 70), st.integers(1, 70), st.randoms(use_true_random=False))
def test_merged_cells_cover_the_same_pixels_once(width: int, height: int, random: object) -> None:
    cells = [c for c in plan_blocks(width, height, block=16) if random.random() < 0.7]  # type: ignore[attr-defined]
    expected, found = np.zeros((2, height, width), np.int64)
    for cell in cells:
        expected[cell.slices()] += 1

    merged = merge_cells(cells)

    for window in merged:
        found[window.slices()] += 1
    assert np.array_equal(found, expected)
    assert len(merged) <= len(cells)


def test_a_whole_raster_is_one_window() -> None:
    assert merge_cells(plan_blocks(300, 200, block=128)) == [Window(0, 0, 300, 200)]
