"""Many files, few of them open: a data set may have more rasters than a process may have open files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rsseg.raster import Grid, LabelSource, Pixels, RasterSource
from rsseg.tiling import Window


class Closable(Protocol):
    """What the pool keeps."""

    def close(self) -> None:
        """Let go of files."""
        ...


T = TypeVar("T", bound=Closable)


@dataclass
class _Held:
    """An open file and how many threads are using it."""

    file: Closable
    users: int = 0


class FilePool:
    """Keeps the files used last open and closes the others; those in use are never closed.

    Any thread may call `use`. At most `limit` files are open, or as many as are in use at one time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[object, _Held] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def use(self, key: object, opener: Callable[[], T]) -> Iterator[T]:
        """Give the file of a key, opened if it is not open; it stays open within the context."""
        with self._lock:
            held = self._held.pop(key, None) or _Held(opener())
            self._held[key] = held
            held.users += 1
            self._shrink()
        try:
            yield held.file  # type: ignore[misc]
        finally:
            with self._lock:
                held.users -= 1

    def close(self) -> None:
        """Close all files; nothing may be in use."""
        with self._lock:
            while self._held:
                self._held.popitem()[1].file.close()

    def _shrink(self) -> None:
        idle = [key for key, held in self._held.items() if not held.users]
        for key in idle[: max(0, len(self._held) - self._limit)]:
            self._held.pop(key).file.close()


class PooledRaster:
    """An image that is open only while it is needed; see `RasterSource` for what it gives."""

    def __init__(self, pool: FilePool, opener: Callable[[], RasterSource]) -> None:
        self._pool = pool
        self._opener = opener
        with pool.use(self, opener) as source:
            self.path: str = source.path
            self.grid: Grid = source.grid
            self.bands: tuple[int, ...] = source.bands
            self.dtype: str = source.dtype
            self.notes: tuple[str, ...] = source.notes

    def read(self, window: Window) -> Pixels:
        """Read the pixels of a window, from any thread; see `RasterSource.read`."""
        with self._pool.use(self, self._opener) as source:
            return source.read(window)


class PooledLabels:
    """A label raster that is open only while it is needed; see `LabelSource`."""

    def __init__(self, pool: FilePool, opener: Callable[[], LabelSource]) -> None:
        self._pool = pool
        self._opener = opener
        with pool.use(self, opener) as source:
            self.grid: Grid = source.grid

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class ids (rows, cols) of a window, from any thread; 255 where there is no label."""
        with self._pool.use(self, self._opener) as source:
            return source.read(window)

    def close(self) -> None:
        """Do nothing: the pool closes the file."""
