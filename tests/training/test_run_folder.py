"""The files of a run."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path

import pytest
from matplotlib.image import imread

from rsseg.errors import OptionError, ResourceError, WeightsError
from rsseg.training.run_folder import FILES, RunFolder

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
    assert picture.shape == (550, 1210, 4)
    assert picture.min() < 0.2
    assert not list(tmp_path.glob("*.part"))


def test_a_run_is_behind_until_its_log_tells_of_the_epoch_that_the_checkpoint_ends(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not folder.is_behind([], step=0)
    assert folder.is_behind(HISTORY[:1], step=5)

    folder.write_history(HISTORY[:1])
    assert not folder.is_behind(HISTORY[:1], step=5)
    assert not folder.is_behind(HISTORY[:1], step=7)  # a checkpoint within the second epoch
    assert folder.is_behind(HISTORY, step=10)

    folder.write_history(HISTORY)
    assert not folder.is_behind(HISTORY, step=10)


def test_the_readme_names_every_file_and_the_next_commands(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a run")
    folder.path.mkdir()

    folder.write_readme()

    text = (folder.path / "README.txt").read_text()
    assert all(f"  {name} " in text for name in FILES)
    assert f"--weights '{folder.best}'" in text
    assert f"rsseg train --resume '{folder.path}'" in text


def test_the_properties_name_files_that_are_known(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)

    paths = [value for name in vars(RunFolder) if isinstance(value := getattr(folder, name), Path)]

    assert {path.name for path in paths} <= {*FILES, tmp_path.name}
    assert len(paths) > 5


def test_a_folder_with_a_run_is_not_free(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()

    with pytest.raises(OptionError, match=r"holds a run already \(last\.ckpt\)") as info:
        RunFolder(tmp_path).check_free(overwrite=False)

    assert "--resume" in str(info.value.hint)


def test_overwriting_removes_the_run_and_nothing_else(tmp_path: Path) -> None:
    for name in (*FILES, "notes.txt", "events.out.tfevents.mine"):
        (tmp_path / name).touch()
    folder = RunFolder(tmp_path)

    folder.check_free(overwrite=True)
    folder.create()

    assert sorted(p.name for p in tmp_path.iterdir()) == ["events.out.tfevents.mine", "notes.txt"]


def test_a_folder_with_other_files_is_free(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    RunFolder(tmp_path).check_free(overwrite=False)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").touch()

    with pytest.raises(OptionError, match="is a file"):
        RunFolder(tmp_path / "run").check_free(overwrite=True)


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"cannot be written to \(File name too long\)"):
        RunFolder(tmp_path / ("x" * 300) / "run").check_free(overwrite=False)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(ResourceError, match="cannot be written to"),
        RunFolder(tmp_path / "file" / "run").locked(),
    ):
        pass


def test_a_run_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "curves.png").mkdir()

    with pytest.raises(ResourceError, match="cannot be written to"):
        RunFolder(tmp_path).create()


def test_a_run_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path).locked(),
        pytest.raises(ResourceError, match="another process is training this run"),
        RunFolder(tmp_path).locked(),
    ):
        pass

    with RunFolder(tmp_path).locked():
        pass


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _content: bytes) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(ResourceError, match=r"metrics\.csv: cannot be written \(No space left on device\)"):
        RunFolder(tmp_path).write_history(HISTORY)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["cost in $", "$x^{$", "道路", "_hidden"])
def test_classes_of_any_name_are_drawn(tmp_path: Path, name: str) -> None:
    row = {"epoch": 1, "step": 1, "lr": 0.1, "loss": 1.0, "mean_iou": 0.5, f"iou {name}": 0.5, "iou $b": 0.5}

    RunFolder(tmp_path).write_history([row])

    assert imread(tmp_path / "curves.png").min() < 0.2


def test_many_classes_leave_room_for_their_curves(tmp_path: Path) -> None:
    row = {"epoch": 1, "step": 1, "lr": 0.1, "loss": 1.0, "mean_iou": None}

    RunFolder(tmp_path).write_history([{**row, **{f"iou class {k}": 0.5 for k in range(150)}}])

    picture = imread(tmp_path / "curves.png")[..., :3]
    dark = (picture.max(axis=2) < 0.3).sum(axis=0)
    assert dark[600:1100].max() > 300  # the frame of the scores is still wide


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is no run") as info:
        RunFolder(tmp_path).read_config()

    assert "rsseg train" in str(info.value.hint)


@pytest.mark.parametrize("text", ["data = ", "data = 'd'\ntrain = 3", "[train]", "data = 1\n[train]"])
def test_a_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)

    with pytest.raises(WeightsError, match=r"config\.toml: is damaged"):
        RunFolder(tmp_path).read_config()
