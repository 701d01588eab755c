"""A data set to train on, and tidying up after a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.data.labelled import write_tiles
from tests.training.runs import SPLIT


@pytest.fixture
def tidy(tmp_path: Path) -> Iterator[None]:
    """Give back the threads, and the disk: a checkpoint of MAResU-Net takes 190 MB."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    for path in tmp_path.glob("*/last.ckpt"):
        path.unlink()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiles(tmp_path / "d", split=SPLIT)
