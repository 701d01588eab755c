from pathlib import Path

import numpy as np
import pytest

from rsseg.prediction.reading import Batch, TileRead, TileReader
from rsseg.preprocess import Stretch
from rsseg.raster import open_raster
from rsseg.tiling import Tile, Window, plan_tiles
from tests.making import random_pixels, write_raster


def read_of(keep: Window, valid: np.ndarray, value: int = 0) -> TileRead:
    tile = Tile(read=Window(0, 0, 4, 4), keep=keep)
    return TileRead(tile, np.full((1, 4, 4), value, np.uint8), valid, has_data=bool(valid.any()))


def test_a_batch_is_filled_up_with_what_counts_for_nothing() -> None:
    whole, none = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    reads = [read_of(Window(1, 1, 2, 2), whole, 5), read_of(Window(0, 0, 4, 4), none, 6)]

    batch = Batch(reads, size=3)

    pixels, valid = batch.arrays()
    assert pixels[:, 0, 0, 0].tolist() == [5, 5, 5]
    assert valid.shape == (3, 4, 4)
    expected = np.zeros((3, 4, 4), bool)
    expected[0, 1:3, 1:3] = True
    assert (batch.counted() == expected).all()


def test_only_valid_pixels_count() -> None:
    valid = np.ones((4, 4), bool)
    valid[1, 2] = False

    counted = Batch([read_of(Window(1, 1, 3, 3), valid)], size=1).counted()

    assert counted.sum() == 8
    assert not counted[0, 1, 2]


@pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (4, 3)])
def test_all_tiles_are_read_in_order(tmp_path: Path, batch_size: int, threads: int) -> None:
    pixels = random_pixels(60, 50)
    pixels[:, :20, :20] = 0
    image = write_raster(tmp_path / "i.tif", pixels, nodata=0)
    tiles = plan_tiles(50, 60, tile=16, halo=4, stride=1)

    with open_raster(image) as source:
        reader = TileReader(source, stretch=None, batch_size=batch_size, threads=threads)
        batches = list(reader.batches(tiles))

    reads = [read for batch in batches for read in batch.reads]
    assert [read.tile for read in reads] == tiles
    assert all((read.pixels == pixels[(..., *read.tile.read.slices())]).all() for read in reads)
    empty = {read.tile.keep for read in reads if not read.has_data}
    assert empty == {Window(col, row, 8, 8) for col in (0, 8) for row in (0, 8)}


def test_a_stretch_is_applied(tmp_path: Path) -> None:
    image = write_raster(tmp_path / "i.tif", np.full((3, 8, 8), 2000, np.uint16))

    with open_raster(image) as source:
        reader = TileReader(source, stretch=Stretch(0, 4000), batch_size=1, threads=1)
        (batch,) = reader.batches(plan_tiles(8, 8, tile=8, halo=0, stride=1))

    assert batch.arrays()[0].tolist() == np.full((1, 3, 8, 8), 127.5).tolist()
