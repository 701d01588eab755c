from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsseg.tiling import Window, plan_tiles
from rsseg.tiling.blending import BlendPlan, plan_blend

STRIDE = 4
LENGTHS = st.integers(1, 150)
SIZES = st.tuples(st.integers(1, 12), st.integers(0, 6)).map(
    lambda s: (STRIDE * (s[0] + 2 * s[1]), STRIDE * s[1])
)
"""Tile and halo; with and without a halo, keeps larger and smaller than it."""
BANDS = st.sampled_from([1, 20, 8192])


def plan(width: int, height: int, sizes: tuple[int, int], band_width: int) -> BlendPlan:
    """A plan whose bands may be narrower than a block."""
    tile, halo = sizes
    made = plan_blend(width, height, tile=tile, halo=halo, stride=STRIDE)
    keep = tile - 2 * halo
    return BlendPlan(made._cols, made._rows, band=max(1, band_width // keep))


@given(LENGTHS, LENGTHS, SIZES, BANDS)
def test_the_weights_of_all_tiles_sum_to_one(
    width: int, height: int, sizes: tuple[int, int], band: int
) -> None:
    total = np.zeros((height, width))
    made = plan(width, height, sizes, band)

    for tile in made:
        rows, cols = made.weights(tile)
        assert min(rows.min(), cols.min()) >= 0
        total[tile.keep.slices()] += np.outer(rows, cols)

    assert abs(total - 1).max() < 1e-6


@given(LENGTHS, LENGTHS, SIZES, BANDS)
def test_cells_partition_the_raster_and_count_their_tiles(
    width: int, height: int, sizes: tuple[int, int], band: int
) -> None:
    made = plan(width, height, sizes, band)
    seen: dict[Window, int] = {}
    expected: dict[Window, int] = {}
    uses = np.zeros((height, width), dtype=int)

    for tile in made:
        cells = made.cells(tile)
        assert sum(cell.window.pixels for cell in cells) == tile.keep.pixels
        for cell in cells:
            assert tile.keep.contains(cell.window)
            seen[cell.window] = seen.get(cell.window, 0) + 1
            expected[cell.window] = cell.tiles

    for window in seen:
        uses[window.slices()] += 1
    assert (uses == 1).all()
    assert seen == expected
    assert max(seen.values()) <= 4


@given(LENGTHS, LENGTHS, SIZES, BANDS)
def test_what_is_averaged_lies_half_a_halo_within_what_is_read(
    width: int, height: int, sizes: tuple[int, int], band: int
) -> None:
    whole = Window.whole(width, height)
    halo = sizes[1]

    for tile in plan(width, height, sizes, band):
        assert tile.read.contains(tile.keep.expanded(halo // 2).intersection(whole))


@given(LENGTHS, LENGTHS, SIZES)
def test_in_one_band_the_tiles_are_those_of_the_plan_that_crops(
    width: int, height: int, sizes: tuple[int, int]
) -> None:
    tile, halo = sizes

    cropped = plan_tiles(width, height, tile=tile, halo=halo, stride=STRIDE)

    made = plan_blend(width, height, tile=tile, halo=halo, stride=STRIDE)
    assert [(t.read, t.core) for t in made] == [(t.read, t.keep) for t in cropped]
    if halo == 0:
        assert [t.keep for t in made] == [t.keep for t in cropped]


def test_bands_share_the_tiles_on_either_side_of_their_edge() -> None:
    made = plan_blend(2048, 64, tile=128, halo=32, stride=32, band_width=1024)

    cores = [tile.core.col_off // 64 for tile in made]

    assert cores == [*range(17), *range(15, 32)]
    assert made[16].keep.cols == range(1008, 1024)
    assert made[17].keep.cols == range(1024, 1040)
    assert len(made) == 34
    assert [tile.core for tile in made[3:20:4]] == [made[n].core for n in (3, 7, 11, 15, 19)]


def test_the_weight_goes_over_in_a_straight_line() -> None:
    made = plan_blend(20, 4, tile=16, halo=4, stride=4)

    assert made.weights(made[0])[1].tolist() == [1, 1, 1, 1, 1, 1, 0.875, 0.625, 0.375, 0.125]
    assert made[0].keep == Window(0, 0, 10, 4)
