"""`rsseg train --check`: what people and programs are told about a data set, and thirty ways to break one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rasterio.transform import from_origin

from rsseg.cli.main import main
from tests.data import published as pub
from tests.data.labelled import (
    brightest,
    replace_label,
    square,
    write_classes,
    write_features,
    write_tiles,
)
from tests.making import random_pixels, write_raster

SPLIT = {"train": ["a", "b"], "val": ["c"]}
ROWS, COLS = 40, 48


def place(number: int, **more: object) -> dict[str, object]:
    """A profile far from that of the other numbers."""
    return {"transform": from_origin(350_000 + 1000 * number, 3_060_000, 0.15, 0.15), **more}


def write_apart(folder: Path) -> Path:
    """Three tiles with all classes, at places far from one another."""
    write_tiles(folder, size=(ROWS, COLS), split=SPLIT)
    for number, name in enumerate("abc"):
        put_tile(folder, name, number, random_pixels(ROWS, COLS, seed=number))
    return folder


def put_tile(folder: Path, name: str, number: int, pixels: np.ndarray, **profile: object) -> None:
    write_raster(folder / "images" / f"{name}.tif", pixels, **place(number, **profile))
    put_label(folder, name, brightest(pixels)[0], number)


def put_label(folder: Path, name: str, label: np.ndarray, number: int = 0) -> None:
    replace_label(folder, name, label, **place("abc".index(name) if number == 0 else number))


def check(*args: object) -> Result:
    return CliRunner().invoke(main, ["train", "--check", *map(str, args)])


def test_a_sound_data_set_is_told_as_a_table(tmp_path: Path) -> None:
    result = check(write_apart(tmp_path / "d"), "--window", 16)

    lines = [line.split() for line in result.stdout.splitlines()]
    assert result.exit_code == 0, result.output
    assert ["train", "2", "0.00", "0.00", "48", "40", "0.15"] in lines
    assert [row[:2] for row in lines if row[:1] in (["0"], ["1"], ["2"])][:3] == [
        ["0", "red"],
        ["1", "green"],
        ["2", "blue"],
    ]
    assert result.stdout.splitlines()[-1] == "0 errors, 0 warnings"
    assert result.stderr == ""


def test_json_has_the_same_numbers(tmp_path: Path) -> None:
    folder = write_apart(tmp_path / "d")
    expected = np.bincount(brightest(random_pixels(ROWS, COLS, seed=2)).ravel(), minlength=3).tolist()

    result = check(folder, "--json", "--window", 16)

    report = json.loads(result.stdout)
    assert (report["ok"], report["errors"], report["warnings"], report["findings"]) == (True, 0, 0, [])
    assert report["images"] == ["3 bands of uint8"]
    assert report["parts"]["val"] == {
        "scenes": 1,
        "pixels": ROWS * COLS,
        "labelled": ROWS * COLS,
        "class_pixels": dict(zip(["red", "green", "blue"], expected, strict=True)),
        "widths": [COLS, COLS],
        "heights": [ROWS, ROWS],
        "gsd_m": pytest.approx([0.15, 0.15], rel=1e-2),
    }


def test_threads_change_nothing(tmp_path: Path) -> None:
    folder = write_apart(tmp_path / "d")
    put_label(folder, "b", np.full((ROWS, COLS), 7, np.uint8))

    assert check(folder, "--readers", 1).stdout == check(folder, "--readers", 3).stdout


def test_a_check_writes_nothing_and_needs_no_torch(tmp_path: Path) -> None:
    folder = write_apart(tmp_path / "d")
    before = sorted(tmp_path.rglob("*"))
    script = (
        "import sys; from rsseg.cli.main import main\n"
        f"try: main(['train', '--check', {str(folder)!r}], prog_name='rsseg')\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.splitlines()[-1] == "0 False"
    assert sorted(tmp_path.rglob("*")) == before


def test_without_data_there_is_nothing_to_check() -> None:
    result = check()

    assert result.exit_code == 2
    assert "--check needs DATA" in result.stderr


def test_many_findings_of_a_kind_are_counted_but_not_all_listed(tmp_path: Path) -> None:
    folder = write_apart(tmp_path / "d")
    for number in range(30):
        (folder / "images" / f"new{number:02}.tif").touch()

    result = check(folder, "--window", 16)

    assert result.stdout.count("image without a label") == 20
    assert "... and 10 more of the same kinds\n0 errors, 30 warnings" in result.stdout


def test_a_published_data_set_can_be_checked(tmp_path: Path) -> None:
    pub.write_loveda(tmp_path, pub.image(), pub.class_ids(7))

    result = check(tmp_path, "--preset", "loveda", "--json")

    report = json.loads(result.stdout)
    assert (result.exit_code, report["classes"][-1], report["parts"]["train"]["scenes"]) == (
        0,
        "agricultural",
        2,
    )
    assert report["warnings"] == 2  # both val tiles show what train shows


Break = Callable[[Path], object]


def _classes_with_a_gap(d: Path) -> None:
    rows = [{"id": i, "name": str(i), "color": "#000000"} for i in (0, 2)]
    (d / "classes.json").write_text(json.dumps({"classes": rows}))


def _label_of_another_class(d: Path) -> None:
    label = np.zeros((ROWS, COLS), np.uint8)
    label[5, 6] = 9
    put_label(d, "b", label)


def _colored_label(d: Path) -> None:
    write_raster(d / "labels" / "b.tif", random_pixels(ROWS, COLS), **place(1))


def _float_label(d: Path) -> None:
    write_raster(d / "labels" / "b.tif", np.zeros((1, ROWS, COLS), np.float32), **place(1))


def _cut_off_image(d: Path) -> None:
    pixels = random_pixels(256, 256)
    put_tile(d, "b", 1, pixels, compress="deflate")
    path = d / "images" / "b.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _no_image_at_all(d: Path) -> None:
    (d / "images" / "b.tif").write_text("nothing to see here")


def _palette_image(d: Path) -> None:
    write_raster(
        d / "images" / "b.tif", random_pixels(ROWS, COLS, bands=1), photometric="palette", **place(1)
    )


def _labels_on_no_data(d: Path, name: str = "b") -> None:
    write_raster(
        d / "images" / f"{name}.tif",
        np.zeros((3, ROWS, COLS), np.uint8),
        nodata=0,
        **place("abc".index(name)),
    )


def _one_class_only(d: Path) -> None:
    for name in "ab":
        put_label(d, name, np.zeros((ROWS, COLS), np.uint8))


def _val_over_train(d: Path) -> None:
    transform = from_origin(350_000 + 24 * 0.15, 3_060_000, 0.15, 0.15)  # half a tile beside a
    write_raster(d / "images" / "c.tif", random_pixels(ROWS, COLS, seed=2), transform=transform)
    replace_label(d, "c", np.zeros((ROWS, COLS), np.uint8), transform=transform)


def _val_beside_train(d: Path) -> None:
    transform = from_origin(350_000 + 60 * 0.15, 3_060_000, 0.15, 0.15)
    write_raster(d / "images" / "c.tif", random_pixels(ROWS, COLS, seed=2), transform=transform)
    replace_label(d, "c", brightest(random_pixels(ROWS, COLS, seed=2))[0], transform=transform)


def _same_pixels_without_a_place(d: Path) -> None:
    town = random_pixels(ROWS, 2 * COLS, seed=9)
    for name, col in (("a", 0), ("b", COLS), ("c", COLS // 2)):
        pixels = town[:, :, col : col + COLS]
        write_raster(d / "images" / f"{name}.tif", pixels, crs=None, transform=None)
        replace_label(d, name, brightest(pixels)[0], crs=None, transform=None)


def _coarse_val(d: Path) -> None:
    profile = {"transform": from_origin(352_000, 3_060_000, 0.6, 0.6)}
    pixels = random_pixels(ROWS, COLS, seed=2)
    write_raster(d / "images" / "c.tif", pixels, **profile)
    replace_label(d, "c", brightest(pixels)[0], **profile)


def _manifest(d: Path, *, train: str, val: str, images: str = "town") -> None:
    shutil.rmtree(d / "images")
    write_raster(d / "town.tif", random_pixels(64, 64))
    write_raster(d / "lost.tif", random_pixels(64, 64), crs=None, transform=None)
    write_features(d / "houses.geojson", square(4, 4, 8, kind="house"), square(40, 4, 8, kind="shed"))
    write_features(d / "left.geojson", square(0, 0, 36))
    write_features(d / "right.geojson", square(30, 0, 34))
    write_features(d / "far.geojson", square(4000, 0, 34))
    write_classes(d, ["background", "building"])
    rows = [
        f'[[{part}]]\nimage = "{images}.tif"\nlabels = "houses.geojson"\nunlabelled = "background"\n{rules}\n'
        for part, rules in (("train", train), ("val", val))
    ]
    (d / "manifest.toml").write_text('classes = "classes.json"\n' + "".join(rows))


def _areas_that_overlap(d: Path) -> None:
    _manifest(
        d, train='class = "building"\naoi = "left.geojson"', val='class = "building"\naoi = "right.geojson"'
    )


def _unknown_value(d: Path) -> None:
    rules = 'attribute = "kind"\nvalues = {house = "building"}\naoi = '
    _manifest(d, train=f'{rules}"left.geojson"', val=f'{rules}"right.geojson"')


def _area_elsewhere(d: Path) -> None:
    _manifest(
        d, train='class = "building"\naoi = "left.geojson"', val='class = "building"\naoi = "far.geojson"'
    )


def _polygons_on_a_lost_image(d: Path) -> None:
    rules = 'class = "building"\naoi = '
    _manifest(d, train=f'{rules}"left.geojson"', val=f'{rules}"right.geojson"', images="lost")


BROKEN: dict[str, tuple[Break, str, str]] = {
    "no such folder": (shutil.rmtree, "error", "d: no such folder or manifest"),
    "no classes": (lambda d: (d / "classes.json").unlink(), "error", "classes.json: cannot be read"),
    "class ids with a gap": (
        _classes_with_a_gap,
        "error",
        "class ids are [0, 2]; expected 0, 1, 2, ... without gaps",
    ),
    "no labels folder": (lambda d: shutil.rmtree(d / "labels"), "error", "labels: no such folder"),
    "label without image": (
        lambda d: (d / "images" / "b.tif").unlink(),
        "error",
        "b.tif: 1 label(s) have no image; expected images/b.tif",
    ),
    "image without label": (
        lambda d: (d / "images" / "z.tif").touch(),
        "warning",
        "z: image without a label, left out",
    ),
    "split names no tile": (
        lambda d: (d / "split.json").write_text('{"train": ["a", "x"], "val": ["c"]}'),
        "error",
        "split.json: names 'x', which is not in images/",
    ),
    "a tile in both parts": (
        lambda d: (d / "split.json").write_text('{"train": ["a", "c"], "val": ["c"]}'),
        "error",
        "split.json: c in both train and val",
    ),
    "label outside the classes": (
        _label_of_another_class,
        "error",
        "b.tif: holds label 9; the classes are 0 to 2, and 255 is left out (first at column 6, row 5)",
    ),
    "label of another size": (
        lambda d: put_label(d, "b", np.zeros((30, 48), np.uint8)),
        "error",
        "b.tif: is 48 x 30 px,",
    ),
    "label at another place": (
        lambda d: replace_label(d, "b", np.zeros((ROWS, COLS), np.uint8)),
        "error",
        "its pixels lie up to",
    ),
    "label in colours": (_colored_label, "error", "b.tif: has 3 bands, expected one band of class ids"),
    "label with fractions": (_float_label, "error", "has pixels of type float32, expected integer class ids"),
    "image cut off": (_cut_off_image, "error", "b.tif: cannot read 256 x 256 px at column 0, row 0 ("),
    "no image at all": (_no_image_at_all, "error", "b.tif: is not a raster that GDAL can read"),
    "image with a palette": (_palette_image, "error", "b.tif: has a colour palette"),
    "images of other bands": (
        lambda d: write_raster(d / "images" / "b.tif", random_pixels(ROWS, COLS, bands=2), **place(1)),
        "error",
        "b.tif: has 2 bands of uint8;",
    ),
    "images of another type": (
        lambda d: write_raster(
            d / "images" / "b.tif", random_pixels(ROWS, COLS).astype(np.uint16), **place(1)
        ),
        "error",
        "b.tif: has 3 bands of uint16;",
    ),
    "nothing labelled": (
        lambda d: put_label(d, "c", np.full((ROWS, COLS), 255, np.uint8)),
        "error",
        "val: no scene with a labelled pixel can be read",
    ),
    "a scene not labelled": (
        lambda d: put_label(d, "b", np.full((ROWS, COLS), 255, np.uint8)),
        "warning",
        "train: b.tif: has no labelled pixel and is left out",
    ),
    "labels only on no data": (
        _labels_on_no_data,
        "warning",
        "train: b.tif: has labels only where the image has no data",
    ),
    "all labels on no data": (
        lambda d: _labels_on_no_data(d, "c"),
        "error",
        "val: all labels lie where the images have no data",
    ),
    "a class nobody drew": (
        _one_class_only,
        "warning",
        "train: has no pixel of green, blue: nothing to learn there",
    ),
    "val over train, other file": (
        _val_over_train,
        "warning",
        "val: c.tif: 50.0% of its labelled pixels lie on ground that train a.tif has labelled, too",
    ),
    "val beside train": (
        _val_beside_train,
        "warning",
        "val: 1 of 1 scenes (c.tif) lie less than a sample of 256 px",
    ),
    "same pixels, no place": (
        _same_pixels_without_a_place,
        "warning",
        "val: c.tif shows the very pixels of train a.tif, b.tif",
    ),
    "other ground size": (
        _coarse_val,
        "warning",
        "pixels differ in size on the ground: 0.15 m in train a.tif, 0.6 m in",
    ),
    "areas that overlap": (
        _areas_that_overlap,
        "error",
        "px at column 0, row 0 are labelled in both train and val",
    ),
    "unknown attribute value": (
        _unknown_value,
        "error",
        "attribute 'kind' has the values 'shed', expected 'house'",
    ),
    "area elsewhere": (_area_elsewhere, "error", "far.geojson: none of its polygons meets the raster"),
    "polygons, image lost": (_polygons_on_a_lost_image, "error", "but the image has none"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_data_set_is_explained(name: str, tmp_path: Path) -> None:
    breaking, level, message = BROKEN[name]
    folder = write_apart(tmp_path / "d")
    breaking(folder)

    result = check(folder)

    named = [line for line in result.stdout.splitlines() if line.startswith(f"{level}: ") and message in line]
    assert named, result.output
    assert "Traceback" not in result.output
    assert result.exit_code == (3 if level == "error" else 0)
    assert ("training would fail: " in result.stderr) == (level == "error")


SEEN_IN_VALIDATION = "all labels on no data"
"""Training notices it when it compares, and not before; see `rsseg.training.session`."""


@pytest.mark.parametrize(
    "name", [n for n, row in BROKEN.items() if row[1] == "error" and n != SEEN_IN_VALIDATION]
)
def test_training_fails_where_the_check_says_so(name: str, tmp_path: Path) -> None:
    from rsseg.data.options import SampleOptions
    from rsseg.data.samplers import Sampler
    from rsseg.data.scenes import open_dataset, plan_dataset
    from rsseg.errors import InputError

    folder = write_apart(tmp_path / "d")
    BROKEN[name][0](folder)

    with pytest.raises(InputError), open_dataset(plan_dataset(folder)) as data:
        sampler = Sampler(data, SampleOptions(window=256))
        for number in range(8):
            sampler.sample(number)
