"""`rsseg synth`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rsseg.cli.main import main


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["synth", *(str(a) for a in args)])


def test_it_prints_the_files_it_made(tmp_path: Path) -> None:
    result = run(tmp_path / "town", "--size", "40x30", "--gsd", 0.2)

    assert result.exit_code == 0
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert [p.name for p in paths] == ["image.tif", "labels.tif", "buildings.tif", "classes.json"]
    assert all(p.is_file() for p in paths)
    assert "building" in result.stderr


def test_quiet_says_nothing_else(tmp_path: Path) -> None:
    result = run(tmp_path, "--size", 20, "-q")

    assert len(result.stdout.splitlines()) == 4
    assert result.stderr == ""


def test_json_names_files_and_shares(tmp_path: Path) -> None:
    result = run(tmp_path, "--size", 32, "--json", "--seed", 2)

    document = json.loads(result.stdout)
    assert document["image"] == str(tmp_path / "image.tif")
    assert sum(document["share"].values()) == pytest.approx(1, abs=1e-5)


def test_tiles_make_a_data_set(tmp_path: Path) -> None:
    result = run(tmp_path / "set", "--tiles", 2, "--size", 16, "--labels", "landcover", "--json")

    assert json.loads(result.stdout)["val"] == ["town_00000"]
    assert len(list((tmp_path / "set" / "images").glob("*.tif"))) == 2


def test_tiles_print_the_folder(tmp_path: Path) -> None:
    result = run(tmp_path / "set", "--tiles", 2, "--size", 16)

    assert result.stdout == f"{tmp_path / 'set'}\n"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--size", "0"], "size is 0 x 0 px"),
        (["--size", "-5"], "size is -5 x -5 px"),
        (["--size", "10x0"], "size is 10 x 0 px"),
        (["--size", "big"], "'big' is neither a number nor of the form WIDTHxHEIGHT"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--gsd", "9"], "gsd is 9.0 m"),
        (["--tiles", "0"], "tiles is 0"),
    ],
)
def test_bad_options_are_explained_and_leave_nothing(tmp_path: Path, args: list[str], says: str) -> None:
    result = run(tmp_path / "town", *args)

    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "town").exists()


def test_existing_output_needs_overwrite(tmp_path: Path) -> None:
    assert run(tmp_path, "--size", 16, "-q").exit_code == 0

    again, forced = run(tmp_path, "--size", 16), run(tmp_path, "--size", 16, "--overwrite")

    assert again.exit_code == 2
    assert "image.tif: exists already" in again.stderr
    assert "--overwrite" in again.stderr
    assert forced.exit_code == 0


def test_a_folder_that_cannot_be_made_ends_with_five(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")

    result = run(tmp_path / "file" / "town", "--size", 16)

    assert result.exit_code == 5
    assert "cannot be made" in result.stderr
