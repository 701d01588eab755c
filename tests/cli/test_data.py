"""`rsseg data` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rsseg.cli.main import main
from rsseg.data.presets.registry import PRESETS
from tests.data import published as pub
from tests.data.labelled import write_tiles
from tests.data.test_split import write_field


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, args)])


def test_presets_are_listed_a_line_each() -> None:
    result = run("presets")

    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(PRESETS)


def test_a_preset_tells_its_folders_and_its_protocol() -> None:
    text = run("presets", "vaihingen-eroded").stdout

    assert "top/top_mosaic_09cm_area*.tif" in text
    assert "gts_eroded_for_participants/top_mosaic_09cm_area*_noBoundary.tif" in text
    assert "all classes but clutter" in text


def test_presets_as_json_are_one_object_a_line() -> None:
    rows = [json.loads(line) for line in run("presets", "--json").stdout.splitlines()]

    assert [row["name"] for row in rows] == list(PRESETS)
    assert rows[0]["classes"][1] == {"id": 1, "name": "building", "color": "#0000FF"}
    assert rows[0]["left_out_of_means"] == ["clutter"]


def test_an_unknown_preset_is_a_usage_error() -> None:
    result = run("presets", "vahingen")

    assert result.exit_code == 2
    assert "Hint: presets are: vaihingen" in result.stderr


def test_a_split_is_written_and_told(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "d")

    result = run("split", folder, "-o", tmp_path / "split.json", "--window", 8, "--val", 0.25)

    split = json.loads((tmp_path / "split.json").read_text())
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'split.json'}\n"
    assert f"val: {len(split['val'])} pieces" in result.stderr


def test_a_split_as_json_has_the_numbers_of_each_part(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "d")

    report = json.loads(run("split", folder, "-o", tmp_path / "s.json", "--window", 8, "--json").stdout)

    assert sum(report["pieces"].values()) == 36
    assert sum(sum(counts.values()) for counts in report["class_pixels"].values()) == 36 * 16 * 16


def test_data_without_a_place_are_explained(tmp_path: Path) -> None:
    write_tiles(tmp_path / "d", crs=None, transform=None)

    result = run("split", tmp_path / "d", "-o", tmp_path / "split.json")

    assert result.exit_code == 3
    assert "a.tif has no place on the ground" in result.stderr
    assert not (tmp_path / "split.json").exists()


def test_a_missing_folder_is_explained(tmp_path: Path) -> None:
    result = run("split", tmp_path / "none", "-o", tmp_path / "split.json")

    assert result.exit_code == 3
    assert "none: no such folder or manifest" in result.stderr


@pytest.mark.parametrize("command", ["presets", "split"])
def test_help_shows_examples(command: str) -> None:
    text = run(command, "--help").stdout

    assert f"rsseg data {command}" in text.partition("Example")[2]


def test_training_on_a_preset_names_its_bands_and_can_be_resumed(tmp_path: Path) -> None:
    from rsseg.weights import load_card

    pub.write_vaihingen(tmp_path / "v", pub.image(), pub.class_ids(6), eroded=True)
    for number, path in enumerate(sorted((tmp_path / "v" / "top").iterdir())):  # each tile other pixels
        pub.put(path, pub.image() ^ number)
    recipe = "--model linear --epochs 1 --steps-per-epoch 1 --batch-size 2 --window 16 --tile 32 --halo 0 --device cpu"
    args = ["train", "--preset", "vaihingen-eroded", str(tmp_path / "v"), "-o", str(tmp_path / "run")]

    result = CliRunner().invoke(main, [*args, *recipe.split()])
    again = CliRunner().invoke(main, ["train", "--resume", str(tmp_path / "run"), "--device", "cpu"])

    card = load_card(str(tmp_path / "run" / "best.safetensors"))
    assert (result.exit_code, again.exit_code) == (0, 0), result.output + again.output
    assert (card.bands, card.gsd_m) == (("nir", "red", "green"), 0.09)
    assert card.classes == PRESETS["vaihingen"].classes
    assert card.data == "ISPRS Vaihingen, 15 tiles, validated on 30"
