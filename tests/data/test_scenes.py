"""Opened data sets: where labels are found, and which labels are refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from rsseg.data.scenes import DataSet, open_dataset, plan_dataset
from rsseg.errors import LabelError, RasterError
from rsseg.tiling import Window
from tests.data.labelled import replace_label, square, write_classes, write_features, write_tiles
from tests.making import random_pixels, write_raster

SPLIT = {"train": ["a", "b"], "val": ["c"]}


def refuse(folder: Path) -> pytest.ExceptionInfo[Exception]:
    with (
        pytest.raises((LabelError, RasterError)) as info,
        open_dataset(plan_dataset(folder)),
    ):
        pass
    return info


def test_vectors_are_labels_inside_their_area(tmp_path: Path) -> None:
    write_raster(tmp_path / "town.tif", random_pixels(64, 64))
    write_features(tmp_path / "houses.geojson", square(8, 8, 4, kind="house"))
    write_features(tmp_path / "left.geojson", square(0, 0, 32))
    write_features(tmp_path / "right.geojson", square(32, 0, 32))
    write_features(tmp_path / "sheds.geojson", square(40, 8, 2, kind="house"))
    write_classes(tmp_path, ["background", "building"])
    (tmp_path / "manifest.toml").write_text(
        """
        classes = "classes.json"
        [[train]]
        image = "town.tif"
        labels = "houses.geojson"
        attribute = "kind"
        values = {house = "building"}
        unlabelled = "background"
        aoi = "left.geojson"
        [[val]]
        image = "town.tif"
        labels = "sheds.geojson"
        class = "building"
        unlabelled = "background"
        aoi = "right.geojson"
        """
    )

    with open_dataset(plan_dataset(tmp_path / "manifest.toml")) as data:
        found = data.train[0].labels.read(Window(0, 0, 64, 64))

    expected = np.full((64, 64), 255, np.uint8)
    expected[:32, :32] = 0
    expected[8:12, 8:12] = 1
    assert np.array_equal(found, expected)
    assert data.train[0].class_pixels.tolist() == [32 * 32 - 16, 16]
    assert data.val[0].class_pixels.tolist() == [32 * 32 - 4, 4]


def test_features_that_are_not_used_are_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Point", "coordinates": [350_001, 3_059_999]},
    }
    write_raster(tmp_path / "town.tif", random_pixels(64, 64))
    write_features(tmp_path / "houses.geojson", square(8, 8, 4), point)
    write_features(tmp_path / "sheds.geojson", square(40, 8, 2))
    write_classes(tmp_path, ["building"])
    entry = '[[{}]]\nimage = "town.tif"\nlabels = "{}.geojson"\nclass = "building"\n'
    (tmp_path / "manifest.toml").write_text(
        'classes = "classes.json"\n' + entry.format("train", "houses") + entry.format("val", "sheds")
    )

    with caplog.at_level(logging.INFO, "rsseg"), open_dataset(plan_dataset(tmp_path / "manifest.toml")):
        pass

    assert "houses.geojson: 1 features are not polygons and are left out" in caplog.text


def test_a_label_outside_the_classes_is_named_with_its_file(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    label = np.zeros((40, 48), np.uint8)
    label[3, 4] = 7
    replace_label(folder, "b", label)

    info = refuse(folder)

    assert "b.tif: holds label 7; the classes are 0 to 2, and 255 is left out" in str(info.value)


def test_a_label_of_another_size_is_named(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    replace_label(folder, "c", np.zeros((40, 47), np.uint8))

    info = refuse(folder)

    assert info.type is RasterError
    assert "c.tif" in str(info.value)
    assert "47" in str(info.value)
    assert "48" in str(info.value)


def test_a_label_on_another_grid_is_named(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    elsewhere = from_origin(350_100, 3_060_000, 0.15, 0.15)
    replace_label(folder, "a", np.zeros((40, 48), np.uint8), transform=elsewhere)

    info = refuse(folder)

    assert info.type is RasterError
    assert "a.tif" in str(info.value)


def test_images_of_another_kind_are_named(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    write_raster(folder / "images" / "c.tif", random_pixels(40, 48).astype(np.uint16))

    info = refuse(folder)

    assert "c.tif: has 3 bands of uint16" in str(info.value)
    assert "a.tif has 3 of uint8" in str(info.value)


def test_a_scene_without_labels_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    replace_label(folder, "a", np.full((40, 48), 255, np.uint8))

    with caplog.at_level(logging.WARNING, "rsseg"), open_dataset(plan_dataset(folder)) as data:
        names = [scene.name for scene in data.train]

    assert names == ["b.tif"]
    assert "a.tif: has no labelled pixel and is left out" in caplog.text


def test_a_part_without_any_label_is_refused(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    replace_label(folder, "c", np.full((40, 48), 255, np.uint8))

    assert "c.tif: holds no labelled pixel" in str(refuse(folder).value)


def test_a_text_file_named_tif_is_refused(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    (folder / "images" / "a.tif").write_text("not a raster")

    assert "a.tif" in str(refuse(folder).value)


@pytest.mark.parametrize("name", ["nothing", "file.txt"])
def test_what_is_no_data_set_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").touch()

    with pytest.raises(LabelError, match=name):
        plan_dataset(tmp_path / name)


def test_samples_follow_the_labelled_area(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    label = np.full((40, 48), 255, np.uint8)
    label[:10] = 1
    replace_label(folder, "a", label)

    with open_dataset(plan_dataset(folder)) as data:
        assert np.allclose(data.shares(), [0.2, 0.8])


def test_weights_take_the_place_of_the_area(tmp_path: Path) -> None:
    with open_weighted(tmp_path, weights=(3, 1)) as data:
        assert np.allclose(data.shares(), [0.75, 0.25])


def test_the_ground_size_is_that_of_the_scenes(tmp_path: Path) -> None:
    with open_weighted(tmp_path, weights=(1, 1)) as data:
        assert data.gsd_m() == pytest.approx(0.15, abs=1e-3)


def test_the_ground_size_is_unknown_without_georeference(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT, crs=None, transform=None)

    with open_dataset(plan_dataset(folder)) as data:
        assert data.gsd_m() is None


def test_the_card_can_say_the_ground_size(tmp_path: Path) -> None:
    with open_weighted(tmp_path, weights=(1, 1), card="[card]\ngsd_m = 0.5") as data:
        assert data.gsd_m() == 0.5


def test_bands_of_the_manifest_are_read_in_their_order(tmp_path: Path) -> None:
    with open_weighted(tmp_path, weights=(1, 1), head="bands = [3, 1]") as data:
        pixels = data.train[0].image.read(Window(0, 0, 4, 4)).data

    assert data.channels == 2
    assert np.array_equal(pixels, random_pixels(40, 48, seed=0)[[2, 0], :4, :4])


def open_weighted(  # type: ignore[no-untyped-def]
    tmp_path: Path, *, weights: tuple[float, float], head: str = "", card: str = "", bands: int = 3
):
    """Three tiles by a manifest, two of them for training with weights."""
    write_tiles(tmp_path / "d")
    if bands != 3:
        for name in "abc":
            pixels = random_pixels(40, 48, bands=bands)
            write_raster(tmp_path / "d" / "images" / f"{name}.tif", pixels, photometric="minisblack")
    parts = (("train", "a"), ("train", "b"), ("val", "c"))
    entries = [f'[[{part}]]\nimage = "d/images/{n}.tif"\nlabels = "d/labels/{n}.tif"' for part, n in parts]
    entries[0] += f"\nweight = {weights[0]}"
    entries[1] += f"\nweight = {weights[1]}"
    path = tmp_path / "manifest.toml"
    path.write_text("\n".join(['classes = "d/classes.json"', head, *entries, card]))
    return open_dataset(plan_dataset(path))


def test_a_data_set_may_have_more_tiles_than_files_may_be_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsseg.data.scenes.OPEN_FILES", 2)
    folder = write_tiles(tmp_path / "d", split=SPLIT)

    with open_dataset(plan_dataset(folder)) as data:
        tiles = read_all(data)

    assert all(np.array_equal(t, random_pixels(40, 48, seed=seed)) for seed, t in enumerate(tiles))


def read_all(data: DataSet) -> list[np.ndarray]:
    return [scene.image.read(Window(0, 0, 48, 40)).data for scene in (*data.train, *data.val)]


def write_overlap(tmp_path: Path, *, left: int) -> Path:
    """Train labels the left 32 columns of an image, val what begins at column `left`, by way of a link."""
    write_raster(tmp_path / "town.tif", random_pixels(64, 64))
    (tmp_path / "same.tif").symlink_to(tmp_path / "town.tif")
    write_features(tmp_path / "houses.geojson", square(8, 8, 4), square(40, 8, 4))
    write_features(tmp_path / "train.geojson", square(0, 0, 32))
    write_features(tmp_path / "val.geojson", square(left, 0, 20))
    write_classes(tmp_path, ["background", "building"])
    entry = (
        '[[{0}]]\nimage = "{1}.tif"\nlabels = "houses.geojson"\nclass = "building"\n'
        'unlabelled = "background"\naoi = "{0}.geojson"\n'
    )
    path = tmp_path / "manifest.toml"
    path.write_text(
        'classes = "classes.json"\n' + entry.format("train", "town") + entry.format("val", "same")
    )
    return path


def test_areas_that_overlap_are_refused(tmp_path: Path) -> None:
    info = refuse(write_overlap(tmp_path, left=30))

    assert "same.tif: 40 pixels of" in str(info.value)
    assert "are labelled in both train and val" in str(info.value)


def test_areas_that_touch_are_apart(tmp_path: Path) -> None:
    with open_dataset(plan_dataset(write_overlap(tmp_path, left=32))) as data:
        assert len(data.val) == 1


@pytest.mark.parametrize(
    ("head", "names"),
    [
        ("", ("red", "green", "blue")),
        ("bands = [1, 2, 3]", ("red", "green", "blue")),
        ("bands = [3, 2, 1]", ("band 3", "band 2", "band 1")),
        ("bands = [2]", ("band 2",)),
    ],
)
def test_channels_are_red_green_blue_only_where_prediction_would_take_them(
    tmp_path: Path, head: str, names: tuple[str, ...]
) -> None:
    with open_weighted(tmp_path, weights=(1, 1), head=head) as data:
        assert data.band_names == names


def test_chosen_bands_of_files_that_do_not_say_their_colours_keep_their_numbers(tmp_path: Path) -> None:
    with open_weighted(tmp_path, weights=(1, 1), head="bands = [1, 2, 3]", bands=5) as data:
        assert data.band_names == ("band 1", "band 2", "band 3")


def test_bands_nobody_chose_are_counted(tmp_path: Path) -> None:
    with open_weighted(tmp_path, weights=(1, 1), bands=4) as data:
        assert data.band_names == ("band 1", "band 2", "band 3", "band 4")


def test_notes_of_the_reader_are_shown_once_and_not_for_thousands_of_tiles(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsseg.data.scenes.SHOWN_NOTES", 2)
    folder = write_tiles(tmp_path / "d", split=SPLIT, crs=None)

    with caplog.at_level(logging.INFO, "rsseg"), open_dataset(plan_dataset(folder)):
        pass

    assert caplog.text.count("a.tif: has no CRS") == 1
    assert caplog.text.count("has no CRS") == 2
    assert "1 more notes like these about other images" in caplog.text


@pytest.mark.parametrize("inner", ["", "manifest.toml"])
def test_a_path_that_cannot_be_looked_into_is_explained(tmp_path: Path, inner: str) -> None:
    with pytest.raises(LabelError, match=r"cannot be (read|looked into) \(File name too long\)"):
        plan_dataset(tmp_path / ("a" * 300) / inner)


def test_a_link_to_itself_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    with pytest.raises(LabelError, match="no such folder or manifest"):
        plan_dataset(tmp_path / "loop")


def test_a_label_raster_counts_inside_its_area_only(tmp_path: Path) -> None:
    pixels = random_pixels(40, 48)
    write_raster(tmp_path / "town.tif", pixels)
    write_raster(tmp_path / "ids.tif", pixels.argmax(axis=0).astype(np.uint8)[None])
    for name, col in (("left", 0), ("right", 24)):
        write_features(tmp_path / f"{name}.geojson", square(col, 4, 20))
    write_classes(tmp_path)
    entry = '[[{}]]\nimage = "town.tif"\nlabels = "ids.tif"\naoi = "{}.geojson"\n'
    (tmp_path / "manifest.toml").write_text(
        'classes = "classes.json"\n' + entry.format("train", "left") + entry.format("val", "right")
    )

    with open_dataset(plan_dataset(tmp_path / "manifest.toml")) as data:
        found = data.val[0].labels.read(Window(-4, 0, 60, 40))

    expected = np.full((40, 60), 255, np.uint8)
    expected[4:24, 28:48] = pixels.argmax(axis=0)[4:24, 24:44]
    assert np.array_equal(found, expected)
    assert data.train[0].class_pixels.sum() == data.val[0].class_pixels.sum() == 400
