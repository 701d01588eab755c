import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsseg.prediction.stitch import Stitcher
from rsseg.raster.layers import Layers
from rsseg.tiling import plan_blocks, plan_tiles

lengths = st.integers(min_value=1, max_value=60)
BANDS = {"classes": 1, "probabilities": 3}


@given(lengths, lengths, st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31))
def test_stitching_kept_tiles_gives_the_raster_each_block_once(
    width: int, height: int, keep: int, block: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    whole = {name: generator.integers(0, 9, (n, height, width)).astype(np.uint8) for name, n in BANDS.items()}
    result: Layers = {name: np.full_like(raster, 255) for name, raster in whole.items()}
    stitcher = Stitcher(width, height, bands=BANDS, block=block)
    seen = []

    for tile in plan_tiles(width, height, tile=keep, halo=0, stride=1):
        kept = None
        if generator.random() < 0.5:
            kept = {name: raster[:, *tile.keep.slices()] for name, raster in whole.items()}
        else:
            for raster in whole.values():
                raster[:, *tile.keep.slices()] = 255
        for window, layers in stitcher.place(tile.keep, kept):
            for name, pixels in (layers or {}).items():
                result[name][:, *window.slices()] = pixels
            seen.append(window)

    for name, raster in whole.items():
        np.testing.assert_array_equal(result[name], raster)
    assert sorted(seen) == sorted(plan_blocks(width, height, block=block))
    assert stitcher._open == {}


def test_a_block_comes_out_only_when_all_its_pixels_are_there() -> None:
    stitcher = Stitcher(4, 2, block=4)
    left, right = plan_tiles(4, 2, tile=2, halo=0, stride=1)

    before = list(stitcher.place(left.keep, {"classes": np.full((1, 2, 2), 1, np.uint8)}))
    after = list(stitcher.place(right.keep, {"classes": np.full((1, 2, 2), 2, np.uint8)}))

    assert before == []
    assert [layers and layers["classes"].tolist() for _, layers in after] == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


def test_a_block_without_data_takes_no_memory() -> None:
    stitcher = Stitcher(4, 2, block=4)
    left, right = plan_tiles(4, 2, tile=2, halo=0, stride=1)

    blocks = [*stitcher.place(left.keep, None), *stitcher.place(right.keep, None)]

    assert [layers for _, layers in blocks] == [None]
