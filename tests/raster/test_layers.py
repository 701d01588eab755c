"""What is written beside a class map: probabilities and confidence."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from rsseg.classes import ClassTable
from rsseg.errors import OptionError
from rsseg.raster import ClassMapWriter, Grid, check_output, completing
from rsseg.raster import class_map as class_map_module
from rsseg.raster.layers import Layers, check_layer_output
from rsseg.raster.staging import StagingFolder
from rsseg.tiling import plan_blocks
from tests.raster.test_grid import LOCAL

GRID = Grid(1100, 700, Affine(0.5, 0, 400000, 0, -0.5, 5000000), CRS.from_epsg(32633))


def made_layers(classes: int, grid: Grid = GRID, *, seed: int = 0) -> Layers:
    """Random layers; the block in the middle of the upper row and some pixels have no data."""
    generator = np.random.default_rng(seed)
    size = grid.height, grid.width
    layers = {
        "probabilities": generator.integers(0, 255, (classes, *size)).astype(np.uint8),
        "confidence": generator.integers(0, 255, (1, *size)).astype(np.uint8),
        "classes": generator.integers(0, classes, (1, *size)).astype(np.uint8),
    }
    missing = generator.random(size) < 0.1
    missing[:512, 512:1024] = True
    for layer in layers.values():
        layer[:, missing] = 255
    return layers


def write(
    folder: Path, layers: Layers, *, grid: Grid = GRID, blocks: int | None = None, **options: Any
) -> ClassMapWriter:
    """Write `map.tif` and a file for each other layer, or only that many blocks of what is missing."""
    files = {name: folder / f"{name}.tif" for name in layers if name != "classes"}
    table = ClassTable.unnamed(max(2, len(layers.get("probabilities", ()))))
    with ClassMapWriter(folder / "map.tif", grid=grid, classes=table, layers=files, **options) as writer:
        missing = [w for w in plan_blocks(grid.width, grid.height, block=512) if not writer.done(w)]
        for window in missing[:blocks]:
            block = {name: layer[:, *window.slices()] for name, layer in layers.items()}
            writer.write_block(window, None if (block["classes"] == 255).all() else block)
        if blocks is None:
            writer.finish()
    return writer


def read(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """All bands."""
    with rasterio.open(path) as dataset:
        pixels: np.ndarray[Any, np.dtype[np.uint8]] = dataset.read()
    return pixels


def contents(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(2, 7), st.integers(1, 40), st.integers(500, 530), st.integers(0, 99))
def test_what_is_written_is_read_back(
    tmp_path: Path, classes: int, width: int, height: int, seed: int
) -> None:
    grid = Grid(width, height, GRID.transform, GRID.crs)
    layers = made_layers(classes, grid, seed=seed)

    write(tmp_path, layers, grid=grid, overwrite=True)

    np.testing.assert_array_equal(read(tmp_path / "map.tif"), layers["classes"])
    np.testing.assert_array_equal(read(tmp_path / "probabilities.tif"), layers["probabilities"])
    np.testing.assert_array_equal(read(tmp_path / "confidence.tif"), layers["confidence"])


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
def test_probabilities_are_a_cog_with_named_bands_of_0_to_1(tmp_path: Path, classes: int) -> None:
    write(tmp_path, made_layers(classes), tags={"RSSEG_WEIGHTS": "w"})

    with rasterio.open(tmp_path / "probabilities.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.compression.value == "DEFLATE"
        assert dataset.block_shapes == [(512, 512)] * classes
        assert (dataset.count, set(dataset.dtypes), dataset.nodata) == (classes, {"uint8"}, 255)
        assert dataset.descriptions == ClassTable.unnamed(classes).names
        assert dataset.scales == pytest.approx((1 / 254,) * classes)
        assert dataset.tags()["RSSEG_WEIGHTS"] == "w"
        assert (dataset.crs, dataset.transform) == (GRID.crs, GRID.transform)
        assert dataset.overviews(1) == [2, 4]
        # Three bands are no picture, and the fourth is no alpha.
        assert not {ColorInterp.red, ColorInterp.alpha} & set(dataset.colorinterp)


def test_overviews_are_averages_of_what_has_data(tmp_path: Path) -> None:
    layers = made_layers(2)
    layers["confidence"][:] = 255
    layers["confidence"][0, 600, 0:2] = 100, 200
    layers["confidence"][0, 600, 2:4] = 40, 60

    write(tmp_path, layers)

    with rasterio.open(tmp_path / "confidence.tif", overview_level=0) as dataset:
        overview = dataset.read(1)
    assert overview[300, :3].tolist() == [150, 50, 255]


@pytest.mark.parametrize("crs", [LOCAL, None])
def test_layers_lie_where_the_map_lies_even_if_geotiff_cannot_say_where(
    tmp_path: Path, crs: str | None
) -> None:
    grid = Grid(1100, 700, GRID.transform, crs and CRS.from_user_input(crs))

    write(tmp_path, made_layers(2), grid=grid)

    for name in ("map.tif", "probabilities.tif", "confidence.tif"):
        with rasterio.open(tmp_path / name) as dataset:
            assert (dataset.crs, dataset.transform) == (grid.crs, grid.transform)


@pytest.fixture
def commit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_map_module, "COMMIT_S", -1.0)


@pytest.mark.usefixtures("commit_at_once")
def test_a_run_with_layers_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    write(whole, made_layers(3), run={})
    for _ in range(2):
        write(parts, made_layers(3), run={}, blocks=2)

    writer = write(parts, made_layers(3), run={})

    assert writer.resumed_blocks == 4
    assert contents(parts) == contents(whole)


@pytest.mark.usefixtures("commit_at_once")
def test_a_run_with_other_layers_is_refused(tmp_path: Path) -> None:
    layers = made_layers(3)
    write(tmp_path, {"classes": layers["classes"]}, run={}, blocks=2)

    with pytest.raises(OptionError, match=r"layers \(was \[\], is \['confidence', 'probabilities'\]\)"):
        write(tmp_path, layers, run={})


KILLED = """
import os, sys
from pathlib import Path
from rsseg.raster import block_file, class_map
from tests.raster.test_layers import made_layers, write

class_map.COMMIT_S = -1.0
writes, write_all = int(sys.argv[2]), block_file._write_all

def counted(*args):
    global writes
    writes -= 1
    if writes < 0:
        os.kill(os.getpid(), 9)
    write_all(*args)

block_file._write_all = counted
write(Path(sys.argv[1]), made_layers(3), run={})
"""


@pytest.mark.parametrize(("writes", "blocks"), [(2, 0), (4, 2), (14, 5), (17, 6)])
def test_a_run_with_layers_that_is_killed_gives_the_same_bytes(
    tmp_path: Path, writes: int, blocks: int
) -> None:
    """Five of six blocks hold data, a write for each of three layers; then come the headers."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    write(whole, made_layers(3), run={})

    command = [sys.executable, "-c", KILLED, str(killed), str(writes)]
    run = subprocess.run(command, check=False, cwd=Path(__file__).parents[2])

    assert run.returncode == -signal.SIGKILL
    assert [path.name for path in killed.iterdir()] == ["map.tif.part"]
    assert write(killed, made_layers(3), run={}).resumed_blocks == blocks
    assert contents(killed) == contents(whole)


def test_the_map_appears_last_and_its_sidecar_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[str] = []
    publish = StagingFolder.publish

    def listen(folder: StagingFolder, files: dict[Path, Path]) -> None:
        placed.extend(target.name for target in files.values())
        publish(folder, files)

    monkeypatch.setattr(StagingFolder, "publish", listen)

    write(tmp_path, made_layers(2))

    assert placed == ["probabilities.tif", "confidence.tif", "map.tif.aux.xml", "map.tif"]


def test_layers_are_resampled_and_then_the_classes_sieved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Any] = []
    resample, sieve = completing.resample_layer, completing.sieve_classes
    encode = completing.encode_class_map

    def resample_and_tell(staged: Path, resampled: Path, **options: Any) -> None:
        steps.append((staged.name, options["how"], made_files(staged.parent)))
        resample(staged, resampled, **options)

    def sieve_and_tell(staged: Path, sieved: Path, **options: Any) -> None:
        steps.append((staged.name, options["min_area"], made_files(staged.parent)))
        sieve(staged, sieved, **options)

    def encode_and_tell(staged: Path, encoded: Path, **options: Any) -> Path:
        steps.append((staged.name, "encode", made_files(staged.parent)))
        return encode(staged, encoded, **options)

    def made_files(folder: Path) -> list[str]:
        return sorted(p.name for p in folder.glob("*ed.tif") if "encoded" not in p.name)

    monkeypatch.setattr(completing, "resample_layer", resample_and_tell)
    monkeypatch.setattr(completing, "sieve_classes", sieve_and_tell)
    monkeypatch.setattr(completing, "encode_class_map", encode_and_tell)
    target = Grid(550, 350, Affine(1, 0, 400000, 0, -1, 5000000), GRID.crs)

    writer = write(tmp_path, made_layers(2), target=target, min_area=9)

    assert steps == [
        ("probabilities.blocks.tif", "bilinear", []),
        ("confidence.blocks.tif", "bilinear", []),
        ("blocks.tif", "nearest", []),
        ("resampled.tif", 9, ["resampled.tif"]),
        ("sieved.tif", "encode", ["sieved.tif"]),
    ]
    for name in ("map.tif", "probabilities.tif", "confidence.tif"):
        with rasterio.open(tmp_path / name) as dataset:
            assert (dataset.width, dataset.height, dataset.transform) == (550, 350, target.transform)
    counted = np.bincount(read(tmp_path / "map.tif").ravel(), minlength=256)
    assert writer.counts is not None
    assert writer.counts.pixels == tuple(counted[:2])
    assert writer.counts.nodata_pixels == counted[255]
    assert writer.counts.areas_m2 == tuple(counted[:2])


def test_without_finishing_pixels_stay_as_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(completing, "resample_layer")
    monkeypatch.delattr(completing, "sieve_classes")

    writer = write(tmp_path, made_layers(2), target=GRID, min_area=1)

    assert writer.counts is not None
    assert sum(writer.counts.pixels) + writer.counts.nodata_pixels == 1100 * 700


@pytest.mark.parametrize("change", ["one is missing", "one too many", "a band is missing", "another type"])
def test_only_blocks_of_all_layers_are_written(tmp_path: Path, change: str) -> None:
    layers = {name: layer[:, :512, :512] for name, layer in made_layers(2).items()}
    match change:
        case "one is missing":
            del layers["confidence"]
        case "one too many":
            layers["entropy"] = layers["confidence"]
        case "a band is missing":
            layers["probabilities"] = layers["confidence"]
        case _:
            layers["confidence"] = layers["confidence"].astype(np.int64)  # type: ignore[assignment]
    files = {name: tmp_path / f"{name}.tif" for name in ("probabilities", "confidence")}

    with (
        ClassMapWriter(
            tmp_path / "map.tif", grid=GRID, classes=ClassTable.unnamed(2), layers=files
        ) as writer,
        pytest.raises(ValueError, match="block holds"),
    ):
        writer.write_block(plan_blocks(1100, 700, block=512)[0], layers)


def test_a_replaced_layer_loses_what_belonged_to_the_old_one(tmp_path: Path) -> None:
    write(tmp_path, made_layers(2))
    (tmp_path / "confidence.tif.aux.xml").write_text("<PAMDataset/>")
    (tmp_path / "probabilities.tif.ovr").touch()

    write(tmp_path, made_layers(2), overwrite=True)

    names = ["confidence.tif", "map.tif", "map.tif.aux.xml", "probabilities.tif"]
    assert sorted(contents(tmp_path)) == names


def test_files_of_layers_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, layer = tmp_path / "map.tif", tmp_path / "here" / "p.tif"

    with pytest.raises(OptionError, match=r"p\.png: is written as GeoTIFF"):
        check_layer_output(tmp_path / "p.png", output=output, overwrite=False)
    with pytest.raises(OptionError, match="does not exist"):
        check_layer_output(layer, output=output, overwrite=False)
    layer.parent.mkdir()
    check_layer_output(layer.with_suffix(".TIFF"), output=output, overwrite=False)
    layer.touch()
    with pytest.raises(OptionError, match="exists already"):
        check_layer_output(layer, output=output, overwrite=False)


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == Path.cwd().stat().st_dev,
    reason="needs a second disk",
)
def test_a_layer_on_another_disk_is_refused(tmp_path: Path) -> None:
    layer = Path("/dev/shm/rsseg-no-such-file.tif")
    check_output(layer, overwrite=True)

    with pytest.raises(OptionError, match="is on another disk than"):
        check_layer_output(layer, output=tmp_path / "map.tif", overwrite=True)
