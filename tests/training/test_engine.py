"""Runs: what they learn, what they leave, and what keeps them from it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from rsseg.errors import InputError, LabelError, OptionError, ResourceError
from rsseg.prediction.engine import predict_raster
from rsseg.training import learner
from rsseg.training.engine import Machine, resume, train
from rsseg.weights import load_weights
from tests.data.labelled import brightest, replace_label, write_classes
from tests.making import random_pixels, read_band, write_raster
from tests.training.runs import ONE, contents, recipe, same_weights

pytestmark = pytest.mark.usefixtures("tidy")


def test_a_run_learns_the_rule_and_its_weights_predict_it(folder: Path, tmp_path: Path) -> None:
    summary = train(folder, tmp_path / "run", options=recipe(epochs=4, steps_per_epoch=20), machine=ONE)

    pixels = random_pixels(40, 48, seed=9)
    write_raster(tmp_path / "new.tif", pixels)
    predict_raster(tmp_path / "new.tif", tmp_path / "map.tif", weights=load_weights(str(summary.best)))
    right = read_band(tmp_path / "map.tif") == brightest(pixels)[0]
    assert right.mean() > 0.9
    assert summary.scores["mean_iou"] is not None
    assert summary.scores["mean_iou"] > 0.8


def test_a_run_leaves_all_its_files(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    summary = train(folder, run, options=recipe(epochs=2, steps_per_epoch=1), machine=ONE)

    assert sorted(p.name for p in run.iterdir()) == [
        ".lock", "best.safetensors", "config.toml", "curves.png", "last.ckpt", "log.jsonl", "metrics.csv",
    ]  # fmt: skip
    assert [json.loads(line)["epoch"] for line in (run / "log.jsonl").read_text().splitlines()] == [1, 2]
    assert tomllib.loads((run / "config.toml").read_text())["train"]["model"] == "linear"
    assert (summary.best, summary.epochs) == (run / "best.safetensors", 2)


def test_the_card_says_all_that_prediction_needs(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text(
        'tiles = "d"\n[card]\ndescription = "noise"\ndata = "made up"\nlicence = "CC0"\n'
    )

    summary = train(
        tmp_path / "manifest.toml",
        tmp_path / "run",
        options=recipe("maresunet", epochs=1, steps_per_epoch=1),
        machine=ONE,
    )

    card = load_weights(str(summary.best)).card
    assert (card.architecture, card.encoder, card.tile, card.halo) == ("maresunet", "resnet18", 64, 0)
    assert (card.description, card.data, card.licence) == ("noise", "made up", "CC0")
    assert (card.classes.names, card.bands) == (("red", "green", "blue"), ("red", "green", "blue"))
    assert card.gsd_m == pytest.approx(0.15, abs=1e-3)
    assert card.energy_positions == 32 * 32
    assert card.scores == {name: value for name, value in summary.scores.items() if value is not None}


def test_the_best_weights_are_those_of_the_best_epoch(folder: Path, tmp_path: Path) -> None:
    summary = train(folder, tmp_path / "run", options=recipe(epochs=6, lr=1.0), machine=ONE)

    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    scores = [row["mean_iou"] for row in rows]
    assert summary.epoch == 1 + int(np.argmax(scores))
    assert load_weights(str(summary.best)).card.scores["mean_iou"] == max(scores)


def test_threads_that_read_change_nothing(folder: Path, tmp_path: Path) -> None:
    for readers in (1, 4):
        machine = Machine(device="cpu", threads=1, readers=readers)
        train(folder, tmp_path / f"run{readers}", options=recipe(), machine=machine)

    assert same_weights(tmp_path / "run1" / "best.safetensors", tmp_path / "run4" / "best.safetensors")


def test_progress_rises_to_1(folder: Path, tmp_path: Path) -> None:
    shares: list[float] = []

    train(folder, tmp_path / "run", options=recipe(), machine=ONE, on_progress=shares.append)

    assert shares == sorted(shares)
    assert (len(shares), shares[-1]) == (12, 1.0)


def test_global_random_state_is_left_alone(folder: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state()

    train(folder, tmp_path / "run", options=recipe(epochs=1), machine=ONE)

    assert torch.equal(torch.get_rng_state(), before)


def hide(folder: Path, *names: str) -> None:
    """Labels lie only where the image has no data."""
    for name in names:
        pixels = random_pixels(40, 48)
        pixels[:, :10] = 0
        write_raster(folder / "images" / f"{name}.tif", pixels, nodata=0)
        label = np.full((40, 48), 255, np.uint8)
        label[:10] = 1
        replace_label(folder, name, label)


@pytest.mark.parametrize(("names", "what"), [("ab", "the samples of this epoch"), ("c", "the val scenes")])
def test_nothing_to_learn_or_to_score_is_no_success(
    folder: Path, tmp_path: Path, names: str, what: str
) -> None:
    hide(folder, *names)

    with pytest.raises(LabelError, match=f"{what} hold no pixel that is both labelled and valid"):
        train(folder, tmp_path / "run", options=recipe(epochs=1), machine=ONE)


def test_a_class_without_a_training_pixel_is_named(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        replace_label(folder, name, np.full((40, 48), 1, np.uint8))

    with caplog.at_level("WARNING", "rsseg"):
        train(folder, tmp_path / "run", options=recipe(epochs=1, steps_per_epoch=1), machine=ONE)

    assert "train: has no pixel of red, blue, which cannot be learnt" in caplog.text


def test_bad_labels_leave_no_run_behind(folder: Path, tmp_path: Path) -> None:
    write_classes(folder, ["red", "green"])

    with pytest.raises(LabelError, match=r"holds label 2; the classes are 0 to 1"):
        train(folder, tmp_path / "run", options=recipe(), machine=ONE)

    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_and_leaves_the_checkpoint(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [1.0] * 6 + [float("nan")]
    honest = learner.segmentation_loss
    monkeypatch.setattr(learner, "segmentation_loss", lambda *a, **k: left.pop(0) * honest(*a, **k))

    with pytest.raises(InputError, match="the loss of step 7 is nan; training cannot go on"):
        train(folder, tmp_path / "run", options=recipe(), machine=ONE)

    monkeypatch.undo()
    assert resume(tmp_path / "run", machine=ONE).epochs == 3


def test_an_existing_run_is_not_replaced_unasked(folder: Path, tmp_path: Path) -> None:
    train(folder, tmp_path / "run", options=recipe(epochs=1), machine=ONE)
    before = (tmp_path / "run" / "last.ckpt").read_bytes()

    with pytest.raises(OptionError, match="holds a run already"):
        train(folder, tmp_path / "run", options=recipe(seed=1), machine=ONE)
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before

    train(folder, tmp_path / "run", options=recipe(epochs=1, seed=1), machine=ONE, overwrite=True)
    assert (tmp_path / "run" / "last.ckpt").read_bytes() != before


def test_a_good_run_is_kept_until_the_new_one_can_begin(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(folder, tmp_path / "run", options=recipe(epochs=1), machine=ONE)
    before = contents(tmp_path / "run")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)

    for options, machine in (
        (recipe(), Machine(device="cuda")),
        (recipe(precision="fp16"), ONE),
        (recipe("maresunet", encoder="vgg"), ONE),
    ):
        with pytest.raises((OptionError, ResourceError)):
            train(folder, tmp_path / "run", options=options, machine=machine, overwrite=True)

    assert contents(tmp_path / "run") == before


def test_a_run_that_is_in_progress_is_neither_resumed_nor_replaced(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def disturb(_share: float) -> None:
        with pytest.raises(ResourceError, match="another process is training this run"):
            resume(run, machine=ONE)
        with pytest.raises(ResourceError, match="another process is training this run"):
            train(folder, run, options=recipe(), machine=ONE, overwrite=True)
        assert (run / "last.ckpt").exists()

    options = recipe(epochs=1, steps_per_epoch=1)
    assert train(folder, run, options=options, machine=ONE, on_progress=disturb).epochs == 1
