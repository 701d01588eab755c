"""The figures of a run."""

from __future__ import annotations

import numpy as np
import pytest

from rsseg.evaluation.scores import scores_of
from rsseg.training.history import Tally, best_row, describe, ious_in, is_spent, named_scores, scores_in

ROW = {
    "epoch": 2,
    "loss": 0.75,
    "mean_iou": 0.5,
    "overall_accuracy": 0.8,
    "iou roof": 0.5,
    "iou road": None,
    "seconds": 3.2,
    "images_per_s": 12.34,
    "waiting": 0.05,
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
    assert ious_in(ROW) == {"roof": 0.5, "road": None}


def rows(*scores: float | None) -> list[dict[str, float | None]]:
    return [{"epoch": epoch, "mean_iou": score} for epoch, score in enumerate(scores, start=1)]


@pytest.mark.parametrize(
    ("history", "patience", "spent"),
    [
        (rows(0.1, 0.2, 0.2), 1, True),  # no worse is no better
        (rows(0.1, 0.2, 0.2), 2, False),
        (rows(0.1, 0.3, 0.2, 0.2), 2, True),
        (rows(0.1, 0.3, 0.2, 0.31), 1, False),
        (rows(None, None), 1, True),
        (rows(None, None, 0.0), 1, False),
        (rows(0.5), 1, False),
        (rows(0.5, 0.1, 0.1), 0, False),
        ([], 1, False),
    ],
)
def test_patience_is_at_an_end_after_so_many_epochs_without_a_better_one(
    history: list[dict[str, float | None]], patience: int, spent: bool
) -> None:
    assert is_spent(history, patience=patience) is spent


def test_an_epoch_tells_its_speed_and_the_share_of_waiting() -> None:
    tally = Tally(steps=10, seconds=4.0, waited=1.0)

    assert tally.figures(8) == {"seconds": 4.0, "images_per_s": 20.0, "waiting": 0.25}


def test_a_row_in_words() -> None:
    text = describe(ROW, epochs=9, is_best=True)

    assert text == (
        "epoch 2/9: loss 0.7500, mean IoU 0.500 (roof 0.500, road -), 3 s, 12.3 images/s, best so far"
    )
    assert not describe(ROW, epochs=9, is_best=False).endswith("best so far")
    assert "3 s (40% of them waiting for samples)" in describe(
        {**ROW, "waiting": 0.4}, epochs=9, is_best=False
    )
