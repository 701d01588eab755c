"""Features of tiles, kept on the disk from pass to pass, so that each tile is encoded once.

The passes that take a raster's context and the one that decides show the network the same tiles, and the encoder, which
attends to nothing, makes the same features of a tile every time. So no bit of the map depends on whether they are kept:
where there is no room for those of a tile, it is encoded anew. The file has no name, so nothing is left of it however
the run ends.

Shapes: N tiles, C channels, H rows, W columns of a feature.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import torch
from torch import Tensor

from rsseg.log import logger
from rsseg.tiling import Window

Features = tuple[Tensor, ...]
"""What an encoder makes of a batch, (N, C, H, W) each, the finest first."""


class FeatureStore:
    """The features of the tiles of one raster, on one device of the host; one thread at a time.

    All tiles are read alike, so seen from one side their features have one layout, and each takes a slot of one size.

    Args:
        folder: on the disk that has room.
        most_bytes: how much room; 0 keeps nothing.
    """

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._slots: dict[tuple[Window, int], int] = {}
        self._layouts: dict[int, tuple[_Layout, ...]] = {}
        self._open = ExitStack()
        self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything and give the room back."""
        self._slots.clear()
        self._most_bytes = 0
        with suppress(OSError):  # of what nobody needs any more
            self._open.close()

    def of(self, windows: Sequence[Window], *, size: int) -> BatchFeatures:
        """The features of a batch: of what is read of its tiles, filled up to `size` with the last of them."""
        return BatchFeatures(self, tuple(windows), size)

    def save(self, window: Window, view: int, features: Features) -> None:
        """Keep the features (1, C, H, W) of a tile seen from one side, if there is room."""
        layouts = tuple(map(_Layout.of, features))
        slot, slot_bytes = len(self._slots), sum(layout.size_bytes for layout in layouts)
        dense = all(layout.is_dense for layout in layouts)
        alike = dense and layouts == self._layouts.setdefault(view, layouts)
        if (window, view) in self._slots or not alike or (slot + 1) * slot_bytes > self._most_bytes:
            return
        try:
            if not self._slots:
                self._file = self._open.enter_context(_nameless(self._folder)).fileno()
            offset = slot * slot_bytes
            for layout, feature in zip(layouts, features, strict=True):
                _write(self._file, layout.bytes_of(feature), offset)
                offset += layout.size_bytes
        except OSError as err:
            self._give_up(err)
        else:
            self._slots[window, view] = slot

    def load(self, window: Window, view: int) -> Features | None:
        """The features (1, C, H, W) of a tile seen from one side, bit for bit; None where they were not kept."""
        slot = self._slots.get((window, view))
        if slot is None:
            return None
        layouts = self._layouts[view]
        offset = slot * sum(layout.size_bytes for layout in layouts)
        features = []
        try:
            for layout in layouts:
                features.append(layout.tensor(_read(self._file, layout.size_bytes, offset)))
                offset += layout.size_bytes
        except OSError as err:
            self._give_up(err)
            return None
        return tuple(features)

    def _give_up(self, err: OSError) -> None:
        """A disk that is full, or cannot be read, costs time alone."""
        logger.warning("%s: keeps no features (%s); tiles are encoded anew", self._folder, err.strerror)
        self.close()


@dataclass(frozen=True)
class BatchFeatures:
    """What a store holds of the tiles of one batch of `size`, in order."""

    store: FeatureStore
    windows: tuple[Window, ...]
    size: int

    def load(self, view: int) -> Features | None:
        """The features (N, C, H, W) of the whole batch seen from one side; None where those of a tile are missing."""
        found = []
        for window in self.windows:
            of_tile = self.store.load(window, view)
            if of_tile is None:
                return None
            found.append(of_tile)
        if self.size == 1:
            return found[0]
        found += [found[-1]] * (self.size - len(found))
        return tuple(torch.cat(level) for level in zip(*found, strict=True))

    def save(self, view: int, features: Sequence[Tensor]) -> None:
        """Keep the features (N, C, H, W) of all tiles of the batch, as far as there is room."""
        for place, window in enumerate(self.windows):
            self.store.save(window, view, tuple(level[place : place + 1] for level in features))


@dataclass(frozen=True)
class _Layout:
    """How a feature lies in memory: kernels are chosen by it, so it comes back as it was."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, feature: Tensor) -> _Layout:
        return cls(tuple(feature.shape), feature.stride(), feature.dtype)

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def is_dense(self) -> bool:
        """Whether values of which no two share a place lie side by side, in whatever order."""
        steps = zip(self.shape, self.strides, strict=True)
        return (
            1 + sum((length - 1) * stride for length, stride in steps)
        ) * self.dtype.itemsize == self.size_bytes

    def bytes_of(self, feature: Tensor) -> memoryview:
        """The bytes of a feature in the order in which they lie."""
        values = feature.as_strided((feature.numel(),), (1,))
        return values.view(torch.uint8).numpy().data

    def tensor(self, values: Tensor) -> Tensor:
        """The feature of these bytes."""
        return values.view(self.dtype).as_strided(self.shape, self.strides)


def _nameless(folder: Path) -> AbstractContextManager[IO[bytes]]:
    return tempfile.TemporaryFile(dir=folder)


def _write(file: int, values: memoryview, offset: int) -> None:
    while values:
        written = os.pwrite(file, values, offset)
        values, offset = values[written:], offset + written


def _read(file: int, size: int, offset: int) -> Tensor:
    values = torch.empty(size, dtype=torch.uint8)
    rest = values.numpy().data
    while rest:
        count = os.preadv(file, [rest], offset)
        if count == 0:
            raise OSError(0, "ends too early")
        rest, offset = rest[count:], offset + count
    return values
