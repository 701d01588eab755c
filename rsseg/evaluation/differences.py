"""Where two class maps differ in being right, as a class map of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from rsseg.classes import NODATA_CLASS, ClassInfo, ClassTable
from rsseg.evaluation.agreement import agree_on_classes
from rsseg.evaluation.compare import A_ONLY, B_ONLY, BOTH, NEITHER, outcomes
from rsseg.evaluation.counting import plan_windows
from rsseg.evaluation.engine import open_pair
from rsseg.evaluation.options import EvaluateOptions
from rsseg.evaluation.pairs import Pair
from rsseg.evaluation.rules import LabelRules
from rsseg.raster import ClassMapWriter
from rsseg.raster.env import gdal_env

OUTCOMES = ClassTable(
    (
        ClassInfo(BOTH, "both right", "#E6E6E6"),
        ClassInfo(A_ONLY, "only A right", "#0072B2"),
        ClassInfo(B_ONLY, "only B right", "#E69F00"),
        ClassInfo(NEITHER, "neither right", "#7F0000"),
    )
)
"""A is the class map, B the second one; 255 is where a label or a class is missing."""


def write_differences(
    path: Path,
    pair: Pair,
    classes: ClassTable | None = None,
    *,
    rules: LabelRules,
    options: EvaluateOptions,
    overwrite: bool = False,
    on_progress: Callable[[float], None],
) -> None:
    """Write which of the two maps of a pair is right at each pixel, on the grid of the first.

    Args:
        path: the raster to be; it appears complete or not at all.
        pair: has a second map.
        classes: see `evaluate_maps`, as are the other arguments.
        rules: which class polygons are, and where labels count.
        options: what is done before maps and labels are compared.
        overwrite: whether an existing file may be replaced.
        on_progress: called with the share done, from 0 to 1.

    Raises:
        RasterError, LabelError, OptionError: see `evaluate_maps`.
        ResourceError: the disk does not take it.
    """
    with gdal_env():
        agreed = agree_on_classes([pair], classes, moves=options.moves, protocol=options.protocol_used())
        with open_pair(pair, agreed, number=0, rules=rules, options=options) as compared:
            grid = compared.class_map.grid
            windows = plan_windows(grid.window, in_strips=False)
            with ClassMapWriter(path, grid=grid, classes=OUTCOMES, overwrite=overwrite) as writer:
                for done, window in enumerate(windows, start=1):
                    found = np.full((window.height, window.width), NODATA_CLASS, dtype=np.uint8)
                    part = window.intersection(compared.labels.window)
                    if part.pixels:
                        seen, _, _ = compared.see(part, margin=0)
                        found[part.slices(window)] = outcomes(*seen.kept(), seen.kept_other())
                    writer.write_block(window, {"classes": found[np.newaxis]})
                    on_progress(done / len(windows))
                writer.finish()
