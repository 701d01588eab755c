"""A prediction that something goes wrong with: the scene, the moment, and what must be told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import rasterio.shutil
from click.testing import CliRunner

from rsseg.cli.main import main
from rsseg.raster import class_map as class_map_module
from tests.laws.processes import Ended

HEIGHT, WIDTH = 600, 1100
BLOCKS = 6
OPTIONS = ("--tile", "256", "--halo", "0", "--json")
FILES = ["map.tif", "map.tif.aux.xml"]

COMMIT_AT_ONCE = "from rsseg.raster import class_map; class_map.COMMIT_S = -1.0\n"

AT_A_TILE = """
import os, signal, time, torch
from rsseg.prediction.forward import Forward
logits, calls = Forward._logits, []
def hooked(*args, **kwargs):
    calls.append(1)
    if len(calls) == {tile}:
        fault()
    return logits(*args, **kwargs)
Forward._logits = hooked
"""


def at_tile(tile: int, fault: str) -> str:
    """Code that does something when the network sees its n-th tile of 15."""
    return COMMIT_AT_ONCE + f"def fault():\n    {fault}\n" + AT_A_TILE.format(tile=tile)


@dataclass(frozen=True)
class Scene:
    """An image, weights, and the map that they make, which many tests share."""

    image: Path
    weights: Path
    expected: bytes = b""

    def command(self, output: Path, *options: object) -> list[str]:
        return [
            *("predict", str(self.image), "-o", str(output), "--weights", str(self.weights)),
            *OPTIONS,
            *map(str, options),
        ]

    def run(self, output: Path, *options: object) -> Ended:
        """Give the command in this process."""
        result = CliRunner().invoke(main, self.command(output, *options))
        return Ended(result.exit_code, result.stdout, result.stderr)

    def assert_completes(self, output: Path, *options: object) -> dict[str, Any]:
        """Give the command without any fault; nothing but the map and its sidecar are there then."""
        ended = self.run(output, *options)
        assert ended.code == 0, ended.stderr
        assert output.read_bytes() == self.expected
        assert left(output.parent) == FILES
        summary: dict[str, Any] = json.loads(ended.stdout)
        return summary

    def own(self, folder: Path) -> Scene:
        """The same with an image and weights that a test may spoil."""
        folder.mkdir()
        copies = [folder / path.name for path in (self.image, self.weights)]
        for path, copy in zip((self.image, self.weights), copies, strict=True):
            copy.write_bytes(path.read_bytes())
        return replace(self, image=copies[0], weights=copies[1])


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_told(ended: Ended, *, code: int, error: str, hint: str) -> None:
    """One line, one hint, and the exit code; the log may have said something before."""
    talk = ("Note: ", "Warning: ", "_tiff")  # libtiff says itself that a disk is full, before GDAL does
    lines = [line for line in ended.stderr.splitlines() if not line.startswith(talk)]
    assert (ended.code, ended.stdout) == (code, ""), ended.stderr
    assert len(lines) == 2, ended.stderr
    assert lines[0].startswith("Error: ")
    assert error in lines[0]
    assert lines[1].startswith("Hint: ")
    assert hint in lines[1]


def stopped(
    scene: Scene, output: Path, monkeypatch: pytest.MonkeyPatch, options: Sequence[object] = ()
) -> Path:
    """The staging folder of a run that was interrupted when all blocks were there."""
    monkeypatch.setattr(class_map_module, "COMMIT_S", -1.0)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rasterio.shutil, "copy", interrupt)
        assert scene.run(output, *options).code == 130
    return output.with_name("map.tif.part")
