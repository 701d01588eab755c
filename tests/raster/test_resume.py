"""A class map that was left unfinished, or killed, is gone on with."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import rasterio.shutil
from numpy.typing import NDArray

from rsseg.classes import ClassTable
from rsseg.errors import OptionError
from rsseg.raster import ClassMapWriter, Grid
from rsseg.raster import class_map as class_map_module
from rsseg.raster import staging as staging_module
from rsseg.tiling import plan_blocks

GRID = Grid(1300, 1100)
RUN = {"weights": "abc"}


@pytest.fixture(autouse=True)
def commit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_map_module, "COMMIT_S", -1.0)


def pixels() -> NDArray[np.uint8]:
    data = np.random.default_rng(0).integers(0, 3, (1100, 1300)).astype(np.uint8)
    data[:512, 512:1024] = 255
    return data


def write(
    path: Path,
    *,
    blocks: int | None = None,
    run: dict[str, str] | None = RUN,
    resume: bool = True,
    overwrite: bool = False,
) -> int:
    """Write that many blocks of what is missing, and finish if that is all; gives how many were there before."""
    classes = ClassTable.unnamed(3)
    with ClassMapWriter(
        path, grid=GRID, classes=classes, run=run, resume=resume, overwrite=overwrite
    ) as writer:
        missing = [w for w in plan_blocks(1300, 1100, block=512) if not writer.done(w)]
        for window in missing[:blocks]:
            writer.write_block(window, {"classes": pixels()[None][:, *window.slices()]})
        if blocks is None:
            writer.finish()
            assert writer.counts is not None
            assert writer.counts.pixels == tuple(np.bincount(pixels().ravel())[:3])
        return writer.resumed_blocks


def test_a_run_goes_on_where_it_was_left_and_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "whole.tif")
    for _ in range(3):
        write(tmp_path / "map.tif", blocks=2)

    assert write(tmp_path / "map.tif") == 6

    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert sorted(p.name for p in tmp_path.glob("map.tif*")) == ["map.tif", "map.tif.aux.xml"]


def test_a_run_that_was_left_while_encoding_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "whole.tif")

    def refuse(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rasterio.shutil, "copy", refuse)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "map.tif")

    assert write(tmp_path / "map.tif") == 9
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_a_different_run_is_refused_and_the_old_one_kept(tmp_path: Path) -> None:
    write(tmp_path / "map.tif", blocks=2)

    with pytest.raises(OptionError, match=r"weights \(was abc, is other\)"):
        write(tmp_path / "map.tif", run={"weights": "other"})

    assert write(tmp_path / "map.tif") == 2


def test_a_run_can_start_anew(tmp_path: Path) -> None:
    write(tmp_path / "map.tif", blocks=2)

    assert write(tmp_path / "map.tif", run={"weights": "other"}, resume=False) == 0


def test_a_run_without_a_name_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "map.tif", blocks=2, run=None)

    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys
import numpy as np
from pathlib import Path
from rsseg.raster import block_file, class_map
from tests.raster.test_resume import write

class_map.COMMIT_S = -1.0
writes, write_all = int(sys.argv[2]), block_file._write_all

def counted(*args):
    global writes
    writes -= 1
    if writes < 0:
        os.kill(os.getpid(), 9)
    write_all(*args)

block_file._write_all = counted
write(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("writes", [0, 3, 7, 8])
def test_a_killed_run_gives_the_same_bytes_in_the_end(tmp_path: Path, writes: int) -> None:
    """The ninth write is the header's: block 1, 0 is empty and not written."""
    write(tmp_path / "whole.tif")

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "map.tif"), str(writes)],
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "map.tif").exists()
    assert write(tmp_path / "map.tif") == writes + (writes > 0)
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


FILES = ["map.tif", "map.tif.aux.xml"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def interrupt_placing(monkeypatch: pytest.MonkeyPatch, name: str, *, after: bool) -> None:
    """Let an interrupt come just before or after a file gets its place, once."""
    real = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if target.name != name:
            return real(path, target)
        monkeypatch.setattr(Path, "replace", real)
        if after:
            real(path, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", replace)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "map.tif"
    write(path)
    return path


@pytest.mark.parametrize("again", [{}, {"resume": False}, {"overwrite": True}], ids=str)
@pytest.mark.parametrize("name", ["placing.json", "map.tif.aux.xml", "map.tif"])
def test_a_run_that_was_left_while_files_were_put_in_place_goes_on(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, name: str, again: dict[str, bool]
) -> None:
    """Twice, so that what the first and the second one have put in place are both known."""
    path = tmp_path / "map.tif"
    for last in ("map.tif", name):
        interrupt_placing(monkeypatch, last, after=False)
        with pytest.raises(KeyboardInterrupt):
            write(path)

    assert not path.exists()
    assert write(path, **again) == (0 if again.get("resume") is False else 9)  # type: ignore[arg-type]
    assert path.read_bytes() == whole.read_bytes()
    assert names_in(tmp_path) == FILES


@pytest.mark.parametrize("name", ["placing.json", "map.tif.aux.xml", "map.tif"])
def test_an_old_map_stays_whole_until_the_new_one_takes_its_place(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "map.tif"
    for file in FILES:
        (tmp_path / file).write_bytes(b"old")
    interrupt_placing(monkeypatch, name, after=False)

    with pytest.raises(KeyboardInterrupt):
        write(path, overwrite=True)

    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == [*FILES, "map.tif.part"]
    with pytest.raises(OptionError, match="exists already"):
        write(path)
    assert write(path, overwrite=True) == 9
    assert path.read_bytes() == whole.read_bytes()
    assert names_in(tmp_path) == FILES


@pytest.mark.parametrize("run", [None, RUN])
def test_an_interrupt_after_the_last_renaming_leaves_the_map_and_nothing_else(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, run: dict[str, str] | None
) -> None:
    interrupt_placing(monkeypatch, "map.tif", after=True)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "map.tif", run=run)

    assert (tmp_path / "map.tif").read_bytes() == whole.read_bytes()
    assert names_in(tmp_path) == FILES
    with pytest.raises(OptionError, match="exists already"):
        write(tmp_path / "map.tif", run=run)


def test_a_run_without_a_name_takes_back_what_it_had_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_placing(monkeypatch, "map.tif", after=False)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "map.tif", run=None)

    assert names_in(tmp_path) == []


def test_a_file_of_others_at_the_place_of_one_of_ours_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_placing(monkeypatch, "map.tif", after=False)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "map.tif")
    (tmp_path / "map.tif.aux.xml").write_text("mine")

    with pytest.raises(OptionError, match=r"map\.tif\.aux\.xml: exists already"):
        write(tmp_path / "map.tif")

    assert (tmp_path / "map.tif.aux.xml").read_text() == "mine"


def test_old_overviews_are_gone_before_the_new_map_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("map.tif", "map.tif.ovr"):
        (tmp_path / name).write_bytes(b"old")
    interrupt_placing(monkeypatch, "map.tif", after=True)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "map.tif", overwrite=True)

    assert names_in(tmp_path) == FILES


def test_a_folder_that_another_run_removes_at_this_moment_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "map.tif", blocks=2)
    real = staging_module._locked
    part = tmp_path / "map.tif.part"

    def locked(path: Path) -> IO[bytes] | None:
        monkeypatch.setattr(staging_module, "_locked", real)
        shutil.rmtree(part)
        return real(path)

    monkeypatch.setattr(staging_module, "_locked", locked)

    assert write(tmp_path / "map.tif") == 0
    assert names_in(tmp_path) == FILES
