"""Runs: what they learn, what they leave, and what keeps them from it."""

from __future__ import annotations

import csv
import hashlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rsseg.errors import InputError, LabelError, OptionError, ResourceError
from rsseg.prediction.engine import predict_raster
from rsseg.training import learner, session
from rsseg.training.engine import Machine, resume, train
from rsseg.training.progress import Progress
from rsseg.training.run_folder import FILES
from rsseg.weights import load_weights
from tests.data.labelled import brightest, replace_label, square, write_classes, write_features
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

    assert {p.name for p in run.iterdir()} == {".lock", *FILES}
    assert tomllib.loads((run / "config.toml").read_text())["train"]["model"] == "linear"
    assert (summary.best, summary.epochs) == (run / "best.safetensors", 2)


def test_each_epoch_has_a_row(folder: Path, tmp_path: Path) -> None:
    train(folder, tmp_path / "run", options=recipe(epochs=2, steps_per_epoch=3), machine=ONE)

    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 3), (2, 6)]
    for row in rows:
        assert row["images_per_s"] > 0
        assert 0 <= row["waiting"] <= 1
        assert row["seconds"] >= 0


def test_waiting_for_samples_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that only reading moves: by one second a batch."""
    now = [0.0]
    read = session.iter_batches

    def slow(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for batch in read(*args, **kwargs):
            now[0] += 1.0
            yield batch

    monkeypatch.setattr(session, "iter_batches", slow)
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: now[0]))

    with caplog.at_level("INFO", "rsseg"):
        train(folder, tmp_path / "run", options=recipe(epochs=1, steps_per_epoch=3), machine=ONE)

    row = json.loads((tmp_path / "run" / "log.jsonl").read_text())
    assert (row["seconds"], row["waiting"], row["images_per_s"]) == (3.0, 1.0, 2.0)
    assert "3 s (100% of them waiting for samples), 2 images/s" in caplog.text


def test_the_data_of_a_run_are_listed(folder: Path, tmp_path: Path) -> None:
    label = np.full((40, 48), 255, np.uint8)
    label[:5, :6] = 1
    replace_label(folder, "b", label)

    train(folder, tmp_path / "run", options=recipe(epochs=1, steps_per_epoch=1), machine=ONE)

    rows = list(csv.DictReader((tmp_path / "run" / "data.csv").read_text().splitlines()))
    assert [(row["part"], row["image"], row["labels"]) for row in rows] == [
        ("train", "images/a.tif", "labels/a.tif"),
        ("train", "images/b.tif", "labels/b.tif"),
        ("val", "images/c.tif", "labels/c.tif"),
    ]
    b = rows[1]
    assert (b["aoi"], b["width"], b["height"], b["labelled px"]) == ("", "48", "40", "30")
    assert (b["red px"], b["green px"], b["blue px"]) == ("0", "30", "0")


def test_an_area_of_interest_is_listed_with_its_image(folder: Path, tmp_path: Path) -> None:
    write_features(tmp_path / "west.geojson", square(0, 0, 20))
    write_features(tmp_path / "east.geojson", square(24, 0, 20))
    entry = 'image = "d/images/a.tif"\nlabels = "d/labels/a.tif"\naoi = "{}.geojson"\n'
    manifest = tmp_path / "manifest.toml"
    manifest.write_text(
        f'classes = "d/classes.json"\n[[train]]\n{entry.format("west")}[[val]]\n{entry.format("east")}'
    )

    train(manifest, tmp_path / "run", options=recipe(epochs=1, steps_per_epoch=1), machine=ONE)

    rows = list(csv.DictReader((tmp_path / "run" / "data.csv").read_text().splitlines()))
    assert [(row["part"], row["image"], row["aoi"], row["labelled px"]) for row in rows] == [
        ("train", "d/images/a.tif", "west.geojson", "400"),
        ("val", "d/images/a.tif", "east.geojson", "400"),
    ]


def test_the_card_beside_the_weights_is_theirs(folder: Path, tmp_path: Path) -> None:
    summary = train(folder, tmp_path / "run", options=recipe(epochs=6, lr=1.0), machine=ONE)

    beside = json.loads((tmp_path / "run" / "card.json").read_text())
    assert beside["sha256"] == hashlib.sha256(summary.best.read_bytes()).hexdigest()
    assert beside["epoch"] == summary.epoch
    assert beside["card"] == json.loads(load_weights(str(summary.best)).card.to_json())


def test_a_run_stops_when_its_patience_is_at_an_end(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A rate of almost nothing makes no epoch better than the first."""
    options = recipe(epochs=9, lr=1e-12, patience=2)

    with caplog.at_level("INFO", "rsseg"):
        summary = train(folder, tmp_path / "run", options=options, machine=ONE)

    assert (summary.epoch, summary.epochs) == (1, 3)
    assert "stopped early: 2 epochs brought no better mean IoU" in caplog.text
    again = resume(tmp_path / "run", machine=ONE)
    assert (again.best, again.epoch, again.epochs) == (summary.best, 1, 3)
    assert again.scores == summary.scores


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


def test_progress_is_told_after_every_step(folder: Path, tmp_path: Path) -> None:
    told: list[Progress] = []

    train(folder, tmp_path / "run", options=recipe(), machine=ONE, on_progress=told.append)

    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [(p.step, p.epoch) for p in told] == [(step, 1 + (step - 1) // 4) for step in range(1, 13)]
    assert {(p.steps, p.epochs) for p in told} == {(12, 3)}
    assert told[-1].share == 1.0
    assert [p.loss for p in told[3::4]] == [row["loss"] for row in rows]
    assert [p.mean_iou for p in told[::4]] == [None, rows[0]["mean_iou"], rows[1]["mean_iou"]]
    assert all(p.images_per_s > 0 for p in told)


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


@pytest.mark.parametrize("how", ["weights", "pretrained"])
def test_a_run_can_be_replaced_by_one_that_starts_from_its_weights(
    folder: Path, tmp_path: Path, how: str
) -> None:
    short = {"epochs": 1, "steps_per_epoch": 1, "tile": 32}
    first = train(folder, tmp_path / "run", options=recipe("maresunet", **short), machine=ONE)
    sha256 = hashlib.sha256(first.best.read_bytes()).hexdigest()
    options = recipe("" if how == "weights" else "maresunet", **short, **{how: str(first.best)})
    elsewhere = train(folder, tmp_path / "elsewhere", options=options, machine=ONE)

    again = train(folder, tmp_path / "run", options=options, machine=ONE, overwrite=True)

    assert same_weights(again.best, elsewhere.best)
    origin = json.loads((tmp_path / "run" / "provenance.json").read_text())["weights"]
    assert origin == {"from": str(first.best), "sha256": sha256}


def test_a_run_that_is_in_progress_is_neither_resumed_nor_replaced(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def disturb(_progress: Progress) -> None:
        with pytest.raises(ResourceError, match="another process is training this run"):
            resume(run, machine=ONE)
        with pytest.raises(ResourceError, match="another process is training this run"):
            train(folder, run, options=recipe(), machine=ONE, overwrite=True)
        assert (run / "last.ckpt").exists()

    options = recipe(epochs=1, steps_per_epoch=1)
    assert train(folder, run, options=options, machine=ONE, on_progress=disturb).epochs == 1
