"""A disk or a memory that does not suffice ends `rsseg predict` with a line, a hint and an exit code.

After each fault the same command is given again without it, and must give the bytes of a run without faults.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio.shutil

from rsseg.raster import class_map as class_map_module
from tests.laws.faults import (
    BLOCKS,
    COMMIT_AT_ONCE,
    FILES,
    Scene,
    assert_told,
    at_tile,
    left,
)
from tests.laws.processes import Commands
from tests.prediction.attentive import write_attentive_weights


class Refusals:
    """Lets one of all calls that write fail: the disk's answer at any moment of a run.

    Syncing a folder is left out: not every file system can, so it is no error.
    """

    def __init__(self, patch: pytest.MonkeyPatch, *, at: int, number: int) -> None:
        self.calls: list[str] = []
        self._at, self._number = at, number
        for owner, name in (
            *((os, name) for name in ("pwrite", "write", "fsync", "fdatasync", "ftruncate")),
            *((Path, name) for name in ("mkdir", "replace", "write_bytes")),
            (rasterio.shutil, "copy"),
        ):
            patch.setattr(owner, name, self._hooked(name, getattr(owner, name)))

    def _hooked(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode):
                return real(*args)
            self.calls.append(name)
            if len(self.calls) == self._at:
                raise OSError(self._number, os.strerror(self._number))
            return real(*args, **kwargs)

        return call


def test_a_disk_that_refuses_at_any_moment_costs_nothing_but_the_time(
    scene: Scene, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staging, journal, encoding, sidecar and renaming, one call after the other, until a run has none left to fail."""
    monkeypatch.setattr(class_map_module, "COMMIT_S", -1.0)
    refused: set[str] = set()
    for at in range(1, 1000):
        number = (errno.ENOSPC, errno.EDQUOT, errno.EIO)[at % 3]
        with monkeypatch.context() as patch:
            refusals = Refusals(patch, at=at, number=number)
            ended = scene.run(output)
        if len(refusals.calls) < at:
            break
        refused.add(refusals.calls[at - 1])
        assert_told(ended, code=5, error=f"({os.strerror(number)})", hint="")
        assert left(output.parent) in ([], ["map.tif.part"], ["map.tif.aux.xml", "map.tif.part"])
        scene.assert_completes(output)
        for path in output.parent.iterdir():
            path.unlink()

    assert ended.code == 0
    assert at > 20
    assert refused >= {"pwrite", "write", "fsync", "replace", "copy"}


def refuse_names(patch: pytest.MonkeyPatch, name: str) -> None:
    """Let the disk be full for files of one name."""
    write_bytes = Path.write_bytes

    def refuse(path: Path, content: bytes) -> int:
        if path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_bytes(path, content)

    patch.setattr(Path, "write_bytes", refuse)


def test_a_preview_that_the_disk_does_not_take_leaves_the_map(
    scene: Scene, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_names(monkeypatch, "side.png")

    result = scene.run(output, "--preview", output.parent / "side.png")

    assert result.code == 5
    assert "side.png: cannot be written (No space left on device)\nHint: the disk is full" in result.stderr
    assert left(output.parent) == FILES
    assert output.read_bytes() == scene.expected


@pytest.mark.parametrize(("name", "kept"), [("context.safetensors", []), ("side.ctx", FILES)])
def test_a_context_that_the_disk_does_not_take_is_told(
    scene: Scene, tmp_path: Path, name: str, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one in the staging folder, before the first tile; the one that is asked for, after the map."""
    weights = write_attentive_weights(tmp_path / "attentive.safetensors", monkeypatch)
    (tmp_path / "maps").mkdir()
    mine = Scene(scene.image, weights, b"")
    options = ("--context", "raster", "--save-context", tmp_path / "maps" / "side.ctx", "--halo", "32")
    refuse_names(monkeypatch, name)

    ended = mine.run(tmp_path / "maps" / "map.tif", *options)

    assert_told(ended, code=5, error=f"{name}: cannot be written (No space left on device)", hint="make room")
    assert left(tmp_path / "maps") == kept


@pytest.mark.parametrize("limit", [2_000, 1_000_000, 1_570_000])
def test_a_file_that_may_not_grow_is_told(commands: Commands, scene: Scene, output: Path, limit: int) -> None:
    first = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"

    ended = commands.run(*scene.command(output), first=first)

    assert_told(ended, code=5, error="map.tif: cannot be written (File too large)", hint="ulimit -f")
    assert left(output.parent) == []


@pytest.mark.parametrize(
    "fault", ["os.rename({folder!r}, {folder!r} + '.moved')", "import shutil; shutil.rmtree({folder!r})"]
)
@pytest.mark.parametrize("which", ["maps", "maps/map.tif.part"])
def test_a_folder_that_is_taken_away_is_told(
    commands: Commands, scene: Scene, tmp_path: Path, which: str, fault: str
) -> None:
    output = tmp_path / "maps" / "map.tif"
    output.parent.mkdir()

    ended = commands.run(*scene.command(output), first=at_tile(3, fault.format(folder=str(tmp_path / which))))

    assert_told(
        ended, code=5, error="map.tif: cannot be written (No such file or directory)", hint="moved or"
    )
    assert "goes on from there" not in ended.stderr
    assert not output.exists()


def test_a_disk_that_is_really_full(tmp_path: Path, scene: Scene) -> None:
    """A file system of its own, in a namespace of its own, that something else fills while the map is made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    under = ("unshare", "--map-root-user", "--mount")
    mount = f"mount -t tmpfs -o size=8m tmpfs {folder}"
    if subprocess.run([*under, "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let its users mount a tmpfs")
    fill = f"os.system('cat /dev/zero > {folder}/filler 2> /dev/null')"
    copy = "import rasterio.shutil as s; real = s.copy\ns.copy = lambda *a, **k: (fault(), real(*a, **k))\n"
    at_copy = COMMIT_AT_ONCE + f"import os\ndef fault():\n    {fill}\n" + copy
    command = scene.command(folder / "map.tif")

    with Commands(tmp_path, under=[*under, "sh", "-c", f'{mount} && exec "$@"', "sh"]) as commands:
        inside = Path(f"/proc/{commands.pid}/root{folder}")
        for first in (at_tile(13, fill), at_copy):
            ended = commands.run(*command, first=first)
            assert_told(ended, code=5, error=f"{folder}/map.tif: cannot be written", hint="full")
            assert left(inside) == ["filler", "map.tif.part"]
            early = commands.run(*command)
            (inside / "filler").unlink()
        resumed = commands.run(*command)
        read_only = f"import os; assert not os.system('mount -o remount,ro {folder}')"
        refused = commands.run(*scene.command(folder / "other.tif"), first=read_only)
        whole = (inside / "map.tif").read_bytes()

    assert early.code == 5, early.stderr
    assert resumed.code == 0, resumed.stderr
    assert json.loads(resumed.stdout)["resumed_blocks"] == BLOCKS
    assert whole == scene.expected
    assert_told(refused, code=5, error=f"the folder {folder} is not writable", hint="another folder")


@pytest.mark.parametrize(
    ("fault", "batch", "hint"),
    [
        ("raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 9 GiB')", 4, "--batch-size 2"),
        ("raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 9 GiB')", 1, "--tile 128"),
        ("raise RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED')", 2, "choose --batch-size 1"),
        ("raise RuntimeError('CUDA error: out of memory')", 1, "with a --halo below 64"),
        ('raise RuntimeError("DefaultCPUAllocator: can\'t allocate memory")', 1, "choose --tile 128"),
        ("raise MemoryError", 1, "choose --tile 128"),
    ],
)
def test_memory_that_does_not_suffice_is_told_with_what_to_choose(
    commands: Commands, scene: Scene, output: Path, fault: str, batch: int, hint: str
) -> None:
    command = scene.command(output, "--batch-size", batch)

    ended = commands.run(*command, first=at_tile(2, fault))

    assert_told(ended, code=5, error=f"not enough memory for a batch of {batch} x 3 x 256 x 256", hint=hint)
    assert left(output.parent) == []


@pytest.mark.parametrize("place", ["raster.source.RasterSource.read", "prediction.stitch.Stitcher.place"])
def test_memory_that_does_not_suffice_in_a_thread_is_told(
    commands: Commands, scene: Scene, output: Path, place: str
) -> None:
    owner, _, name = place.rpartition(".")
    module, _, cls = owner.rpartition(".")
    first = f"from rsseg.{module} import {cls}\ndef fail(*_): raise MemoryError\n{cls}.{name} = fail"

    ended = commands.run(*scene.command(output), first=first)

    assert_told(ended, code=5, error="not enough memory", hint="smaller tiles")
    assert left(output.parent) == []


def test_a_thread_that_the_system_does_not_allow_is_told(
    commands: Commands, scene: Scene, output: Path
) -> None:
    refuse = 'raise RuntimeError("can\'t start new thread")'
    first = f"import threading\ndef fail(*_): {refuse}\nthreading.Thread.start = fail"

    ended = commands.run(*scene.command(output), first=first)

    assert_told(ended, code=5, error="the system allows no further thread", hint="ulimit -u")
    assert left(output.parent) == []
