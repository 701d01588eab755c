"""Many files, few of them open: a data set may have more rasters than a process may have open files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rsseg.raster import Grid, LabelSource, Pixels, RasterSource
from rsseg.tiling import Window


class Closable(Protocol):
    """What the pool keeps."""

    @property
    def block_bytes(self) -> int:
        """What it holds in memory for each thread that reads: one decoded block."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


T = TypeVar("T", bound=Closable)

OPEN_BYTES = 256 * 2**20
"""Bound on the decoded blocks of open files, for each reading thread: some files are one block."""


class LabelFile(LabelSource, Closable, Protocol):
    """Labels of a file that the pool can close."""


@dataclass
class _Held:
    """A file, from when it is first asked for, and how many threads are using it."""

    file: Closable | None = None
    users: int = 0
    opening: threading.Lock = field(default_factory=threading.Lock)

    def opened(self, opener: Callable[[], Closable]) -> Closable:
        """The file; other threads that want it wait while it is opened, those that want others do not."""
        with self.opening:
            if self.file is None:
                self.file = opener()
            return self.file

    @property
    def block_bytes(self) -> int:
        """What it holds, as far as is known."""
        return 0 if self.file is None else self.file.block_bytes


class FilePool:
    """Keeps the files used last open and closes the others; those in use are never closed.

    Any thread may call `use`. At most `limit` files are open, with decoded blocks of at most `OPEN_BYTES`; or those
    that are in use at one time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[object, _Held] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def use(self, key: object, opener: Callable[[], T]) -> Iterator[T]:
        """Give the file of a key, opened if it is not open; it stays open within the context."""
        with self._lock:
            held = self._held.pop(key, None) or _Held()
            self._held[key] = held
            held.users += 1
            self._shrink()
        try:
            yield held.opened(opener)  # type: ignore[misc]
        finally:
            with self._lock:
                held.users -= 1
                if held.file is None and not held.users:  # it could not be opened
                    del self._held[key]

    def close(self) -> None:
        """Close all files; nothing may be in use."""
        with self._lock:
            while self._held:
                self._close(next(iter(self._held)))

    def _shrink(self) -> None:
        for key in [key for key, held in self._held.items() if not held.users]:
            blocks = sum(held.block_bytes for held in self._held.values())
            if len(self._held) <= self._limit and blocks <= OPEN_BYTES:
                return
            self._close(key)

    def _close(self, key: object) -> None:
        held = self._held.pop(key)
        if held.file is not None:
            held.file.close()


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
        """Read the pixels of a window anywhere, from any thread; nothing is kept for the windows beside it."""
        with self._pool.use(self, self._opener) as source:
            return source.read_once(window)

    def open(self) -> RasterSource:
        """Open the image by itself, to walk through it window by window; the caller closes it.

        A raster in strips keeps rows of pixels for such a walk: some 100 MB, which the pool could not bound.
        """
        return self._opener()


class PooledLabels:
    """A label raster that is open only while it is needed; see `LabelSource`."""

    def __init__(self, pool: FilePool, opener: Callable[[], LabelFile]) -> None:
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
