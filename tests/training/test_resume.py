"""Stopping and going on: it changes nothing, and only the same run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rsseg.errors import LabelError, WeightsError
from rsseg.training.engine import Machine, resume, train
from rsseg.training.learner import Learner
from rsseg.training.run_folder import RunFolder
from tests.data.labelled import replace_label, write_classes
from tests.making import random_pixels, write_raster
from tests.training.runs import ONE, last_state, losses, recipe, same_weights, train_until

pytestmark = pytest.mark.usefixtures("tidy")


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


LATER = {
    "pretrained", "loss", "label_smoothing", "ohem_threshold", "ohem_kept", "focal_gamma", "aux_weight",
}  # fmt: skip


def test_a_run_from_before_there_was_a_choice_of_loss_goes_on(folder: Path, tmp_path: Path) -> None:
    whole = train(folder, tmp_path / "whole", options=recipe(), machine=ONE)
    train_until(9, folder, tmp_path / "run", recipe())
    age(tmp_path / "run")

    parts = resume(tmp_path / "run", machine=ONE)

    assert same_weights(whole.best, parts.best)
    assert losses(tmp_path / "whole") == losses(tmp_path / "run")


def age(run: Path) -> None:
    """Take from a run what later recipes know."""
    values = torch.load(run / "last.ckpt", weights_only=True)
    config = values["config"]
    assert config["train"].keys() >= LATER
    config["train"] = {name: value for name, value in config["train"].items() if name not in LATER}
    torch.save(values, run / "last.ckpt")
    RunFolder(run).write_config(config)


def test_a_changed_recipe_is_refused_and_named(folder: Path, tmp_path: Path) -> None:
    train_until(5, folder, tmp_path / "run", recipe())
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace("lr = 0.05", "lr = 0.1"))

    with pytest.raises(WeightsError, match=r"config\.toml: lr changed since the checkpoint was written"):
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
