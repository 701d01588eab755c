"""TensorBoard's file: what it holds, and what a kill leaves of it."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread, imsave

from rsseg.errors import ResourceError
from rsseg.training.events import add_epoch, keep_events, read_events, start_events

ROW = {
    "epoch": 1, "step": 10, "lr": 0.1, "loss": 1.5, "mean_iou": 0.25, "overall_accuracy": None, "iou the road": 0.25,
    "iou b": None, "seconds": 3.0, "images_per_s": 20.0, "waiting": 0.5,
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    start_events(tmp_path / "events", title="recipe", text="```\nlr = 0.1\n```")
    return tmp_path / "events"


def png() -> bytes:
    content = io.BytesIO()
    imsave(content, np.zeros((4, 6, 4)), format="png")
    return content.getvalue()


def scalars(event: Any) -> dict[str, float]:
    return {v.tag: v.simple_value for v in event.summary.value if v.HasField("simple_value")}


def test_a_file_begins_with_its_version_and_the_recipe(path: Path) -> None:
    version, recipe = read_events(path)

    assert version.file_version == "brain.Event:2"
    (value,) = recipe.summary.value
    assert value.metadata.plugin_data.plugin_name == "text"
    assert value.tensor.string_val == [b"```\nlr = 0.1\n```"]


def test_an_epoch_has_a_point_for_every_figure_that_is_defined(path: Path) -> None:
    add_epoch(path, ROW, sheet=png())

    event = list(read_events(path))[-1]
    assert event.step == 10
    assert scalars(event) == pytest.approx(
        {
            "train/loss": 1.5,
            "train/learning rate": 0.1,
            "train/images per second": 20.0,
            "train/waiting": 0.5,
            "val/mean IoU": 0.25,
            "IoU/the road": 0.25,
        }
    )
    (image,) = [v.image for v in event.summary.value if v.HasField("image")]
    assert (image.width, image.height) == (6, 4)
    assert imread(io.BytesIO(image.encoded_image_string)).shape == (4, 6, 4)


def test_what_came_after_a_step_is_left_out(path: Path) -> None:
    for step in (10, 20, 30):
        add_epoch(path, {**ROW, "step": step}, sheet=None)

    keep_events(path, step=20)
    add_epoch(path, {**ROW, "step": 30, "loss": 1.0}, sheet=None)

    events = list(read_events(path))
    assert [event.step for event in events] == [0, 0, 10, 20, 30]
    assert scalars(events[-1])["train/loss"] == 1.0


@pytest.mark.parametrize("lost", [1, 4, 5, 60])
def test_an_event_that_is_not_whole_is_left_out(path: Path, lost: int) -> None:
    add_epoch(path, ROW, sheet=None)
    whole = path.read_bytes()
    add_epoch(path, {**ROW, "step": 20}, sheet=None)
    torn = path.read_bytes()[:-lost]
    path.write_bytes(torn)

    keep_events(path, step=99)

    assert path.read_bytes() == whole


def test_an_event_that_was_changed_is_left_out(path: Path) -> None:
    whole = path.read_bytes()
    add_epoch(path, ROW, sheet=None)
    content = bytearray(path.read_bytes())
    content[len(whole) + 20] ^= 1
    path.write_bytes(content)

    assert len(list(read_events(path))) == 2


def test_a_file_that_is_gone_begins_again_with_the_next_epoch(tmp_path: Path) -> None:
    keep_events(tmp_path / "events", step=5)
    assert not (tmp_path / "events").exists()

    add_epoch(tmp_path / "events", ROW, sheet=None)

    assert [event.step for event in read_events(tmp_path / "events")] == [10]


def test_a_full_disk_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(ResourceError, match=r"events: cannot be written \(No space left on device\)"):
        add_epoch(path, ROW, sheet=None)
