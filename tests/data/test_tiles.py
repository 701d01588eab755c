"""Folders of labelled tiles: what is paired, how they are split, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsseg.data.tiles import plan_tile_folder
from rsseg.errors import LabelError
from tests.data.labelled import write_tiles


def stems(entries: object) -> list[str]:
    return [entry.image.stem for entry in entries]  # type: ignore[attr-defined]


def test_split_json_decides_and_tiles_it_does_not_name_are_left_out(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split={"train": ["c"], "val": ["a"]})

    plan = plan_tile_folder(folder)

    assert (stems(plan.train), stems(plan.val)) == (["c"], ["a"])
    assert plan.train[0].labels == folder / "labels" / "c.tif"


def test_without_split_json_every_fifth_tile_is_for_validation(tmp_path: Path) -> None:
    plan = plan_tile_folder(write_tiles(tmp_path / "d", names="abcdefg", size=(2, 2)))

    assert (stems(plan.train), stems(plan.val)) == (list("bcdeg"), ["a", "f"])


def test_an_image_without_a_label_is_not_labelled_yet(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d")
    (folder / "labels" / "b.tif").unlink()

    plan = plan_tile_folder(folder)

    assert (stems(plan.train), stems(plan.val)) == (["c"], ["a"])


def test_other_files_in_the_folders_do_not_matter(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d")
    (folder / "images" / "a.tif.aux.xml").write_text("<PAMDataset/>")

    assert len(plan_tile_folder(folder).train) == 2


def test_a_label_without_its_image_is_named(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d")
    (folder / "images" / "b.tif").unlink()

    with pytest.raises(LabelError, match=r"b\.tif: 1 label\(s\) have no image; expected images/b\.tif"):
        plan_tile_folder(folder)


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d")
    (folder / "images" / "a.png").touch()

    with pytest.raises(LabelError, match=r"both a\.png and a\.tif"):
        plan_tile_folder(folder)


@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_missing_folder_is_named(tmp_path: Path, part: str) -> None:
    folder = write_tiles(tmp_path / "d")
    (folder / part).rename(folder / "other")

    with pytest.raises(LabelError, match=rf"{part}: no such folder"):
        plan_tile_folder(folder)


def test_missing_classes_are_named(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d")
    (folder / "classes.json").unlink()

    with pytest.raises(LabelError, match=r"classes\.json: cannot be read"):
        plan_tile_folder(folder)


def test_no_labelled_tile_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="holds no labelled tiles"):
        plan_tile_folder(write_tiles(tmp_path / "d", names=()))


def test_one_tile_alone_leaves_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="has no train entries"):
        plan_tile_folder(write_tiles(tmp_path / "d", names=("only",)))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"train": ["a"], "val": []}, "val is empty"),
        ({"train": [], "val": ["a"]}, "train is empty"),
        ({"train": ["a"]}, 'has no list "val"'),
        ({"train": ["a"], "val": "b"}, 'has no list "val"'),
        ({"train": ["a"], "val": ["z"]}, "names 'z', which is not in images/"),
        ({"train": ["a", "b"], "val": ["b"]}, "b in both train and val"),
        (["a", "b"], 'expected an object with the lists "train" and "val"'),
    ],
)
def test_a_split_that_makes_no_sense_is_explained(tmp_path: Path, split: object, message: str) -> None:
    folder = write_tiles(tmp_path / "d")
    (folder / "split.json").write_text(json.dumps(split))

    with pytest.raises(LabelError, match=message):
        plan_tile_folder(folder)


def test_a_tile_that_is_not_labelled_cannot_be_in_the_split(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split={"train": ["a"], "val": ["b"]})
    (folder / "labels" / "b.tif").unlink()

    with pytest.raises(LabelError, match="names 'b', which is not in labels/"):
        plan_tile_folder(folder)


def test_a_split_that_is_no_json_is_refused(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d")
    (folder / "split.json").write_text("train: a")

    with pytest.raises(LabelError, match=r"split\.json: is not JSON"):
        plan_tile_folder(folder)


def test_a_split_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d")
    (folder / "split.json").mkdir()

    with pytest.raises(LabelError, match=r"split\.json: cannot be read"):
        plan_tile_folder(folder)
