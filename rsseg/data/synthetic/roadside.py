"""Streets, rivers, and what moves or stands along them."""

from __future__ import annotations

from typing import Final

import numpy as np

from rsseg.data.synthetic import palette
from rsseg.data.synthetic.layers import Block, Layer, Tree
from rsseg.data.synthetic.noise import FloatArray
from rsseg.data.synthetic.palette import BARE, CAR, ROAD, WATER, Paint
from rsseg.data.synthetic.shapes import Point, Quad, Shape, box, disc, polygon
from rsseg.data.synthetic.streets import PITCH_M, Curve, Frame, Street

PIECES: Final = 8
"""Straight pieces that stand for one curve."""


def pave(rng: np.random.Generator, frame: Frame, block: Block) -> None:
    """Add the streets on the left and upper side of a block, and the crossing at its corner.

    The other two sides belong to its neighbours.
    """
    for street, curve in ((frame.streets[0], frame.left), (frame.streets[1], _dry(frame))):
        _ribbon(street, curve, block)
        if street.kind in ("main", "street", "lane"):
            _cars(rng, street, curve, block)
        if street.kind in ("river", "main"):
            _row_of_trees(rng, street, curve, block)
    if frame.streets[0].kind != "river":
        corner = frame.top.at(np.array([0.0]))[0]
        _crossing(frame, (float(corner[0]), float(corner[1])), block)


def _dry(frame: Frame) -> Curve:
    """The upper side of a block as far as its street runs: it stops at a river that it does not cross."""
    first, last = frame.streets[1].stops
    start = frame.streets[0].reserve / PITCH_M if first else 0.0
    end = 1 - frame.streets[2].reserve / PITCH_M if last else 1.0
    return frame.top.between(start, end)


def _surface(street: Street) -> tuple[Layer, Paint]:
    """Layer and paint of a street."""
    return {
        "main": (Layer.MAIN_ROAD, Paint(palette.ASPHALT, ROAD, 0, 0.07)),
        "street": (Layer.STREET, Paint(palette.shaded(palette.ASPHALT, 1.08), ROAD, 0, 0.1)),
        "lane": (Layer.LANE, Paint(palette.DIRT, ROAD, 0.02, 0.12)),
        "track": (Layer.LANE, Paint(palette.DIRT, ROAD, 0.22, 0.14)),
        "river": (Layer.WATER, Paint(palette.STREAM, WATER, 0, 0.03)),
        "none": (Layer.LANE, Paint(palette.DIRT, ROAD)),
    }[street.kind]


def _ribbon(street: Street, curve: Curve, block: Block) -> None:
    """A street or river with what borders it."""
    layer, paint = _surface(street)
    if street.kind == "none":
        return
    if street.kind == "main":
        block.add(
            Layer.STREET, *_band(curve, 0, street.width + 3.6, Paint(palette.PAVEMENT, ROAD, 0.03, 0.12))
        )
        block.add(Layer.MARKING, *_dashes(curve))
        for side in (-1, 1):
            edge = Paint(palette.shaded(palette.MARKING, 0.9), ROAD, 0, 0.1)
            block.add(Layer.MARKING, *_band(curve, side * (street.width / 2 - 0.5), 0.16, edge))
    elif street.kind == "river":
        block.add(
            Layer.GROUND, *_band(curve, 0, street.width + 9.0, Paint(palette.SOIL[1], BARE, 0.75, 0.14))
        )
        block.add(Layer.GROUND, *_band(curve, 0, street.width + 3.0, Paint(palette.SOIL[0], BARE, 0.2, 0.14)))
    else:
        block.add(Layer.GROUND, *_band(curve, 0, street.width + 1.6, Paint(palette.DIRT, BARE, 0.25, 0.14)))
    block.add(layer, *_band(curve, 0, street.width, paint))


def _band(curve: Curve, offset: float, width: float, paint: Paint) -> list[Shape]:
    """Pieces of a band of `width` metres that runs `offset` metres beside the curve."""
    t = np.linspace(0, 1, PIECES + 1)
    points, normals = curve.at(t), _normals(curve, t)
    left = (points + normals * (offset - width / 2)).tolist()
    right = (points + normals * (offset + width / 2)).tolist()
    return [polygon([left[k], left[k + 1], right[k + 1], right[k]], paint) for k in range(PIECES)]


def _dashes(curve: Curve) -> list[Shape]:
    """The broken line in the middle."""
    t = np.linspace(0.02, 0.98, 14)
    points, normals = curve.at(t).tolist(), _normals(curve, t).tolist()
    paint = Paint(palette.MARKING, ROAD, 0, 0.1)
    return [
        polygon(box((p[0], p[1]), (n[1], -n[0]), 2.4, 0.18), paint)
        for p, n in zip(points, normals, strict=True)
    ]


def _crossing(frame: Frame, corner: Point, block: Block) -> None:
    """Round off the corner where the two streets of a block start."""
    for street in frame.streets[:2]:
        layer, paint = _surface(street)
        if street.kind != "none":
            block.add(layer, disc(corner, street.width / 2, paint, corners=12))


def _cars(rng: np.random.Generator, street: Street, curve: Curve, block: Block) -> None:
    """Cars in their lane or at the kerb."""
    mean = {"main": 5.0, "street": 2.2, "lane": 0.6}[street.kind]
    t = np.sort(rng.uniform(0.08, 0.92, int(rng.poisson(mean))))
    t = t[np.diff(t, prepend=-1.0) > 0.09]
    points, normals = curve.at(t).tolist(), _normals(curve, t).tolist()
    for p, n in zip(points, normals, strict=True):
        side = float(rng.choice([-1.0, 1.0])) * (street.width / 4 + float(rng.uniform(0, 0.5)))
        length = 4.3 if rng.random() < 0.85 else float(rng.uniform(6, 9))
        block.add(
            Layer.THING, *parked_car(rng, (p[0] + n[0] * side, p[1] + n[1] * side), (n[1], -n[0]), length)
        )


def parked_car(rng: np.random.Generator, center: Point, direction: Point, length: float) -> list[Shape]:
    """A car, or a lorry above 5 m: a body with darker panes before and behind the roof."""
    color = palette.CARS[int(rng.integers(len(palette.CARS)))]
    width = 1.8 if length < 5 else 2.3
    body: Quad = box(center, direction, length, width)
    glass = Paint((46, 50, 56), CAR, 0, 0.02)
    height = 1.4 if length < 5 else 2.6
    shapes = [polygon(body, Paint(color, CAR, 0, 0.02), height=height)]
    if length < 5:
        shapes.append(polygon(body.part(0.22, 0.1, 0.36, 0.9), glass, height=height))
        shapes.append(polygon(body.part(0.74, 0.12, 0.84, 0.88), glass, height=height))
    else:
        shapes.append(polygon(body.part(0.02, 0.06, 0.14, 0.94), glass, height=height))
    return shapes


def _row_of_trees(rng: np.random.Generator, street: Street, curve: Curve, block: Block) -> None:
    """Trees on both sides, where there is room for some."""
    t = np.sort(rng.uniform(0, 1, int(rng.poisson(14 if street.kind == "river" else 4))))
    points, normals = curve.at(t).tolist(), _normals(curve, t).tolist()
    for p, n in zip(points, normals, strict=True):
        side = float(rng.choice([-1.0, 1.0])) * (street.width / 2 + float(rng.uniform(1.5, 4.0)))
        tone = int(rng.integers(len(palette.LEAVES)))
        block.trees.append(Tree(p[0] + n[0] * side, p[1] + n[1] * side, float(rng.uniform(0.9, 2.8)), tone))


def _normals(curve: Curve, t: FloatArray) -> FloatArray:
    """Unit vectors across the curve, (n, 2)."""
    c, s = curve.coefficients, t[:, None]
    tangent = c[1] + s * (2 * c[2] + s * 3 * c[3])
    tangent = tangent / np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
    return np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
