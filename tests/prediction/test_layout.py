"""What is said of slow ways to store a raster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rsseg.prediction.layout import layout_warnings
from rsseg.raster.layout import Layout

GOOD = Layout(
    driver="GTiff",
    compression="deflate",
    block_shape=(512, 512),
    block_bytes=3 * 512 * 512,
    has_overviews=True,
    is_remote=False,
    all_valid=True,
)


def warned(layout: Layout, **changes: Any) -> str:
    settings = {"width": 20_000, "height": 20_000, "band_width": 8192, "cache_bytes": 2**25, "preview": True}
    return "\n".join(warning.text for warning in layout_warnings("a.tif", layout, **{**settings, **changes}))


def test_of_a_well_stored_raster_nothing_is_said() -> None:
    assert warned(GOOD) == ""
    assert warned(replace(GOOD, is_remote=True)) == ""


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"block_shape": (1, 20_000)}, "is stored in strips of 1 x 20000 px, each of which is decoded 3 times"),
        ({"block_shape": (8, 20_000), "driver": "JPEG"}, "a JPEG picture is decoded from its beginning, here 3 times"),
        ({"block_shape": (4096, 4096), "block_bytes": 3 * 2**24}, "its blocks of 4096 x 4096 px take 50 MB each"),
        ({"block_shape": (64, 64)}, "is stored in blocks of only 64 x 64 px"),
        ({"compression": "", "is_remote": True}, "is not compressed, so more than needed comes over the network"),
        ({"has_overviews": False}, "has no overviews, so the preview reads all 400 Mpx once more"),
    ],
)  # fmt: skip
def test_what_is_slow_is_said(changes: dict[str, Any], text: str) -> None:
    assert text in warned(replace(GOOD, **changes))


def test_strips_that_are_decoded_once_are_no_matter() -> None:
    assert warned(replace(GOOD, block_shape=(1, 20_000)), band_width=20_000) == ""


def test_a_small_raster_in_one_block_is_no_matter() -> None:
    assert warned(replace(GOOD, block_shape=(50, 60)), width=60, height=50) == ""


def test_without_a_preview_overviews_are_no_matter() -> None:
    assert warned(replace(GOOD, has_overviews=False), preview=False) == ""
