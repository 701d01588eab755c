"""What a run was computed with."""

from __future__ import annotations

import json
import platform
import sys
from datetime import datetime
from pathlib import Path

import pytest
import torch

from rsseg import __version__
from rsseg.errors import WeightsError
from rsseg.training.options import TrainOptions
from rsseg.training.provenance import add_start, describe_origin, describe_start, write_provenance
from rsseg.weights.files import file_sha256
from tests.making import write_argmax_weights


def test_a_start_says_when_by_which_command_and_with_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["rsseg", "train", "my tiles/"])

    start = describe_start(step=7, device=torch.device("cpu"), readers=2)

    assert (start["command"], start["from_step"], start["readers"]) == ("rsseg train 'my tiles/'", 7, 2)
    assert start["device"].startswith("cpu")
    assert start["threads"] == torch.get_num_threads()
    assert datetime.fromisoformat(start["started"]).tzinfo is not None
    versions = start["versions"]
    assert (versions["rsseg"], versions["torch"]) == (__version__, torch.__version__)
    assert versions["python"] == platform.python_version()


def test_the_weights_to_start_from_are_known_by_their_hash(tmp_path: Path) -> None:
    weights = write_argmax_weights(tmp_path / "w.safetensors")

    origin = describe_origin(TrainOptions(weights=str(weights)))

    assert origin == {"from": str(weights), "sha256": file_sha256(weights)}
    assert describe_origin(TrainOptions()) == {}
    assert describe_origin(TrainOptions(pretrained="imagenet")) == {"from": "imagenet"}


def test_starts_are_added(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"

    write_provenance(path, {"from": "w"}, {"from_step": 0})
    add_start(path, {"from_step": 5})

    assert json.loads(path.read_text()) == {
        "weights": {"from": "w"},
        "starts": [{"from_step": 0}, {"from_step": 5}],
    }


def test_a_file_that_is_gone_is_not_missed(tmp_path: Path) -> None:
    add_start(tmp_path / "provenance.json", {"from_step": 5})

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weights": {}, "starts": 3}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "provenance.json").write_text(text)

    with pytest.raises(WeightsError, match=r"provenance\.json: is damaged") as info:
        add_start(tmp_path / "provenance.json", {"from_step": 5})

    assert "remove it" in str(info.value.hint)
