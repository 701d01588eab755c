"""Checkpoints: written whole, read without executing anything."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rsseg.errors import WeightsError
from rsseg.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

STATE = Checkpoint(
    config={"data": "tiles", "train": {"lr": 0.1}},
    card="{}",
    step=7,
    network={"weight": torch.arange(4.0)},
    optimizer={"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    history=[{"epoch": 1, "mean_iou": None}],
    tally={"steps": 3, "loss_sum": 0.1 + 0.2},
    data={"classes": "a, b"},
    precision="bf16",
)


def test_save_and_load_is_identity(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.ckpt", STATE)

    loaded = load_checkpoint(tmp_path / "last.ckpt")

    assert torch.equal(loaded.network["weight"], STATE.network["weight"])
    for name in ("config", "card", "step", "optimizer", "history", "tally", "data", "precision"):
        assert getattr(loaded, name) == getattr(STATE, name)


def test_an_interrupted_write_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, STATE)

    def die(_self: object, _target: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, replace(STATE, step=8))

    assert load_checkpoint(path).step == 7
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


def write_truncated(path: Path) -> None:
    save_checkpoint(path, STATE)
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_text("no checkpoint"), "is no checkpoint of rsseg, or a damaged one"),
        (lambda path: path.write_bytes(b""), "is no checkpoint of rsseg, or a damaged one"),
        (write_truncated, "is no checkpoint of rsseg, or a damaged one"),
        (lambda path: path.write_bytes(pickle.dumps(Bomb())), "is no checkpoint of rsseg"),
        (lambda path: torch.save(Bomb(), path), "is no checkpoint of rsseg"),
        (lambda path: torch.save({"format": 1, "net": 3}, path), "expected format 2"),
        (lambda path: torch.save({"format": 2, "net": 3}, path), "is no checkpoint of this rsseg .*'net'"),
        (lambda path: torch.save([1, 2], path), "expected format 2"),
    ],
)
def test_other_files_are_refused_and_never_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.ckpt"
    write(path)  # type: ignore[operator]

    with pytest.raises(WeightsError, match=message):
        load_checkpoint(path)

    assert not (tmp_path / "exploded").exists()


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"last\.ckpt: no such checkpoint") as info:
        load_checkpoint(tmp_path / "last.ckpt")

    assert "--overwrite" in str(info.value.hint)
