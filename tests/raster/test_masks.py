from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rsseg.raster.masks import _as_pixel, valid_pixels

pixels = hnp.arrays(
    np.int16, st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)), elements=st.integers(-1, 1)
)


@given(pixels)
def test_a_pixel_is_nodata_only_where_all_bands_say_so(data: NDArray[Any]) -> None:
    nodata = [0, -1, 1][: len(data)]

    valid = valid_pixels(data, nodata=nodata)

    for row, col in np.ndindex(*valid.shape):
        assert valid[row, col] == any(data[band, row, col] != nodata[band] for band in range(len(data)))


def test_any_value_that_is_not_finite_makes_the_pixel_invalid() -> None:
    data = np.array([[[1, np.nan, 1, 1]], [[1, 1, np.inf, -np.inf]]], dtype=np.float32)

    assert valid_pixels(data, nodata=()).tolist() == [[True, False, False, False]]


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (0.0, "uint8", 0),
        (255.0, "uint8", 255),
        (-9999.0, "uint8", None),
        (256.0, "uint8", None),
        (0.5, "uint8", None),
        (float("nan"), "uint16", None),
        (float("inf"), "uint16", None),
        (-9999.0, "int16", -9999),
        (-9999.0, "float32", -9999.0),
        (0.1, "float32", float(np.float32(0.1))),
        (-3.4028234663852886e38, "float32", float(np.finfo(np.float32).min)),
        (1e300, "float32", None),
        (float("nan"), "float32", None),
    ],
)
def test_nodata_is_compared_as_the_pixels_hold_it(value: float, dtype: str, expected: float | None) -> None:
    assert _as_pixel(value, dtype) == expected
