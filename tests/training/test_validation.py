"""Validation predicts just the labelled part, and scores it exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rsseg.data.scenes import open_dataset, plan_dataset
from rsseg.evaluation.scores import Scores
from rsseg.prediction.forward import Forward
from rsseg.tiling import Window
from rsseg.training.validation import labelled_tiles, validate
from rsseg.weights import load_weights
from tests.data.labelled import replace_label, write_tiles
from tests.making import random_pixels, write_argmax_weights, write_raster

SPLIT = {"train": ["a"], "val": ["b", "c"]}


def scores_of(folder: Path, *, batch_size: int = 2, tile: int = 16) -> Scores:
    weights = load_weights(str(write_argmax_weights(folder / "argmax.safetensors")))
    forward = Forward(weights.network, weights.card.scaling, device=torch.device("cpu"))
    with open_dataset(plan_dataset(folder)) as data:
        return validate(forward, data.val, classes=3, batch_size=batch_size, tile=tile, halo=4, stride=1)


@pytest.mark.parametrize(("batch_size", "tile"), [(1, 16), (3, 16), (2, 128)])
def test_a_network_that_knows_the_rule_is_perfect(tmp_path: Path, batch_size: int, tile: int) -> None:
    scores = scores_of(write_tiles(tmp_path / "d", split=SPLIT), batch_size=batch_size, tile=tile)

    assert scores.mean_iou == 1.0
    assert scores.pixels == 2 * 40 * 48


def test_only_labelled_and_valid_pixels_count(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    label = np.full((40, 48), 255, np.uint8)
    label[10:20, 5:9] = 1
    replace_label(folder, "b", label)
    pixels = random_pixels(40, 48)
    pixels[:, 15:] = 0
    write_raster(folder / "images" / "b.tif", pixels, nodata=0)

    scores = scores_of(folder)

    right = (pixels[:, 10:15, 5:9].argmax(axis=0) == 1).sum()
    assert scores.pixels == 5 * 4 + 40 * 48
    assert scores.overall_accuracy == pytest.approx((right + 40 * 48) / (20 + 40 * 48))


def test_tiles_without_labels_are_not_predicted(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", size=(300, 400), split=SPLIT)
    label = np.full((300, 400), 255, np.uint8)
    label[290, 130] = 0
    replace_label(folder, "b", label)

    with open_dataset(plan_dataset(folder)) as data:
        tiles = labelled_tiles(data.val[0], tile=64, halo=0, stride=32)
        everywhere = labelled_tiles(data.val[1], tile=64, halo=0, stride=32)

    assert Window(128, 256, 64, 44) in [t.keep for t in tiles]
    assert len(tiles) == 2
    assert len(everywhere) == 5 * 7
