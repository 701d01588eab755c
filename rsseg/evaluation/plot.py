"""The confusion matrix as a picture."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsseg.evaluation.result import Evaluation
from rsseg.files import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELLED_CLASSES = 20
"""With more classes the cells are too small for numbers."""

_LONGEST_NAME = 24


def write_confusion_plot(path: Path, evaluation: Evaluation) -> None:
    """Draw the confusion matrix, in percent of each reference class, as PNG; an existing file is replaced.

    Rows are the reference. The file appears complete or not at all, and the same matrix gives the same picture.

    Raises:
        ResourceError: the folder does not exist or cannot be written.
    """
    # matplotlib takes half a second to import; a comparison without a picture must not pay for it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    side = min(max(4.2, 2.4 + 0.62 * len(evaluation.classes)), 24.0)
    figure = Figure(figsize=(side + 1.2, side), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shares = _row_shares(evaluation.confusion.matrix)
    picture = axes.imshow(shares, cmap=_map_with_gaps(), vmin=0, vmax=100)
    _name_axes(axes, evaluation)
    if len(evaluation.classes) <= _LABELLED_CLASSES:
        _write_cells(axes, shares)
    figure.colorbar(picture, ax=axes, label="% of the reference class", shrink=0.85)
    picture_file = io.BytesIO()
    with warnings.catch_warnings():
        # Names in scripts that the font lacks show as boxes.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        figure.savefig(picture_file, format="png", metadata={"Software": None})
    write_file(path, picture_file.getbuffer())


def _row_shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Percent of each row; NaN in the rows of classes that are not in the reference."""
    totals = matrix.sum(axis=1, keepdims=True).astype(np.float64)
    totals[totals == 0] = np.nan
    shares: NDArray[np.float64] = 100 * matrix / totals
    return shares


def _map_with_gaps() -> Any:
    """White to blue; grey where a class is not in the reference."""
    from matplotlib import colormaps

    return colormaps["Blues"].with_extremes(bad="#DDDDDD")


def _name_axes(axes: Axes, evaluation: Evaluation) -> None:
    scores = evaluation.scores
    names = [n if len(n) <= _LONGEST_NAME else n[: _LONGEST_NAME - 1] + "…" for n in evaluation.classes.names]
    # A `$` in a name is no formula.
    axes.set_xticks(
        range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False
    )
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("reference")
    axes.set_title(
        f"mean IoU {scores.mean_iou:.3f}   overall accuracy {scores.overall_accuracy:.3f}\n"
        f"{scores.pixels:,} px   protocol {evaluation.measure.title}",
        fontsize="medium",
    )


def _write_cells(axes: Axes, shares: NDArray[np.float64]) -> None:
    for (row, col), share in np.ndenumerate(shares):
        if not np.isnan(share):
            color = "white" if share > 55 else "black"
            axes.text(col, row, _cell(share), ha="center", va="center", color=color, fontsize="small")


def _cell(share: float) -> str:
    """One decimal; nothing for nothing, and something for very little."""
    if share == 0:
        return ""
    return "<0.1" if share < 0.05 else f"{share:.1f}"
