"""`rsseg train` as a user meets it."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rsseg.cli.main import main
from rsseg.cli.train import train
from rsseg.cli.train_options import PLACES
from rsseg.training.options import TrainOptions
from rsseg.training.run_folder import RunFolder
from rsseg.weights import load_weights
from tests.data.labelled import replace_label, write_classes, write_tiles

SPLIT = {"train": ["a", "b"], "val": ["c"]}
RECIPE = "--model linear --epochs 2 --steps-per-epoch 2 --batch-size 2 --window 16 --tile 32 --halo 0"
SMALL = [*RECIPE.split(), "--precision", "fp32", "--device", "cpu"]


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, args)])


def refused(result: Result, code: int) -> str:
    """The message of a refusal: one line, perhaps a hint, no traceback, nothing on standard output."""
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert lines[0].startswith("Error: ")
    assert all(line.startswith("Hint: ") for line in lines[1:])
    return result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiles(tmp_path / "d", split=SPLIT)


def test_the_path_of_the_weights_is_printed_and_the_rest_is_talk(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "-o", tmp_path / "run", *SMALL)

    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'run' / 'best.safetensors'}\n"
    assert "train: 2 scenes" in result.stderr
    assert "epoch 2/2: loss" in result.stderr
    assert load_weights(result.stdout.strip()).card.architecture == "linear"


def test_json_gives_the_scores_as_one_object(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "-o", tmp_path / "run", *SMALL, "--json")

    summary = json.loads(result.stdout)
    assert summary["best"] == str(tmp_path / "run" / "best.safetensors")
    assert summary["epochs"] == 2
    assert 0 <= summary["scores"]["mean_iou"] <= 1
    assert set(summary["scores"]) == {"mean_iou", "overall_accuracy", "iou red", "iou green", "iou blue"}


def test_quiet_says_nothing_but_the_result(folder: Path, tmp_path: Path) -> None:
    assert run(folder, "-o", tmp_path / "run", *SMALL, "-q").stderr == ""


def test_a_finished_run_can_be_resumed(folder: Path, tmp_path: Path) -> None:
    first = run(folder, "-o", tmp_path / "run", *SMALL)

    again = run("--resume", tmp_path / "run", "--device", "cpu")

    assert again.exit_code == 0, again.output
    assert again.stdout == first.stdout


def test_an_interrupted_run_says_how_to_go_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rsseg.training.learner.Learner.learn", interrupt)
    result = run(folder, "-o", tmp_path / "run", *SMALL)

    assert result.exit_code == 130
    assert f"rsseg train --resume {tmp_path / 'run'}" in result.stderr
    monkeypatch.undo()
    assert run("--resume", tmp_path / "run", "--device", "cpu").exit_code == 0


def test_an_interruption_before_the_run_began_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rsseg.training.engine.plan_card", interrupt)
    result = run(folder, "-o", tmp_path / "run", *SMALL)

    assert result.exit_code == 130
    assert "--resume" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_an_interruption_before_an_old_run_is_replaced_does_not_advise_to_resume_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    run(folder, "-o", tmp_path / "run", *SMALL)
    monkeypatch.setattr("rsseg.training.engine.plan_card", interrupt)

    assert "--resume" not in run(folder, "-o", tmp_path / "run", *SMALL, "--overwrite").stderr
    assert (tmp_path / "run" / "last.ckpt").exists()


def test_a_variable_of_the_environment_does_not_keep_a_run_from_being_resumed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSSEG_TRAIN_EPOCHS", "1")
    first = run(folder, "-o", tmp_path / "run", *SMALL)
    again = run("--resume", tmp_path / "run", "--device", "cpu")

    assert (again.exit_code, again.stdout) == (0, first.stdout)


def test_a_run_that_another_process_trains_is_explained(folder: Path, tmp_path: Path) -> None:
    run(folder, "-o", tmp_path / "run", *SMALL)

    with RunFolder(tmp_path / "run").locked():
        message = refused(run("--resume", tmp_path / "run"), 5)

    assert "another process is training this run" in message


def test_the_loss_can_be_chosen(folder: Path, tmp_path: Path) -> None:
    chosen = ["--loss", "lovasz", "--dice", "0"]

    result = run(folder, "-o", tmp_path / "run", *SMALL, *chosen)

    assert result.exit_code == 0, result.output
    loss = recipe_of(tmp_path / "run")["loss"]
    assert (loss["name"], loss["dice"], loss["aux_weight"]) == ("lovasz", 0.0, 1.0)


def recipe_of(folder: Path) -> dict[str, Any]:
    """The recipe that a run wrote down."""
    return tomllib.loads((folder / "config.toml").read_text())["train"]


def test_every_flag_of_the_recipe_reaches_its_place(folder: Path, tmp_path: Path) -> None:
    flags = {
        "optimizer": ("sgd", "optimizer.name"),
        "lr": (0.25, "optimizer.lr"),
        "schedule": ("restarts", "optimizer.schedule"),
        "weight-decay": (0.125, "optimizer.weight_decay"),
        "loss": ("cross-entropy", "loss.name"),
        "label-smoothing": (0.5, "loss.label_smoothing"),
        "dice": (2.0, "loss.dice"),
        "sampling": ("balanced", "sampling"),
        "ema": (0.5, "ema"),
        "patience": (7, "patience"),
        "seed": (3, "seed"),
    }
    args = [part for flag, (value, _) in flags.items() for part in (f"--{flag}", value)]

    result = run(folder, "-o", tmp_path / "run", *SMALL, *args)

    assert result.exit_code == 0, result.output
    found = TrainOptions.from_dict(recipe_of(tmp_path / "run"))
    assert {flag: read(found, place) for flag, (_, place) in flags.items()} == {
        flag: value for flag, (value, _) in flags.items()
    }


def read(options: TrainOptions, place: str) -> object:
    """The value at a place such as `optimizer.lr`."""
    return attrgetter(place)(options)


def write_recipe(path: Path, text: str) -> Path:
    path.write_text(f"[train]\n{text}")
    return path


def test_a_flag_goes_over_the_file_and_set_over_both(folder: Path, tmp_path: Path) -> None:
    sizes = "epochs = 1\nsteps_per_epoch = 1\nwindow = 16\ntile = 32\nhalo = 0\nbatch_size = 1\n"
    rates = "[train.optimizer]\nlr = 0.5\nweight_decay = 0.5\nclip = 0.5\n"
    config = write_recipe(tmp_path / "r.toml", f'model = "linear"\n{sizes}{rates}')
    args = ["--set", "optimizer.lr=3", "--lr", 2, "--weight-decay", 2, "--set", "augment.zoom=1.5"]

    result = run(folder, "-o", tmp_path / "run", "--config", config, "--device", "cpu", *args)

    assert result.exit_code == 0, result.output
    found = TrainOptions.from_dict(recipe_of(tmp_path / "run"))
    optimizer = found.optimizer
    assert (optimizer.clip, optimizer.weight_decay, optimizer.lr) == (0.5, 2.0, 3.0)
    assert (found.window, found.augment.zoom, found.halo) == (16, 1.5, 0)


def test_the_config_of_a_run_repeats_it(folder: Path, tmp_path: Path) -> None:
    first = run(folder, "-o", tmp_path / "a", *SMALL, "--lr", 0.1, "--seed", 5, "--set", "augment.zoom=1.2")

    again = run(folder, "-o", tmp_path / "b", "--config", tmp_path / "a" / "config.toml", "--device", "cpu")

    assert (first.exit_code, again.exit_code) == (0, 0), again.output
    assert recipe_of(tmp_path / "b") == recipe_of(tmp_path / "a")
    best = [(tmp_path / name / "best.safetensors").read_bytes() for name in "ab"]
    assert best[0] == best[1]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("lr = 0.1", "unknown training option 'lr'", "did you mean optimizer.lr?"),
        ("[train.loss]\nnam = 'ohem'", "unknown training option 'loss.nam'", "did you mean loss.name?"),
        ("loss = 'ohem'", "training option loss is 'ohem'; expected a table", "loss.name, loss.label"),
        ("epochs = 2.5", "training option epochs is 2.5; expected a whole number", ""),
        ("[train.optimizer]\nlr = -1", "optimizer.lr is -1.0; it must be at least 1e-12", ""),
        ("[train", "is no recipe (", "TOML with a table [train]"),
    ],
)
def test_a_recipe_that_cannot_be_is_explained(tmp_path: Path, text: str, message: str, hint: str) -> None:
    config = write_recipe(tmp_path / "r.toml", text)

    said = refused(run("tiles", "-o", tmp_path / "run", "--config", config), 2)

    assert message in said
    assert hint in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "reason"), [("none.toml", "No such file"), (".", "Is a directory")])
def test_a_recipe_that_cannot_be_read_is_explained(tmp_path: Path, name: str, reason: str) -> None:
    said = refused(run("tiles", "-o", tmp_path / "run", "--config", tmp_path / name), 2)

    assert f"cannot be read ({reason}" in said


def test_weights_are_no_recipe(folder: Path, tmp_path: Path) -> None:
    run(folder, "-o", tmp_path / "run", *SMALL)

    said = refused(run(folder, "-o", tmp_path / "b", "--config", tmp_path / "run" / "best.safetensors"), 2)

    assert "best.safetensors: is no recipe" in said


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs", "--set 'epochs': expected NAME=VALUE"),
        ("optimizer.learning=1", "unknown training option 'optimizer.learning'"),
        ("optimizer.lr=fast", "training option optimizer.lr is 'fast'; expected a number"),
        ("augment.zoom=9", "augment.zoom is 9.0; it must be at least 1 and at most 4"),
        ("epochs.x=1", "training option epochs is 2; expected a table"),
    ],
)
def test_a_setting_that_cannot_be_is_explained(tmp_path: Path, setting: str, message: str) -> None:
    assert message in refused(run("tiles", "-o", tmp_path / "run", *SMALL, "--set", setting), 2)


def test_a_check_looks_with_the_eyes_of_the_recipe(folder: Path, tmp_path: Path) -> None:
    config = write_recipe(tmp_path / "r.toml", 'preset = "uavid"')

    result = run("--check", folder, "--config", config)

    assert result.exit_code == 3
    assert "is not laid out like uavid" in result.stdout


def test_other_classes_can_begin_from_weights(folder: Path, tmp_path: Path) -> None:
    run(folder, "-o", tmp_path / "a", *SMALL)
    write_classes(folder, ["roof", "green", "tree"])
    start = ["--weights", tmp_path / "a" / "best.safetensors", *SMALL[2:]]

    result = run(folder, "-o", tmp_path / "b", *start)

    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if "are kept" in line]
    assert len(lines) == 1
    assert lines[0].endswith("are kept, and of the heads green; roof, tree begin anew")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("--loss", "focal", "--label-smoothing", "0.1"),
            "loss.label_smoothing is 0.1, but the loss is focal",
        ),
        (("--set", "optimizer.momentum=0.5"), "optimizer.momentum is 0.5, but the optimizer is adamw"),
        (("--set", "optimizer.parts=3"), "batch size is 2; it cannot be learnt from in 3 equal parts"),
        (
            ("--model", "abcnet", "--tile", "64", "--batch-size", "1"),
            "batch size is 1; abcnet needs at least 2",
        ),
        (("--weights", "buildings", "--pretrained", "imagenet"), "weights buildings or from the encoder in"),
        (("--pretrained", "imagenet"), "linear: has no encoder that imagenet could fill"),
    ],
)
def test_options_that_do_not_go_together_are_explained(
    folder: Path, tmp_path: Path, args: tuple[str, ...], message: str
) -> None:
    text = refused(run(folder, "-o", tmp_path / "run", *SMALL, *args), 2)

    assert message in text
    assert "Hint: " in text


def test_a_missing_encoder_is_explained(tmp_path: Path) -> None:
    result = run("tiles", "-o", tmp_path / "run", "--pretrained", tmp_path / "none.pth")

    assert "none.pth: no such file" in refused(result, 4)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--dice", "nan"), "loss.dice is nan; it must be at least 0 and finite"),
        (("--dice", "inf"), "loss.dice is inf; it must be at least 0 and finite"),
        (("--epochs", "0"), "epochs is 0; it must be at least 1"),
        (("--batch-size", "1000000000"), "batch size is 1000000000; it must be at least 1 and at most 4096"),
        (("--loss", "ohem", "--label-smoothing", "0.1"), "loss.label_smoothing is 0.1, but the loss is ohem"),
    ],
)
def test_a_recipe_that_makes_no_sense_does_not_wait_for_an_engine(
    args: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rsseg.training.engine", None)  # importing it would fail

    assert message in refused(run("tiles", "-o", "run", *args), 2)


UNSEEN = "x" * 300
"""A folder that cannot be looked into, for root, too: its name is too long."""


def test_a_run_in_a_folder_that_cannot_be_looked_into_is_explained(folder: Path, tmp_path: Path) -> None:
    message = refused(run(folder, "-o", tmp_path / UNSEEN / "run", *SMALL), 5)

    assert "cannot be written to (File name too long)" in message


@pytest.mark.parametrize("args", [(), ("tiles",), ("-o", "run")])
def test_data_and_run_belong_together(args: tuple[str, ...]) -> None:
    assert "train needs DATA and -o RUN" in refused(run(*args), 2)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("tiles",), "DATA"),
        (("-o", "x"), "-o"),
        (("--batch-size", "3"), "--batch-size"),
        (("--overwrite",), "--overwrite"),
        (("--loss", "ohem"), "--loss"),
        (("--pretrained", "imagenet"), "--pretrained"),
        (("--config", "r.toml"), "--config"),
        (("--set", "epochs=3"), "--set"),
        (("--no-compile",), "--compile"),
    ],
)
def test_a_resumed_run_keeps_its_recipe(args: tuple[str, ...], named: str) -> None:
    assert f"{named} does not go with it" in refused(run("--resume", "run", *args), 2)


def test_labels_outside_the_classes_are_explained(folder: Path, tmp_path: Path) -> None:
    replace_label(folder, "b", np.full((40, 48), 9, np.uint8))

    message = refused(run(folder, "-o", tmp_path / "run", *SMALL), 3)

    assert "b.tif: holds label 9; the classes are 0 to 2, and 255 is left out" in message
    assert "Hint: add the class to classes.json" in message
    assert not (tmp_path / "run").exists()


def test_labels_of_another_size_are_explained(folder: Path, tmp_path: Path) -> None:
    replace_label(folder, "a", np.zeros((41, 48), np.uint8))

    assert "a.tif" in refused(run(folder, "-o", tmp_path / "run", *SMALL), 3)


def test_an_empty_split_is_explained(folder: Path, tmp_path: Path) -> None:
    (folder / "split.json").write_text('{"train": ["a"], "val": []}')

    assert "val is empty" in refused(run(folder, "-o", tmp_path / "run", *SMALL), 3)


def test_missing_classes_are_explained(folder: Path, tmp_path: Path) -> None:
    (folder / "classes.json").unlink()

    assert "classes.json: cannot be read" in refused(run(folder, "-o", tmp_path / "run", *SMALL), 3)


def test_missing_data_are_explained(tmp_path: Path) -> None:
    assert "no such folder or manifest" in refused(run(tmp_path / "none", "-o", tmp_path / "run"), 3)


def test_an_existing_run_is_explained(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").touch()

    message = refused(run(folder, "-o", tmp_path / "run", *SMALL), 2)

    assert "holds a run already (config.toml)" in message
    assert "--overwrite" in message


def test_a_folder_that_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    assert "is no run" in refused(run("--resume", tmp_path), 4)


def test_a_damaged_checkpoint_is_explained(folder: Path, tmp_path: Path) -> None:
    run(folder, "-o", tmp_path / "run", *SMALL)
    (tmp_path / "run" / "last.ckpt").write_bytes(b"damaged")

    assert "last.ckpt: is no checkpoint" in refused(run("--resume", tmp_path / "run"), 4)


NO_PART_OF_THE_RECIPE = {
    "data",
    "run",
    "resume",
    "check",
    "config",
    "settings",
    "device",
    "threads",
    "readers",
    "overwrite",
    "as_json",
    "verbose",
    "quiet",
}


def test_options_are_those_of_the_recipe_and_help_tells_the_truth() -> None:
    defaults = TrainOptions.places()
    flags = [p for p in train.params if p.name not in NO_PART_OF_THE_RECIPE]

    assert len(flags) >= 25
    for flag in flags:
        default = defaults[PLACES.get(str(flag.name), str(flag.name))]
        told = re.search(r"\[default: ([^\]]+)\]", getattr(flag, "help", "") or "")
        assert told or default == ""
        if told and isinstance(default, bool):
            assert told[1] == f"{'' if default else 'no-'}{flag.name}"
        elif told and isinstance(default, int | float):
            assert float(told[1]) == default
        elif told and default:
            assert told[1] == default


def test_help_shows_examples_and_every_option_under_one_heading() -> None:
    result = run("--help")

    assert result.exit_code == 0
    assert "rsseg train --resume runs/town" in result.stdout
    headings = re.findall(r"^([A-Z][a-z ]+):$", result.stdout, flags=re.MULTILINE)
    assert headings == [
        "Run and data",
        "Recipe",
        "Network",
        "Samples and epochs",
        "Validation",
        "Learning",
        "Machine",
        "Output",
    ]
    listed = re.findall(r"^  (?:-\w, )?--([\w-]+)", result.stdout, flags=re.MULTILINE)
    options = [max(p.opts, key=len).lstrip("-") for p in train.params if p.name != "data"]
    assert listed == [*options, "help"]
