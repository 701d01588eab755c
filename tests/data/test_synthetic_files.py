"""Synthetic scenes as files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rsseg.classes import NODATA_CLASS, load_classes
from rsseg.data.synthetic import BUILDINGS, LANDCOVER, Scene, files, render_window, write_dataset, write_scene
from rsseg.data.synthetic.files import label_of_kind, scene_grid
from rsseg.data.tiles import plan_tile_folder
from rsseg.errors import OptionError, ResourceError
from rsseg.raster import open_label_raster, open_raster
from rsseg.tiling import Window

SCENE = Scene(width=61, height=47, seed=3)


def test_what_is_written_is_what_was_rendered(tmp_path: Path) -> None:
    made = write_scene(tmp_path / "town", SCENE)

    expected = render_window(SCENE, Window.whole(61, 47))
    with open_raster(made.image, channels=3) as image:
        pixels = image.read(image.grid.window)
        assert image.grid == scene_grid(SCENE)
    assert (pixels.data == expected.rgb).all()
    assert (pixels.valid == expected.valid).all()
    for path, label in (
        (made.labels, expected.label),
        (made.buildings, label_of_kind(expected.label, "buildings")),
    ):
        with open_label_raster(path) as source:
            assert (source.read(source.grid.window) == label).all()
    assert made.pixels == tuple(np.bincount(expected.label.ravel(), minlength=256)[:7].tolist())


def test_the_folder_holds_the_scene_and_nothing_else(tmp_path: Path) -> None:
    made = write_scene(tmp_path / "new" / "town", SCENE)

    names = {p.name for p in (tmp_path / "new" / "town").iterdir()}
    assert names == {
        "image.tif",
        "labels.tif",
        "labels.tif.aux.xml",
        "buildings.tif",
        "buildings.tif.aux.xml",
        "classes.json",
    }
    assert load_classes(made.classes) == LANDCOVER


def test_the_same_scene_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = write_scene(tmp_path / "a", SCENE), write_scene(tmp_path / "b", SCENE)

    assert one.image.read_bytes() == other.image.read_bytes()
    assert one.labels.read_bytes() == other.labels.read_bytes()


def test_a_scene_lies_where_its_cells_say() -> None:
    moved = scene_grid(Scene(width=10, height=10, gsd_m=0.25, cells_east=2, cells_south=1))

    assert (moved.transform.c, moved.transform.f) == (500_000 + 256, 3_060_000 - 128)
    assert moved.gsd_m == pytest.approx(0.25, rel=0.01)


def test_progress_rises_to_one(tmp_path: Path) -> None:
    shares: list[float] = []

    write_scene(tmp_path, Scene(width=600, height=520), on_progress=shares.append)

    assert shares == sorted(shares)
    assert len(shares) == 4
    assert shares[-1] == 1


def test_existing_files_are_kept_without_overwrite(tmp_path: Path) -> None:
    (tmp_path / "labels.tif").write_bytes(b"mine")

    with pytest.raises(OptionError, match=r"labels\.tif: exists already"):
        write_scene(tmp_path, SCENE)

    assert [p.name for p in tmp_path.iterdir()] == ["labels.tif"]
    assert (tmp_path / "labels.tif").read_bytes() == b"mine"


def test_overwrite_replaces_a_scene(tmp_path: Path) -> None:
    first = write_scene(tmp_path, SCENE).image.read_bytes()

    again = write_scene(tmp_path, Scene(width=61, height=47, seed=4), overwrite=True)

    assert again.image.read_bytes() != first


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "town").write_text("a file")

    with pytest.raises(OptionError, match="town: is a file, expected a folder"):
        write_scene(tmp_path / "town", SCENE)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")

    with pytest.raises(ResourceError, match="cannot be made"):
        write_scene(tmp_path / "file" / "town", SCENE)


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scene(tmp_path / "town", SCENE, on_progress=stop)

    assert list(tmp_path.iterdir()) == []


def test_a_json_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "classes.json.part").mkdir()

    with pytest.raises(ResourceError, match=r"classes\.json: cannot be written"):
        files._write_json(tmp_path / "classes.json", {})


def test_a_data_set_is_what_training_takes(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "tiles", SCENE, tiles=3)

    plan = plan_tile_folder(made.folder)
    assert plan.classes == BUILDINGS
    assert [e.image.stem for e in plan.train] == ["town_00004", "town_00005"]
    assert [e.image.stem for e in plan.val] == ["town_00003"]
    assert json.loads((made.folder / "split.json").read_text()) == {
        "train": list(made.train),
        "val": list(made.val),
    }
    for entry in (*plan.train, *plan.val):
        with open_label_raster(entry.labels) as label:
            assert set(np.unique(label.read(label.grid.window))) <= {0, 1, NODATA_CLASS}


def test_a_data_set_can_have_all_the_classes(tmp_path: Path) -> None:
    shares: list[float] = []

    made = write_dataset(tmp_path, SCENE, tiles=2, labels="landcover", on_progress=shares.append)

    assert load_classes(made.folder / "classes.json") == LANDCOVER
    assert shares == [0.5, 1.0]


def test_a_data_set_needs_two_tiles(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="tiles is 1"):
        write_dataset(tmp_path / "tiles", SCENE, tiles=1)

    assert list(tmp_path.iterdir()) == []


def test_buildings_are_what_is_building_in_the_land_cover() -> None:
    label = np.array([[0, 1, 2], [4, 255, 1]], dtype=np.uint8)

    assert label_of_kind(label, "buildings").tolist() == [[0, 1, 0], [0, 255, 1]]
    assert label_of_kind(label, "landcover").tolist() == label.tolist()
