"""Stopping and going on: it changes nothing, and only the same run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rsseg.errors import LabelError, WeightsError
from rsseg.prediction import precision as precisions
from rsseg.training import curves, diary, session
from rsseg.training.diary import Diary
from rsseg.training.engine import Machine, resume, train
from rsseg.training.events import read_events
from rsseg.training.history import TIMES
from rsseg.training.learner import Learner
from rsseg.training.progress import Progress
from rsseg.training.run_folder import RunFolder
from rsseg.weights import load_weights
from tests.data.labelled import replace_label, write_classes
from tests.making import random_pixels, write_raster
from tests.training.runs import (
    ONE,
    Killed,
    contents,
    last_state,
    losses,
    recipe,
    same_weights,
    train_until,
)

pytestmark = pytest.mark.usefixtures("tidy", "no_pictures")


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of such small runs."""
    monkeypatch.setattr(curves, "draw_curves", lambda _history: b"")
    monkeypatch.setattr(diary, "draw_sheet", lambda *_args, **_kwargs: EMPTY_PNG)


EMPTY_PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


EVERYTHING = {
    "optimizer": "sgd", "momentum": 0.9, "nesterov": True, "parts": 2, "clip": 1.0, "ema": 0.9, "sampling": "balanced",
    "turns": "all", "zoom": 1.3, "rotation": 20.0, "contrast": 0.2, "brightness": 0.2, "colour": 0.1, "blur": 1.0,
    "noise": 0.1, "jpeg": 60, "drop_band": 0.3, "cutmix": 0.4, "paste": 0.4, "paste_classes": ["green"],
}  # fmt: skip
"""A recipe in which everything that has a state or is random takes part."""

OFTEN = Machine(device="cpu", threads=1, checkpoint_s=-1.0)
"""A checkpoint after every step."""


@pytest.mark.parametrize("machine", [ONE, OFTEN], ids=["epochs", "steps"])
@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["plain", "everything"])
def test_a_run_that_is_killed_at_any_step_equals_one_that_never_stopped(
    folder: Path, tmp_path: Path, changes: dict[str, Any], machine: Machine
) -> None:
    options = recipe(epochs=2, steps_per_epoch=3, **changes)
    whole = train(folder, tmp_path / "whole", options=options, machine=ONE)

    for step in range(1, options.steps + 1):
        run = tmp_path / f"killed after {step}"
        train_until(step, folder, run, options, machine)
        parts = resume(run, machine=machine)

        assert parts.best.read_bytes() == whole.best.read_bytes(), step
        assert (parts.scores, parts.epoch) == (whole.scores, whole.epoch)
        assert last_state(run) == last_state(tmp_path / "whole")
        assert rows_of(run) == rows_of(tmp_path / "whole")


def test_a_run_that_is_killed_again_and_again_gets_there_just_so(folder: Path, tmp_path: Path) -> None:
    options = recipe(epochs=2, steps_per_epoch=3, **EVERYTHING)
    whole = train(folder, tmp_path / "whole", options=options, machine=ONE)

    train_until(1, folder, tmp_path / "parts", options, OFTEN)
    for step in range(2, options.steps + 1):
        resume_until(step, tmp_path / "parts", OFTEN)
    parts = resume(tmp_path / "parts", machine=ONE)

    assert parts.best.read_bytes() == whole.best.read_bytes()
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")


def resume_until(step: int, run: Path, machine: Machine) -> None:
    def die(progress: Progress) -> None:
        if progress.step == step:
            raise Killed

    with pytest.raises(Killed):
        resume(run, machine=machine, on_progress=die)


def rows_of(run: Path) -> list[dict[str, Any]]:
    """The history without what differs from run to run."""
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def test_a_run_that_is_killed_within_its_patience_stops_where_the_whole_one_does(
    folder: Path, tmp_path: Path
) -> None:
    options = recipe(epochs=9, steps_per_epoch=2, lr=1e-12, patience=2)
    train(folder, tmp_path / "whole", options=options, machine=ONE)

    train_until(5, folder, tmp_path / "parts", options)
    parts = resume(tmp_path / "parts", machine=ONE)

    assert (parts.epoch, parts.epochs) == (1, 3)
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")


def test_a_run_that_was_killed_has_no_point_twice(folder: Path, tmp_path: Path) -> None:
    """Killed when TensorBoard has a point of an epoch and the log has not, and again within the next one."""
    options = recipe(epochs=3, steps_per_epoch=2)
    run = tmp_path / "run"
    with killed_at(RunFolder, "write_history", call=2):
        train(folder, run, options=options, machine=ONE)
    stale = list(read_events(run / "events.out.tfevents.rsseg"))
    assert [event.step for event in stale if event.step] == [2, 4]

    resume_until(6, run, ONE)
    resume(run, machine=ONE)

    events = list(read_events(run / "events.out.tfevents.rsseg"))
    assert [event.step for event in events if event.step] == [2, 4, 6]
    losses = [v.simple_value for e in events for v in e.summary.value if v.tag == "train/loss"]
    assert losses == pytest.approx([row["loss"] for row in rows_of(run)], rel=1e-6)
    starts = json.loads((run / "provenance.json").read_text())["starts"]
    assert [start["from_step"] for start in starts] == [0, 4, 4]


@contextmanager
def killed_at(owner: Any, name: str, *, call: int) -> Iterator[None]:
    """Let the n-th call (from 1) of a function be the moment of a kill."""
    real, calls = getattr(owner, name), count(1)

    def hooked(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, name, hooked)
        yield


MOMENTS = [
    (session, "save_checkpoint", 1),  # and one at the beginning
    (Diary, "keep_best", 0),
    (diary, "file_sha256", 0),  # the best weights are there, their card is not
    (Diary, "write_epoch", 0),
    (diary, "add_epoch", 0),
    (RunFolder, "write_history", 0),
]
"""The end of an epoch that is the best so far, and how often what it calls was called before the first."""


@pytest.mark.parametrize("epoch", [1, 3])
@pytest.mark.parametrize(("owner", "name", "before"), MOMENTS, ids=[name for _, name, _ in MOMENTS])
def test_a_run_that_is_killed_while_an_epoch_ends_leaves_what_the_whole_one_does(
    folder: Path, tmp_path: Path, owner: Any, name: str, before: int, epoch: int
) -> None:
    options = recipe(steps_per_epoch=2, ema=0.5)
    whole = train(folder, tmp_path / "whole", options=options, machine=ONE)
    scores = [row["mean_iou"] for row in rows_of(tmp_path / "whole")]
    assert scores == sorted(set(scores))  # each epoch is the best so far

    run = tmp_path / "run"
    with killed_at(owner, name, call=before + epoch):
        train(folder, run, options=options, machine=ONE)
    parts = resume(run, machine=ONE)

    assert (parts.epoch, parts.scores) == (whole.epoch, whole.scores)
    for file in ("best.safetensors", "card.json"):
        assert (run / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert rows_of(run) == rows_of(tmp_path / "whole")
    assert [e.step for e in read_events(run / "events.out.tfevents.rsseg") if e.step] == [2, 4, 6]


def test_weights_of_an_epoch_that_the_run_forgets_are_never_kept(folder: Path, tmp_path: Path) -> None:
    """Another machine may give other scores: an epoch that weights were kept of is not repeated."""
    options = recipe(epochs=2, steps_per_epoch=2)
    run = tmp_path / "run"
    with killed_at(Diary, "write_epoch", call=2):
        train(folder, run, options=options, machine=ONE)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "validate", lambda *_args, **_kwargs: pytest.fail("the epoch is repeated"))
        summary = resume(run, machine=ONE)

    known = {name: score for name, score in summary.scores.items() if score is not None}
    assert load_weights(str(summary.best)).card.scores == known


def test_an_epoch_that_is_not_the_best_is_written_down_too(folder: Path, tmp_path: Path) -> None:
    """A rate of almost nothing makes no epoch better than the first."""
    options = recipe(epochs=2, steps_per_epoch=2, lr=1e-12)
    run = tmp_path / "run"
    with killed_at(Diary, "write_epoch", call=2):
        train(folder, run, options=options, machine=ONE)
    best = (run / "best.safetensors").read_bytes()

    (run / "best.safetensors").rename(tmp_path / "away")
    with pytest.raises(WeightsError, match=r"best\.safetensors: is gone"):
        resume(run, machine=ONE)
    (tmp_path / "away").rename(run / "best.safetensors")
    summary = resume(run, machine=ONE)

    assert (summary.epoch, summary.epochs, len(rows_of(run))) == (1, 2, 2)
    assert (run / "best.safetensors").read_bytes() == best


def test_dropout_and_norms_do_not_notice_a_kill_either(folder: Path, tmp_path: Path) -> None:
    options = recipe("maresunet", epochs=1, steps_per_epoch=3)
    whole = train(folder, tmp_path / "whole", options=options, machine=ONE)

    train_until(2, folder, tmp_path / "parts", options, OFTEN)
    parts = resume(tmp_path / "parts", machine=ONE)

    assert same_weights(whole.best, parts.best)


def test_checkpoints_within_an_epoch_lose_nothing_either(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = recipe()
    whole = train(folder, tmp_path / "whole", options=options, machine=ONE)
    train_until(7, folder, tmp_path / "parts", options, OFTEN)

    learnt: list[int] = []
    learn = Learner.learn
    monkeypatch.setattr(Learner, "learn", lambda self, b, step: learnt.append(step) or learn(self, b, step))
    parts = resume(tmp_path / "parts", machine=ONE)

    assert learnt[0] == 6
    assert same_weights(whole.best, parts.best)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_resuming_a_finished_run_gives_its_summary_again(folder: Path, tmp_path: Path) -> None:
    first = train(folder, tmp_path / "run", options=recipe(), machine=ONE)

    before = contents(tmp_path / "run")

    again = resume(tmp_path / "run", machine=ONE)

    assert (again.best, again.epoch, again.scores) == (first.best, first.epoch, first.scores)
    assert contents(tmp_path / "run") == before


def test_a_run_whose_best_weights_are_gone_is_refused(folder: Path, tmp_path: Path) -> None:
    train(folder, tmp_path / "run", options=recipe(epochs=1), machine=ONE)
    (tmp_path / "run" / "best.safetensors").unlink()

    with pytest.raises(WeightsError, match=r"best\.safetensors: is gone"):
        resume(tmp_path / "run", machine=ONE)


def test_best_weights_of_another_epoch_are_refused(folder: Path, tmp_path: Path) -> None:
    train(folder, tmp_path / "other", options=recipe(epochs=1), machine=ONE)
    train(folder, tmp_path / "run", options=recipe(epochs=3), machine=ONE)
    (tmp_path / "other" / "best.safetensors").replace(tmp_path / "run" / "best.safetensors")

    with pytest.raises(
        WeightsError, match=r"best\.safetensors: changed; its scores are not those of epoch 3"
    ):
        resume(tmp_path / "run", machine=ONE)


def test_a_changed_recipe_is_refused_and_named(folder: Path, tmp_path: Path) -> None:
    train_until(5, folder, tmp_path / "run", recipe())
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace("lr = 0.05", "lr = 0.1"))

    with pytest.raises(
        WeightsError, match=r"config\.toml: optimizer\.lr changed since the checkpoint was written"
    ):
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


def test_a_run_keeps_the_precision_that_auto_stood_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    build = Learner.__init__

    def note(self: Learner, *args: Any, precision: str, **options: Any) -> None:
        used.append(precision)
        build(self, *args, precision=precision, **options)

    monkeypatch.setattr(Learner, "__init__", note)
    monkeypatch.setattr(precisions, "has_native_bf16", lambda: True)
    train_until(5, folder, tmp_path / "run", recipe(precision="auto"))
    monkeypatch.setattr(precisions, "has_native_bf16", lambda: False)
    resume(tmp_path / "run", machine=ONE)
    values = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    torch.save({**values, "precision": "fp16"}, tmp_path / "run" / "last.ckpt")  # begun on a GPU
    resume(tmp_path / "run", machine=ONE)

    assert used == ["bf16", "bf16", "fp32"]
