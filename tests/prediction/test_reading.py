from pathlib import Path

import numpy as np
import pytest

from rsseg.prediction.inputs import Imagery
from rsseg.prediction.reading import Batch, Seen, TileRead, TileReader
from rsseg.preprocess import Stretch
from rsseg.raster import Pixels, RasterSource, open_raster
from rsseg.tiling import Tile, Window, plan_tiles
from tests.making import random_pixels, write_raster


def read_of(keep: Window, valid: np.ndarray, value: int = 0) -> TileRead:
    seen = Seen(np.full((1, 4, 4), value, np.uint8), valid, valid) if valid.any() else None
    return TileRead(Tile(read=Window(0, 0, 4, 4), keep=keep), seen)


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
        reader = TileReader(Imagery(source, stretch=None), batch_size=batch_size, threads=threads)
        batches = list(reader.batches(tiles))

    reads = [read for batch in batches for read in batch.reads]
    assert [read.tile for read in reads] == list(tiles)
    for read in reads:
        assert read.seen is None or (read.seen.pixels == pixels[(..., *read.tile.read.slices())]).all()
    empty = {read.tile.keep for read in reads if not read.has_data}
    assert empty == {Window(col, row, 8, 8) for col in (0, 8) for row in (0, 8)}


class WantsCorner(Imagery):
    """Wants the first 10 rows and columns; notes what is read, and what it is asked for."""

    def __init__(self, source: RasterSource) -> None:
        super().__init__(source, stretch=None)
        self.has_read: list[Window] = []
        self.was_asked = 0

    def read(self, window: Window) -> Pixels:
        self.has_read.append(window)
        return super().read(window)

    def wanted(self, window: Window) -> np.ndarray:
        self.was_asked += 1
        rows, cols = np.array(window.rows), np.array(window.cols)
        return (rows[:, None] < 10) & (cols[None, :] < 10)


def test_what_is_not_wanted_is_not_read(tmp_path: Path) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(32, 32))
    tiles = plan_tiles(32, 32, tile=16, halo=4, stride=1)

    with open_raster(image) as source:
        imagery = WantsCorner(source)
        reads = [
            read
            for batch in TileReader(imagery, batch_size=1, threads=1).batches(tiles)
            for read in batch.reads
        ]

    assert [read.tile for read in reads] == list(tiles)
    wanted = [read for read in reads if read.seen is not None]
    assert [read.tile.keep for read in wanted] == [
        Window(0, 0, 8, 8),
        Window(8, 0, 8, 8),
        Window(0, 8, 8, 8),
        Window(8, 8, 8, 8),
    ]
    assert imagery.has_read == [read.tile.read for read in wanted]
    assert imagery.was_asked == len(tiles)
    last = wanted[-1]
    assert last.seen is not None
    assert last.seen.valid.all()
    assert last.seen.wanted[last.tile.keep.slices(last.tile.read)].sum() == 2 * 2


def test_where_all_is_wanted_the_area_of_interest_is_not_asked(tmp_path: Path) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(32, 32))
    tiles = plan_tiles(32, 32, tile=16, halo=4, stride=1)

    with open_raster(image) as source:
        imagery = WantsCorner(source)
        reader = TileReader(imagery, batch_size=3, threads=2)
        batches = list(reader.batches(tiles, all_wanted=True))

    assert all(read.has_data for batch in batches for read in batch.reads)
    assert all(batch.wanted().all() for batch in batches)
    assert sum(int(batch.counted().sum()) for batch in batches) == 32 * 32
    assert imagery.was_asked == 0


def test_a_batch_of_one_shares_its_memory_with_what_was_read() -> None:
    read = read_of(Window(0, 0, 4, 4), np.ones((4, 4), bool))
    assert read.seen is not None

    pixels, valid = Batch([read], size=1).arrays()

    assert np.shares_memory(pixels, read.seen.pixels)
    assert np.shares_memory(valid, read.seen.valid)


def test_a_stretch_is_applied(tmp_path: Path) -> None:
    image = write_raster(tmp_path / "i.tif", np.full((3, 8, 8), 2000, np.uint16))

    with open_raster(image) as source:
        reader = TileReader(Imagery(source, stretch=Stretch(0, 4000)), batch_size=1, threads=1)
        (batch,) = reader.batches(plan_tiles(8, 8, tile=8, halo=0, stride=1))

    assert batch.arrays()[0].tolist() == np.full((1, 3, 8, 8), 127.5).tolist()
