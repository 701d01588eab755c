"""What people see of an image."""

from __future__ import annotations

import numpy as np

from rsseg.raster import Pixels
from rsseg.raster.tones import Tones


def test_eight_bits_stay_as_they_are_and_the_rest_is_stretched() -> None:
    valid = np.ones((1, 101), np.bool_)
    eight = Pixels(np.arange(101, dtype=np.uint8)[None, None], valid)
    sixteen = Pixels(1000 + 10 * np.arange(101, dtype=np.uint16)[None, None], valid)

    assert Tones.of(eight).rgb(eight)[0, :, 1].tolist() == list(range(101))
    shown = Tones.of(sixteen).rgb(sixteen)[0, :, 0]
    assert (shown[0], shown[50], shown[100]) == (0, 128, 255)
    assert shown.tolist() == sorted(shown.tolist())


def test_pixels_without_data_are_white_and_decide_no_tones() -> None:
    data = np.array([[[np.nan, 1.0, 2.0, 1e9]]], np.float32)
    pixels = Pixels(data, np.array([[False, True, True, False]]))

    rgb = Tones.of(pixels).rgb(pixels)

    assert rgb[0, :, 0].tolist() == [255, 0, 255, 255]


def test_an_image_without_any_data_is_white() -> None:
    pixels = Pixels(np.zeros((3, 2, 2), np.uint16), np.zeros((2, 2), np.bool_))

    assert (Tones.of(pixels).rgb(pixels) == 255).all()


def test_each_band_has_its_own_tones_and_all_parts_the_same() -> None:
    valid = np.ones((1, 2), np.bool_)
    parts = [
        Pixels(np.array([[[1, 2]], [[100, 200]], [[7, 7]]], np.uint16), valid),
        Pixels(np.array([[[2, 1]], [[200, 300]], [[7, 7]]], np.uint16), valid),
    ]

    tones = Tones.of(*parts)

    assert tones.rgb(parts[0])[0, :, 0].tolist() == [0, 255]
    assert tones.rgb(parts[1])[0, 1].tolist()[:2] == [0, 255]
    assert tones.rgb(parts[0])[0, 1, 1] == tones.rgb(parts[1])[0, 0, 1]
