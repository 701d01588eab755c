"""What stands on one plot: houses, yards, walls, hedges, fields, ponds."""

from __future__ import annotations

import math

import numpy as np

from rsseg.data.synthetic import palette
from rsseg.data.synthetic.layers import Block, Layer, Tree
from rsseg.data.synthetic.palette import BARE, LOW_VEGETATION, WATER, Color, Paint, Stripes
from rsseg.data.synthetic.roadside import parked_car
from rsseg.data.synthetic.roofs import flat_roof, metal_roof, tiled_roof
from rsseg.data.synthetic.shapes import Point, Quad, Shape, box, disc, polygon


class Builder:
    """Builds on the plots of one block; the order of calls is part of what the seed means."""

    def __init__(self, rng: np.random.Generator, block: Block, sun: Point) -> None:
        self.rng, self.block, self.sun = rng, block, sun

    def pick(self, colors: tuple[Color, ...]) -> Color:
        """One of the colours."""
        return colors[int(self.rng.integers(len(colors)))]

    def uniform(self, low: float, high: float) -> float:
        """A number between the two."""
        return float(self.rng.uniform(low, high))

    def ground(self, quad: Quad, paint: Paint) -> None:
        """Cover the ground."""
        self.block.add(Layer.GROUND, polygon(quad, paint))

    def trees(self, quad: Quad, mean: float, low: float, high: float) -> None:
        """Plant trees anywhere in a quad, `mean` of them on average, with radii between two numbers."""
        for _ in range(int(self.rng.poisson(mean))):
            at = quad.at(self.uniform(0.04, 0.96), self.uniform(0.04, 0.96))
            self._plant(at, self.uniform(low, high))

    def town_house(self, quad: Quad, *, tall: int) -> None:
        """A house of up to `tall` storeys that fills `quad`; nothing where there is no room."""
        if min(quad.width, quad.depth) < 2.6:
            return
        storeys = int(self.rng.integers(1, tall + 1))
        self._roof(quad, storeys=storeys, height=storeys * 2.6 + 1, flat=0.7, metal=0.93, busy=1.0)

    def villa(self, quad: Quad) -> None:
        """A free-standing house, not much turned from its plot, with a path and perhaps a shed."""
        length, width = self.uniform(8, 14), self.uniform(7, 10)
        if min(quad.width, quad.depth) < width + 2:
            return
        u, v = self.uniform(0.42, 0.58), self.uniform(0.42, 0.58)
        house = box(
            quad.at(u, v),
            _turned(quad.across, float(self.rng.normal(0, 0.06))),
            min(length, quad.width - 2),
            width,
        )
        path = box(quad.at(u, v / 2), quad.along, quad.depth * v, 1.8)
        self.block.add(Layer.LANE, polygon(path, Paint(palette.PAVEMENT, BARE, 0, 0.1)))
        storeys = int(self.rng.integers(1, 4))
        self._roof(house, storeys=storeys, height=storeys * 2.0 + 2.2, flat=0.45, metal=0.7, busy=0.7)
        if self.rng.random() < 0.4:
            shed = box(quad.at(0.16, 0.85), quad.across, self.uniform(2.5, 5), self.uniform(2.2, 3.5))
            self.shed(shed, height=2.4)

    def shed(self, quad: Quad, *, height: float) -> None:
        """A metal roof."""
        self.block.add(Layer.ROOF, *metal_roof(self.rng, quad, height=height, sun=self.sun))

    def wing(self, quad: Quad, *, height: float) -> None:
        """A tiled roof."""
        self.block.add(Layer.ROOF, *tiled_roof(self.rng, quad, height=height, sun=self.sun))

    def yard(self, quad: Quad, *, cover: float) -> None:
        """Ground around a house: soil or concrete, more or less overgrown, with what lies about."""
        paved = cover < 0.3 and self.rng.random() < 0.4
        color = palette.PAVEMENT if paved else self.pick(palette.SOIL)
        self.ground(quad, Paint(color, BARE, 0.0 if paved else cover, 0.12))
        if self.rng.random() < 0.35:
            self._wall(quad)
        for _ in range(int(self.rng.poisson(min(quad.width * quad.depth / 70, 4.0)))):
            self.block.add(Layer.THING, self._litter(quad))
        self.trees(quad, 0.012 * (0.3 + cover) * quad.width * quad.depth, 0.5, 2.2)

    def hedge(self, quad: Quad) -> None:
        """Bushes along one side of a garden."""
        a, b = (quad.a, quad.b) if self.rng.random() < 0.5 else (quad.b, quad.c)
        count = max(int(math.dist(a, b) / 1.3), 1)
        for k in range(count):
            t = (k + 0.5) / count
            self._plant((a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t), self.uniform(0.6, 1.0))

    def field(self, quad: Quad) -> None:
        """Crops, ploughed earth or fallow land, in rows along the longer side."""
        inner = quad.inset(*(self.uniform(0.2, 0.8) for _ in range(4)))
        x, y = inner.along if inner.width > inner.depth else inner.across
        stripes = Stripes(x, y, self.uniform(0.8, 2.2), self.uniform(0.03, 0.13))
        luck = self.rng.random()
        if luck < 0.4:
            paint = Paint(self.pick(palette.CROPS), LOW_VEGETATION, 0.25, 0.1, stripes)
        elif luck < 0.75:
            paint = Paint(self.pick(palette.EARTH), BARE, 0.12, 0.12, stripes)
        else:
            paint = Paint(palette.DRY_GRASS, LOW_VEGETATION, 0.7, 0.12)
        self.ground(inner, paint)

    def pond(self, quad: Quad) -> None:
        """A round pond with a trodden bank."""
        radius, center = min(quad.width, quad.depth) * 0.42, quad.at(0.5, 0.5)
        bank, water = Paint(palette.DIRT, BARE, 0.4), Paint(palette.POND, WATER, 0, 0.02)
        self.block.add(Layer.GROUND, disc(center, radius * 1.12, bank, corners=13))
        self.block.add(Layer.WATER, disc(center, radius, water, corners=13))

    def lorries(self, quad: Quad) -> None:
        """A row of lorries and cars side by side."""
        for k in range(int(self.rng.integers(3, 9))):
            length = float(self.rng.choice([4.3, 7.5]))
            self.block.add(
                Layer.THING, *parked_car(self.rng, quad.at(0.5, 0.1 + 0.1 * k), quad.across, length)
            )

    def _roof(
        self, quad: Quad, *, storeys: int, height: float, flat: float, metal: float, busy: float
    ) -> None:
        """A roof: flat with probability `flat`, of metal up to `metal`, of tiles otherwise."""
        luck = self.rng.random()
        if luck < flat:
            self.block.add(Layer.ROOF, *flat_roof(self.rng, quad, storeys=storeys, busy=busy))
        elif luck < metal:
            self.shed(quad, height=height)
        else:
            self.wing(quad, height=height)

    def _wall(self, quad: Quad) -> None:
        """A wall around a plot, open on one side or more."""
        paint = Paint(self.pick(palette.CONCRETE), BARE, 0, 0.1)
        sides = ((quad.a, quad.b), (quad.b, quad.c), (quad.c, quad.d))
        for a, b in sides[: int(self.rng.integers(1, 4))]:
            length = max(math.dist(a, b), 0.1)
            direction = ((b[0] - a[0]) / length, (b[1] - a[1]) / length)
            middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
            self.block.add(Layer.THING, polygon(box(middle, direction, length, 0.28), paint, height=1.6))

    def _litter(self, quad: Quad) -> Shape:
        """A heap, a box, a tarpaulin."""
        center = quad.at(self.uniform(0.06, 0.94), self.uniform(0.06, 0.94))
        paint = Paint(self.pick(palette.CLUTTER), BARE, 0, 0.1)
        return polygon(
            box(center, quad.across, self.uniform(0.4, 2.4), self.uniform(0.4, 2.4)), paint, height=0.6
        )

    def _plant(self, at: Point, radius: float) -> None:
        self.block.trees.append(Tree(*at, radius, int(self.rng.integers(len(palette.LEAVES)))))


def _turned(direction: Point, angle: float) -> Point:
    """A vector turned by an angle in radians."""
    (x, y), cos, sin = direction, math.cos(angle), math.sin(angle)
    return x * cos - y * sin, x * sin + y * cos
