import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsseg.prediction.stitch import Stitcher
from rsseg.tiling import plan_blocks, plan_tiles

lengths = st.integers(min_value=1, max_value=60)


@given(lengths, lengths, st.integers(1, 20), st.integers(1, 20))
def test_stitching_kept_tiles_gives_the_raster_each_block_once(
    width: int, height: int, keep: int, block: int
) -> None:
    raster = np.arange(width * height, dtype=np.int64).reshape(height, width).astype(np.uint8)
    stitcher = Stitcher(width, height, block=block)
    result = np.zeros_like(raster)
    seen = []

    for tile in plan_tiles(width, height, tile=keep, halo=0, stride=1):
        for window, pixels in stitcher.place(tile.keep, raster[tile.keep.slices()]):
            result[window.slices()] = pixels
            seen.append(window)

    assert (result == raster).all()
    assert sorted(seen) == sorted(plan_blocks(width, height, block=block))
    assert stitcher._open == {}


def test_a_block_comes_out_only_when_all_its_pixels_are_there() -> None:
    stitcher = Stitcher(4, 2, block=4)
    left, right = plan_tiles(4, 2, tile=2, halo=0, stride=1)

    before = list(stitcher.place(left.keep, np.full((2, 2), 1, np.uint8)))
    after = list(stitcher.place(right.keep, np.full((2, 2), 2, np.uint8)))

    assert before == []
    assert [block.tolist() for _, block in after] == [[[1, 1, 2, 2], [1, 1, 2, 2]]]
