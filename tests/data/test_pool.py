"""The pool of open files."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from rsseg.data.pool import FilePool


class File:
    """Counts how many files are open, and notices being used after it was closed."""

    open_now = 0

    def __init__(self) -> None:
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
