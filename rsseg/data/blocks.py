"""Choosing which pieces of ground are for validation, so that both parts have all classes and no ground in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rsseg.errors import LabelError, OptionError

_CANDIDATES = 256
_FEWER_CANDIDATES = 32
_MANY_UNITS = 2000
_MOST_CLUSTERS = 8


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """What a split shall be like.

    `val_share` is the part of the labelled pixels for validation. `window` is the side of a training sample in pixels:
    the margin between the parts. `block` is the side of the blocks that rasters are cut into, in pixels; None for four
    windows. The same seed and data give the same split.

    Raises:
        OptionError: a value is out of its range.
    """

    val_share: float = 0.2
    window: int = 256
    block: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.01 <= self.val_share <= 0.9:
            raise OptionError(f"val share is {self.val_share}; it must be at least 0.01 and at most 0.9")
        for name, size in (("window", self.window), ("block", self.block)):
            if size is not None and size < 1:
                raise OptionError(f"{name} is {size} px; it must be at least 1")

    @property
    def block_side(self) -> int:
        """Side of the blocks that rasters are cut into, in pixels."""
        return 4 * self.window if self.block is None else self.block


@dataclass(frozen=True, kw_only=True)
class Units:
    """Pieces of labelled ground.

    `outlines` (n,) are polygons on a plane, `class_pixels` (n, classes) count labelled pixels, `margins` (n,) is the
    width of a sample at each in units of the plane. Units that are `divisible` may be cut at the margin.
    """

    outlines: NDArray[Any]
    class_pixels: NDArray[np.int64]
    margins: NDArray[np.float64]
    divisible: bool


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which units are for validation (n,), and how much of each is left for training (n,), from 0 to 1."""

    val: NDArray[np.bool_]
    train: NDArray[np.float64]


def choose_units(units: Units, options: SplitOptions, *, source: str) -> Choice:
    """Choose compact groups of units for validation; what is nearer to them than a sample is for no part.

    Of many groups drawn at random, that one is taken whose classes, in both parts, are shared out most as in the
    whole, whose size is nearest to the share wanted, and around which least is lost.

    Raises:
        LabelError: there are too few units, or all that remain are too near.
    """
    count = len(units.outlines)
    rng = np.random.default_rng(options.seed)
    best: tuple[float, Choice] | None = None
    for _ in range(_CANDIDATES if count <= _MANY_UNITS else _FEWER_CANDIDATES):
        val = _draw(units, options.val_share, rng)
        if val.all() or not val.any():
            continue
        choice = Choice(val=val, train=_left_for_training(units, val))
        cost = _cost(units.class_pixels, choice, options.val_share)
        if best is None or cost < best[0]:
            best = cost, choice
    if best is None or not best[1].train.any():
        raise LabelError(
            f"{source}: {count} pieces of labelled ground cannot be parted with a margin of {options.window} px",
            hint="choose a smaller --window, smaller blocks (--block), or label more ground",
        )
    return best[1]


def _draw(units: Units, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Units around a few random ones, nearest first, until they hold the share of the labelled pixels."""
    count = len(units.outlines)
    centres = shapely.get_coordinates(shapely.centroid(units.outlines))
    seeds = rng.choice(count, size=min(count, int(rng.integers(1, _MOST_CLUSTERS + 1))), replace=False)
    distance = np.min(np.linalg.norm(centres[:, None] - centres[None, seeds], axis=2), axis=1)
    order = np.argsort(distance, kind="stable")
    labelled = units.class_pixels.sum(axis=1)[order]
    before = np.cumsum(labelled) - labelled
    val = np.zeros(count, dtype=np.bool_)
    val[order[before + labelled / 2 < share * labelled.sum()]] = True
    return val


def _left_for_training(units: Units, val: NDArray[np.bool_]) -> NDArray[np.float64]:
    left = (~val).astype(np.float64)
    tree = shapely.STRtree(units.outlines)
    _, near = tree.query(units.outlines[val], predicate="dwithin", distance=units.margins[val])
    near = np.unique(near[~val[near]])
    left[near] = 0.0
    if units.divisible and len(near):
        margin = margin_around(units, val)
        outlines = units.outlines[near]
        left[near] = shapely.area(shapely.difference(outlines, margin)) / shapely.area(outlines)
    return left


def margin_around(units: Units, val: NDArray[np.bool_]) -> Any:
    """The ground of validation and what is nearer to it than a sample, as one polygon."""
    grown = shapely.buffer(units.outlines[val], units.margins[val], join_style="mitre")
    return shapely.union_all(grown)


def _cost(class_pixels: NDArray[np.int64], choice: Choice, share: float) -> float:
    whole = class_pixels.sum(axis=0)
    val = class_pixels[choice.val].sum(axis=0)
    train = (class_pixels * choice.train[:, None]).sum(axis=0)
    lost = 1 - (val.sum() + train.sum()) / whole.sum()
    return float(
        _imbalance(val, whole)
        + _imbalance(train, whole)
        + abs(val.sum() / max(1.0, val.sum() + train.sum()) - share)
        + lost
    )


def _imbalance(part: NDArray[np.floating[Any]] | NDArray[np.int64], whole: NDArray[np.int64]) -> float:
    """How far the classes' shares are from those of the whole, each class alike: 0 same, 1 nothing in common."""
    there = whole > 0
    if not part.sum():
        return 1.0
    of_part, of_whole = part[there] / part.sum(), whole[there] / whole.sum()
    return float(np.mean(np.abs(of_part - of_whole) / (of_part + of_whole)))
