"""The figures of a run: one row for each finished epoch, plain values only, undefined scores as None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rsseg.evaluation.scores import Scores

Row = Mapping[str, Any]

IOU_PREFIX = "iou "
"""A row names the IoU of a class `iou NAME`."""


def named_scores(scores: Scores, names: Sequence[str]) -> dict[str, float | None]:
    """The scores that a run is followed by: mean IoU, overall accuracy, and the IoU of each class."""
    ious = {f"{IOU_PREFIX}{name}": iou for name, iou in zip(names, scores.iou, strict=True)}
    named = {"mean_iou": scores.mean_iou, "overall_accuracy": scores.overall_accuracy, **ious}
    return {name: None if math.isnan(value) else round(value, 6) for name, value in named.items()}


def scores_in(row: Row) -> dict[str, float | None]:
    """The scores in a row, without loss, learning rate and time."""
    return {k: v for k, v in row.items() if k in {"mean_iou", "overall_accuracy"} or k.startswith(IOU_PREFIX)}


def best_row(history: Sequence[Row]) -> Row:
    """The row with the highest mean IoU; the first of equals, and an undefined one is below all."""
    return max(history, key=lambda row: -1.0 if row["mean_iou"] is None else row["mean_iou"])


def describe(row: Row, *, epochs: int, is_best: bool) -> str:
    """A row in words."""
    ious = [f"{k.removeprefix(IOU_PREFIX)} {shown(v)}" for k, v in row.items() if k.startswith(IOU_PREFIX)]
    return (
        f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.4f}, mean IoU {shown(row['mean_iou'])}"
        f" ({', '.join(ious)}), {row['seconds']:.0f} s{', best so far' if is_best else ''}"
    )


def shown(score: float | None) -> str:
    """A score with three decimals; a dash where it is undefined."""
    return "-" if score is None else f"{score:.3f}"
