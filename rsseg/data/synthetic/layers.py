"""What a block of the town holds, sorted by the order in which it is painted."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np

from rsseg.data.synthetic.noise import FloatArray
from rsseg.data.synthetic.shapes import Shape


class Layer(IntEnum):
    """Shapes of later layers hide those of earlier ones; trees come after all of them."""

    GROUND = 0
    WATER = 1
    LANE = 2
    STREET = 3
    MAIN_ROAD = 4
    MARKING = 5
    THING = 6
    """Cars, walls, boxes."""
    ROOF = 7


class Tree(NamedTuple):
    """A round tree or bush; `tone` picks its colour."""

    x: float
    y: float
    radius: float
    tone: int


@dataclass(frozen=True)
class Block:
    """What one block and its streets hold: shapes by layer, and trees. Filled once, then only read."""

    layers: tuple[list[Shape], ...] = field(default_factory=lambda: tuple([] for _ in Layer))
    trees: list[Tree] = field(default_factory=list)

    def add(self, layer: Layer, *shapes: Shape) -> None:
        """Put shapes on top of a layer."""
        self.layers[layer].extend(shapes)

    def touching(self, layer: Layer, bounds: tuple[float, float, float, float]) -> list[Shape]:
        """The shapes of a layer whose bounds meet a rectangle of the world, in the order of painting."""
        x0, y0, x1, y1 = bounds
        b = self._bounds[layer]
        meet = (b[:, 0] <= x1) & (b[:, 2] >= x0) & (b[:, 1] <= y1) & (b[:, 3] >= y0)
        shapes = self.layers[layer]
        return [shapes[k] for k in np.flatnonzero(meet).tolist()]

    @cached_property
    def _bounds(self) -> tuple[FloatArray, ...]:
        """The bounds of all shapes by layer, (n, 4)."""
        return tuple(np.array([s.bounds for s in shapes]).reshape(-1, 4) for shapes in self.layers)
