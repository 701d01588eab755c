"""Published data sets are read as they are handed out: parts, codings, and refusals that say what was found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rsseg.data.presets.registry import PRESETS, plan_preset
from rsseg.data.scenes import open_dataset, plan_dataset
from rsseg.errors import LabelError, OptionError, RasterError
from tests.data import published as pub
from tests.shared import shared_folder

LEAVES_NOTHING_OUT = {"vaihingen", "potsdam", "potsdam-irrg", "potsdam-rgbir", "uavid"}


def ids_for(name: str) -> pub.Ids:
    ids = pub.class_ids(len(PRESETS[name].classes))
    return np.where(ids == 255, 1, ids).astype(np.uint8) if name in LEAVES_NOTHING_OUT else ids


def write(name: str, folder: Path) -> tuple[Path, pub.Ids]:
    ids = ids_for(name)
    return pub.WRITERS[name](folder, pub.image(4 if "rgbir" in name else 3), ids), ids


@pytest.mark.parametrize("name", PRESETS)
def test_a_published_label_becomes_the_class_ids_it_means(name: str, tmp_path: Path) -> None:
    folder, ids = write(name, tmp_path)

    with open_dataset(plan_dataset(folder, preset=name)) as data:
        found = [scene.labels.read(scene.image.grid.window) for scene in (*data.train, *data.val)]

    assert all(np.array_equal(label, ids) for label in found)
    assert data.classes == PRESETS[name].classes


@pytest.mark.parametrize("name", PRESETS)
def test_windows_of_a_published_label_are_cuts_of_the_whole(name: str, tmp_path: Path) -> None:
    from rsseg.tiling import Window

    folder, ids = write(name, tmp_path)

    with open_dataset(plan_dataset(folder, preset=name)) as data:
        found = data.val[0].labels.read(Window(-3, 5, 12, 30))

    expected = np.full((30, 12), 255, np.uint8)
    expected[:19, 3:] = ids[5:24, :9]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", PRESETS)
def test_a_wrong_folder_is_refused_with_what_it_holds(name: str, tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "notes.txt").touch()

    with pytest.raises(LabelError, match=r"expected the folder .*/, found holiday/, notes\.txt") as info:
        plan_preset(name, tmp_path)

    assert f"is not laid out like {PRESETS[name].table}" in str(info.value)
    assert PRESETS[name].files[0].split("/")[0] in str(info.value)


@pytest.mark.parametrize("name", PRESETS)
def test_a_folder_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="found no such folder"):
        plan_preset(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", PRESETS)
def test_the_files_that_are_told_are_those_that_are_read(name: str, tmp_path: Path) -> None:
    folder, _ = write(name, tmp_path)

    plan = plan_preset(name, folder)

    told = {path for pattern in PRESETS[name].files for path in folder.glob(pattern)}
    assert {p for e in (*plan.train, *plan.val) for p in (e.image, e.labels)} <= told


def test_an_unknown_preset_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="preset 'vahingen': unknown") as info:
        plan_dataset(tmp_path, preset="vahingen")

    assert "vaihingen, vaihingen-eroded, potsdam" in str(info.value.hint)


def test_vaihingen_is_split_as_the_papers_do(tmp_path: Path) -> None:
    folder = pub.write_vaihingen(tmp_path, pub.image(), ids_for("vaihingen"), has_test=True)

    plan = plan_preset("vaihingen", folder)

    numbers = [
        [int(e.image.stem.removeprefix("top_mosaic_09cm_area")) for e in p] for p in (plan.train, plan.val)
    ]
    assert numbers == [[1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 32, 34, 37], [30]]
    assert len(plan.test) == 17
    assert (plan.band_names, plan.card.gsd_m) == (("nir", "red", "green"), 0.09)


def test_without_references_for_it_there_is_no_test_part(tmp_path: Path) -> None:
    assert plan_preset("vaihingen", write("vaihingen", tmp_path)[0]).test == ()


def test_potsdam_leaves_out_the_tile_with_errors(tmp_path: Path) -> None:
    plan = plan_preset("potsdam", write("potsdam", tmp_path)[0])

    assert (len(plan.train), len(plan.val), len(plan.test)) == (22, 1, 14)
    assert not any("7_10" in e.image.name for e in (*plan.train, *plan.val, *plan.test))


def test_all_four_bands_of_potsdam_are_read(tmp_path: Path) -> None:
    folder, _ = write("potsdam-rgbir", tmp_path)

    with open_dataset(plan_dataset(folder, preset="potsdam-rgbir")) as data:
        assert data.train[0].image.bands == (1, 2, 3, 4)
        assert data.band_names == ("red", "green", "blue", "nir")


def test_an_unknown_colour_is_refused_with_a_place(tmp_path: Path) -> None:
    folder, ids = write("vaihingen", tmp_path)
    painted = pub.as_colors(ids, "vaihingen")
    painted[:, 7, 11] = 252, 255, 0
    pub.put(folder / "gts_for_participants" / "top_mosaic_09cm_area30.tif", painted)

    with (
        pytest.raises(
            LabelError, match=r"area30\.tif: has the colour \(252, 255, 0\) at column 11, row 7 \(1 px"
        ),
        open_dataset(plan_dataset(folder, preset="vaihingen")),
    ):
        pass


def test_black_is_left_out_of_eroded_references_only(tmp_path: Path) -> None:
    folder = pub.write_vaihingen(tmp_path, pub.image(), pub.class_ids(6))

    with (
        pytest.raises(LabelError, match=r"has the colour \(0, 0, 0\)"),
        open_dataset(plan_dataset(folder, preset="vaihingen")),
    ):
        pass


def test_black_is_clutter_in_uavid(tmp_path: Path) -> None:
    folder = pub.write_uavid(tmp_path, pub.image(), np.zeros(pub.SIZE, np.uint8))

    with open_dataset(plan_dataset(folder, preset="uavid")) as data:
        assert data.val[0].class_pixels.tolist() == [24 * 20, 0, 0, 0, 0, 0, 0, 0]


def test_an_unknown_value_is_refused_with_a_place(tmp_path: Path) -> None:
    folder, ids = write("loveda", tmp_path)
    values = pub.as_values(ids, "loveda")
    values[0, 2, 3] = 9
    pub.put(folder / "Val" / "Urban" / "masks_png" / "2.png", values)

    with (
        pytest.raises(LabelError, match=r"2\.png: has the value 9 at column 3, row 2 .*known are 0, 1, 2, 3"),
        open_dataset(plan_dataset(folder, preset="loveda")),
    ):
        pass


def test_a_missing_tile_of_the_published_list_is_named(tmp_path: Path) -> None:
    folder, _ = write("vaihingen", tmp_path)
    (folder / "top" / "top_mosaic_09cm_area30.tif").unlink()

    with pytest.raises(
        LabelError, match=r"top: lacks 1 of the 1 images of a part of vaihingen: 30; found 1, 11, 13"
    ):
        plan_preset("vaihingen", folder)


@pytest.mark.parametrize(
    ("name", "gone", "message"),
    [
        (
            "uavid",
            "uavid_train/seq12/Labels/000000.png",
            r"Labels: .*expected files called \*\.png, found an empty",
        ),
        ("loveda", "Train/Rural/masks_png/1.png", r"masks_png: .*expected files called \*\.png"),
        (
            "ade20k",
            "annotations/validation/ADE_val_00000001.png",
            r"validation: .*files called ADE_val_\*\.png",
        ),
    ],
)
def test_an_empty_folder_of_labels_is_named(name: str, gone: str, message: str, tmp_path: Path) -> None:
    folder, _ = write(name, tmp_path)
    (folder / gone).unlink()

    with pytest.raises(LabelError, match=message):
        plan_preset(name, folder)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("images_png/7.png", r"7\.png: has no label; 1 of 2 have none"),
        ("masks_png/7.png", r"7\.png: has no image; 1 of 2 have none"),
    ],
)
def test_an_image_or_label_alone_is_named(extra: str, message: str, tmp_path: Path) -> None:
    folder, _ = write("loveda", tmp_path)
    (folder / "Train" / "Urban" / extra).touch()

    with pytest.raises(LabelError, match=message):
        plan_preset("loveda", folder)


def test_a_town_without_frames_is_named(tmp_path: Path) -> None:
    folder, _ = write("cityscapes", tmp_path)
    shutil.rmtree(folder / "gtFine" / "train" / "bochum")
    (folder / "gtFine" / "train" / "bochum").mkdir()

    with pytest.raises(
        LabelError, match=r"bochum: .*files called \*_gtFine_labelIds\.png, found an empty folder"
    ):
        plan_preset("cityscapes", folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: "{", "is not JSON"),
        (lambda d: json.dumps({"images": []}), 'has no list "annotations"'),
        (lambda d: json.dumps(d).replace('"category_id": 1,', '"category_id": 12,'), "unknown category"),
        (
            lambda d: json.dumps(d).replace("000000000139.png", "000000000140.png"),
            "names 000000000140, of which",
        ),
        (lambda d: json.dumps(d).replace('"segments_info"', '"segments"'), "lacks something"),
    ],
)
def test_damaged_panoptic_annotations_are_explained(change: object, message: str, tmp_path: Path) -> None:
    folder, _ = write("coco-panoptic", tmp_path)
    path = folder / "annotations" / "panoptic_val2017.json"
    path.write_text(change(json.loads(path.read_text())))  # type: ignore[operator]

    with pytest.raises(LabelError, match=f"panoptic_val2017.json: .*{message}"):
        plan_preset("coco-panoptic", folder)


def test_a_segment_that_the_annotations_do_not_list_is_refused(tmp_path: Path) -> None:
    folder, _ = write("coco-panoptic", tmp_path)
    path = folder / "annotations" / "panoptic_val2017.json"
    document = json.loads(path.read_text())
    del document["annotations"][0]["segments_info"][0]
    path.write_text(json.dumps(document))

    with (
        pytest.raises(LabelError, match="has the segment 100000 at column 0, row 0"),
        open_dataset(plan_dataset(folder, preset="coco-panoptic")),
    ):
        pass


def test_a_gray_photo_among_colours_becomes_three_equal_bands(tmp_path: Path) -> None:
    folder, _ = write("ade20k", tmp_path)
    pub.put(folder / "images" / "validation" / "ADE_val_00000001.jpg", pub.image(1))

    with open_dataset(plan_dataset(folder, preset="ade20k")) as data:
        pixels = data.val[0].image.read(data.val[0].image.grid.window).data

    assert len(pixels) == 3
    assert np.array_equal(pixels[0], pixels[1])
    assert np.array_equal(pixels[0], pixels[2])


def test_colours_need_three_bands(tmp_path: Path) -> None:
    folder, _ = write("vaihingen", tmp_path)
    for path in list((folder / "gts_for_participants").iterdir()):
        pub.put(path, np.zeros((1, *pub.SIZE), np.uint8))

    with (
        pytest.raises(RasterError, match="has 1 band"),
        open_dataset(plan_dataset(folder, preset="vaihingen")),
    ):
        pass


def test_colours_are_bytes(tmp_path: Path) -> None:
    folder, ids = write("vaihingen", tmp_path)
    for path in list((folder / "gts_for_participants").iterdir()):
        pub.put(path, pub.as_colors(ids, "vaihingen").astype(np.uint16))

    with (
        pytest.raises(LabelError, match="has pixels of type uint16, expected colours of three uint8 bands"),
        open_dataset(plan_dataset(folder, preset="vaihingen")),
    ):
        pass


def sample(*parts: str) -> np.ndarray:
    """A file of the development samples as (bands, rows, cols)."""
    with rasterio.open(shared_folder("data", "samples", *parts)) as dataset:
        return dataset.read()


REAL = {
    "vaihingen-eroded": (
        ("pseudo_vaihingen_dataset", "img_dir", "area1_0_0_512_512.png"),
        ("pseudo_vaihingen_dataset", "ann_dir", "area1_0_0_512_512.png"),
    ),
    "potsdam-eroded": (
        ("pseudo_potsdam_dataset", "img_dir", "2_10_0_0_512_512.png"),
        ("pseudo_potsdam_dataset", "ann_dir", "2_10_0_0_512_512.png"),
    ),
}
"""Converted tiles: their labels are shifted by one, 0 is the edge of objects. The tests paint them as the originals."""


@pytest.mark.parametrize("name", REAL)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_real_isprs_tile_is_read_from_its_original_colours(name: str, tmp_path: Path) -> None:
    pixels, shifted = (sample(*parts) for parts in REAL[name])
    ids = (shifted[0].astype(np.int16) - 1).astype(np.uint8)  # 0 becomes 255
    folder = pub.WRITERS[name](tmp_path, pixels, ids)

    with open_dataset(plan_dataset(folder, preset=name)) as data:
        scene = data.val[0]
        assert np.array_equal(scene.labels.read(scene.image.grid.window), ids)
        assert np.array_equal(scene.image.read(scene.image.grid.window).data, pixels)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_real_cityscapes_frame_agrees_with_its_published_train_ids(tmp_path: Path) -> None:
    root = shared_folder("data", "samples", "pseudo_cityscapes_dataset")
    for kind in ("leftImg8bit", "gtFine"):
        shutil.copytree(root / kind, tmp_path / kind)
        (tmp_path / kind / "train").symlink_to("val")
    train_ids = next((root / "gtFine").rglob("*labelTrainIds.png"))
    plan = plan_preset("cityscapes", tmp_path)

    from rsseg.data.coding import open_coded_labels

    assert plan.val[0].coding is not None
    labels = open_coded_labels(plan.val[0].labels, plan.val[0].coding)
    with rasterio.open(train_ids) as dataset:
        same = labels.read(labels.grid.window) == dataset.read(1)
    labels.close()
    assert (
        same.mean() > 0.997
    )  # the sample's two files were made smaller one by one: some pixels lie elsewhere


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_real_coco_segments_have_the_categories_of_the_annotations(tmp_path: Path) -> None:
    root = shared_folder("data", "samples", "coco_panoptic")
    name = "000000142238"
    for part in ("train2017", "val2017"):
        (tmp_path / part).mkdir()
        (tmp_path / "annotations" / f"panoptic_{part}").mkdir(parents=True)
        for stem in (name, "000000439180"):
            (tmp_path / part / f"{stem}.jpg").symlink_to(root / "input_images" / f"{stem}.jpg")
            (tmp_path / "annotations" / f"panoptic_{part}" / f"{stem}.png").symlink_to(
                root / "panoptic_examples" / f"{stem}.png"
            )
        shutil.copy(root / "panoptic_examples.json", tmp_path / "annotations" / f"panoptic_{part}.json")
    plan = plan_preset("coco-panoptic", tmp_path)
    annotation = json.loads((root / "panoptic_examples.json").read_text())["annotations"][0]
    assert annotation["file_name"] == f"{name}.png"

    from rsseg.data.coding import open_coded_labels

    assert plan.val[0].coding is not None
    labels = open_coded_labels(plan.val[0].labels, plan.val[0].coding)
    found = np.bincount(labels.read(labels.grid.window).ravel(), minlength=256)
    labels.close()

    values = json.loads((root / "panoptic_coco_categories.json").read_text())
    order = {row["id"]: place for place, row in enumerate(sorted(values, key=lambda r: r["id"]))}
    areas = np.zeros(256, np.int64)
    for segment in annotation["segments_info"]:
        areas[order[segment["category_id"]]] += segment["area"]
    assert np.array_equal(found[:133], areas[:133])
