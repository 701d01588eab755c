"""`rsseg info` as a user meets it: what it takes an input for, what it tells, and how it ends."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rsseg.cli.main import main
from rsseg.weights import init_weights, load_card, save_weights
from tests.data.labelled import square, write_features, write_tiles
from tests.making import random_pixels, write_argmax_weights, write_raster
from tests.raster.make import UTM as PLACE
from tests.raster.make import damage_block, noise, write_tiff
from tests.shared import shared_folder
from tests.training.runs import SPLIT, recipe, train_until


def info(*args: object) -> Result:
    return CliRunner().invoke(main, ["info", *map(str, args)])


def told(*args: object) -> dict[str, Any]:
    """The one JSON object that is printed."""
    result = info(*args, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def refused(result: Result, code: int) -> str:
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert lines[0].startswith("Error: ")
    assert all(line.startswith("Hint: ") for line in lines[1:])
    return result.stderr


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = write_argmax_weights(tmp_path / "argmax.safetensors", names=("red", "green", "blue"))
    card = replace(load_card(str(path)), gsd_m=0.15)
    save_weights(path, init_weights(card, seed=0), card)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "town.tif", random_pixels(100, 130), photometric="RGB")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in its second epoch, beside its data `d`."""
    folder = tmp_path_factory.mktemp("stopped")
    train_until(5, write_tiles(folder / "d", split=SPLIT), folder / "run", recipe())
    return folder / "run"


# --- kinds ----------------------------------------------------------------------------------------------------------


def test_an_image(photo: Path) -> None:
    result = info(photo)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"{photo}: image, 130 x 100 px, 3 bands of uint8",
        "  stored as     GTiff, strips of 130 x 21 px, not compressed, no overviews",
        "  place         EPSG:32645, pixels of 0.15 m, 0.0293 ha",
        "  bands         1 red, 2 green, 3 blue",
        "  values        1 to 254 in the 13,000 pixels looked at",
        "  missing data  nothing says that any is missing; 0.0% of the pixels looked at",
    ]


def test_an_image_against_weights(photo: Path, weights: Path) -> None:
    assert (
        "  weights       bands 1 as red, 2 as green, 3 as blue; 6 tiles of 64 px\n"
        in info(photo, "--weights", weights).stdout
    )
    assert told(photo, "--weights", weights)["fit"] == {
        "bands": [1, 2, 3],
        "tiles": 6,
        "tile": 64,
        "fits": True,
    }


def test_what_weights_would_refuse_is_a_warning(tmp_path: Path, weights: Path) -> None:
    path = write_raster(tmp_path / "a.tif", random_pixels(40, 50).astype(np.uint16))

    result = info(path, "--weights", weights)

    assert result.exit_code == 0
    assert "Warning: holds uint16 pixels, the weights were trained on uint8\nHint: " in result.stdout
    assert told(path, "--weights", weights)["fit"]["fits"] is False


def test_a_map_of_predict_tells_what_made_it(photo: Path, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "map.tif"
    predicted = CliRunner().invoke(
        main, ["predict", str(photo), "-o", str(output), "--weights", str(weights), "--device", "cpu"]
    )
    assert predicted.exit_code == 0, predicted.output

    document = told(output)

    assert (document["kind"], document["classes"]) == ("class map", ["red", "green", "blue"])
    assert document["made_with"]["weights"] == "argmax"
    assert set(document["ids_seen"]) <= {0, 1, 2}
    assert "0 red" in info(output).stdout


def test_labels(tmp_path: Path) -> None:
    ids = np.zeros((1, 20, 40), np.uint8)
    ids[:, :5] = 4
    ids[:, -5:] = 255

    text = info(write_raster(tmp_path / "labels.tif", ids)).stdout

    assert "labels.tif: labels, 40 x 20 px, 1 band of uint8" in text
    assert "  classes       0 50.0%, 4 25.0%, 255 no data 25.0%" in text


def test_labels_and_maps_are_not_compared_with_weights(tmp_path: Path, weights: Path) -> None:
    ids = np.zeros((1, 20, 40), np.uint8)
    ids[:, :5] = 4
    path = write_raster(tmp_path / "labels.tif", ids)

    note = "is taken for labels, so not compared with the weights"

    assert f"Note: {note}\n" in info(path, "--weights", weights).stdout
    assert note in told(path, "--weights", weights)["notes"]
    assert note not in told(path)["notes"]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_a_dark_image_in_wider_integers_is_no_label_raster(tmp_path: Path, dtype: Any) -> None:
    pixels = np.random.default_rng(1).integers(0, 40, size=(1, 20, 40))

    assert told(write_raster(tmp_path / "pan.tif", pixels.astype(dtype)))["kind"] == "image"
    assert told(write_raster(tmp_path / "ids.tif", pixels.astype(np.uint8)))["kind"] == "labels"


def test_polygons(tmp_path: Path) -> None:
    path = write_features(
        tmp_path / "drawn.geojson", square(0, 0, 4, kind="house"), square(9, 9, 4, kind="shed")
    )

    result = info(path)

    assert "  layer         drawn: 2 features, Polygon, EPSG:32645" in result.stdout
    assert "  attribute     kind: house 1, shed 1" in result.stdout
    assert told(path)["layers"][0]["attributes"] == {"kind": {"house": 1, "shed": 1}}


def test_weights_by_path_and_by_name(weights: Path) -> None:
    assert told(weights)["card"]["gsd_m"] == 0.15
    assert told("buildings")["kind"] == "weights"
    assert "  network       maresunet resnet18" in info("buildings").stdout


def test_weights_without_a_ground_size(tmp_path: Path) -> None:
    assert (
        "Warning: does not say how large pixels are"
        in info(write_argmax_weights(tmp_path / "w.safetensors")).stdout
    )


def test_data_sets(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    (tmp_path / "m.toml").write_text('tiles = "d"\n[card]\ngsd_m = 0.5\n')

    for path in (folder, tmp_path / "m.toml"):
        document = told(path)
        assert (document["kind"], document["scenes"]) == ("data set", {"train": 2, "val": 1, "test": 0})
    assert "  ground size   0.5 m" in info(tmp_path / "m.toml").stdout
    assert "  train         2 scenes, 2 by pixels" in info(folder).stdout


def test_a_run_and_how_to_go_on_with_it(stopped: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(stopped, tmp_path / "run"))

    document = told(run)

    assert (document["kind"], document["state"], document["epochs"]) == ("run", "stopped", 1)
    assert (document["resumable"], document["epochs_asked"]) == (True, 3)
    assert document["commands"][0] == f"rsseg train --resume {run}"
    assert document["commands"][1].endswith(f"--weights {run / 'best.safetensors'}")
    text = info(run).stdout
    assert f"{run}: training run, stopped after epoch 1\n" in text
    assert "  epochs        1 of 3\n" in text
    (run / "last.ckpt").unlink()
    assert "Warning: cannot be gone on with: last.ckpt is gone" in info(run).stdout


# --- what may be wrong ----------------------------------------------------------------------------------------------


def test_warnings_have_hints_and_no_path(tmp_path: Path) -> None:
    data = noise(rows=300, cols=300) // 2 + 40
    data[:, :, :90] = 255

    result = info(write_tiff(tmp_path / "a.tif", data, **PLACE))

    assert "Warning: " in result.stdout
    assert "all white, and count as data\nHint: if that is no ground but a collar" in result.stdout


def test_what_cannot_be_predicted_is_told_and_described(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(bands=4), photometric="CMYK", **PLACE)

    document = told(path)

    assert (document["kind"], document["width"]) == ("image", 48)
    assert "has CMYK colours" in document["warnings"][0]["text"]


def test_damaged_pixels_are_told(tmp_path: Path) -> None:
    whole = write_tiff(
        tmp_path / "a.tif", noise(rows=256, cols=256), tiled=True, blockxsize=128, blockysize=128, **PLACE
    )

    result = info(damage_block(whole, tmp_path / "b.tif", zeros=False))

    assert result.exit_code == 0
    assert "Warning: cannot read" in result.stdout


def test_ids_that_no_class_has(tmp_path: Path) -> None:
    names = "<CategoryNames><Category>a</Category><Category>b</Category></CategoryNames>"
    sidecar = f'<PAMDataset><PAMRasterBand band="1">{names}</PAMRasterBand></PAMDataset>'
    (tmp_path / "map.tif.aux.xml").write_text(sidecar)
    path = write_raster(tmp_path / "map.tif", np.array([[[0, 1, 7, 255]]], np.uint8), nodata=255)

    assert "Warning: holds the value 7, which is none of its 2 classes" in info(path).stdout


# --- how it ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("gone.tif", 3, "gone.tif: no such file"),
        ("gone.geojson", 3, "gone.geojson: no such file"),
        ("gone.toml", 3, "gone.toml"),
        ("gone.safetensors", 4, "gone.safetensors: no such file"),
        ("roofs", 4, "roofs: unknown weights"),
        ("notes.txt", 3, "notes.txt: is not a raster"),
        ("pickle.pth", 4, "is a pickle"),
        (".", 3, ".: is a folder, but neither a run (config.toml) nor a data set"),
    ],
)
def test_what_it_cannot_read(
    name: str, code: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "pickle.pth").write_bytes(b"PK\x03\x04" + bytes(100))

    assert expected in refused(info(name), code)


def test_of_several_inputs_the_others_are_answered(photo: Path, tmp_path: Path) -> None:
    result = info(tmp_path / "gone.tif", photo, "buildings")
    as_json = info(tmp_path / "gone.tif", photo, "buildings", "--json")

    assert (result.exit_code, as_json.exit_code) == (6, 6)
    assert "gone.tif: no such file" in result.stderr
    assert "1 of 3 inputs failed" in result.stderr
    assert f"{photo}: image" in result.stdout
    documents = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [d.get("kind") for d in documents] == [None, "image", "weights"]
    assert documents[0]["exit_code"] == 3


def test_it_does_not_wait_for_torch(photo: Path, weights: Path, stopped: Path) -> None:
    paths = list(map(str, (photo, stopped.parent / "d", stopped, weights, "buildings")))
    script = (
        "import sys; from rsseg.cli.main import main\n"
        f"try: main(['info', *{paths!r}, '--weights', 'landcover', '--json'], prog_name='rsseg')\n"
        "except SystemExit as end: print(end.code, [n for n in ('torch', 'matplotlib', 'scipy') if n in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.splitlines()[-1] == "0 []"
    assert len(result.stdout.splitlines()) == 1 + len(paths)


def test_every_odd_raster_is_described(weights: Path) -> None:
    folder = shared_folder("data", "robust")
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".tif", ".tiff"))

    result = info(*paths, "--weights", weights, "--json")

    assert result.exit_code == 0, result.stderr
    documents = {Path(d["path"]).name: d for d in map(json.loads, result.stdout.splitlines())}
    assert len(documents) == len(paths) == 28
    assert {d["kind"] for d in documents.values()} == {"image", "labels"}
    suspected = {n for n, d in documents.items() if any("edge" in w["text"] for w in d["warnings"])}
    assert suspected == {"mars_rgb.tif", "oam_manila_epsg3395_jpeg_black.tif"}
    assert any("cannot read" in w["text"] for w in documents["corrupt_block.tif"]["warnings"])
    assert documents["rgb_12bit.tiff"]["bits"] == 12
    assert documents["colorado_rgb.tif"]["warnings"] == []
