"""The figures of a run: one row for each finished epoch, plain values only, undefined scores as None.

What a run decides by its history is a function of the rows alone, so that a run that was killed decides the same again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rsseg.evaluation.scores import Scores

Row = Mapping[str, Any]

IOU_PREFIX = "iou "
"""A row names the IoU of a class `iou NAME`."""

TIMES = ("seconds", "images_per_s", "waiting")
"""What differs when the same run is repeated."""

_MUCH_WAITING = 0.1


@dataclass
class Tally:
    """What the epoch in progress adds up: steps, losses, whether anything was labelled, and how long it took.

    `seconds` are those of learning, of which `waited` went by without a batch to learn from.
    """

    steps: int = 0
    loss_sum: float = 0.0
    saw_labels: bool = False
    seconds: float = 0.0
    waited: float = 0.0

    def figures(self, batch_size: int) -> dict[str, float]:
        """The `TIMES` of the epoch: seconds, samples in a second, and the share of the time that waited for them."""
        seconds = max(self.seconds, 1e-9)
        return {
            "seconds": round(self.seconds, 2),
            "images_per_s": round(self.steps * batch_size / seconds, 2),
            "waiting": round(self.waited / seconds, 3),
        }


def named_scores(scores: Scores, names: Sequence[str]) -> dict[str, float | None]:
    """The scores that a run is followed by: mean IoU, overall accuracy, and the IoU of each class."""
    ious = {f"{IOU_PREFIX}{name}": iou for name, iou in zip(names, scores.iou, strict=True)}
    named = {"mean_iou": scores.mean_iou, "overall_accuracy": scores.overall_accuracy, **ious}
    return {name: None if math.isnan(value) else round(value, 6) for name, value in named.items()}


def scores_in(row: Row) -> dict[str, float | None]:
    """The scores in a row, without loss, learning rate and times."""
    return {k: v for k, v in row.items() if k in {"mean_iou", "overall_accuracy"} or k.startswith(IOU_PREFIX)}


def known_scores(row: Row) -> dict[str, float]:
    """The scores in a row that are defined, as the card of its weights has them."""
    return {name: score for name, score in scores_in(row).items() if score is not None}


def ious_in(row: Row) -> dict[str, float | None]:
    """The IoU of each class, by its name."""
    return {k.removeprefix(IOU_PREFIX): v for k, v in row.items() if k.startswith(IOU_PREFIX)}


def best_row(history: Sequence[Row]) -> Row:
    """The row with the highest mean IoU; the first of equals, and an undefined one is below all."""
    return max(history, key=lambda row: -1.0 if row["mean_iou"] is None else row["mean_iou"])


def is_spent(history: Sequence[Row], *, patience: int) -> bool:
    """Whether the last `patience` epochs brought nothing better than the best before them; never if it is 0."""
    if not patience or not history:
        return False
    return bool(history[-1]["epoch"] - best_row(history)["epoch"] >= patience)


def describe(row: Row, *, epochs: int, is_best: bool) -> str:
    """A row in words."""
    ious = ", ".join(f"{name} {shown(iou)}" for name, iou in ious_in(row).items())
    waiting = f" ({row['waiting']:.0%} of them waiting for samples)" if row["waiting"] > _MUCH_WAITING else ""
    return (
        f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.4f}, mean IoU {shown(row['mean_iou'])} ({ious}),"
        f" {row['seconds']:.0f} s{waiting}, {row['images_per_s']:.3g} images/s{', best so far' if is_best else ''}"
    )


def shown(score: float | None) -> str:
    """A score with three decimals; a dash where it is undefined."""
    return "-" if score is None else f"{score:.3f}"
