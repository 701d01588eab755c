"""Erosion of boundaries: the published fixtures, a slow version, and examples drawn by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rsseg.evaluation.boundary import erode_boundaries
from tests.conftest import PARITY
from tests.shared import shared_folder

labels = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, 255])
)


def eroded_pixel_by_pixel(label: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    eroded = label.copy()
    rows, cols = np.indices(label.shape)
    for (row, col), value in np.ndenumerate(label):
        disc = (rows - row) ** 2 + (cols - col) ** 2 <= radius**2
        if (label[disc] != value).any():
            eroded[row, col] = 255
    return eroded


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_the_eroded_labels_are_those_of_the_fixtures(
    case: str, record_property: Callable[[str, object], None]
) -> None:
    with np.load(shared_folder("specs", "fixtures") / "metrics.npz") as arrays:
        label, expected = arrays[f"{case}/label"], arrays[f"{case}/label_eroded3"]

    eroded = erode_boundaries(label)

    wrong = np.count_nonzero(eroded != expected)
    what = f"metrics {case} label_eroded3, pixels that differ"
    record_property(PARITY, f"{what:48} uint8    {wrong:8d}  {0:8d}  {0:6.3f}")
    assert wrong == 0


@given(labels, st.integers(0, 4))
def test_erosion_is_its_definition(label: NDArray[np.uint8], radius: int) -> None:
    before = label.copy()

    np.testing.assert_array_equal(
        erode_boundaries(label, radius=radius), eroded_pixel_by_pixel(label, radius)
    )
    np.testing.assert_array_equal(label, before)


def test_an_edge_loses_its_radius_on_both_sides_but_not_at_the_border_of_the_image() -> None:
    label = np.repeat(np.uint8([[1] * 6 + [2] * 6]), 9, axis=0)

    eroded = erode_boundaries(label, radius=3)

    assert eroded.tolist() == [[1] * 3 + [255] * 6 + [2] * 3] * 9


def test_a_pixel_of_another_class_makes_a_hole_of_29_pixels() -> None:
    label = np.zeros((11, 11), dtype=np.uint8)
    label[5, 5] = 1

    assert np.count_nonzero(erode_boundaries(label, radius=3) == 255) == 29


def test_the_ignore_value_counts_as_another_class_and_stays() -> None:
    label = np.array([[0, 0, 0, 255]], dtype=np.uint8)

    assert erode_boundaries(label, radius=1).tolist() == [[0, 0, 255, 255]]


def test_the_type_of_the_label_and_another_ignore_value_are_kept() -> None:
    eroded = erode_boundaries(np.array([[7, 300]], dtype=np.int32), radius=1, ignore_index=-1)

    assert eroded.dtype == np.int32
    assert eroded.tolist() == [[-1, -1]]
