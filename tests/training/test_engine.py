"""Runs: what they learn, what they leave, and that stopping changes nothing."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rsseg.errors import InputError, LabelError, OptionError, ResourceError, WeightsError
from rsseg.prediction.engine import predict_raster
from rsseg.training import learner
from rsseg.training.engine import Machine, TrainSummary, resume, train
from rsseg.training.learner import Learner
from rsseg.training.options import TrainOptions
from rsseg.weights import load_weights, save_weights
from tests.data.labelled import brightest, replace_label, write_classes, write_tiles
from tests.making import random_pixels, read_band, write_argmax_weights, write_raster

SPLIT = {"train": ["a", "b"], "val": ["c"]}
ONE = Machine(device="cpu", threads=1, readers=2)


@pytest.fixture(autouse=True)
def _tidy(tmp_path: Path) -> Iterator[None]:
    """Give back the threads, and the disk: a checkpoint of MAResU-Net takes 190 MB."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    for path in tmp_path.glob("*/last.ckpt"):
        path.unlink()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiles(tmp_path / "d", split=SPLIT)


def recipe(model: str = "linear", **changes: Any) -> TrainOptions:
    sizes = {"window": 32, "tile": 64, "halo": 0, "batch_size": 2, "precision": "fp32"}
    return TrainOptions(**{"model": model, "epochs": 3, "steps_per_epoch": 4, "lr": 0.05, **sizes, **changes})


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return load_weights(str(path)).network.state_dict()


def same_weights(a: Path, b: Path) -> bool:
    left, right = tensors(a), tensors(b)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


class Killed(BaseException):
    """What a kill is to Python: nothing catches it."""


def train_until(step: int, folder: Path, run: Path, options: TrainOptions, machine: Machine = ONE) -> None:
    """Train, and die just after a step was learnt."""
    steps = options.steps

    def die(share: float) -> None:
        if round(share * steps) == step:
            raise Killed

    with pytest.raises(Killed):
        train(folder, run, options=options, machine=machine, on_progress=die)


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


@pytest.mark.parametrize("step", [2, 9])
def test_a_killed_run_that_is_resumed_equals_one_that_never_stopped(
    folder: Path, tmp_path: Path, step: int
) -> None:
    whole = train(folder, tmp_path / "whole", options=recipe(), machine=ONE)

    train_until(step, folder, tmp_path / "parts", recipe())
    parts = resume(tmp_path / "parts", machine=ONE)

    assert same_weights(whole.best, parts.best)
    assert (parts.scores, parts.epoch) == (whole.scores, whole.epoch)
    assert last_state(tmp_path / "whole") == last_state(tmp_path / "parts")
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_dropout_and_norms_do_not_notice_a_kill_either(folder: Path, tmp_path: Path) -> None:
    options = recipe("maresunet", epochs=1, steps_per_epoch=3)
    whole = train(folder, tmp_path / "whole", options=options, machine=ONE)

    often = Machine(device="cpu", threads=1, checkpoint_s=0.0)
    train_until(2, folder, tmp_path / "parts", options, often)
    parts = resume(tmp_path / "parts", machine=ONE)

    assert same_weights(whole.best, parts.best)


def test_checkpoints_within_an_epoch_lose_nothing_either(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = recipe()
    often = Machine(device="cpu", threads=1, checkpoint_s=0.0)
    whole = train(folder, tmp_path / "whole", options=options, machine=ONE)
    train_until(7, folder, tmp_path / "parts", options, often)

    learnt: list[int] = []
    learn = Learner.learn
    monkeypatch.setattr(Learner, "learn", lambda self, b, step: learnt.append(step) or learn(self, b, step))
    parts = resume(tmp_path / "parts", machine=ONE)

    assert learnt[0] == 6
    assert same_weights(whole.best, parts.best)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_resuming_a_finished_run_gives_its_summary_again(folder: Path, tmp_path: Path) -> None:
    first = train(folder, tmp_path / "run", options=recipe(), machine=ONE)

    again = resume(tmp_path / "run", machine=ONE)

    assert (again.best, again.epoch, again.scores) == (first.best, first.epoch, first.scores)


def test_a_run_whose_best_weights_are_gone_is_refused(folder: Path, tmp_path: Path) -> None:
    train(folder, tmp_path / "run", options=recipe(epochs=1), machine=ONE)
    (tmp_path / "run" / "best.safetensors").unlink()

    with pytest.raises(WeightsError, match=r"best\.safetensors: is gone"):
        resume(tmp_path / "run", machine=ONE)


def recount(folder: Path) -> None:
    replace_label(folder, "b", np.zeros((40, 48), np.uint8))


def regrow(folder: Path) -> None:
    write_raster(folder / "images" / "a.tif", random_pixels(40, 48), compress="deflate")


def rename(folder: Path) -> None:
    write_classes(folder, ["roof", "road", "tree"])


def widen(folder: Path) -> None:
    for name in "abc":
        write_raster(folder / "images" / f"{name}.tif", random_pixels(40, 48, bands=5))


def resplit(folder: Path) -> None:
    (folder / "split.json").write_text(json.dumps({"train": ["a"], "val": ["c"]}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            recount,
            r"train scene 2 \(images/b\.tif\) was .* labelled pixels .*, is .* labelled pixels 1920,0,0",
        ),
        (regrow, r"train scene 1 \(images/a\.tif\) was .* bytes, .*, is .* bytes"),
        (rename, "classes was red, green, blue, is roof, road, tree"),
        (widen, "channels was 3, is 5"),
        (resplit, r"train scene 2 \(images/b\.tif\) was .*, is gone"),
    ],
)
def test_a_run_does_not_go_on_with_other_data(
    folder: Path, tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    train_until(5, folder, tmp_path / "run", recipe())
    change(folder)

    with pytest.raises(WeightsError, match=f"the data changed: {message}"):
        resume(tmp_path / "run", machine=ONE)


def forget(run: Path, *names: str, **others: str) -> None:
    """Make the checkpoint one from before these were kept, or one with others in their place."""
    values = torch.load(run / "last.ckpt", weights_only=True)
    torch.save({**{k: v for k, v in values.items() if k not in names}, **others}, run / "last.ckpt")


def test_a_checkpoint_that_does_not_know_its_data_is_compared_by_its_card(
    folder: Path, tmp_path: Path
) -> None:
    train_until(5, folder, tmp_path / "run", recipe())
    forget(tmp_path / "run", "data", "precision")
    rename(folder)
    with pytest.raises(WeightsError, match="classes was red, green, blue, is roof, road, tree"):
        resume(tmp_path / "run", machine=ONE)

    write_classes(folder)
    assert resume(tmp_path / "run", machine=ONE).epochs == 3


def test_data_that_moved_are_found_by_their_new_place(folder: Path, tmp_path: Path) -> None:
    whole = train(folder, tmp_path / "whole", options=recipe(), machine=ONE)
    train_until(5, folder, tmp_path / "run", recipe())
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(LabelError, match="the data of this run are gone") as info:
        resume(tmp_path / "run", machine=ONE)
    assert "config.toml" in str(info.value.hint)

    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace(str(folder), str(tmp_path / "elsewhere")))
    assert same_weights(resume(tmp_path / "run", machine=ONE).best, whole.best)


def test_data_may_not_move_where_the_checkpoint_does_not_know_them(folder: Path, tmp_path: Path) -> None:
    train_until(5, folder, tmp_path / "run", recipe())
    forget(tmp_path / "run", "data")
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace(str(folder), str(tmp_path / "elsewhere")))

    with pytest.raises(WeightsError, match="data changed since the checkpoint was written"):
        resume(tmp_path / "run", machine=ONE)


def test_a_run_keeps_the_precision_that_auto_stood_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    build = Learner.__init__

    def note(self: Learner, *args: Any, precision: str, **options: Any) -> None:
        used.append(precision)
        build(self, *args, precision=precision, **options)

    monkeypatch.setattr(Learner, "__init__", note)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    train_until(5, folder, tmp_path / "run", recipe(precision="auto"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False}, raising=False)
    resume(tmp_path / "run", machine=ONE)
    for earlier in ({"precision": "fp16"}, {}):  # begun on a GPU; begun before it was kept
        forget(tmp_path / "run", "precision", **earlier)
        resume(tmp_path / "run", machine=ONE)

    assert used == ["bf16", "bf16", "fp32", "fp32"]


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


def last_state(run: Path) -> list[bytes]:
    network = torch.load(run / "last.ckpt", weights_only=True)["network"]
    return [tensor.numpy().tobytes() for tensor in network.values()]


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]


def test_progress_rises_to_1(folder: Path, tmp_path: Path) -> None:
    shares: list[float] = []

    train(folder, tmp_path / "run", options=recipe(), machine=ONE, on_progress=shares.append)

    assert shares == sorted(shares)
    assert (len(shares), shares[-1]) == (12, 1.0)


def test_a_changed_recipe_is_refused_and_named(folder: Path, tmp_path: Path) -> None:
    train_until(5, folder, tmp_path / "run", recipe())
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace("lr = 0.05", "lr = 0.1"))

    with pytest.raises(WeightsError, match=r"config\.toml: lr changed since the checkpoint was written"):
        resume(tmp_path / "run", machine=ONE)


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


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir()}


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


def test_global_random_state_is_left_alone(folder: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state()

    train(folder, tmp_path / "run", options=recipe(epochs=1), machine=ONE)

    assert torch.equal(torch.get_rng_state(), before)


def start_from_argmax(tmp_path: Path, folder: Path, **options: Any) -> TrainSummary:
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")
    return train(
        folder,
        tmp_path / "run",
        options=recipe("", weights=str(weights), epochs=1, lr=1e-9, **options),
        machine=ONE,
    )


def test_training_can_start_from_existing_weights(folder: Path, tmp_path: Path) -> None:
    summary = start_from_argmax(tmp_path, folder)

    assert summary.scores["mean_iou"] == 1.0
    assert load_weights(str(summary.best)).card.architecture == "linear"


def test_the_card_of_the_weights_to_start_from_stays_where_the_data_say_nothing(tmp_path: Path) -> None:
    write_tiles(tmp_path / "d", split=SPLIT, crs=None, transform=None)
    known = {"licence": "CC0", "data": "there", "description": "old", "gsd_m": 0.5}
    base = load_weights(str(write_argmax_weights(tmp_path / "base.safetensors")))
    save_weights(tmp_path / "base.safetensors", base.network, replace(base.card, **known))
    (tmp_path / "manifest.toml").write_text('tiles = "d"\n[card]\ndescription = "new"')
    options = recipe("", weights=str(tmp_path / "base.safetensors"), epochs=1, steps_per_epoch=1)

    summary = train(tmp_path / "manifest.toml", tmp_path / "run", options=options, machine=ONE)

    card = load_weights(str(summary.best)).card
    assert (card.licence, card.data, card.description, card.gsd_m) == ("CC0", "there", "new", 0.5)
    assert card.bands == base.card.bands


@pytest.mark.parametrize("weights", ["", "argmax.safetensors"])
def test_chosen_bands_are_named_by_their_numbers(folder: Path, tmp_path: Path, weights: str) -> None:
    write_argmax_weights(tmp_path / "argmax.safetensors")
    (tmp_path / "manifest.toml").write_text('tiles = "d"\nbands = [3, 2, 1]')
    start = {"model": "", "weights": str(tmp_path / weights)} if weights else {}
    options = recipe(**{"epochs": 1, "steps_per_epoch": 1, **start})

    summary = train(tmp_path / "manifest.toml", tmp_path / "run", options=options, machine=ONE)

    assert load_weights(str(summary.best)).card.bands == ("band 3", "band 2", "band 1")


def test_weights_with_other_classes_are_refused(folder: Path, tmp_path: Path) -> None:
    write_classes(folder, ["roof", "road", "tree"])

    with pytest.raises(WeightsError, match="its classes are red, green, blue; the data has roof, road, tree"):
        start_from_argmax(tmp_path, folder)


def test_weights_for_other_bands_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in "abc":
        write_raster(folder / "images" / f"{name}.tif", random_pixels(40, 48, bands=5))

    with pytest.raises(WeightsError, match="expects 3 bands of uint8; the images have 5 of uint8"):
        start_from_argmax(tmp_path, folder)


def test_weights_for_another_network_than_asked_are_refused(folder: Path, tmp_path: Path) -> None:
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")

    with pytest.raises(OptionError, match=r"--model is maresunet, but .* is for linear"):
        train(folder, tmp_path / "run", options=recipe("maresunet", weights=str(weights)), machine=ONE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "unet"}, "unet: unknown network"),
        ({"model": "maresunet", "encoder": "vgg"}, "unknown encoder vgg"),
        ({"model": "maresunet", "tile": 40}, "tile is 40 px; it must be a multiple"),
        ({"model": "maresunet", "tile": 16}, "needs at least its stride"),
        ({"batch_size": 1, "window": 1}, "batch size 1 and window 1 leave linear a single value"),
        (
            {"model": "maresunet", "batch_size": 1},
            "batch size 1 and window 32 leave maresunet a single value",
        ),
    ],
)
def test_networks_and_sizes_that_do_not_fit_are_refused(
    folder: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        train(folder, tmp_path / "run", options=recipe(**options), machine=ONE)

    assert not (tmp_path / "run").exists()
