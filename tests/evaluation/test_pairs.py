"""Joining class maps with labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsseg.errors import LabelError, OptionError, RasterError
from rsseg.evaluation.pairs import Pair, beside_maps, pair_up, read_pairs


def files(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        path.touch()
    return paths


def test_lists_of_one_length_are_joined_in_their_order(tmp_path: Path) -> None:
    maps = files(tmp_path / "maps", "b.tif", "a.tif")
    labels = files(tmp_path / "labels", "1.tif", "2.tif")

    assert pair_up(maps, labels) == [Pair(maps[0], labels[0]), Pair(maps[1], labels[1])]


def test_one_map_goes_with_many_chips(tmp_path: Path) -> None:
    maps = files(tmp_path / "maps", "town.tif")
    labels = files(tmp_path / "labels", "r0c0.tif", "r0c1.tif", "r1c0.tif")

    assert pair_up(maps, labels) == [Pair(maps[0], label) for label in labels]


def test_one_vector_file_goes_with_many_maps(tmp_path: Path) -> None:
    maps = files(tmp_path / "maps", "a.tif", "b.tif")
    labels = files(tmp_path / "labels", "houses.geojson")

    assert pair_up(maps, labels) == [Pair(path, labels[0]) for path in maps]


def test_one_label_raster_does_not_go_with_many_maps(tmp_path: Path) -> None:
    maps = files(tmp_path / "maps", "a.tif", "b.tif")
    labels = files(tmp_path / "labels", "a.tif")

    with pytest.raises(OptionError, match="2 class maps but 1 labels; one for each"):
        pair_up(maps, labels)


def test_lists_of_other_lengths_are_refused(tmp_path: Path) -> None:
    maps = files(tmp_path / "maps", "a.tif", "b.tif", "c.tif")
    labels = files(tmp_path / "labels", "a.tif", "b.tif")

    with pytest.raises(OptionError, match="3 class maps but 2 labels") as caught:
        pair_up(maps, labels)

    assert "folder of the labels" in str(caught.value.hint)


def test_folders_are_joined_by_name_with_or_without_the_ending(tmp_path: Path) -> None:
    files(tmp_path / "maps", "b_classes.tif", "a_classes.tif", "a_classes.tif.aux.xml", "a_preview.png")
    files(tmp_path / "labels", "a.tif", "b.png", "c.tif", "classes.json")

    pairs = pair_up([tmp_path / "maps"], [tmp_path / "labels"])

    assert [(p.prediction.name, p.labels.name) for p in pairs] == [
        ("a_classes.tif", "a.tif"),
        ("b_classes.tif", "b.png"),
    ]


def test_a_folder_of_maps_called_like_the_labels(tmp_path: Path) -> None:
    files(tmp_path / "maps", "a.tif")
    files(tmp_path / "labels", "a.tif")

    assert pair_up([tmp_path / "maps"], [tmp_path / "labels"]) == [
        Pair(tmp_path / "maps" / "a.tif", tmp_path / "labels" / "a.tif")
    ]


def test_a_map_without_labels_in_the_folder_is_refused(tmp_path: Path) -> None:
    maps = files(tmp_path / "maps", "a_classes.tif", "x_classes.tif")
    files(tmp_path / "labels", "a.tif")

    with pytest.raises(LabelError, match=r"holds 0 labels for x_classes\.tif") as caught:
        pair_up(maps, [tmp_path / "labels"])

    assert caught.value.hint == "labels are found by name: x.tif"


def test_two_labels_of_one_name_are_refused(tmp_path: Path) -> None:
    maps = files(tmp_path / "maps", "a_classes.tif")
    files(tmp_path / "labels", "a.tif", "a.png")

    with pytest.raises(LabelError, match=r"holds 2 labels for a_classes\.tif"):
        pair_up(maps, [tmp_path / "labels"])


def test_a_folder_without_maps_is_refused(tmp_path: Path) -> None:
    files(tmp_path / "maps", "notes.txt")
    labels = files(tmp_path / "labels", "a.tif")

    with pytest.raises(RasterError, match="holds no class map"):
        pair_up([tmp_path / "maps"], labels)


def test_missing_files_are_named(tmp_path: Path) -> None:
    there = files(tmp_path, "a.tif")

    with pytest.raises(RasterError, match=r"gone\.tif: no such class map"):
        pair_up([tmp_path / "gone.tif"], there)
    with pytest.raises(LabelError, match=r"gone\.tif: no such labels"):
        pair_up(there, [tmp_path / "gone.tif"])


def test_a_pair_given_twice_is_refused(tmp_path: Path) -> None:
    town, village = files(tmp_path / "maps", "town.tif", "village.tif")
    chips = files(tmp_path / "labels", "1.tif", "2.tif")

    with pytest.raises(OptionError, match=r"town\.tif with .*1\.tif: given twice, so that its pixels"):
        pair_up([town], [chips[0], chips[1], chips[0]])
    with pytest.raises(OptionError, match=r"town\.tif with .*1\.tif: given twice"):
        read_pairs([f"{m}\t{chips[0]}" for m in (town, village, town)], source="pairs.tsv")
    assert len(read_pairs([f"{m}\t{c}" for m in (town, village) for c in chips], source="pairs.tsv")) == 4


# --- files beside maps -----------------------------------------------------------------------------------------------


def test_files_go_with_maps_in_their_order(tmp_path: Path) -> None:
    maps = files(tmp_path / "maps", "b.tif", "a.tif")
    given = files(tmp_path / "sure", "1.tif", "2.tif")

    found = beside_maps(maps, given, option="--confidence", ending="_confidence")

    assert found == dict(zip(maps, given, strict=True))


def test_files_go_with_maps_by_name_in_a_folder(tmp_path: Path) -> None:
    maps = files(tmp_path / "maps", "a_classes.tif", "b_classes.tif", "c.tif")
    given = files(tmp_path / "sure", "a_confidence.tif", "b.tif", "c.tif", "a.txt")

    found = beside_maps(maps, [tmp_path / "sure"], option="--confidence", ending="_confidence")

    assert found == dict(zip(maps, given[:3], strict=True))


def test_the_folder_may_be_that_of_the_maps(tmp_path: Path) -> None:
    maps = files(tmp_path / "maps", "a_classes.tif", "b.tif")
    given = files(tmp_path / "maps", "a_confidence.tif", "b_confidence.tif")

    found = beside_maps(maps, [tmp_path / "maps"], option="--confidence", ending="_confidence")

    assert found == dict(zip(maps, given, strict=True))


def test_a_folder_with_two_files_for_a_map_is_refused(tmp_path: Path) -> None:
    maps = files(tmp_path / "maps", "a_classes.tif")
    files(tmp_path / "sure", "a_confidence.tif", "a.tif")

    with pytest.raises(RasterError, match=r"--confidence .*sure: holds 2 files for a_classes\.tif"):
        beside_maps(maps, [tmp_path / "sure"], option="--confidence", ending="_confidence")
