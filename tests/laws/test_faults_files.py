"""Inputs that change, and staged files that are damaged, killed or in use, cost no map and never make a wrong one.

After each fault the same command is given again without it, and must give the bytes of a run without faults.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.laws.faults import (
    BLOCKS,
    COMMIT_AT_ONCE,
    FILES,
    Scene,
    assert_told,
    at_tile,
    left,
    stopped,
)
from tests.laws.processes import Commands
from tests.prediction.attentive import write_attentive_weights


@pytest.mark.parametrize(
    "fault",
    [
        "open({image!r}, 'r+b').write(bytes(9))",
        "open({image!r}, 'ab').write(bytes(9))",
        "open({image!r} + '2', 'wb').write(bytes(9)); os.replace({image!r} + '2', {image!r})",
    ],
    ids=["overwritten", "longer", "replaced"],
)
def test_an_image_that_is_changed_while_it_is_read_gives_no_map(
    commands: Commands, scene: Scene, tmp_path: Path, fault: str
) -> None:
    mine, output = scene.own(tmp_path / "in"), tmp_path / "map.tif"

    ended = commands.run(*mine.command(output), first=at_tile(9, fault.format(image=str(mine.image))))

    error = f"{mine.image}: was changed while it was read"
    assert_told(ended, code=3, error=error, hint="start anew with --no-resume")
    assert not output.exists()
    mine.image.write_bytes(scene.image.read_bytes())
    assert mine.run(output).code == 2
    assert mine.run(output, "--no-resume").code == 0
    assert output.read_bytes() == scene.expected


def test_an_image_that_is_cut_off_while_it_is_read_is_told(
    commands: Commands, scene: Scene, tmp_path: Path
) -> None:
    mine, output = scene.own(tmp_path / "in"), tmp_path / "map.tif"

    ended = commands.run(
        *mine.command(output), first=at_tile(3, f"os.truncate({str(mine.image)!r}, 100_000)")
    )

    assert_told(ended, code=3, error=f"{mine.image}: cannot read 256 x 256 px at", hint="damaged or cut off")
    assert not output.exists()


@pytest.mark.parametrize("gone", ["image", "weights"])
def test_what_is_open_can_be_read_to_its_end(
    commands: Commands, scene: Scene, tmp_path: Path, gone: str
) -> None:
    mine, output = scene.own(tmp_path / "in"), tmp_path / "map.tif"
    weights = tmp_path / "in" / scene.weights.name
    weights.write_bytes(scene.weights.read_bytes())
    mine = Scene(mine.image, weights, scene.expected)

    ended = commands.run(*mine.command(output), first=at_tile(9, f"os.unlink({str(getattr(mine, gone))!r})"))

    assert ended.code == 0, ended.stderr
    assert output.read_bytes() == scene.expected


def flip(path: Path, place: int) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "resumed"),
    [
        (lambda part: None, range(BLOCKS, BLOCKS + 1)),
        (lambda part: os.truncate(part / "blocks.tif", 1_000_000), range(1, BLOCKS)),
        (lambda part: os.truncate(part / "blocks.tif", 0), range(1)),
        (lambda part: (part / "blocks.tif").unlink(), range(1)),
        (lambda part: flip(part / "blocks.tif", 700_000), range(1, BLOCKS)),
        (lambda part: flip(part / "journal.jsonl", -400), range(1, BLOCKS)),
        (lambda part: flip(part / "journal.jsonl", 20), range(1)),
        (lambda part: (part / "journal.jsonl").unlink(), range(1)),
        (lambda part: (part / "journal.jsonl").write_text("5\n[]\n"), range(1)),
    ],
    ids=["nothing", "cut", "emptied", "gone", "bit", "journal's end", "journal", "no journal", "no journal's line"],
)  # fmt: skip
def test_damage_to_what_a_stopped_run_left_is_found_and_made_good(
    scene: Scene,
    output: Path,
    spoil: Callable[[Path], object],
    resumed: range,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part = stopped(scene, output, monkeypatch)

    spoil(part)

    assert scene.assert_completes(output)["resumed_blocks"] in resumed


def test_a_folder_that_a_kill_left_half_removed_is_taken_over(
    scene: Scene, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = stopped(scene, output, monkeypatch)
    for path in part.iterdir():
        if path.name != "rsseg.lock":
            path.unlink()

    assert scene.assert_completes(output)["resumed_blocks"] == 0


@pytest.mark.parametrize("theirs", ["a file", "a folder"])
def test_what_others_keep_at_the_place_of_the_staging_folder_is_left_alone(
    commands: Commands, scene: Scene, output: Path, theirs: str
) -> None:
    part = output.with_name("map.tif.part")
    thesis = part
    if theirs == "a folder":
        part.mkdir()
        thesis = part / "thesis.txt"
    thesis.write_text("mine")

    for option in ("--quiet", "--no-resume", "--overwrite"):
        ended = commands.run(*scene.command(output, option))
        assert_told(ended, code=2, error=f"{part}: exists and is not from rsseg", hint="move it away")
    assert thesis.read_text() == "mine"
    assert left(output.parent) == ["map.tif.part"]


def test_a_kill_leaves_no_lock_behind(commands: Commands, scene: Scene, output: Path) -> None:
    ended = commands.run(*scene.command(output), first=at_tile(13, "os.kill(os.getpid(), signal.SIGKILL)"))

    assert ended.code == -signal.SIGKILL
    assert "rsseg.lock" in left(output.with_name("map.tif.part"))
    assert scene.assert_completes(output)["resumed_blocks"] > 0


KILLED_AT = """
import os, signal
from pathlib import Path
replace, calls = Path.replace, []
def counted(*args):
    calls.append(1)
    if len(calls) == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(*args)
Path.replace = counted
"""


@pytest.mark.parametrize("layers", [(), ("confidence.tif",)], ids=["map", "map and layer"])
def test_a_kill_while_files_are_put_in_place_does_not_lock_the_user_out(
    commands: Commands, scene: Scene, tmp_path: Path, layers: tuple[str, ...]
) -> None:
    """Before each renaming, until a run has none left at which it could be killed."""

    def command(folder: Path) -> list[str]:
        named = [("--confidence", folder / name) for name in layers]
        return scene.command(folder / "map.tif", *(word for option in named for word in option))

    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    (tmp_path / "whole").mkdir()
    assert commands.run(*command(tmp_path / "whole")).code == 0
    for at in range(1, 100):
        folder = tmp_path / str(at)
        folder.mkdir()
        ended = commands.run(*command(folder), first=COMMIT_AT_ONCE + KILLED_AT.format(at=at))
        if ended.code == 0:
            break
        assert ended.code == -signal.SIGKILL
        assert "map.tif" not in left(folder)
        resumed = commands.run(*command(folder))
        assert resumed.code == 0, resumed.stderr
        assert json.loads(resumed.stdout)["resumed_blocks"] == BLOCKS
        assert contents(folder) == contents(tmp_path / "whole")

    assert at > 2 + len(layers)


@pytest.mark.parametrize("name", ["collar.tif", "context.safetensors"])
def test_damage_to_what_the_network_sees_by_is_made_good(
    scene: Scene, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Scene(scene.image, write_attentive_weights(tmp_path / "attentive.safetensors", monkeypatch))
    options = ("--context", "raster", "--collar", "white", "--halo", "32")
    whole, output = tmp_path / "whole" / "map.tif", tmp_path / "maps" / "map.tif"
    for path in (whole, output):
        path.parent.mkdir()
    assert mine.run(whole, *options).code == 0
    damaged = stopped(mine, output, monkeypatch, options) / name

    os.truncate(damaged, damaged.stat().st_size // 2)

    ended = mine.run(output, *options)
    assert ended.code == 0, ended.stderr
    assert "it is made anew" in ended.stderr
    assert json.loads(ended.stdout)["resumed_blocks"] == BLOCKS
    assert output.read_bytes() == whole.read_bytes()
    assert left(output.parent) == FILES


def test_of_two_processes_with_one_output_the_second_is_refused(
    commands: Commands, scene: Scene, output: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    signs = tmp_path_factory.mktemp("signs")
    wait = f"os.mkdir('{signs}/here')\n    while not os.path.exists('{signs}/go'): os.sched_yield()"
    running = commands.start(*scene.command(output), first=at_tile(13, wait))
    while not (signs / "here").exists():
        os.sched_yield()

    refused = [scene.run(output, *option) for option in ([], ["--no-resume"], ["--overwrite"])]
    (signs / "go").mkdir()
    ended = running.wait()

    for told in refused:
        assert_told(told, code=5, error="map.tif: is being written by another run", hint="wait for it to end")
    assert ended.code == 0, ended.stderr
    assert output.read_bytes() == scene.expected
    assert left(output.parent) == FILES
