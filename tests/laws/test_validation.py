"""The scores of a training run are those of `rsseg predict` and `rsseg evaluate` with the weights that it keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from rsseg.classes import load_classes
from rsseg.cli.main import main
from rsseg.evaluation.engine import evaluate_maps
from rsseg.evaluation.pairs import Pair
from rsseg.evaluation.scores import Scores, scores_of
from rsseg.training import validation
from tests.data.labelled import replace_label, write_tiles
from tests.making import random_pixels, write_raster

VAL = ("c", "d")
RECIPE = (
    "--model maresunet --encoder resnet18 --epochs 1 --steps-per-epoch 2 --batch-size 2 --window 64 --tile 96"
    " --halo 32 --lr 0.01"
)
MACHINE = "--precision fp32 --device cpu --threads 1"


def rsseg(*args: object) -> None:
    result = CliRunner().invoke(main, list(map(str, args)))
    assert result.exit_code == 0, result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Val images of several tiles, with pixels that are not labelled, pixels without data, and both."""
    folder = write_tiles(
        tmp_path / "d", names="abcd", size=(130, 170), split={"train": ["a", "b"], "val": [*VAL]}
    )
    for seed, name in enumerate(VAL):
        pixels = random_pixels(130, 170, seed=50 + seed)
        pixels[:, 20:50, 90:140] = 0
        write_raster(folder / "images" / f"{name}.tif", pixels, nodata=0)
        label = pixels.argmax(axis=0).astype(np.uint8)
        label[40:70, 60:120] = 255
        replace_label(folder, name, label)
    return folder


def test_validation_counts_what_predict_and_evaluate_count(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[NDArray[Any]] = []

    def noted(matrix: NDArray[Any], **options: Any) -> Scores:
        counted.append(matrix.copy())
        return scores_of(matrix, **options)

    monkeypatch.setattr(validation, "scores_of", noted)
    run = tmp_path / "run"
    rsseg("train", folder, "-o", run, *RECIPE.split(), *MACHINE.split())

    pairs = []
    for name in VAL:
        image, output = folder / "images" / f"{name}.tif", tmp_path / f"{name}_classes.tif"
        rsseg("predict", image, "-o", output, "--weights", run / "best.safetensors", *MACHINE.split())
        pairs.append(Pair(output, folder / "labels" / f"{name}.tif"))
    found = evaluate_maps(pairs, load_classes(folder / "classes.json"))

    np.testing.assert_array_equal(found.confusion.matrix, counted[0])
    assert np.count_nonzero(counted[0]) > 5  # not a map of one class
    row = json.loads((run / "log.jsonl").read_text())
    assert row["mean_iou"] == round(found.scores.mean_iou, 6)
