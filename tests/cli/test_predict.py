import hashlib
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from click.testing import CliRunner, Result
from rasterio.transform import from_origin

from rsseg.classes import ClassInfo, ClassTable
from rsseg.cli.main import main
from rsseg.errors import ResourceError
from rsseg.prediction import inputs as inputs_module
from rsseg.prediction import preview as preview_module
from rsseg.prediction.preview import write_preview
from rsseg.raster import completing, open_raster
from tests.making import random_pixels, read_band, write_argmax_weights, write_raster, write_sparse_raster
from tests.prediction.attentive import write_attentive_weights
from tests.raster.make import write_geojson


def run(*args: object, **options: object) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, args)], **options)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_argmax_weights(tmp_path / "argmax.safetensors")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "ortho.tif", random_pixels(90, 130))


def assert_refused(result: Result, folder: Path, *, code: int, message: str, hint: str = "") -> None:
    """One line, a hint, the right code, and nothing left behind."""
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.exit_code == code, result.output
    assert len(errors) == 1
    assert message in errors[0]
    assert hint in result.stderr
    assert result.stdout == ""
    assert not [path for path in folder.rglob("*") if path.name.startswith("out")]


def test_the_map_is_on_the_grid_of_the_image(image: Path, weights: Path, tmp_path: Path) -> None:
    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights)

    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'out.tif'}\n"
    with rasterio.open(image) as source, rasterio.open(tmp_path / "out.tif") as made:
        assert (made.crs, made.transform, made.shape) == (source.crs, source.transform, source.shape)
        assert (made.count, made.dtypes, made.nodata) == (1, ("uint8",), 255)
        assert made.colormap(1)[2] == (0, 0, 255, 255)
        assert made.tags()["RSSEG_WEIGHTS"] == "argmax"
    assert (read_band(tmp_path / "out.tif") == random_pixels(90, 130).argmax(axis=0)).all()


def test_json_gives_the_pixels_of_each_class(image: Path, weights: Path, tmp_path: Path) -> None:
    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights, "--json")

    answer = json.loads(result.stdout)
    counts = np.bincount(random_pixels(90, 130).argmax(axis=0).ravel(), minlength=3)
    assert answer["classes"] == dict(zip(("red", "green", "blue"), counts.tolist(), strict=True))
    assert (answer["width"], answer["height"], answer["nodata"]) == (130, 90, 0)


def test_several_images_go_to_a_folder(image: Path, weights: Path, tmp_path: Path) -> None:
    other = write_raster(tmp_path / "other.tif", random_pixels(40, 40, seed=1))
    (tmp_path / "maps").mkdir()

    result = run(image, other, "--output-dir", tmp_path / "maps", "--weights", weights)

    expected = [tmp_path / "maps" / "ortho_classes.tif", tmp_path / "maps" / "other_classes.tif"]
    assert result.stdout.splitlines() == [str(p) for p in expected]
    assert (read_band(expected[1]) == random_pixels(40, 40, seed=1).argmax(axis=0)).all()


@pytest.mark.parametrize(("flag", "separator"), [((), "\n"), (("-0",), "\0")])
def test_paths_come_from_standard_input(
    image: Path, weights: Path, tmp_path: Path, flag: tuple[str, ...], separator: str
) -> None:
    result = run(*flag, "-", "--output-dir", tmp_path, "--weights", weights, input=f"{image}{separator}")

    assert result.exit_code == 0, result.output
    assert (tmp_path / "ortho_classes.tif").exists()


def test_one_bad_input_does_not_stop_the_others(image: Path, weights: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "gone.tif", image, "--output-dir", tmp_path, "--weights", weights, "--json")

    assert result.exit_code == 6
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first["exit_code"] == 3
    assert "gone.tif" in first["error"]
    assert second["output"].endswith("ortho_classes.tif")
    assert "1 of 2 inputs failed" in result.stderr


def test_chosen_bands_and_nodata_are_used(weights: Path, tmp_path: Path) -> None:
    pixels = random_pixels(20, 30, bands=4)
    pixels[:, 5, 7] = 9
    image = write_raster(tmp_path / "four.tif", pixels, photometric="MINISBLACK")

    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights, "--bands", "4,1,2", "--nodata", 9)

    assert result.exit_code == 0, result.output
    expected = pixels[[3, 0, 1]].argmax(axis=0)
    expected[5, 7] = 255
    assert (read_band(tmp_path / "out.tif") == expected).all()


def test_16_bit_imagery_is_stretched_on_request(weights: Path, tmp_path: Path) -> None:
    pixels = random_pixels(20, 30).astype(np.uint16) * 16
    image = write_raster(tmp_path / "deep.tif", pixels)

    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights, "--scale", "0,4095")

    assert result.exit_code == 0, result.output
    assert (read_band(tmp_path / "out.tif") == pixels.argmax(axis=0)).all()


def test_the_preview_shows_image_and_classes(image: Path, weights: Path, tmp_path: Path) -> None:
    look = ("--preview", tmp_path / "look.png")

    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights, *look, "--json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["preview"] == str(tmp_path / "look.png")
    assert read_band(tmp_path / "look.png").shape[0] >= 90
    assert read_band(tmp_path / "look.png").shape[1] >= 2 * 130
    assert not (tmp_path / "look.png.aux.xml").exists()


def test_a_preview_that_fails_leaves_the_finished_map(
    image: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ResourceError("look.png: no space left")

    monkeypatch.setattr(preview_module, "write_png", full)

    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights, "--preview", tmp_path / "look.png")

    assert result.exit_code == 5
    assert f"{tmp_path / 'out.tif'}: is complete" in result.stderr
    assert "Error: look.png: no space left" in result.stderr
    assert (read_band(tmp_path / "out.tif") == random_pixels(90, 130).argmax(axis=0)).all()
    assert not (tmp_path / "out.tif.part").exists()


def test_a_raster_is_opened_at_the_door_and_once_more(
    image: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(
        inputs_module, "open_raster", lambda path, **how: opened.append(path) or open_raster(path, **how)
    )

    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights, "--preview", tmp_path / "look.png")

    assert result.exit_code == 0, result.output
    assert opened == [str(image)] * 2


def test_a_region_of_one_pixel_is_no_small_region(image: Path, weights: Path, tmp_path: Path) -> None:
    maps = [tmp_path / "a.tif", tmp_path / "b.tif"]

    for target, area in zip(maps, (0, 1), strict=True):
        run(image, "-o", target, "--weights", weights, "--min-area", area)

    assert maps[0].read_bytes() == maps[1].read_bytes()


@pytest.mark.parametrize("several", [True, False])
def test_an_image_outside_the_area_of_interest_gets_a_map_without_data(
    image: Path, weights: Path, tmp_path: Path, *, several: bool
) -> None:
    away = write_raster(
        tmp_path / "away.tif", random_pixels(40, 40), transform=from_origin(9e5, 3_060_000, 0.15, 0.15)
    )
    with rasterio.open(image) as source:
        around = shapely.box(*source.bounds)
    aoi = write_geojson(tmp_path / "aoi.geojson", [(around, {})], epsg=32645)
    images = (image, away) if several else (away,)

    result = run(*images, "--output-dir", tmp_path, "--weights", weights, "--aoi", aoi)

    assert result.exit_code == 0, result.output
    assert f"Warning: {aoi}: none of its polygons meets {away}" in result.stderr
    assert (read_band(tmp_path / "away_classes.tif") == 255).all()


def test_an_existing_map_is_kept_unless_told_otherwise(image: Path, weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "map.tif"
    target.write_bytes(b"precious")

    refused = run(image, "-o", target, "--weights", weights)
    kept = target.read_bytes()
    replaced = run(image, "-o", target, "--weights", weights, "--overwrite")

    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert kept == b"precious"
    assert replaced.exit_code == 0
    assert read_band(target).shape == (90, 130)


def test_the_input_is_never_replaced(image: Path, weights: Path) -> None:
    before = image.read_bytes()

    result = run(image, "-o", image, "--weights", weights, "--overwrite")

    assert result.exit_code == 2
    assert "is the input" in result.stderr
    assert image.read_bytes() == before


def test_nothing_that_is_read_is_ever_replaced(image: Path, weights: Path, tmp_path: Path) -> None:
    other = write_raster(tmp_path / "ortho_classes.tif", random_pixels(20, 20))
    before = {path: path.read_bytes() for path in (image, other, weights)}

    as_weights = run(image, "-o", weights, "--weights", weights, "--overwrite")
    as_input = run(image, other, "--output-dir", tmp_path, "--weights", weights, "--overwrite")

    assert (as_weights.exit_code, as_input.exit_code) == (2, 2)
    assert "is the input" in as_weights.stderr
    assert "is the input" in as_input.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_the_sources_of_a_virtual_mosaic_are_not_replaced(image: Path, weights: Path, tmp_path: Path) -> None:
    rasterio.shutil.copy(image, tmp_path / "mosaic.vrt", driver="VRT")
    before = image.read_bytes()

    result = run(tmp_path / "mosaic.vrt", "-o", image, "--weights", weights, "--overwrite")

    assert result.exit_code == 2
    assert "is the input" in result.stderr
    assert image.read_bytes() == before


@pytest.mark.parametrize("name", ["out.tif", "out.tif.aux.xml", "out.jpg"])
def test_a_preview_that_is_something_else_is_refused(
    image: Path, weights: Path, tmp_path: Path, name: str
) -> None:
    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights, "--preview", tmp_path / name)

    assert_refused(result, tmp_path, code=2, message=name)


def test_a_device_as_output_is_refused(image: Path, weights: Path) -> None:
    result = run(image, "-o", "/dev/null", "--weights", weights, "--overwrite")

    assert result.exit_code == 2
    assert "/dev/null: is a folder or a device" in result.stderr
    assert Path("/dev/null").is_char_device()


def test_a_name_that_is_not_text_is_explained(weights: Path, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/b\xe9ton.tif"

    result = run("-0", "-", "--output-dir", tmp_path, "--weights", weights, input=odd)

    assert result.exit_code in (2, 3)
    assert "the name is not UTF-8" in result.stderr


def test_lines_of_standard_input_end_with_newlines_only(weights: Path, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "a\u2028b.tif", random_pixels(20, 20))

    result = run("-", "--output-dir", tmp_path, "--weights", weights, input=f"{image}\r\n")

    assert result.exit_code == 0, result.output
    assert (tmp_path / "a\u2028b_classes.tif").exists()


def test_a_card_that_names_its_bands_gets_just_these(tmp_path: Path) -> None:
    pixels = random_pixels(20, 30, bands=4)
    image = write_raster(tmp_path / "four.tif", pixels, photometric="RGB")
    weights = write_argmax_weights(tmp_path / "w.safetensors", names=("band 4", "band 1", "band 2"))

    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights)

    assert result.exit_code == 0, result.output
    assert (read_band(tmp_path / "out.tif") == pixels[[3, 0, 1]].argmax(axis=0)).all()


def test_quiet_says_nothing(image: Path, weights: Path, tmp_path: Path) -> None:
    assert run(image, "-o", tmp_path / "out.tif", "--weights", weights, "-q").stderr == ""


def test_the_context_of_the_raster_is_saved_used_and_told(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write_attentive_weights(tmp_path / "attentive.safetensors", monkeypatch)
    context = tmp_path / "context.safetensors"
    both = ("--weights", weights, "--device", "cpu", "--tile", 64, "--halo", 8)

    saved = run(image, "-o", tmp_path / "a.tif", *both, "--save-context", context, "--seam-check", "--json")
    used = run(image, "-o", tmp_path / "b.tif", *both, "--use-context", context)
    tiles = run(image, "-o", tmp_path / "c.tif", *both, "--seam-check", "--json")

    assert saved.exit_code == used.exit_code == tiles.exit_code == 0, (saved, used, tiles)
    a, b, c = (read_band(tmp_path / f"{name}.tif") for name in "abc")
    assert (a == b).all()
    assert (a != c).any()
    answers = [json.loads(result.stdout) for result in (saved, tiles)]
    assert [answer["saved_context"] for answer in answers] == [str(context), None]
    assert [answer["context"] for answer in answers] == ["raster", "tile"]
    assert answers[0]["seam_change"] < 1e-3 < answers[1]["seam_change"]
    assert f"seams change {answers[1]['seam_change']:.3%}" in tiles.stderr
    assert "seams" not in used.stderr


def test_the_tags_tell_the_context(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = write_attentive_weights(tmp_path / "attentive.safetensors", monkeypatch)
    context = tmp_path / "context.safetensors"
    sample = ("--context-sample", 0.5, "--save-context", context)

    for name, options in {"a": ("--context", "tile"), "b": sample, "c": ("--use-context", context)}.items():
        assert run(image, "-o", tmp_path / f"{name}.tif", "--weights", weights, *options).exit_code == 0

    tags = {}
    for name in "abc":
        with rasterio.open(tmp_path / f"{name}.tif") as dataset:
            tags[name] = {key: value for key, value in dataset.tags().items() if "CONTEXT" in key}
    assert tags == {
        "a": {"RSSEG_CONTEXT": "tile"},
        "b": {"RSSEG_CONTEXT": "raster", "RSSEG_CONTEXT_SAMPLE": "0.5"},
        "c": {
            "RSSEG_CONTEXT": "raster",
            "RSSEG_CONTEXT_SHA256": hashlib.sha256(context.read_bytes()).hexdigest(),
        },
    }


def test_a_context_of_other_conditions_is_refused(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write_attentive_weights(tmp_path / "attentive.safetensors", monkeypatch)
    context = tmp_path / "context.safetensors"
    run(image, "-o", tmp_path / "a.tif", "--weights", weights, "--save-context", context)
    before = sorted(tmp_path.iterdir())

    for options, message in {
        ("--nodata", 7): "nodata auto, here 7.0",
        ("--bands", "3,2,1"): "bands [1, 2, 3], here [3, 2, 1]",
        ("--precision", "bf16"): "precision fp32, here bf16",
    }.items():
        result = run(
            image,
            "-o",
            tmp_path / "b.tif",
            "--weights",
            weights,
            "--use-context",
            context,
            *options,
            "--device",
            "cpu",
        )
        assert result.exit_code == 4
        assert (
            f"context.safetensors: the context was taken under other conditions: {message}" in result.stderr
        )
        assert sorted(tmp_path.iterdir()) == before


def test_the_options_of_the_command_are_those_of_the_engine() -> None:
    from rsseg.cli.predict import predict
    from rsseg.prediction.options import PredictOptions

    own = {
        "images",
        "output",
        "output_dir",
        "null_separated",
        "weights",
        "dry_run",
        "as_json",
        "quiet",
        "verbose",
    }
    offered = {param.name for param in predict.params} - own

    assert offered == {f.name for f in fields(PredictOptions)} - {"readers", "cache_bytes"}


def test_when_all_inputs_fail_no_map_is_called_complete(weights: Path, tmp_path: Path) -> None:
    result = run("gone1.tif", "gone2.tif", "--output-dir", tmp_path, "--weights", weights)

    assert result.exit_code == 6
    assert "2 of 2 inputs failed" in result.stderr
    assert "complete" not in result.stderr


@pytest.mark.parametrize("count", [1, 60])
def test_the_preview_has_room_for_any_classes(weights: Path, tmp_path: Path, count: int) -> None:
    names = [f"$\\odd_{n}$ class with a long name" for n in range(count)]
    classes = ClassTable(tuple(ClassInfo(n, name, "#123456") for n, name in enumerate(names)))
    decided = (np.arange(64 * 64) % count).astype(np.uint8).reshape(64, 64)
    image = write_raster(tmp_path / "i.tif", random_pixels(64, 64))
    class_map = write_raster(tmp_path / "m.tif", decided[None])

    with open_raster(image) as source:
        write_preview(tmp_path / "p.png", source=source, class_map=class_map, classes=classes)

    assert read_band(tmp_path / "p.png").shape[1] >= 400


def test_a_missing_file_is_refused(weights: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "gone.tif", "-o", tmp_path / "out.tif", "--weights", weights)

    assert_refused(result, tmp_path, code=3, message="gone.tif")


def test_a_text_file_is_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("not a raster")

    result = run(tmp_path / "text.tif", "-o", tmp_path / "out.tif", "--weights", weights)

    assert_refused(result, tmp_path, code=3, message="text.tif")


def test_too_few_bands_are_refused(weights: Path, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "two.tif", random_pixels(20, 20, bands=2), photometric="MINISBLACK")

    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights)

    assert_refused(
        result, tmp_path, code=3, message="two.tif: has 2 bands, the weights expect 3", hint="--bands"
    )


def test_16_bits_are_refused_without_a_scale(weights: Path, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "deep.tif", random_pixels(20, 20).astype(np.uint16))

    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights)

    assert_refused(result, tmp_path, code=3, message="holds uint16 pixels", hint="--scale MIN,MAX")


def test_a_missing_output_folder_is_refused(image: Path, weights: Path, tmp_path: Path) -> None:
    result = run(image, "-o", tmp_path / "no" / "out.tif", "--weights", weights)

    assert_refused(
        result, tmp_path, code=2, message=f"the folder {tmp_path / 'no'} does not exist", hint="mkdir -p"
    )


def test_unknown_weights_are_refused(image: Path, tmp_path: Path) -> None:
    result = run(image, "-o", tmp_path / "out.tif", "--weights", "nonesuch")

    assert_refused(result, tmp_path, code=4, message="nonesuch: unknown weights", hint="buildings")


def test_a_pickle_as_weights_is_refused(image: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.pth").write_bytes(b"PK\x03\x04")

    result = run(image, "-o", tmp_path / "out.tif", "--weights", tmp_path / "evil.pth")

    assert_refused(result, tmp_path, code=4, message="evil.pth: is a pickle")


def test_truncated_weights_are_refused(image: Path, weights: Path, tmp_path: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-3])

    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights)

    assert_refused(result, tmp_path, code=4, message="is no complete safetensors file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tile", "0"), "tile is 0 px"),
        (("--tile", "64", "--halo", "32"), "nothing is left to keep"),
        (("--batch-size", "0"), "batch-size is 0"),
        (("--batch-size", "100000"), "batch-size is 100000; expected 1 to 1024"),
        (("--device", "tpu"), "device is 'tpu'"),
        (("--bands", "1,2"), "--bands names 2 bands, the weights expect 3"),
        (("--bands", "0,1,2"), "bands count from 1"),
        (("--scale", "9,9"), "the first below the second"),
        (("--precision", "fp16"), "precision fp16 needs a GPU"),
        (("--context-sample", "2"), "context-sample is 2; expected a share"),
        (("--context", "tile", "--use-context", "f"), "--use-context is about the context of a raster"),
        (("--save-context", "f"), "linear: has no attention"),
        (("--seam-check", "--tile", "1"), "half of the 1 px they keep"),
    ],
)
def test_options_out_of_range_are_refused(
    image: Path, weights: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights, "--device", "cpu", *options)

    assert_refused(result, tmp_path, code=2, message=message)


@pytest.mark.parametrize(
    "options", [("--bands", "a,b"), ("--nodata", "nothing"), ("--scale", "1"), ("--scale", "a,b")]
)
def test_options_of_the_wrong_form_are_usage_errors(image: Path, options: tuple[str, ...]) -> None:
    result = run(image, "-o", "out.tif", *options)

    assert result.exit_code == 2
    assert "Invalid value" in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-o", "x.tif"), "no IMAGE given"),
        (("-0", "a.tif", "-o", "x.tif"), "-0 is about paths on standard input"),
        (("a.tif",), "say where to write"),
        (("a.tif", "-o", "x.tif", "--output-dir", "."), "say where to write"),
        (("a.tif", "b.tif", "-o", "x.tif"), "-o names one map, but there are 2 inputs"),
        (("a.tif", "--output-dir", "no/such/folder"), "no/such/folder: no such folder"),
        (("a/x.tif", "b/x.tif", "--output-dir", "."), "would both become x_classes.tif"),
        (("a.tif", "b.tif", "--output-dir", ".", "--preview", "p.png"), "--preview goes with one IMAGE"),
        (
            ("a.tif", "b.tif", "--output-dir", ".", "--save-context", "c"),
            "--save-context goes with one IMAGE",
        ),
    ],
)
def test_unclear_outputs_are_refused(args: tuple[str, ...], message: str) -> None:
    result = run(*args)

    assert result.exit_code == 2
    assert message in result.stderr


def test_a_corrupt_block_fails_names_the_window_and_leaves_nothing(weights: Path, tmp_path: Path) -> None:
    image = write_raster(
        tmp_path / "bad.tif",
        random_pixels(128, 128),
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="deflate",
    )
    content = bytearray(image.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    image.write_bytes(content)

    result = run(image, "-o", tmp_path / "out.tif", "--weights", weights)

    assert_refused(result, tmp_path, code=3, message="64 x 64 px at column")


def test_an_interrupt_leaves_nothing_and_says_so(tmp_path: Path, weights: Path) -> None:
    """SIGTERM, which is handled like Ctrl-C, in the middle of a run that would take far longer."""
    image = write_sparse_raster(tmp_path / "large.tif", width=20_000, height=20_000)
    command = [
        sys.executable,
        "-m",
        "rsseg",
        "predict",
        image,
        "-o",
        tmp_path / "out.tif",
        "--weights",
        weights,
    ]
    with subprocess.Popen(
        [*map(str, command)], stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as process:
        while not (tmp_path / "out.tif.part").exists() and process.poll() is None:
            pass
        process.terminate()
        _, talk = process.communicate(timeout=60)

    assert process.returncode == 130, talk
    assert "Interrupted" in talk
    assert "Traceback" not in talk
    assert sorted(p.name for p in tmp_path.iterdir()) == ["argmax.safetensors", "large.tif"]


def test_an_unfinished_run_is_gone_on_with_or_refused_with_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends while the map is encoded, when all blocks are there."""
    image = write_raster(tmp_path / "image.tif", random_pixels(600, 700), tiled=True)
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")
    command = ["predict", str(image), "-o", str(tmp_path / "map.tif"), "--weights", str(weights), "--json"]

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(completing, "encode_class_map", interrupt)
        stopped = CliRunner().invoke(main, command)
    other = CliRunner().invoke(main, [*command, "--tile", "256"])
    image_time = image.stat().st_mtime_ns
    os.utime(image, ns=(0, 0))
    changed = CliRunner().invoke(main, command)
    os.utime(image, ns=(image_time, image_time))
    resumed = CliRunner().invoke(main, command)

    assert stopped.exit_code == 130
    assert "map.tif.part: keeps what is done; the same command goes on from there" in stopped.stderr
    assert other.exit_code == 2
    assert "holds an unfinished run that differs in" in other.stderr
    assert "tile (was 64, is 256)" in other.stderr
    assert "--no-resume" in other.stderr
    assert changed.exit_code == 2
    assert "image (was" in changed.stderr
    assert resumed.exit_code == 0
    assert json.loads(resumed.stdout)["resumed_blocks"] == 4
    assert sum(json.loads(resumed.stdout)["classes"].values()) == 600 * 700
    assert not (tmp_path / "map.tif.part").exists()


def test_an_unfinished_run_can_be_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write_raster(tmp_path / "image.tif", random_pixels(600, 700), tiled=True)
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")
    command = ["predict", str(image), "-o", str(tmp_path / "map.tif"), "--weights", str(weights), "--json"]

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(completing, "encode_class_map", interrupt)
        CliRunner().invoke(main, command)
    anew = CliRunner().invoke(main, [*command, "--tile", "256", "--no-resume"])

    assert anew.exit_code == 0
    assert json.loads(anew.stdout)["resumed_blocks"] == 0
