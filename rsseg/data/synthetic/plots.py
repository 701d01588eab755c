"""Blocks cut into plots."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from rsseg.data.synthetic.noise import FloatArray
from rsseg.data.synthetic.shapes import Quad
from rsseg.data.synthetic.streets import Frame


class Plot(NamedTuple):
    """A plot: its outline, and whether it touches the block's rim, where the streets are."""

    quad: Quad
    outer: bool


class Rect(NamedTuple):
    """A part of a block in the block's own coordinates, from 0 to 1 along its sides."""

    s0: float
    t0: float
    s1: float
    t1: float

    def halved(self, at: float, gap: float, *, across: bool) -> tuple[Rect, Rect, Rect]:
        """Two parts and the gap between them; `at` and `gap` are shares of the side that is cut."""
        if across:
            cut, g = self.s0 + at * (self.s1 - self.s0), gap * (self.s1 - self.s0) / 2
            return self._replace(s1=cut - g), self._replace(s0=cut + g), self._replace(s0=cut - g, s1=cut + g)
        cut, g = self.t0 + at * (self.t1 - self.t0), gap * (self.t1 - self.t0) / 2
        return self._replace(t1=cut - g), self._replace(t0=cut + g), self._replace(t0=cut - g, t1=cut + g)


class Cuts(NamedTuple):
    """The parts of a block and the lanes between them."""

    parts: list[Rect]
    lanes: list[Rect]


_SMALLEST_M: Final = 6.0
"""Plots shorter than this are not cut again, whatever their area."""

_ENDS: Final = np.array([0.0, 1.0])


def whole(frame: Frame) -> Quad:
    """The inner part of a block, free of its streets."""
    return _quads(frame, [_free(frame)])[0]


def cut_plots(
    rng: np.random.Generator, frame: Frame, *, area: float, gap: float, gap_depth: int
) -> tuple[list[Plot], list[Quad]]:
    """Halve a block again and again, across its longer side, until the parts are about `area` m2.

    Args:
        rng: chooses where.
        frame: the block.
        area: mean area of a plot, in m2.
        gap: mean width of the lanes, in metres.
        gap_depth: how many generations of cuts leave a lane.

    Returns:
        The plots, and the lanes between them.
    """
    free, size = _free(frame), whole(frame)
    scale = size.width / (free.s1 - free.s0), size.depth / (free.t1 - free.t0)
    cuts = _cut(rng, free, scale, area=area, gap=gap, gap_depth=gap_depth)
    outer = [r.s0 == free.s0 or r.t0 == free.t0 or r.s1 == free.s1 or r.t1 == free.t1 for r in cuts.parts]
    plots = [Plot(q, o) for q, o in zip(_quads(frame, cuts.parts), outer, strict=True)]
    return plots, _quads(frame, cuts.lanes)


def _cut(
    rng: np.random.Generator,
    free: Rect,
    scale: tuple[float, float],
    *,
    area: float,
    gap: float,
    gap_depth: int,
) -> Cuts:
    """Cut one part after the other; `scale` is metres for each unit of the block's coordinates."""
    cuts = Cuts([], [])
    todo = [(free, 0)]
    while todo:
        part, level = todo.pop()
        wide, deep = (part.s1 - part.s0) * scale[0], (part.t1 - part.t0) * scale[1]
        if wide * deep < area * rng.uniform(0.7, 1.7) or max(wide, deep) < _SMALLEST_M:
            cuts.parts.append(part)
            continue
        width = gap * float(rng.uniform(0.7, 1.3)) if level < gap_depth else 0.0
        at = float(rng.uniform(0.36, 0.64))
        one, other, lane = part.halved(at, min(width / max(wide, deep), 0.4), across=wide >= deep)
        todo += [(one, level + 1), (other, level + 1)]
        if width:
            cuts.lanes.append(lane)
    return cuts


def _free(frame: Frame) -> Rect:
    """The part of a block that its streets leave free."""
    wide = (_length(frame.top.at(_ENDS)) + _length(frame.bottom.at(_ENDS))) / 2
    deep = (_length(frame.left.at(_ENDS)) + _length(frame.right.at(_ENDS))) / 2
    left, top, right, bottom = (street.reserve for street in frame.streets)
    return Rect(left / wide, top / deep, 1 - right / wide, 1 - bottom / deep)


def _length(ends: FloatArray) -> float:
    return float(np.hypot(*(ends[1] - ends[0])))


def _quads(frame: Frame, rects: list[Rect]) -> list[Quad]:
    """Where parts of a block lie in the world."""
    r = np.array(rects).reshape(-1, 4)
    points = frame.at(r[:, [0, 2, 2, 0]].ravel(), r[:, [1, 1, 3, 3]].ravel()).reshape(-1, 8).tolist()
    return [Quad((p[0], p[1]), (p[2], p[3]), (p[4], p[5]), (p[6], p[7])) for p in points]
