"""Signals and standard streams that take nothing end `rsseg predict` cleanly; our own bugs show themselves.

After each fault the same command is given again without it, and must give the bytes of a run without faults.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.laws.faults import (
    AT_A_TILE,
    COMMIT_AT_ONCE,
    FILES,
    Scene,
    at_tile,
    left,
)
from tests.laws.processes import ROOT, Commands


@pytest.mark.parametrize("tile", [1, 13])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_run_and_the_same_command_goes_on(
    commands: Commands, scene: Scene, output: Path, name: str, tile: int
) -> None:
    ended = commands.run(*scene.command(output), first=at_tile(tile, f"os.kill(os.getpid(), signal.{name})"))

    note = f"Note: {output}.part: keeps what is done; the same command goes on from there\n"
    said = "Interrupted: no output is half-written.\n"
    assert (ended.code, ended.stdout, ended.stderr) == (130, "", (note if tile > 1 else "") + said)
    assert left(output.parent) == (["map.tif.part"] if tile > 1 else [])
    assert (scene.assert_completes(output)["resumed_blocks"] > 0) == (tile > 1)


def test_nohup_is_respected(commands: Commands, scene: Scene, output: Path) -> None:
    ignored = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"

    ended = commands.run(
        *scene.command(output), first=ignored + at_tile(9, "os.kill(os.getpid(), signal.SIGHUP)")
    )

    assert ended.code == 0, ended.stderr
    assert output.read_bytes() == scene.expected


@pytest.mark.parametrize("where", ["rasterio.shutil.copy", "pathlib.Path.replace", "pathlib.Path.iterdir"])
def test_a_second_signal_while_the_run_ends_changes_nothing(
    commands: Commands, scene: Scene, output: Path, where: str
) -> None:
    """Two at a tile, then one in the final copy, while files are put in place, or while the folder is removed."""
    module = where.removesuffix(".copy").partition(".Path")[0]
    again = f"""
import {module}
real = {where}
def interrupted(*args, **kwargs):
    {where} = real
    os.kill(os.getpid(), signal.SIGINT)
    return real(*args, **kwargs)
{where} = interrupted
"""
    twice = "[os.kill(os.getpid(), signal.SIGINT) for _ in range(2)]"

    first = at_tile(1, twice) if where.endswith("iterdir") else COMMIT_AT_ONCE + "import os, signal\n"
    ended = commands.run(*scene.command(output), first=first + again)

    assert ended.code == 130, ended.stderr
    assert ended.stderr.endswith("Interrupted: no output is half-written.\n")
    assert "Traceback" not in ended.stderr
    assert left(output.parent) in ([], ["map.tif.part"])
    scene.assert_completes(output)


SWALLOWED = """
import logging, rasterio
def interrupt(record):
    if record.levelno == logging.WARNING:
        os.kill(os.getpid(), signal.SIGTERM)
    return True
def fault():
    logging.getLogger("rasterio._env").addFilter(interrupt)
    {fault}
"""


@pytest.mark.parametrize("fails", [False, True])
def test_a_signal_that_comes_while_gdal_talks_is_not_lost(
    commands: Commands, scene: Scene, output: Path, fails: bool
) -> None:
    """Where GDAL calls back, Python drops what a signal raises; the run goes on, or fails because of that."""
    talk = "rasterio.open('/vsimem/t.tif', 'w', 'GTiff', 9, 9, 1, dtype='uint8', transform=(1, 0, 5, 0, 1, 5), NONE=1)"
    fail = "; from rsseg.errors import RasterError; raise RasterError('not ours')" if fails else ""
    first = COMMIT_AT_ONCE + SWALLOWED.format(fault=talk + fail) + AT_A_TILE.format(tile=9)

    ended = commands.run(*scene.command(output), first=first)

    assert (ended.code, ended.stdout) == (130, "")
    assert ended.stderr.endswith(
        "the same command goes on from there\nInterrupted: no output is half-written.\n"
    )
    assert "Exception ignored" not in ended.stderr
    assert "not ours" not in ended.stderr
    assert scene.assert_completes(output)["resumed_blocks"] > 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("module", ["rasterio", "torch", "torch.nn.functional"])
def test_a_signal_while_libraries_are_imported_ends_quietly(
    scene: Scene, output: Path, module: str, name: str
) -> None:
    code = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background passes on that it is ignored
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{name})
sys.meta_path.insert(0, Interrupt())
from rsseg.cli.main import main
main({scene.command(output)!r}, prog_name="rsseg")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert (ended.returncode, ended.stderr) == (130, "Interrupted: no output is half-written.\n")
    assert left(output.parent) == []


@pytest.mark.parametrize("place", ["raster.source.RasterSource.read", "prediction.stitch.Stitcher.place"])
def test_a_bug_in_a_thread_ends_the_run_with_its_traceback(
    commands: Commands, scene: Scene, output: Path, place: str
) -> None:
    owner, _, name = place.rpartition(".")
    module, _, cls = owner.rpartition(".")
    first = f"from rsseg.{module} import {cls}\ndef fail(*_): raise ZeroDivisionError('ours')\n{cls}.{name} = fail"

    ended = commands.run(*scene.command(output), first=first)

    assert ended.code == 1
    assert ended.stderr.endswith("ZeroDivisionError: ours\n")
    assert left(output.parent) == []


STREAMS = {
    "closed": "os.close({number})",
    "full": "os.dup2(os.open('/dev/full', os.O_WRONLY), {number})",
    "a pipe that nobody reads": "r, w = os.pipe(); os.close(r); os.dup2(w, {number})",
}


@pytest.mark.parametrize("state", STREAMS)
def test_standard_error_that_takes_nothing_does_not_stop_the_run(
    commands: Commands, scene: Scene, output: Path, state: str
) -> None:
    first = "import os\n" + STREAMS[state].format(number=2)

    ended = commands.run(*scene.command(output), first=first)
    refused = commands.run(*scene.command(output), first=first)

    assert (ended.code, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["output"] == str(output)
    assert output.read_bytes() == scene.expected
    assert (refused.code, refused.stderr) == (2, "")


@pytest.mark.parametrize(
    ("state", "code", "said"),
    [
        ("closed", 0, ""),
        ("full", 5, "Error: standard output cannot be written to (No space left on device)\n"),
        ("a pipe that nobody reads", 128 + signal.SIGPIPE, ""),
    ],
)
def test_standard_output_that_takes_nothing_costs_no_map(
    commands: Commands, scene: Scene, output: Path, state: str, code: int, said: str
) -> None:
    ended = commands.run(
        *scene.command(output, "--quiet"), first="import os\n" + STREAMS[state].format(number=1)
    )

    assert (ended.code, ended.stdout, ended.stderr) == (code, "", said)
    assert output.read_bytes() == scene.expected
    assert left(output.parent) == FILES


def test_a_shell_that_closes_both_streams_gets_its_map(scene: Scene, output: Path) -> None:
    """What is opened next must not get the number of a closed stream, or messages would be written into it."""
    command = [sys.executable, "-m", "rsseg", *scene.command(output)]

    ended = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], check=False, cwd=ROOT)

    assert ended.returncode == 0
    assert output.read_bytes() == scene.expected


def test_a_reader_of_several_maps_that_goes_away_ends_the_run_after_a_whole_map(
    commands: Commands, scene: Scene, tmp_path: Path
) -> None:
    other = scene.own(tmp_path / "in").image.rename(tmp_path / "in" / "other.tif")
    (tmp_path / "maps").mkdir()
    command = [a for a in scene.command(Path("-")) if a not in ("-o", "-")]

    ended = commands.run(
        *(command[0], other, *command[1:]),
        *("--output-dir", tmp_path / "maps"),
        first="import os\n" + STREAMS["a pipe that nobody reads"].format(number=1),
    )

    assert ended.code == 128 + signal.SIGPIPE
    assert "Error" not in ended.stderr
    assert left(tmp_path / "maps") == ["other_classes.tif", "other_classes.tif.aux.xml"]
