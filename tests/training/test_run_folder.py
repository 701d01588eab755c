"""The files of a run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from matplotlib.image import imread

from rsseg.errors import OptionError, ResourceError, WeightsError
from rsseg.training.run_folder import RunFolder

HISTORY = [
    {"epoch": 1, "step": 5, "lr": 0.1, "loss": 1.5, "mean_iou": 0.3, "iou a": 0.3, "iou b": None},
    {"epoch": 2, "step": 10, "lr": 0.01, "loss": 1.0, "mean_iou": 0.4, "iou a": 0.5, "iou b": 0.3},
]


def test_config_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    config = {"data": "some where/ä", "train": {"lr": 0.001, "epochs": 3, "model": ""}}

    folder.write_config(config)

    assert folder.read_config() == config


def test_the_history_becomes_lines_a_table_and_a_picture(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_history(HISTORY)

    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == HISTORY
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [(row["epoch"], row["mean_iou"], row["iou b"]) for row in rows] == [
        ("1", "0.3", ""),
        ("2", "0.4", "0.3"),
    ]
    picture = imread(tmp_path / "curves.png")
    assert picture.shape[1] > picture.shape[0] > 300
    assert picture.min() < 0.2
    assert not list(tmp_path.glob("*.part"))


def test_a_history_without_rows_is_a_file_without_rows(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_history([])

    assert (tmp_path / "log.jsonl").read_text() == ""


def test_a_folder_with_a_run_is_not_free(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()

    with pytest.raises(OptionError, match=r"holds a run already \(last\.ckpt\)") as info:
        RunFolder(tmp_path).check_free(overwrite=False)

    assert "--resume" in str(info.value.hint)


def test_overwriting_removes_the_run_and_nothing_else(tmp_path: Path) -> None:
    for name in ("last.ckpt", "best.safetensors", "notes.txt"):
        (tmp_path / name).touch()
    folder = RunFolder(tmp_path)

    folder.check_free(overwrite=True)
    folder.create()

    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "notes.txt"]


def test_a_folder_with_other_files_is_free(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    RunFolder(tmp_path).check_free(overwrite=False)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").touch()

    with pytest.raises(OptionError, match="is a file"):
        RunFolder(tmp_path / "run").check_free(overwrite=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ResourceError, match="cannot be written to"):
        RunFolder(tmp_path / "file" / "run").create()


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is no run") as info:
        RunFolder(tmp_path).read_config()

    assert "rsseg train" in str(info.value.hint)


def test_a_damaged_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("data = ")

    with pytest.raises(WeightsError, match=r"config\.toml: is damaged"):
        RunFolder(tmp_path).read_config()
