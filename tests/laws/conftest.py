from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.laws.faults import HEIGHT, WIDTH, Scene
from tests.laws.processes import Commands
from tests.making import random_pixels, write_argmax_weights, write_raster


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    image = write_raster(folder / "image.tif", random_pixels(HEIGHT, WIDTH), tiled=True)
    plain = Scene(image, write_argmax_weights(folder / "argmax.safetensors"))
    ended = plain.run(folder / "map.tif")
    assert ended.code == 0, ended.stderr
    return replace(plain, expected=(folder / "map.tif").read_bytes())


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with Commands(tmp_path_factory.mktemp("said")) as running:
        yield running


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "map.tif"
