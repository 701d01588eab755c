"""Open files that several threads read from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rsseg.errors import RasterError
from rsseg.raster.env import open_dataset


class Handles:
    """GDAL's handles of one file, each lent to one thread at a time, since they must not be shared.

    There are as many as threads ever read at the same time; threads that come and go open no more. What is open can be
    read to its end: where no further handle can be opened, as of a file that is gone by now, threads take turns.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._free: list[Any] = []
        self._lent = self._opened = 0
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def use(self) -> Iterator[Any]:
        """Lend an open rasterio dataset; `close` waits until it is given back.

        Raises:
            RasterError: it is no raster.
        """
        with self._changed:
            if self._closed:
                raise ValueError(f"{self._path} is closed")
            dataset = self._free.pop() if self._free else None
            self._lent += 1
        try:
            if dataset is None:
                dataset = self._open()
            yield dataset
        finally:
            with self._changed:
                self._lent -= 1
                if dataset is not None:
                    self._free.append(dataset)
                self._changed.notify_all()

    def _open(self) -> Any:
        """Open one more handle or, failing that, wait for one that is open already."""
        try:
            dataset = open_dataset(self._path)
        except RasterError:
            with self._changed:
                self._changed.wait_for(lambda: self._free or not self._opened)
                if not self._free:
                    raise
                return self._free.pop()
        with self._changed:
            self._opened += 1
        return dataset

    def close(self) -> None:
        """Close all handles, after what is read through them: to close one meanwhile crashes the process."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._lent)
            while self._free:
                self._free.pop().close()
