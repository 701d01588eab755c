"""What a prediction takes of the host's memory, as a sum of parts that each have a name.

None of them grows with the raster, but for a few bytes to a block of the map and to each of its columns. While the
tiles are predicted, and while the map is finished and encoded, different things are held, so the larger counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rsseg.machine import total_memory
from rsseg.prediction.options import Runtime
from rsseg.tiling import BLOCK

MB = 10**6

DEFAULT_SHARE = 4
"""Unless told otherwise, a run keeps to the machine's memory divided by this."""

_START_UP = 40 * MB
"""What libraries take when they first work: kernels, threads, tables of projections, GDAL's handles."""

_KEPT, _KEPT_OF_NETWORK = 48 * MB, 0.05
"""What the allocator keeps of what comes and goes, besides as much again as the arrays of tiles: threads have heaps of
their own, which give back little of what others freed. The network's larger tensors lie where those of the last tile
did."""

_WORKSPACE, _WORKSPACE_SHARE = 192 * MB, 0.1
"""What the kernels of a CPU take besides the tensors: as much as these up to a bound, and a share of them.

Measured (tensors, what was taken; MB): MAResU-Net 84, 172; 336, 479 and in a batch of four 554; 1342, 1536; MANet with
ResNet-50 199, 359. See docs/decisions/0009.
"""

GRAPH_BYTES: dict[Runtime, int] = {"torch": 0, "onnxruntime": 650 * MB, "openvino": 450 * MB}
"""What making a graph takes while the first batch waits: MAResU-Net with ResNet-18, tiles of 512 px, took 1342 and
1046 MB in all, where torch took 698 and 602."""

_ENCODER = 96 * MB
"""GDAL's copy into a Cloud Optimized GeoTIFF: 74 MB for 6144 px; and blocks on their way through the finishing."""

_ENCODER_COLUMN = 500
"""Bytes that overviews take for each column of the map: 150 MB in all for 200,000 px."""

_BLOCK_NOTES = 300
"""Bytes by which the journal remembers a block of the map."""

_KEPT_PARTS = ("network", "swaths of strips", "kept by the allocator")
"""What the source, a runtime or the allocator may not have given back when the last tile is predicted."""

When = Literal["always", "predicting", "finishing"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Bytes that are held for one purpose, and when."""

    name: str
    memory_bytes: int
    when: When


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What a pipeline holds, from which its memory follows.

    Attributes:
        process_bytes: what the process holds before it begins: torch, the network.
        network_bytes: tensors of the network while it sees a batch; 0 where that is not the host's memory.
        graph_bytes: what making the network's graph takes before the first batch; 0 where there is none.
        read_shape: (rows, cols) of what the network sees.
        pixel_bytes: of what the network is given, all channels together.
        channels: of the input.
        classes: of the network.
        layer_bands: of all that is written: 1 for the classes, and the layers asked for.
        needs_probabilities: whether scores become probabilities: for layers, a threshold, several views.
        blends: whether the tiles that overlap are averaged.
        batch_size: tiles that the network sees together.
        readers: threads that read.
        ahead: tiles that may be read before they are needed, batch included.
        behind: tiles that may wait to be written.
        cache_bytes: GDAL's.
        block_bytes: of the input's blocks, with all bands that are stored together.
        reader_bytes: what each reader takes besides the tile that it reads and blocks of the input.
        swath_bytes: of all swaths, where the file is read in swaths; else 0.
        band_width: of a band of columns, in pixels.
        keep: side of what a tile decides.
        blocks: of the map.
        width: of the map, in pixels.
        on_host: whether the network runs on the host's memory.
    """

    process_bytes: int
    network_bytes: int
    graph_bytes: int
    read_shape: tuple[int, int]
    pixel_bytes: int
    channels: int
    classes: int
    layer_bands: int
    needs_probabilities: bool
    blends: bool
    batch_size: int
    readers: int
    ahead: int
    behind: int
    cache_bytes: int
    block_bytes: int
    reader_bytes: int
    swath_bytes: int
    band_width: int
    keep: int
    blocks: int
    width: int
    on_host: bool

    @property
    def read_pixels(self) -> int:
        """Pixels of what the network sees of a tile."""
        rows, cols = self.read_shape
        return rows * cols


@dataclass(frozen=True)
class MemoryUse:
    """The parts of what a run takes."""

    parts: tuple[Part, ...]

    @property
    def total_bytes(self) -> int:
        """The most that is held at once."""
        return self._sum("always") + max(self._sum("predicting"), self._sum("finishing"))

    @property
    def kept_bytes(self) -> int:
        """The most that is still held when all tiles are predicted and the map is not encoded yet."""
        kept = sum(part.memory_bytes for part in self.parts if part.name in _KEPT_PARTS)
        return self._sum("always") + kept

    def _sum(self, when: When) -> int:
        return sum(part.memory_bytes for part in self.parts if part.when == when)


def default_bound() -> int:
    """Bytes that a run keeps to when nothing else is asked for."""
    return total_memory() // DEFAULT_SHARE


def memory_use(held: Holdings) -> MemoryUse:
    """Add up what a pipeline takes: rather more than was found by measuring.

    Left out is an area of interest, whose polygons are held. The regions of a map may take what is left of the bound
    while small ones are merged; see `MemoryUse.kept_bytes`.
    """
    predicting = {
        "network": _network(held),
        "making its graph": held.graph_bytes,
        "batch": _batch(held),
        "tiles ahead": _tiles_ahead(held),
        "swaths of strips": held.swath_bytes,
        "tiles behind": (held.behind + held.batch_size) * held.read_pixels * held.layer_bands,
        "open blocks": _open_blocks(held),
        "overlaps": _overlaps(held),
    }
    arrays = sum(predicting[name] for name in ("batch", "tiles ahead", "tiles behind", "open blocks"))
    kept = _KEPT + arrays + int(_KEPT_OF_NETWORK * predicting["network"])
    predicting["kept by the allocator"] = kept
    always = {
        "process": held.process_bytes,
        "start of libraries": _START_UP,
        "GDAL's cache": held.cache_bytes,
        "journal": _BLOCK_NOTES * held.blocks,
    }
    finishing = {"encoding": _ENCODER + _ENCODER_COLUMN * held.width + held.layer_bands * BLOCK * BLOCK * 4}
    return MemoryUse(
        (*_parts(always, "always"), *_parts(predicting, "predicting"), *_parts(finishing, "finishing"))
    )


def _parts(sizes: dict[str, int], when: When) -> Iterable[Part]:
    return (Part(name=name, memory_bytes=size, when=when) for name, size in sizes.items() if size)


def _network(held: Holdings) -> int:
    """Tensors of the network, with the workspace of its kernels."""
    tensors = held.network_bytes
    return tensors + min(tensors, _WORKSPACE) + int(_WORKSPACE_SHARE * tensors)


def _batch(held: Holdings) -> int:
    """The batch as it was read, scaled (twice: in two orders of its dimensions), its scores and what they become."""
    pixels = held.batch_size * held.read_pixels
    read = held.pixel_bytes + 3
    scaled = 2 * 4 * held.channels
    # Classes last, their numbers as 64 bits; probabilities, their sum over views and in 8 bits.
    scores = 4 * held.classes + 8 + held.layer_bands
    if held.needs_probabilities or held.blends:
        scores += 3 * 4 * held.classes
    on_device = scaled + scores if held.on_host else held.layer_bands
    return pixels * (2 * read + on_device)


def _tiles_ahead(held: Holdings) -> int:
    """Tiles that were read, with two masks, and those being read, which are there twice; two blocks to each reader."""
    tile = held.read_pixels * (held.pixel_bytes + 2)
    return held.ahead * tile + held.readers * (2 * tile + 2 * held.block_bytes + held.reader_bytes)


def _open_blocks(held: Holdings) -> int:
    """Two rows of blocks of a band of columns, and those that the tiles at work have begun beside them."""
    across = -(-held.band_width // BLOCK)
    begun = -(-held.keep // BLOCK) + 1
    return (2 * across + 2 * begun) * BLOCK * BLOCK * held.layer_bands


def _overlaps(held: Holdings) -> int:
    """Where tiles are averaged: sums of probabilities and of weights, over a row of tiles of a band."""
    if not held.blends:
        return 0
    rows, cols = held.read_shape
    waiting = held.behind * held.read_pixels * 4 * held.classes
    return waiting + 2 * rows * (held.band_width + 2 * cols) * 4 * (held.classes + 1)
