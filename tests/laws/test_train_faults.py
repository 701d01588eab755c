"""What goes wrong in a training run ends it with a line, a hint and an exit code, and costs no more than an epoch.

After each fault the run is gone on with when its cause is gone, and ends as one that never had any.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from rsseg.cli.main import main
from rsseg.training import curves, diary, learner, run_folder
from rsseg.training.checkpoint import load_checkpoint
from rsseg.training.engine import train
from rsseg.training.history import TIMES
from rsseg.training.learner import Learner
from rsseg.training.options import TrainOptions
from tests.data.labelled import write_tiles
from tests.laws.faults import assert_told
from tests.laws.processes import Ended
from tests.training.runs import ONE, SPLIT, recipe, train_until

SMALL = "--model linear --epochs 1 --steps-per-epoch 1 --batch-size 2 --window 16 --tile 32 --halo 0"
EMPTY_PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Drawing takes most of the time of such small runs."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(curves, "draw_curves", lambda _history: b"")
    monkeypatch.setattr(diary, "draw_sheet", lambda *_args, **_kwargs: EMPTY_PNG)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def rsseg(*args: object) -> Ended:
    result = CliRunner().invoke(main, ["train", *map(str, args), "--device", "cpu", "--threads", "1"])
    return Ended(result.exit_code, result.stdout, result.stderr)


def rows(run: Path) -> list[dict[str, Any]]:
    """The history without what differs from run to run."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def assert_goes_on(run: Path, whole: Path) -> None:
    """Going on without the fault gives the very files of a run without faults."""
    ended = rsseg("--resume", run)
    assert ended.code == 0, ended.stderr
    assert (run / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()
    assert rows(run) == rows(whole)
    assert {path.name for path in run.iterdir()} == {path.name for path in whole.iterdir()}


class FullDisk:
    """Lets one of all calls that write fail, as a full disk would; see `tests.laws.test_faults_disk.Refusals`."""

    def __init__(self, patch: pytest.MonkeyPatch, *, at: int) -> None:
        self.count = 0
        self._at = at
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "write_bytes"), (Path, "touch")):
            patch.setattr(owner, name, self._hooked(name, getattr(owner, name)))

    def _hooked(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode):
                return real(*args)
            self.count += 1
            if self.count == self._at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **kwargs)

        return call


def test_a_disk_that_is_full_at_any_moment_costs_nothing_but_the_time(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going on, the weights, their card, the history, the pictures, the events and the checkpoint, call by call."""
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    options = recipe(epochs=2, steps_per_epoch=2)
    whole = tmp_path / "whole"
    train(folder, whole, options=options, machine=ONE)
    train_until(3, folder, tmp_path / "begun", options)

    named: set[str] = set()
    for at in range(1, 1000):
        shutil.copytree(tmp_path / "begun", run)
        with monkeypatch.context() as patch:
            disk = FullDisk(patch, at=at)
            ended = rsseg("--resume", run)
        if disk.count < at:
            break
        assert_told(ended, code=5, error="(No space left on device)", hint="make room")
        named.add(ended.stderr.split("Error: ")[1].split(":")[0])
        assert load_checkpoint(run / "last.ckpt").step in (2, 4)
        assert_goes_on(run, whole)
        shutil.rmtree(run)

    written = {name for name in run_folder.FILES if name not in {"config.toml", "data.csv", "README.txt"}}
    assert {Path(path).name for path in named} == written


def test_a_disk_that_is_full_at_the_beginning_says_so(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    for at in (1, 4, 13):
        with monkeypatch.context() as patch:
            FullDisk(patch, at=at)
            ended = rsseg(folder, "-o", run, *SMALL.split(), "--overwrite")
        assert_told(ended, code=5, error="(No space left on device)", hint="make room")

    assert rsseg(folder, "-o", run, *SMALL.split(), "--overwrite").code == 0


def learning(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    run: Path,
    options: TrainOptions,
    *,
    at: int,
    fault: Callable[[], Any],
) -> Ended:
    """Train, and let something happen before step `at` (from 0) is learnt."""
    learn = Learner.learn

    def hooked(self: Learner, batch: Any, step: int) -> float:
        if step == at:
            fault()
        return learn(self, batch, step)

    (run.parent / "recipe").mkdir()
    run_folder.RunFolder(run.parent / "recipe").write_config({"data": "", "train": options.to_dict()})
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", hooked)
        return rsseg(folder, "-o", run, "--config", run.parent / "recipe" / "config.toml")


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_its_checkpoint(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    train(folder, tmp_path / "whole", options=recipe(), machine=ONE)
    honest = learner.segmentation_loss

    with monkeypatch.context() as patch:

        def fault() -> None:
            patch.setattr(learner, "segmentation_loss", lambda *a, **k: float("nan") * honest(*a, **k))

        ended = learning(monkeypatch, folder, run, recipe(), at=6, fault=fault)

    assert_told(ended, code=3, error="the loss of step 7 is nan", hint="the last checkpoint is intact")
    assert load_checkpoint(run / "last.ckpt").step == 4
    assert_goes_on(run, tmp_path / "whole")


@pytest.mark.parametrize("name", ["a", "c"], ids=["train", "val"])
def test_a_tile_that_becomes_unreadable_is_named_and_the_run_goes_on_when_it_is_back(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Most of the image is cut off while the run learns; blocks of 16 px are read as they are needed."""
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    folder = write_tiles(tmp_path / "d", size=(320, 320), split=SPLIT, **blocks)
    options = recipe(window=16, epochs=2, steps_per_epoch=20)  # more than is read ahead
    train(folder, tmp_path / "whole", options=options, machine=ONE)
    image = folder / "images" / f"{name}.tif"
    content = image.read_bytes()

    ended = learning(
        monkeypatch, folder, run, options, at=1, fault=lambda: os.truncate(image, len(content) // 8)
    )

    assert_told(ended, code=3, error=f"{image}: ", hint="")
    assert load_checkpoint(run / "last.ckpt").step == 0
    assert_told(rsseg("--resume", run), code=4, error=f"images/{name}.tif) was", hint="undo the change")
    image.write_bytes(content)
    assert_goes_on(run, tmp_path / "whole")
