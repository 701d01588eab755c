import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.errors import OptionError
from rsseg.tiling import BLOCK, Tile, Window, choose_tiles, plan_tiles
from rsseg.tiling.plan import padded_length

lengths = st.integers(min_value=1, max_value=150)


@st.composite
def sizes(draw: st.DrawFn) -> dict[str, int]:
    """Tile, halo and stride that fit together."""
    stride = draw(st.sampled_from([1, 4, 8, 32]))
    tile = stride * draw(st.integers(1, 12))
    most = (tile // stride - 1) // 2
    return {"tile": tile, "halo": stride * draw(st.integers(0, most)), "stride": stride}


@given(lengths, lengths, sizes())
def test_every_pixel_is_kept_once(width: int, height: int, size: dict[str, int]) -> None:
    uses = np.zeros((height, width), dtype=int)

    for tile in plan_tiles(width, height, **size):
        uses[tile.keep.slices()] += 1

    assert (uses == 1).all()


@given(lengths, lengths, sizes())
def test_all_reads_have_one_size_and_lie_in_the_padded_raster(
    width: int, height: int, size: dict[str, int]
) -> None:
    stride = size["stride"]
    padded = Window.whole(padded_length(width, stride=stride), padded_length(height, stride=stride))

    tiles = plan_tiles(width, height, **size)

    assert len({(t.read.width, t.read.height) for t in tiles}) == 1
    assert all(padded.contains(t.read) for t in tiles)
    assert all(t.read.width <= size["tile"] and t.read.height <= size["tile"] for t in tiles)


@given(lengths, lengths, sizes())
def test_reads_start_at_multiples_of_the_stride(width: int, height: int, size: dict[str, int]) -> None:
    for tile in plan_tiles(width, height, **size):
        assert tile.read.col_off % size["stride"] == 0
        assert tile.read.row_off % size["stride"] == 0


@given(lengths, lengths, sizes())
def test_the_halo_is_read_unless_the_raster_ends(width: int, height: int, size: dict[str, int]) -> None:
    stride = size["stride"]
    padded = Window.whole(padded_length(width, stride=stride), padded_length(height, stride=stride))

    for tile in plan_tiles(width, height, **size):
        assert tile.read.contains(tile.keep.expanded(size["halo"]).intersection(padded))


@given(st.integers(1, 3000), st.integers(1, 40), sizes())
def test_keeps_lie_on_a_grid_anchored_at_the_origin(width: int, height: int, size: dict[str, int]) -> None:
    side = size["tile"] - 2 * size["halo"]

    for tile in plan_tiles(width, height, **size):
        assert tile.keep.col_off % side == 0
        assert tile.keep.row_off % side == 0


def test_a_plan_of_three_by_two_tiles() -> None:
    tiles = plan_tiles(300, 200, tile=160, halo=32, stride=32)

    assert [t.keep.col_off for t in tiles] == [0, 96, 192, 288] * 3
    # 300 columns count as 320, so the last reads are shifted inwards to end there.
    assert [t.read.col_off for t in tiles[:4]] == [0, 64, 160, 160]
    assert tiles[0] == Tile(read=Window(0, 0, 160, 160), keep=Window(0, 0, 96, 96))
    assert tiles[-1] == Tile(read=Window(160, 64, 160, 160), keep=Window(288, 192, 12, 8))


@given(lengths, lengths, sizes())
def test_a_tile_is_found_at_its_place(width: int, height: int, size: dict[str, int]) -> None:
    plan = plan_tiles(width, height, **size)
    listed = list(plan)

    assert len(listed) == len(plan)
    assert [plan[place - len(plan)] for place in range(len(plan))] == listed
    assert list(plan[1::2]) == listed[1::2]
    assert list(plan[::-1][:3]) == listed[::-1][:3]
    with pytest.raises(IndexError):
        plan[len(plan)]


def test_chosen_tiles_keep_their_order() -> None:
    plan = plan_tiles(300, 200, tile=160, halo=32, stride=32)

    chosen = choose_tiles(plan, lambda tile: tile.keep.col_off in (0, 288))

    assert list(chosen) == [tile for tile in plan if tile.keep.col_off in (0, 288)]
    assert list(chosen[2:4]) == [chosen[2], chosen[3]]
    assert chosen[-1] == plan[-1]


@given(st.integers(1, 12_000), st.integers(512, 6000), st.sampled_from([96, 128, 256, 512]))
def test_bands_end_at_block_edges_and_are_about_as_wide_as_asked(
    width: int, band_width: int, keep: int
) -> None:
    tiles = list(plan_tiles(width, 2 * keep, tile=keep, halo=0, stride=32, band_width=band_width))

    starts = [b.keep.col_off for a, b in pairwise(tiles) if b.keep.row_off < a.keep.row_off]

    assert all(start % BLOCK == 0 for start in starts)
    bands = np.diff([0, *starts])
    assert (bands <= max(band_width, np.lcm(keep, BLOCK))).all()
    assert starts == [] or width > band_width


def test_few_blocks_are_open_at_a_time_however_wide_and_high_the_raster() -> None:
    """Memory of the stitcher: blocks that some tile has begun and no tile has ended."""
    tiles = plan_tiles(70_000, 20_000, tile=2048, halo=64, stride=32)
    remaining: dict[tuple[int, int], int] = {}
    most = 0

    for tile in tiles:
        for row in range(tile.keep.row_off // BLOCK, (tile.keep.rows.stop - 1) // BLOCK + 1):
            for col in range(tile.keep.col_off // BLOCK, (tile.keep.cols.stop - 1) // BLOCK + 1):
                cell = Window(col * BLOCK, row * BLOCK, BLOCK, BLOCK).intersection(
                    Window.whole(70_000, 20_000)
                )
                left = remaining.get((col, row), cell.pixels) - cell.intersection(tile.keep).pixels
                remaining[(col, row)] = left
                if left == 0:
                    del remaining[(col, row)]
        most = max(most, len(remaining))

    assert remaining == {}
    assert most * BLOCK * BLOCK < 32 * 2**20


def test_the_plan_of_forty_gigapixels_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        tiles = plan_tiles(200_000, 200_000, tile=1024, halo=64, stride=32)
        kept = sum(tile.keep.pixels for tile in tiles)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept == 200_000**2
    assert peak < 100_000


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (
            {"tile": 16, "halo": 0, "stride": 32},
            "tile is 16 px; the network needs at least its stride, 32 px",
        ),
        ({"tile": 100, "halo": 0, "stride": 32}, "tile is 100 px; it must be a multiple"),
        ({"tile": 128, "halo": 20, "stride": 32}, "halo is 20 px; it must be a multiple"),
        ({"tile": 128, "halo": 64, "stride": 32}, "nothing is left to keep"),
        ({"tile": 128, "halo": -32, "stride": 32}, "halo is -32 px; it cannot be negative"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(size: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        plan_tiles(1000, 1000, **size)
