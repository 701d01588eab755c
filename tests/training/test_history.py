"""The figures of a run."""

from __future__ import annotations

import numpy as np

from rsseg.evaluation.scores import scores_of
from rsseg.training.history import best_row, describe, named_scores, scores_in

ROW = {
    "epoch": 2,
    "loss": 0.75,
    "mean_iou": 0.5,
    "overall_accuracy": 0.8,
    "iou roof": 0.5,
    "iou road": None,
    "seconds": 3.2,
}


def test_scores_are_named_and_undefined_ones_are_none() -> None:
    scores = scores_of(np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]]))

    assert named_scores(scores, ["roof", "road", "water"]) == {
        "mean_iou": round((3 / 6 + 4 / 7) / 2, 6),
        "overall_accuracy": 0.7,
        "iou roof": 0.5,
        "iou road": round(4 / 7, 6),
        "iou water": None,
    }


def test_the_best_row_is_the_first_with_the_highest_mean() -> None:
    rows = [{"mean_iou": None}, {"mean_iou": 0.5, "n": 1}, {"mean_iou": 0.5, "n": 2}, {"mean_iou": 0.1}]

    assert best_row(rows) is rows[1]
    assert best_row(rows[:1]) is rows[0]


def test_only_scores_are_scores() -> None:
    assert scores_in(ROW) == {"mean_iou": 0.5, "overall_accuracy": 0.8, "iou roof": 0.5, "iou road": None}


def test_a_row_in_words() -> None:
    text = describe(ROW, epochs=9, is_best=True)

    assert text == "epoch 2/9: loss 0.7500, mean IoU 0.500 (roof 0.500, road -), 3 s, best so far"
    assert not describe(ROW, epochs=9, is_best=False).endswith("best so far")
