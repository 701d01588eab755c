from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsseg.prediction.context_pass import draw_tiles, empty_contexts, take_contexts
from rsseg.prediction.contexts import ViewContexts, named_tensors
from rsseg.prediction.forward import Forward
from rsseg.prediction.inputs import Imagery
from rsseg.prediction.reading import TileReader
from rsseg.raster import handles, open_raster
from rsseg.raster.env import open_dataset
from rsseg.tiling import Tile, plan_tiles
from rsseg.weights import Weights
from tests.making import random_pixels, write_raster
from tests.prediction.attentive import REACH

WIDTH, HEIGHT = 75, 50


def with_hole() -> NDArray[np.uint8]:
    pixels = random_pixels(HEIGHT, WIDTH)
    pixels[:, 7:30, 20:41] = 0
    return pixels


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "i.tif", with_hole(), nodata=0)


def forward_of(weights: Weights) -> Forward:
    return Forward(weights.network, weights.card.scaling, device=torch.device("cpu"))


def taken(
    weights: Weights,
    image: Path,
    *,
    tile: int = 32,
    batch_size: int = 1,
    threads: int = 1,
    share: float = 1.0,
    shares: list[float] | None = None,
    tiles: Sequence[Tile] | None = None,
) -> ViewContexts:
    with open_raster(image) as source:
        return take_contexts(
            forward_of(weights),
            TileReader(Imagery(source, stretch=None), batch_size=batch_size, threads=threads),
            tiles or plan_tiles(source.grid.width, source.grid.height, tile=tile, halo=REACH, stride=4),
            passes=2,
            share=share,
            on_progress=([] if shares is None else shares).append,
        )


@pytest.mark.parametrize("tile", [24, 32, 76])
def test_the_sums_are_those_of_the_whole_raster(attentive: Weights, image: Path, tile: int) -> None:
    pixels = torch.from_numpy(with_hole())[None]
    valid = (pixels != 0).any(dim=1)
    x = attentive.card.scaling.apply(pixels, valid)
    with torch.inference_mode():
        expected = attentive.network.summarise(x, valid)
        expected += attentive.network.summarise(x, valid, expected)

    found = named_tensors(taken(attentive, image, tile=tile))

    for name, tensor in named_tensors((expected,)).items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-4, check_dtype=False)
    assert found["0.0.total"].dtype == torch.float64


@pytest.mark.parametrize("batch_size", [2, 4, 7])
def test_what_fills_up_a_batch_is_not_counted(attentive: Weights, image: Path, batch_size: int) -> None:
    alone, together = taken(attentive, image), taken(attentive, image, batch_size=batch_size)

    for one, other in zip(*alone, *together, strict=True):
        assert one.positions == other.positions
        torch.testing.assert_close(one.total, other.total, rtol=1e-6, atol=1e-6)


def test_the_same_pass_gives_the_same_bits(attentive: Weights, image: Path) -> None:
    once = named_tensors(taken(attentive, image, batch_size=2, threads=1))
    again = named_tensors(taken(attentive, image, batch_size=2, threads=3))

    assert all(torch.equal(once[name], again[name]) for name in once)


def test_without_data_the_sums_are_those_of_nothing(attentive: Weights, tmp_path: Path) -> None:
    empty = write_raster(tmp_path / "empty.tif", np.zeros((3, 60, 60), np.uint8), nodata=0)

    for share in (0.2, 1.0):
        found = named_tensors(taken(attentive, empty, share=share))
        nothing = named_tensors(empty_contexts(forward_of(attentive), 2))
        assert all(torch.equal(found[name].double(), nothing[name].double()) for name in nothing)
        assert not any(t.any() for t in found.values())


def test_a_sample_is_the_context_of_the_tiles_that_were_drawn(attentive: Weights, image: Path) -> None:
    tiles = plan_tiles(WIDTH, HEIGHT, tile=32, halo=REACH, stride=4)
    drawn = next(draw_tiles(tiles, 0.4))

    found, expected = taken(attentive, image, share=0.4), taken(attentive, image, tiles=drawn)

    assert 0 < len(drawn) < len(tiles)
    assert all(torch.equal(a.total, b.total) for a, b in zip(*found, *expected, strict=True))


def test_a_sample_without_data_gives_way_to_one_with_data(attentive: Weights, tmp_path: Path) -> None:
    tiles = plan_tiles(WIDTH, HEIGHT, tile=32, halo=REACH, stride=4)
    first, second, *_ = draw_tiles(tiles, 0.01)
    pixels = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    kept = (..., *second[0].keep.slices())
    pixels[kept] = random_pixels(HEIGHT, WIDTH)[kept]
    image = write_raster(tmp_path / "corner.tif", pixels, nodata=0)

    found = taken(attentive, image, share=0.01)

    assert len(first) == len(second) == 1
    assert [int(context.positions) for context in found[0]] == [second[0].keep.pixels // 16] * 2


def test_however_many_samples_are_drawn_the_raster_is_opened_once_for_each_thread(
    attentive: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = write_raster(tmp_path / "empty.tif", np.zeros((3, 60, 60), np.uint8), nodata=0)
    opened: list[str] = []
    monkeypatch.setattr(handles, "open_dataset", lambda path: opened.append(path) or open_dataset(path))

    taken(attentive, empty, threads=2, share=0.01)

    assert len(opened) <= 2


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_progress_covers_all_passes(attentive: Weights, image: Path, share: float) -> None:
    shares: list[float] = []

    taken(attentive, image, share=share, shares=shares)

    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert shares[len(shares) // 2 - 1] == 0.5


@given(st.integers(1, 300), st.floats(0.001, 1))
def test_draws_are_a_share_of_the_tiles_in_their_order_and_together_all_of_them(
    count: int, share: float
) -> None:
    tiles = list(plan_tiles(8 * count, 8, tile=8, halo=0, stride=1))

    draws = [list(draw) for draw in draw_tiles(tiles, share)]

    assert len(draws[0]) == max(1, round(share * count))
    assert all(draw == sorted(draw, key=tiles.index) for draw in draws)
    assert sorted((tile for draw in draws for tile in draw), key=tiles.index) == tiles
    assert draws == [list(draw) for draw in draw_tiles(tiles, share)]
