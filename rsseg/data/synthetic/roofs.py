"""Buildings seen from above: flat concrete roofs with what stands on them, metal sheds, tiled roofs.

All of a building, tanks and stair towers included, carries the label building.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from rsseg.data.synthetic import palette
from rsseg.data.synthetic.palette import BUILDING, Color, Paint, Stripes, shaded
from rsseg.data.synthetic.shapes import Point, Quad, Shape, box, disc, polygon

STOREY_M: Final = 3.0
PARAPET_M: Final = 0.9
TALLEST_M: Final = 19.0
"""No part of a building rises above this; shadows rely on it."""


def flat_roof(rng: np.random.Generator, quad: Quad, *, storeys: int, busy: float) -> list[Shape]:
    """A concrete roof with parapet, stair tower, tanks and clutter; `busy` scales how much stands on it.

    A third of them are two parts of different height, as terraces are.
    """
    if min(quad.width, quad.depth) > 6 and storeys > 1 and rng.random() < 0.4:
        tall, low = _terraced(rng, quad)
        return [
            *_slab(rng, low, height=(storeys - 1) * STOREY_M, busy=busy),
            *_slab(rng, tall, height=storeys * STOREY_M, busy=busy),
        ]
    return _slab(rng, quad, height=storeys * STOREY_M, busy=busy)


def metal_roof(
    rng: np.random.Generator, quad: Quad, *, height: float, sun: Point, color: Color | None = None
) -> list[Shape]:
    """Corrugated sheet, as a gable or as one slope, some sheets newer or rustier than the others."""
    quad = quad if quad.width >= quad.depth else quad.turned()
    color = color or _pick(rng, palette.SHEET)
    stripes = Stripes(*quad.across, float(rng.uniform(0.55, 0.95)), 0.055)
    if quad.depth > 5 and rng.random() < 0.7:
        ridge = float(rng.uniform(0.42, 0.58))
        sides = [(quad.part(0, 0, 1, ridge), -1.0), (quad.part(0, ridge, 1, 1), 1.0)]
    else:
        sides = [(quad, float(rng.choice([-0.5, 0.5])))]
    shapes = []
    for side, facing in sides:
        light = _light(quad.along, sun, slope=0.24 * facing)
        shapes.append(polygon(side, Paint(shaded(color, light), BUILDING, 0, 0.05, stripes), height=height))
        shapes += _patches(rng, side, shaded(color, light), height=height, stripes=stripes)
    if len(sides) == 2:
        line = quad.part(-0.005, sides[0][0].depth / quad.depth, 1.005, sides[0][0].depth / quad.depth)
        shapes.append(_strip(line.a, line.b, 0.3, shaded(color, 1.12), height=height + 0.2))
    return shapes


def tiled_roof(rng: np.random.Generator, quad: Quad, *, height: float, sun: Point) -> list[Shape]:
    """A gabled or hipped roof of clay tiles, each side as bright as it faces the sun."""
    quad = quad if quad.width >= quad.depth else quad.turned()
    color = _pick(rng, palette.TILE)
    hip = min(0.5 * quad.depth / quad.width, 0.42) if rng.random() < 0.5 else 0.0
    a, b = quad.at(hip, 0.5), quad.at(1 - hip, 0.5)
    faces: list[tuple[list[Point], Point]] = [
        ([quad.a, quad.b, b, a], (-quad.along[0], -quad.along[1])),
        ([quad.d, quad.c, b, a], quad.along),
    ]
    if hip:
        faces += [
            ([quad.a, a, quad.d], (-quad.across[0], -quad.across[1])),
            ([quad.b, b, quad.c], quad.across),
        ]
    shapes = []
    for corners, facing in faces:
        stripes = Stripes(*facing, 0.42, 0.06)
        paint = Paint(shaded(color, _light(facing, sun, slope=0.34)), BUILDING, 0, 0.1, stripes)
        shapes.append(polygon(corners, paint, height=height))
    shapes.append(_strip(a, b, 0.35, shaded(color, 1.1), height=height + 0.4))
    return shapes


def _slab(rng: np.random.Generator, quad: Quad, *, height: float, busy: float) -> list[Shape]:
    """One concrete roof: parapet, floor, and what stands on it, from the largest to the smallest."""
    color = _varied(rng, _pick(rng, palette.CONCRETE))
    rim = shaded(color, float(rng.uniform(0.95, 1.3)))
    has_parapet = rng.random() < 0.8
    shapes = [polygon(quad, Paint(rim, BUILDING, 0, 0.05), height=height + PARAPET_M * has_parapet)]
    floor = quad.inset(0.28, 0.28, 0.28, 0.28)
    shapes.append(polygon(floor, Paint(color, BUILDING, 0, 0.13), height=height))
    if min(floor.width, floor.depth) < 2.2:
        return shapes
    if rng.random() < 0.35:
        shapes.append(_bay(rng, floor, color, height=height))
    if rng.random() < 0.3 * busy:
        shapes += _lean_to(rng, floor, height=height)
    if rng.random() < 0.65 * busy:
        shapes += _stair_tower(rng, floor, color, height=height)
    shapes += _tanks(rng, floor, height=height, busy=busy)
    shapes += _small_things(rng, floor, height=height, busy=busy)
    if rng.random() < 0.25 * busy:
        shapes += _columns(floor, height=height)
    return shapes


def _terraced(rng: np.random.Generator, quad: Quad) -> tuple[Quad, Quad]:
    """The higher and the lower part."""
    cut = float(rng.uniform(0.35, 0.65))
    if quad.width < quad.depth:
        parts = quad.part(0, 0, 1, cut), quad.part(0, cut, 1, 1)
    else:
        parts = quad.part(0, 0, cut, 1), quad.part(cut, 0, 1, 1)
    return parts if rng.random() < 0.5 else (parts[1], parts[0])


def _bay(rng: np.random.Generator, floor: Quad, color: Color, *, height: float) -> Shape:
    """A part of the floor that was cast or painted another day."""
    cut = float(rng.uniform(0.3, 0.7))
    part = floor.part(0, 0, cut, 1) if rng.random() < 0.5 else floor.part(0, cut, 1, 1)
    tone = shaded(color, float(rng.uniform(0.8, 1.18)))
    return polygon(part, Paint(tone, BUILDING, 0, 0.13), height=height)


def _lean_to(rng: np.random.Generator, floor: Quad, *, height: float) -> list[Shape]:
    """A sheet-metal roof over a part of the terrace."""
    cut = float(rng.uniform(0.3, 0.6))
    options = [(0, 0, 1, cut), (0, 1 - cut, 1, 1), (0, 0, cut, 1), (1 - cut, 0, 1, 1)]
    part = floor.part(*options[int(rng.integers(4))])
    color = _varied(rng, _pick(rng, palette.SHEET))
    stripes = Stripes(*part.across, 0.7, 0.055)
    shape = polygon(part, Paint(color, BUILDING, 0, 0.05, stripes), height=height + 2.3)
    return [shape, *_patches(rng, part, color, height=height + 2.3, stripes=stripes)]


def _stair_tower(rng: np.random.Generator, floor: Quad, color: Color, *, height: float) -> list[Shape]:
    """The room over the stairs, in a corner, with its own rim."""
    u, v = min(2.8 / floor.width, 0.6), min(float(rng.uniform(2.8, 4.2)) / floor.depth, 0.7)
    left, top = rng.random() < 0.5, rng.random() < 0.5
    part = floor.part(0 if left else 1 - u, 0 if top else 1 - v, u if left else 1, v if top else 1)
    shapes = [polygon(part, Paint(shaded(color, 1.15), BUILDING, 0, 0.05), height=height + 2.6)]
    inner = part.inset(0.2, 0.2, 0.2, 0.2)
    tone = shaded(color, float(rng.uniform(0.85, 1.15)))
    return [*shapes, polygon(inner, Paint(tone, BUILDING, 0, 0.1), height=height + 2.5)]


def _tanks(rng: np.random.Generator, floor: Quad, *, height: float, busy: float) -> list[Shape]:
    """Water tanks, in a row near a corner, with a lighter lid."""
    color = _pick(rng, palette.TANK)
    u, v = rng.uniform(0.15, 0.85, 2)
    shapes = []
    for k in range(int(rng.poisson(1.1 * busy))):
        radius = float(rng.uniform(0.45, 0.7))
        center = floor.at(min(u + k * 1.5 / floor.width, 0.95), v)
        shapes.append(disc(center, radius, Paint(color, BUILDING, 0, 0.03), height=height + 1.5))
        shapes.append(
            disc(center, 0.4 * radius, Paint(shaded(color, 1.35), BUILDING, 0, 0.03), height=height + 1.6)
        )
    return shapes


def _small_things(rng: np.random.Generator, floor: Quad, *, height: float, busy: float) -> list[Shape]:
    """Laundry, boxes, pipes, solar panels, plants: small things of any colour."""
    shapes = []
    for _ in range(int(rng.poisson(2.6 * busy * min(floor.width * floor.depth / 80, 2.0)))):
        center = floor.at(*(float(x) for x in rng.uniform(0.08, 0.92, 2)))
        length, width = (float(x) for x in rng.uniform(0.3, 1.7, 2))
        paint = Paint(_varied(rng, _pick(rng, palette.CLUTTER)), BUILDING, 0, 0.06)
        shapes.append(polygon(box(center, floor.across, length, width), paint, height=height + 0.5))
    if rng.random() < 0.12 * busy:
        panel = box(floor.at(0.5, 0.5), floor.across, 2.0, 1.0)
        shapes.append(polygon(panel, Paint((40, 48, 74), BUILDING, 0, 0.02), height=height + 1.0))
    return shapes


def _columns(floor: Quad, *, height: float) -> list[Shape]:
    """Stubs of columns for a storey that is still to come."""
    paint = Paint((176, 170, 162), BUILDING, 0, 0.02)
    spots = [(u, v) for u in (0.03, 0.5, 0.97) for v in (0.03, 0.97)]
    return [polygon(box(floor.at(*s), floor.across, 0.5, 0.5), paint, height=height + 1.3) for s in spots]


def _patches(
    rng: np.random.Generator, side: Quad, color: Color, *, height: float, stripes: Stripes
) -> list[Shape]:
    """Single sheets in another tone."""
    shapes = []
    for _ in range(int(rng.poisson(min(side.width * side.depth / 45, 5.0)))):
        u, v = rng.uniform(0, 0.85, 2)
        du, dv = float(rng.uniform(0.8, 3.0)) / side.width, float(rng.uniform(0.2, 0.6))
        part = side.part(float(u), float(v), min(float(u) + du, 1), min(float(v) + dv, 1))
        tone = shaded(color, float(rng.uniform(0.82, 1.14)))
        shapes.append(polygon(part, Paint(tone, BUILDING, 0, 0.05, stripes), height=height))
    return shapes


def _strip(a: Point, b: Point, width: float, color: Color, *, height: float) -> Shape:
    """A ridge."""
    length = math.dist(a, b) or 1.0
    direction = ((b[0] - a[0]) / length, (b[1] - a[1]) / length)
    middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
    return polygon(box(middle, direction, length, width), Paint(color, BUILDING, 0, 0.03), height=height)


def _light(facing: Point, sun: Point, *, slope: float) -> float:
    """How bright a slope that falls towards `facing` is, against level ground; `sun` points to it."""
    return 1.0 + slope * (facing[0] * sun[0] + facing[1] * sun[1])


def _pick(rng: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    return colors[int(rng.integers(len(colors)))]


def _varied(rng: np.random.Generator, color: Color) -> Color:
    """The colour, a little lighter or darker and warmer or cooler."""
    light, warm = rng.normal(1.0, 0.07), rng.normal(0.0, 0.02)
    return color[0] * float(light + warm), color[1] * float(light), color[2] * float(light - warm)
