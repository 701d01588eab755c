"""What one block of the town is used for, from the old centre to the fields."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from rsseg.data.synthetic import palette
from rsseg.data.synthetic.layers import Block, Layer
from rsseg.data.synthetic.noise import place_rng
from rsseg.data.synthetic.palette import BARE, LOW_VEGETATION, ROAD, Paint
from rsseg.data.synthetic.plots import Plot, cut_plots, whole
from rsseg.data.synthetic.premises import Builder
from rsseg.data.synthetic.roadside import pave
from rsseg.data.synthetic.shapes import Point, polygon
from rsseg.data.synthetic.streets import Frame, block_frame, density

REACH_M: Final = 16.0
"""Nothing of a block sticks out of the bounds of its four curves by more than this."""


@lru_cache(maxsize=512)
def block_bounds(seed: int, i: int, j: int) -> tuple[float, float, float, float]:
    """A rectangle of the world that holds all of a block: x and y of its corners."""
    frame = block_frame(seed, i, j)
    t = np.linspace(0, 1, 7)
    rim = np.concatenate([c.at(t) for c in (frame.top, frame.bottom, frame.left, frame.right)])
    low, high = rim.min(axis=0) - REACH_M, rim.max(axis=0) + REACH_M
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


@lru_cache(maxsize=96)
def build_block(seed: int, i: int, j: int, sun: Point) -> Block:
    """Fill a block, always in the same way for the same seed, place and sun (a horizontal unit vector)."""
    rng = place_rng(seed, 1, i, j)
    frame, block = block_frame(seed, i, j), Block()
    pave(rng, frame, block)
    middle = frame.at(np.array([0.5]), np.array([0.5]))[0]
    built = density(seed, float(middle[0]), float(middle[1]))
    _use(Builder(rng, block, sun), frame, built, luck=float(rng.random()))
    return block


def _use(builder: Builder, frame: Frame, built: float, *, luck: float) -> None:
    """Choose a use that fits the density of building around."""
    if built > 0.42:
        _core(builder, frame) if luck > 0.06 else _open_place(builder, frame)
    elif built > 0.16:
        use = _quarter if luck > 0.14 else _works if luck > 0.07 else _open_place
        use(builder, frame)
    elif built > -0.06:
        _suburb(builder, frame) if luck > 0.12 else _works(builder, frame)
    elif luck < 0.16:
        _wood(builder, frame)
    else:
        _fields(builder, frame, wet=luck > 0.9)


def _core(builder: Builder, frame: Frame) -> None:
    """Old town: houses wall to wall, narrow lanes, few yards."""
    rng = builder.rng
    builder.ground(whole(frame), Paint(builder.pick(palette.SOIL), BARE, 0.12, 0.12))
    for plot in _plots(builder, frame, area=builder.uniform(75, 130), gap=2.2, gap_depth=2):
        luck = rng.random()
        if luck < (0.05 if plot.outer else 0.22):
            builder.yard(plot.quad, cover=0.7 if luck < 0.1 else 0.15)
            continue
        gaps = rng.uniform(0.0, 0.5, 4) * (rng.random(4) < 0.5)
        if not plot.outer:
            gaps[int(rng.integers(4))] += rng.uniform(0, 2.0)
        builder.town_house(plot.quad.inset(*gaps.tolist()), tall=4)


def _quarter(builder: Builder, frame: Frame) -> None:
    """Newer quarters: houses side by side on plots with a yard or a kitchen garden."""
    rng = builder.rng
    builder.ground(whole(frame), Paint(builder.pick(palette.SOIL), BARE, 0.3, 0.12))
    for plot in _plots(builder, frame, area=builder.uniform(140, 230), gap=2.8, gap_depth=1):
        builder.yard(plot.quad, cover=float(rng.choice([0.1, 0.35, 0.8])))
        if rng.random() < 0.2:
            builder.trees(plot.quad, 2.0, 0.8, 2.6)
            continue
        gaps = rng.permutation(np.array([0.3, 0.3, rng.uniform(0.5, 3.5), rng.uniform(0.5, 4.0)]))
        builder.town_house(plot.quad.inset(*gaps.tolist()), tall=3)
        builder.trees(plot.quad.part(0, 0, 1, 0.16), 0.8, 0.6, 1.8)


def _suburb(builder: Builder, frame: Frame) -> None:
    """Houses in gardens, with paths, hedges and trees; some plots are still fields."""
    builder.ground(whole(frame), Paint(builder.pick(palette.SOIL), BARE, 0.6, 0.12))
    for plot in _plots(builder, frame, area=builder.uniform(300, 520), gap=1.0, gap_depth=0):
        if builder.rng.random() < 0.3:
            builder.field(plot.quad)
            continue
        builder.yard(plot.quad, cover=builder.uniform(0.5, 0.95))
        builder.villa(plot.quad)
        if builder.rng.random() < 0.5:
            builder.hedge(plot.quad)
        builder.trees(plot.quad, 2.5, 0.8, 3.0)


def _fields(builder: Builder, frame: Frame, *, wet: bool) -> None:
    """Fields, here and there a farm; if `wet`, a pond."""
    rng = builder.rng
    builder.ground(whole(frame), Paint(builder.pick(palette.SOIL), BARE, 0.85, 0.12))
    plots = _plots(builder, frame, area=builder.uniform(380, 1300), gap=1.2, gap_depth=0)
    for k, plot in enumerate(plots):
        if wet and k == 0:
            builder.pond(plot.quad)
        elif rng.random() < 0.06:
            builder.yard(plot.quad, cover=0.5)
            builder.villa(plot.quad)
        else:
            builder.field(plot.quad)
        if rng.random() < 0.45:
            builder.trees(plot.quad.part(0, 0, 1, 0.08), 4.0, 0.6, 2.6)


def _wood(builder: Builder, frame: Frame) -> None:
    """Trees, open or dense."""
    builder.ground(whole(frame), Paint(palette.DRY_GRASS, LOW_VEGETATION, 0.9, 0.12))
    builder.trees(whole(frame), builder.uniform(110, 330), 1.0, 3.9)


def _works(builder: Builder, frame: Frame) -> None:
    """Workshops and warehouses: long sheds on bare yards, lorries."""
    builder.ground(whole(frame), Paint(builder.pick(palette.SOIL), BARE, 0.15, 0.12))
    for plot in _plots(builder, frame, area=builder.uniform(700, 1300), gap=3.0, gap_depth=0):
        builder.yard(plot.quad, cover=0.1)
        if builder.rng.random() < 0.75:
            gaps = [builder.uniform(1.5, 8.0) for _ in range(4)]
            builder.shed(plot.quad.inset(*gaps), height=builder.uniform(4.5, 8))
        else:
            builder.lorries(plot.quad)
        builder.trees(plot.quad.part(0, 0, 1, 0.07), 2.0, 1.0, 3.0)


def _open_place(builder: Builder, frame: Frame) -> None:
    """A playing field, a park or a market place, with trees around it and one large building."""
    rng, place = builder.rng, whole(frame)
    cover = float(rng.choice([0.05, 0.5, 0.9]))
    builder.ground(place, Paint(builder.pick(palette.SOIL), BARE, cover, 0.1))
    builder.shed(place.part(0.06, 0.08, builder.uniform(0.3, 0.5), builder.uniform(0.25, 0.4)), height=7.0)
    if rng.random() < 0.5:
        builder.wing(place.part(0.06, 0.5, 0.2, 0.94), height=6.5)
    for rim in (place.part(0, 0.95, 1, 1), place.part(0.95, 0, 1, 1), place.part(0, 0, 1, 0.05)):
        builder.trees(rim, 9, 1.2, 3.4)


def _plots(builder: Builder, frame: Frame, *, area: float, gap: float, gap_depth: int) -> list[Plot]:
    """The plots of a block; the lanes between them are paved."""
    plots, lanes = cut_plots(builder.rng, frame, area=area, gap=gap, gap_depth=gap_depth)
    for quad in lanes:
        paint = Paint(builder.pick((palette.DIRT, palette.PAVEMENT)), ROAD, 0.05, 0.12)
        builder.block.add(Layer.LANE, polygon(quad, paint))
    return plots
