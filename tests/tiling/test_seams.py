import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.errors import OptionError
from rsseg.tiling import Window, plan_tiles
from rsseg.tiling.plan import padded_length
from rsseg.tiling.seams import plan_seams

lengths = st.integers(min_value=1, max_value=200)


@st.composite
def sizes(draw: st.DrawFn) -> dict[str, int]:
    """Tile, halo and stride that fit together and leave a keep of two strides at least."""
    stride = draw(st.sampled_from([1, 4, 8]))
    keep, halo = draw(st.integers(2, 8)), draw(st.integers(0, 3))
    return {"tile": stride * (keep + 2 * halo), "halo": stride * halo, "stride": stride}


@given(lengths, lengths, sizes())
def test_every_edge_of_the_plan_runs_through_a_shifted_tile(
    width: int, height: int, size: dict[str, int]
) -> None:
    tiles = plan_tiles(width, height, **size)

    seams = plan_seams(width, height, **size)

    assert {s.col for s in seams} - {None} == {t.keep.col_off for t in tiles} - {0}
    assert {s.row for s in seams} - {None} == {t.keep.row_off for t in tiles} - {0}
    assert len(seams) == len({(s.col, s.row) for s in seams})


@given(lengths, lengths, sizes())
def test_shifted_tiles_are_read_as_those_of_the_plan_are(
    width: int, height: int, size: dict[str, int]
) -> None:
    stride = size["stride"]
    padded = Window.whole(padded_length(width, stride=stride), padded_length(height, stride=stride))
    shape = {(t.read.width, t.read.height) for t in plan_tiles(width, height, **size)}

    for seam in plan_seams(width, height, **size):
        tile = seam.tile
        assert {(tile.read.width, tile.read.height)} == shape
        assert tile.read.col_off % stride == tile.read.row_off % stride == 0
        assert padded.contains(tile.read)
        assert tile.read.contains(tile.keep.expanded(size["halo"]).intersection(padded))
        assert Window.whole(width, height).contains(tile.keep)


@given(lengths, lengths, sizes(), st.integers(1, 40))
def test_pixels_near_an_edge_are_those_on_both_sides_of_it(
    width: int, height: int, size: dict[str, int], distance: int
) -> None:
    for seam in plan_seams(width, height, **size)[:3]:
        expected = np.zeros((height, width), dtype=bool)
        if seam.col is not None:
            expected[:, max(seam.col - distance, 0) : seam.col + distance] = True
        if seam.row is not None:
            expected[max(seam.row - distance, 0) : seam.row + distance] = True

        assert (seam.near(distance) == expected[seam.tile.keep.slices()]).all()


def test_a_single_tile_meets_no_other() -> None:
    assert list(plan_seams(128, 100, tile=128, halo=32, stride=32)) == []


def test_the_corners_of_three_by_two_tiles() -> None:
    corners = plan_seams(300, 250, tile=192, halo=32, stride=32)

    assert [(s.col, s.row) for s in corners] == [(128, 128), (256, 128)]
    assert list(corners[1:]) == [corners[-1]]
    assert corners[0].tile.keep == Window(64, 64, 128, 128)
    assert corners[0].tile.read == Window(32, 32, 192, 192)
    assert corners[1].tile.keep == Window(192, 64, 108, 128)
    assert corners[1].tile.read == Window(128, 32, 192, 192)  # 300 columns count as 320


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OptionError, match="must be a multiple"):
        plan_seams(1000, 1000, tile=100, halo=0, stride=32)
