from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from rsseg.prediction.blend import Averaged, Blender, BlendPlacing, Weighed
from rsseg.prediction.decide import DecisionRule
from rsseg.raster import ClassMapWriter, Grid
from rsseg.tiling import Window
from rsseg.tiling.blending import BlendPlan, BlendTile, plan_blend
from tests.making import THREE, read_band

STRIDE = 4
LENGTHS = st.integers(1, 90)
SIZES = st.tuples(st.integers(1, 8), st.integers(0, 5)).map(
    lambda s: (STRIDE * (s[0] + 2 * s[1]), STRIDE * s[1])
)
"""Tile and halo."""
Probs = Callable[[BlendTile], NDArray[np.float32]]


def noise_of(tile: BlendTile) -> NDArray[np.float32]:
    """Other numbers in every tile (2, rows, cols), the same each time."""
    shape = (2, tile.read.height, tile.read.width)
    return np.random.default_rng(abs(hash(tile.read))).random(shape, dtype=np.float32)


def cut_from(whole: NDArray[np.float32]) -> Probs:
    """What a network gives that looks at single pixels."""

    def probs(tile: BlendTile) -> NDArray[np.float32]:
        part = np.zeros((len(whole), tile.read.height, tile.read.width), dtype=np.float32)
        inside = tile.read.intersection(Window.whole(whole.shape[2], whole.shape[1]))
        part[(..., *inside.slices(tile.read))] = whole[(..., *inside.slices())]
        return part

    return probs


def blended(
    plan: BlendPlan, probs: Probs, done: Callable[[Window], bool] = lambda _window: False
) -> list[Averaged]:
    """What all tiles together give that are not done; all pixels are wanted."""
    blender, found = Blender(plan, done=done), list[Averaged]()
    for tile in plan:
        if not done(tile.keep):
            wanted = np.ones((tile.read.height, tile.read.width), dtype=np.bool_)
            found += blender.place(tile, probs(tile), wanted)
    assert not blender._open
    return found


def joined(parts: list[Averaged], width: int, height: int) -> NDArray[np.float32]:
    """The averages of all windows (K, height, width), each of which must be there once."""
    whole = np.full((2, height, width), np.nan, dtype=np.float32)
    for window, probs, wanted in parts:
        assert probs is not None and wanted is not None and wanted.all()
        assert np.isnan(whole[(..., *window.slices())]).all()
        whole[(..., *window.slices())] = probs
    assert not np.isnan(whole).any()
    return whole


@given(LENGTHS, LENGTHS, SIZES)
def test_every_pixel_is_the_weighted_average_of_its_tiles(
    width: int, height: int, sizes: tuple[int, int]
) -> None:
    plan = plan_blend(width, height, tile=sizes[0], halo=sizes[1], stride=STRIDE)
    expected = np.zeros((2, height, width))
    for tile in plan:
        weights = np.outer(*plan.weights(tile))
        expected[(..., *tile.keep.slices())] += weights * noise_of(tile)[(..., *tile.keep.slices(tile.read))]

    found = joined(blended(plan, noise_of), width, height)

    assert abs(found - expected).max() < 1e-6


@given(LENGTHS, LENGTHS, SIZES)
def test_a_network_that_looks_at_single_pixels_gives_the_same_under_any_tiling(
    width: int, height: int, sizes: tuple[int, int]
) -> None:
    whole = np.random.default_rng(0).random((2, height, width), dtype=np.float32)
    plan = plan_blend(width, height, tile=sizes[0], halo=sizes[1], stride=STRIDE)

    found = joined(blended(plan, cut_from(whole)), width, height)

    assert abs(found - whole).max() < 1e-6


@pytest.mark.parametrize(("reach", "same"), [(1, True), (4, True), (5, False)])
def test_a_halo_of_twice_the_reach_makes_tiles_invisible(reach: int, same: bool) -> None:
    kernel = torch.ones(2, 1, 2 * reach + 1, 2 * reach + 1) / (2 * reach + 1) ** 2
    pixels = torch.rand(1, 1, 60, 76, generator=torch.Generator().manual_seed(0))
    whole = nn.functional.conv2d(pixels, kernel, padding=reach)[0].numpy()
    plan = plan_blend(76, 60, tile=32, halo=8, stride=STRIDE)

    def probs(tile: BlendTile) -> NDArray[np.float32]:
        seen = pixels[(..., *tile.read.slices())]
        decided: NDArray[np.float32] = nn.functional.conv2d(seen, kernel, padding=reach)[0].numpy()
        return decided

    found = joined(blended(plan, probs), 76, 60)

    assert (abs(found - whole).max() < 1e-6) == same


@given(LENGTHS, LENGTHS, SIZES, st.integers(0, 2**31))
def test_a_run_that_goes_on_gives_the_same_averages_bit_for_bit(
    width: int, height: int, sizes: tuple[int, int], seed: int
) -> None:
    """Any blocks of 16 px may be done."""
    plan = plan_blend(width, height, tile=sizes[0], halo=sizes[1], stride=STRIDE)
    is_done = np.random.default_rng(seed).random((-(-height // 16), -(-width // 16))) < 0.6
    done_pixels = is_done.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]

    def done(window: Window) -> bool:
        return bool(done_pixels[window.slices()].all())

    whole = joined(blended(plan, noise_of), width, height)
    again = np.full_like(whole, np.nan)
    for window, probs, _ in blended(plan, noise_of, done):
        assert probs is not None
        again[(..., *window.slices())] = probs

    assert (again == whole)[:, ~done_pixels].all()


def test_tiles_without_anything_wanted_leave_windows_without_probabilities() -> None:
    plan = plan_blend(48, 24, tile=24, halo=4, stride=STRIDE)
    blender, found = Blender(plan), list[Averaged]()
    for tile in plan:
        wanted = np.zeros((tile.read.height, tile.read.width), dtype=np.bool_)
        wanted[:, : max(0, 20 - tile.read.col_off)] = True  # the left 20 columns
        has_data = bool(wanted[tile.keep.slices(tile.read)].any())
        parts = blender.place(tile, noise_of(tile) if has_data else None, wanted if has_data else None)
        found += parts

    decided = np.zeros((24, 48), dtype=np.bool_)
    for window, probs, wanted_there in found:
        assert (probs is None) == (wanted_there is None)
        if wanted_there is not None:
            decided[window.slices()] = wanted_there
    assert decided[:, :20].all()
    assert not decided[:, 20:].any()
    assert any(probs is None for _, probs, _ in found)


def test_no_more_is_open_than_a_strip_as_wide_as_a_band() -> None:
    plan = plan_blend(4096, 4096, tile=96, halo=16, stride=STRIDE, band_width=1024)
    blender, most = Blender(plan), 0

    for tile in plan:
        list(blender.place(tile, None, None))
        most = max(most, sum(window.pixels for window in blender._open))

    assert most <= 16 * 1024 + 2 * 96 * 16


def test_averages_become_a_map(tmp_path: Path) -> None:
    width, height = 700, 530
    whole = np.random.default_rng(0).random((3, height, width), dtype=np.float32)
    plan = plan_blend(width, height, tile=200, halo=40, stride=STRIDE)
    probs = cut_from(whole)

    with ClassMapWriter(tmp_path / "map.tif", grid=Grid(width, height), classes=THREE) as writer:
        placing = BlendPlacing(writer, plan, DecisionRule())
        for tile in plan:
            wanted = np.ones((tile.read.height, tile.read.width), dtype=np.bool_)
            wanted[:, : max(0, 100 - tile.read.col_off)] = False
            has_data = bool(wanted[tile.keep.slices(tile.read)].any())
            placing.place(Weighed(tile, probs(tile) if has_data else None, wanted if has_data else None))
        writer.finish()

    found = read_band(tmp_path / "map.tif")
    assert placing.skipped_tiles == 0
    assert (found[:, :100] == 255).all()
    ranked = np.sort(whole, axis=0)
    clear = (ranked[-1] - ranked[-2] > 1e-5)[:, 100:]
    assert clear.mean() > 0.99
    assert (found[:, 100:] == whole.argmax(axis=0)[:, 100:])[clear].all()
