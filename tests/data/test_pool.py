"""The pool of open files."""

from __future__ import annotations

import random
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from rsseg.data.pool import OPEN_BYTES, FilePool, PooledLabels, PooledRaster
from rsseg.raster import open_label_raster, open_raster
from rsseg.tiling import Window
from tests.making import random_pixels, write_raster


class File:
    """Counts how many files are open, and notices being used after it was closed."""

    open_now = 0

    def __init__(self, block_bytes: int = 0) -> None:
        self.block_bytes = block_bytes
        self.closed = False
        File.open_now += 1

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        File.open_now -= 1


@pytest.fixture(autouse=True)
def _none_open() -> None:
    File.open_now = 0


def test_a_file_is_opened_once_while_there_is_room() -> None:
    pool = FilePool(2)

    with pool.use("a", File) as first:
        pass
    with pool.use("a", File) as again:
        pass

    assert again is first


def test_the_file_used_longest_ago_is_closed_first() -> None:
    pool = FilePool(2)
    files = {}
    for key in "abac":
        with pool.use(key, File) as files[key]:
            pass

    assert [files[key].closed for key in "abc"] == [False, True, False]


def test_files_of_large_blocks_are_closed_earlier() -> None:
    """A file for each letter; of `B` and `C` only one has room beside the small ones."""
    pool = FilePool(10)
    files = {}
    for key in "aBcCd":
        size = OPEN_BYTES // 2 + 1 if key.isupper() else 1
        with pool.use(key, partial(File, size)) as files[key]:
            pass

    assert [files[key].closed for key in "aBcCd"] == [True, True, False, False, False]


def test_a_file_in_use_is_never_closed() -> None:
    pool = FilePool(1)

    with pool.use("a", File) as outer, pool.use("b", File), pool.use("c", File):
        assert not outer.closed


def test_closing_the_pool_closes_every_file() -> None:
    pool = FilePool(3)
    for key in range(3):
        with pool.use(key, File):
            pass

    pool.close()

    assert File.open_now == 0


def test_a_file_that_cannot_be_opened_leaves_the_pool_as_it_was() -> None:
    pool = FilePool(1)

    def fail() -> File:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"), pool.use("a", fail):
        pass
    with pool.use("a", File) as file:
        assert not file.closed


def test_a_file_that_is_slow_to_open_delays_no_other() -> None:
    pool = FilePool(4)
    other_was_used = threading.Event()

    def open_slowly() -> File:
        assert other_was_used.wait(timeout=10)
        return File()

    def use(key: str, opener: Callable[[], File]) -> File:
        with pool.use(key, opener) as file:
            return file

    with ThreadPoolExecutor(3) as threads:
        slow = [threads.submit(use, "slow", open_slowly) for _ in range(2)]
        threads.submit(use, "other", File).result(timeout=10)
        other_was_used.set()

    assert slow[0].result() is slow[1].result()
    assert File.open_now == 2


def test_many_threads_see_open_files_only_and_few_stay_open() -> None:
    pool = FilePool(4)

    def work(seed: int) -> bool:
        rng = random.Random(seed)
        for _ in range(200):
            with pool.use(rng.randrange(20), File) as file:
                if file.closed:
                    return False
        return True

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(work, range(8)))
    with pool.use("last", File):
        pass

    assert all(results)
    assert File.open_now <= 4


def write_strips(path: Path, *, bands: int = 1) -> np.ndarray:
    """A raster so wide that its strips are read as swaths where one walks through it: 1.5 MB in strips of 3 rows."""
    pixels = random_pixels(384, 4096, bands=bands)
    write_raster(path, pixels, blockysize=3, compress="deflate")
    return pixels


def test_single_reads_keep_no_rows_of_pixels(tmp_path: Path) -> None:
    pixels = write_strips(tmp_path / "wide.tif")
    windows = [Window(500, row, 32, 64) for row in (0, 100, 200, 300)]
    kept = {}
    with closing(FilePool(1)) as pool:
        image = PooledRaster(pool, partial(open_raster, tmp_path / "wide.tif"))
        with image.open() as walk:
            for name, source in (("single", image), ("walk", walk)):
                tracemalloc.start()
                for window in windows:
                    assert np.array_equal(source.read(window).data, pixels[:, *window.slices()])
                kept[name] = tracemalloc.get_traced_memory()[0]
                tracemalloc.stop()

    assert kept["single"] < 50_000
    assert kept["walk"] > 500_000


def test_a_walk_ends_with_its_file(tmp_path: Path) -> None:
    write_strips(tmp_path / "wide.tif")
    with closing(FilePool(1)) as pool:
        image = PooledRaster(pool, partial(open_raster, tmp_path / "wide.tif"))
        with image.open() as walk:
            walk.read(Window(0, 0, 4, 4))

        with pytest.raises(ValueError, match="is closed"):
            walk.read(Window(0, 100, 4, 4))
        assert image.read(Window(0, 100, 4, 4)).valid.all()


def test_a_window_may_stick_out_of_the_raster(tmp_path: Path) -> None:
    pixels = random_pixels(20, 30)
    write_raster(tmp_path / "a.tif", pixels)
    with closing(FilePool(1)) as pool:
        found = PooledRaster(pool, partial(open_raster, tmp_path / "a.tif")).read(Window(-2, 15, 10, 10))

    assert np.array_equal(found.data[:, :5, 2:], pixels[:, 15:, :8])
    assert found.valid.sum() == 5 * 8
    assert not found.data[:, 5:].any()


def test_files_know_what_they_hold(tmp_path: Path) -> None:
    write_raster(tmp_path / "image.tif", random_pixels(20, 30).astype(np.uint16), blockysize=5)
    write_raster(tmp_path / "labels.tif", random_pixels(20, 30, bands=1), blockysize=4)

    with open_raster(tmp_path / "image.tif") as image, open_label_raster(tmp_path / "labels.tif") as labels:
        assert (image.block_bytes, labels.block_bytes) == (30 * 5 * 3 * 2, 30 * 4)


def test_labels_are_read_through_the_pool(tmp_path: Path) -> None:
    ids = random_pixels(20, 30, bands=1)
    with closing(FilePool(1)) as pool:
        labels = []
        for name in "ab":
            write_raster(tmp_path / f"{name}.tif", ids)
            labels.append(PooledLabels(pool, partial(open_label_raster, tmp_path / f"{name}.tif")))

        assert all(np.array_equal(one.read(Window(3, 4, 5, 6)), ids[0, 4:10, 3:8]) for one in labels * 2)
