"""A class map that was left unfinished, or killed, is gone on with."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rsseg.classes import ClassTable
from rsseg.errors import OptionError
from rsseg.raster import ClassMapWriter, Grid
from rsseg.raster import class_map as class_map_module
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
    path: Path, *, blocks: int | None = None, run: dict[str, str] | None = RUN, resume: bool = True
) -> int:
    """Write that many blocks of what is missing, and finish if that is all; gives how many were there before."""
    options = {"grid": GRID, "classes": ClassTable.unnamed(3), "run": run, "resume": resume}
    with ClassMapWriter(path, **options) as writer:  # type: ignore[arg-type]
        missing = [w for w in plan_blocks(1300, 1100, block=512) if not writer.done(w)]
        for window in missing[:blocks]:
            writer.write_block(window, pixels()[window.slices()])
        if blocks is None:
            writer.finish()
            assert writer.class_pixels.tolist() == np.bincount(pixels().ravel(), minlength=256).tolist()
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
        patch.setattr(class_map_module, "encode_class_map", refuse)
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
from rsseg.raster import class_map
from tests.raster.test_resume import write

class_map.COMMIT_S = -1.0
writes, pwrite = int(sys.argv[2]), os.pwrite

def counted(*args):
    global writes
    writes -= 1
    if writes < 0:
        os.kill(os.getpid(), 9)
    return pwrite(*args)

os.pwrite = counted
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
