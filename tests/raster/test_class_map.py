from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.transform import Affine

from rsseg.classes import ClassInfo, ClassTable
from rsseg.errors import OptionError, ResourceError
from rsseg.raster import (
    ClassMapWriter,
    ControlPoint,
    Grid,
    ImageWriter,
    check_output,
    open_label_raster,
    open_raster,
)
from rsseg.raster import block_file as block_file_module
from rsseg.raster import staging as staging_module
from rsseg.raster.env import open_dataset
from rsseg.tiling import Window, plan_blocks
from tests.raster.make import noise, write_tiff
from tests.raster.test_grid import LOCAL, MARS

CLASSES = ClassTable((ClassInfo(0, "land & sea", "#102030"), ClassInfo(1, "<roof>", "#FF0000")))
GRID = Grid(48, 40, Affine(0.5, 0, 400000, 0, -0.5, 5000000), CRS.from_epsg(32633))


def write_map(
    path: Path, data: np.ndarray[Any, np.dtype[np.uint8]], grid: Grid | None = None, **options: Any
) -> Path:
    """Write a whole class map (rows, cols) block by block."""
    grid = grid or Grid(data.shape[1], data.shape[0], GRID.transform, GRID.crs)
    with ClassMapWriter(path, grid=grid, classes=CLASSES, **options) as writer:
        for window in plan_blocks(grid.width, grid.height, block=512):
            writer.write_block(window, {"classes": data[None][:, *window.slices()]})
        writer.finish()
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 64), st.integers(1, 64))))
def test_what_is_written_is_read_back(tmp_path: Path, data: Any) -> None:
    path = write_map(tmp_path / "map.tif", data, overwrite=True)

    with open_label_raster(path) as labels:
        np.testing.assert_array_equal(labels.read(labels.grid.window), data)


def test_a_class_map_is_a_cog_with_colours_overviews_and_tags(tmp_path: Path) -> None:
    data = np.zeros((600, 1100), dtype=np.uint8)
    data[:, 550:] = 1
    data[:50] = 255

    path = write_map(tmp_path / "map.tif", data, tags={"rsseg": "1", "weights": "w"})

    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.compression.value == "DEFLATE"
        assert (dataset.count, dataset.dtypes[0], dataset.nodata) == (1, "uint8", 255)
        assert dataset.colorinterp == (ColorInterp.palette,)
        assert dataset.colormap(1)[1] == (255, 0, 0, 255)
        assert dataset.colormap(1)[255] == (0, 0, 0, 0)
        assert dataset.overviews(1) == [2, 4]
        assert set(np.unique(dataset.read(1, out_shape=(150, 275)))) == {0, 1, 255}
        tags = dataset.tags()
    assert {key: tags[key] for key in ("rsseg", "weights")} == {"rsseg": "1", "weights": "w"}


def test_class_names_and_their_table_are_in_the_sidecar(tmp_path: Path) -> None:
    write_map(tmp_path / "map.tif", np.zeros((40, 48), dtype=np.uint8))

    root = ElementTree.parse(tmp_path / "map.tif.aux.xml").getroot()

    assert names_in(tmp_path) == ["map.tif", "map.tif.aux.xml"]
    assert [c.text for c in root.iterfind("PAMRasterBand/CategoryNames/Category")] == ["land & sea", "<roof>"]
    rows = root.findall("PAMRasterBand/GDALRasterAttributeTable/Row")
    assert [[f.text for f in row] for row in rows] == [
        ["0", "land & sea", "16", "32", "48"],
        ["1", "<roof>", "255", "0", "0"],
    ]


def test_blocks_that_are_not_written_are_nodata(tmp_path: Path) -> None:
    grid = Grid(1030, 530)
    with ClassMapWriter(tmp_path / "map.tif", grid=grid, classes=CLASSES) as writer:
        writer.write_block(Window(512, 0, 512, 512), {"classes": np.ones((1, 512, 512), dtype=np.uint8)})
        writer.finish()

    with open_label_raster(tmp_path / "map.tif") as labels:
        read = labels.read(grid.window)
    assert (read[:512, 512:1024] == 1).all()
    assert (read != 255).sum() == 512 * 512


def test_order_place_and_name_do_not_change_a_byte(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 2, (1100, 1300)).astype(np.uint8)
    grid = Grid(1300, 1100, GRID.transform, GRID.crs)
    blocks = plan_blocks(1300, 1100, block=512)
    (tmp_path / "elsewhere").mkdir()
    one, other = tmp_path / "one.tif", tmp_path / "elsewhere" / "other.tif"
    write_map(one, data, grid)

    random.Random(3).shuffle(blocks)
    with ClassMapWriter(other, grid=grid, classes=CLASSES) as writer:
        for window in blocks:
            writer.write_block(window, {"classes": data[None][:, *window.slices()]})
        writer.finish()

    assert one.read_bytes() == other.read_bytes()
    assert Path(f"{one}.aux.xml").read_bytes() == Path(f"{other}.aux.xml").read_bytes()


POINTS = tuple(
    ControlPoint(r, c, 15 + c * 1e-3, 50 - r * 1e-3, 7.5) for r, c in [(0, 0), (0.5, 40), (39.5, 0), (39, 41)]
)
RATIONAL = RPC(
    height_off=10.0, height_scale=500.0, lat_off=50.0, lat_scale=0.1, line_den_coeff=[1.0] + [0.0] * 19,
    line_num_coeff=[0.5] * 20, line_off=20.0, line_scale=20.0, long_off=15.0, long_scale=0.1,
    samp_den_coeff=[1.0] + [0.0] * 19, samp_num_coeff=[0.25] * 20, samp_off=24.0, samp_scale=24.0,
    err_bias=1.5, err_rand=0.5,
)  # fmt: skip
NORTH_UP = Affine(1, 0, 5e5, 0, -1, 5e6)
ENGINEERING = (
    'ENGCRS["site",EDATUM["x"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
)


@pytest.mark.parametrize(
    "grid",
    [
        pytest.param(Grid(48, 40), id="no georeference"),
        pytest.param(Grid(48, 40, NORTH_UP), id="no CRS"),
        pytest.param(Grid(48, 40, crs=CRS.from_epsg(32633)), id="a CRS but no place"),
        pytest.param(Grid(48, 40, Affine(-0.1, -0.5, 3e5, -0.5, 0.1, 7e6), CRS.from_epsg(32759)), id="rotated"),
        pytest.param(Grid(48, 40, Affine(0.5, 0, -180, 0, 0.5, -90), CRS.from_epsg(4326)), id="south-up"),
        pytest.param(Grid(48, 40, Affine(1, 0, 0, 0, -1, 0), CRS.from_epsg(32633)), id="flipped identity"),
        pytest.param(Grid(48, 40, NORTH_UP, CRS.from_epsg(2036)), id="northing first"),
        pytest.param(Grid(48, 40, NORTH_UP, CRS.from_epsg(2263)), id="feet"),
        pytest.param(Grid(48, 40, NORTH_UP, CRS.from_user_input("EPSG:32633+5773")), id="with heights"),
        pytest.param(Grid(48, 40, NORTH_UP, CRS.from_string("ESRI:54009")), id="not EPSG"),
        pytest.param(Grid(48, 40, NORTH_UP, CRS.from_wkt(LOCAL)), id="local"),
        pytest.param(Grid(48, 40, NORTH_UP, CRS.from_wkt(ENGINEERING)), id="engineering"),
        pytest.param(Grid(48, 40, NORTH_UP, CRS.from_wkt(MARS)), id="Mars"),
        pytest.param(
            Grid(48, 40, NORTH_UP, CRS.from_string("+proj=ob_tran +o_proj=longlat +o_lat_p=39 +lon_0=18")),
            id="rotated pole",
        ),
        pytest.param(
            Grid(48, 40, NORTH_UP, CRS.from_string("+proj=tmerc +lon_0=10 +ellps=bessel +towgs84=1,2,3,4,5,6,7")),
            id="datum shift",
        ),
        pytest.param(Grid(48, 40, gcps=POINTS, gcp_crs=CRS.from_epsg(4326)), id="control points"),
        pytest.param(Grid(48, 40, gcps=POINTS, gcp_crs=CRS.from_wkt(ENGINEERING)), id="local control points"),
        pytest.param(Grid(48, 40, gcps=POINTS), id="control points without CRS"),
        pytest.param(Grid(48, 40, crs=CRS.from_epsg(4326), rpcs=RATIONAL), id="rational polynomials"),
    ],
)  # fmt: skip
def test_any_georeference_is_carried_over_exactly(tmp_path: Path, grid: Grid) -> None:
    path = write_map(tmp_path / "map.tif", np.ones((40, 48), dtype=np.uint8), grid)

    with open_label_raster(path) as labels, open_dataset(path) as dataset:
        assert labels.grid == grid
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    root = ElementTree.parse(f"{path}.aux.xml").getroot()
    assert len(root.findall("PAMRasterBand/CategoryNames/Category")) == 2


@pytest.mark.parametrize("failure", [None, RuntimeError, KeyboardInterrupt])
def test_leaving_without_finish_leaves_nothing(tmp_path: Path, failure: type[BaseException] | None) -> None:
    def run() -> None:
        with ClassMapWriter(tmp_path / "map.tif", grid=GRID, classes=CLASSES) as writer:
            writer.write_block(GRID.window, {"classes": np.ones((1, 40, 48), dtype=np.uint8)})
            assert names_in(tmp_path) == ["map.tif.part"]
            if failure is not None:
                raise failure

    if failure is None:
        run()
    else:
        with pytest.raises(failure):
            run()

    assert names_in(tmp_path) == []


def test_a_failed_rename_takes_the_sidecar_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if target.suffix == ".tif":
            raise PermissionError(13, "Permission denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)

    with pytest.raises(ResourceError, match=r"map\.tif: cannot be written \(Permission denied\)"):
        write_map(tmp_path / "map.tif", np.ones((40, 48), dtype=np.uint8))

    assert names_in(tmp_path) == []


def test_an_existing_output_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "map.tif").write_bytes(b"old")

    with pytest.raises(OptionError, match="exists already") as caught:
        write_map(tmp_path / "map.tif", np.ones((40, 48), dtype=np.uint8))

    assert "--overwrite" in (caught.value.hint or "")
    assert names_in(tmp_path) == ["map.tif"]
    assert (tmp_path / "map.tif").read_bytes() == b"old"


def test_overwriting_does_not_inherit_masks_and_overviews(tmp_path: Path) -> None:
    old = write_tiff(tmp_path / "map.tif", noise(1, 40, 48))
    for suffix in (".msk", ".ovr"):
        Path(f"{old}{suffix}").write_bytes(old.read_bytes())

    write_map(old, np.ones((40, 48), dtype=np.uint8), overwrite=True)

    assert names_in(tmp_path) == ["map.tif", "map.tif.aux.xml"]


def test_an_image_does_not_inherit_the_class_names_of_a_map(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", np.ones((40, 48), dtype=np.uint8))

    with ImageWriter(path, grid=GRID, bands=1, overwrite=True) as writer:
        writer.write(GRID.window, noise(1))
        writer.finish()

    assert names_in(tmp_path) == ["map.tif"]


def test_a_failing_overwrite_keeps_the_old_output(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", np.ones((40, 48), dtype=np.uint8))
    old = path.read_bytes()

    with pytest.raises(RuntimeError), ClassMapWriter(path, grid=GRID, classes=CLASSES, overwrite=True):
        raise RuntimeError

    assert path.read_bytes() == old


def test_two_runs_cannot_write_one_output(tmp_path: Path) -> None:
    with ClassMapWriter(tmp_path / "map.tif", grid=GRID, classes=CLASSES) as writer:
        with (
            pytest.raises(ResourceError, match="is being written by another run"),
            ClassMapWriter(tmp_path / "map.tif", grid=GRID, classes=CLASSES),
        ):
            pass
        writer.finish()

    assert names_in(tmp_path) == ["map.tif", "map.tif.aux.xml"]


def test_a_run_that_begins_at_the_same_moment_is_not_disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "map.tif.part").mkdir()
    monkeypatch.setattr(staging_module.StagingFolder, "_take_over", lambda _self, keep: False)

    with (
        pytest.raises(ResourceError, match="is being written by another run"),
        ClassMapWriter(tmp_path / "map.tif", grid=GRID, classes=CLASSES),
    ):
        pass

    assert names_in(tmp_path) == ["map.tif.part"]


def test_an_interrupt_while_the_folder_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(staging_module, "_locked", interrupt)

    with pytest.raises(KeyboardInterrupt), ClassMapWriter(tmp_path / "map.tif", grid=GRID, classes=CLASSES):
        pass

    assert names_in(tmp_path) == []


def test_what_a_killed_run_left_is_replaced_with_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = tmp_path / "map.tif.part"
    left.mkdir()
    (left / "rsseg.lock").touch()
    (left / "blocks.tif").write_bytes(b"half")

    write_map(tmp_path / "map.tif", np.ones((40, 48), dtype=np.uint8))

    assert names_in(tmp_path) == ["map.tif", "map.tif.aux.xml"]
    assert "replaces what an interrupted run left" in caplog.text


def test_a_folder_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "map.tif.part").mkdir()
    (tmp_path / "map.tif.part" / "thesis.txt").touch()

    with (
        pytest.raises(OptionError, match="is not from rsseg"),
        ClassMapWriter(tmp_path / "map.tif", grid=GRID, classes=CLASSES),
    ):
        pass

    assert names_in(tmp_path / "map.tif.part") == ["thesis.txt"]


def test_outputs_that_cannot_be_written_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match="does not exist") as caught:
        check_output(tmp_path / "none" / "map.tif", overwrite=False)
    assert caught.value.hint == f"mkdir -p {tmp_path / 'none'}"
    with pytest.raises(OptionError, match="is a folder"):
        check_output(tmp_path, overwrite=True)
    monkeypatch.setattr(staging_module.os, "access", lambda *_: False)
    with pytest.raises(ResourceError, match="is not writable"):
        check_output(tmp_path / "map.tif", overwrite=False)


def test_a_staging_file_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(block_file_module.os, "ftruncate", refuse)

    with (
        pytest.raises(ResourceError, match="No space left on device"),
        ClassMapWriter(tmp_path / "map.tif", grid=GRID, classes=CLASSES),
    ):
        pass

    assert names_in(tmp_path) == []


FULL_DISK = """
import resource, sys
import numpy as np
from pathlib import Path
from rsseg.classes import ClassTable
from rsseg.errors import ResourceError
from rsseg.raster import ClassMapWriter, Grid, ImageWriter
from rsseg.tiling import plan_blocks

folder, blocks = Path(sys.argv[1]), plan_blocks(1024, 1024, block=512)
data = np.random.default_rng(0).integers(0, 3, (512, 512)).astype(np.uint8)
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for kind in (ClassMapWriter, ImageWriter):
        options = {"classes": ClassTable.unnamed(3)} if kind is ClassMapWriter else {"bands": 1}
        try:
            with kind(folder / "out.tif", grid=Grid(1024, 1024), **options) as writer:
                if kind is ClassMapWriter:
                    write = lambda w, d: writer.write_block(w, {"classes": d[None]})
                else:
                    write = lambda w, d: writer.write(w, d[None])
                for window in blocks:
                    write(window, data)
                writer.finish()
            print(limit, kind.__name__, "finished")
            (folder / "out.tif").unlink()
        except ResourceError as err:
            print(limit, kind.__name__, "refused:", err)
        assert not list(folder.iterdir()), list(folder.iterdir())
"""


def test_a_full_disk_is_an_error_at_any_moment_and_leaves_nothing(tmp_path: Path) -> None:
    """Files that may not grow past a limit stand for the disk; GDAL alone loses the last block without a word."""
    limits = [100, 100_000, 240_000, 800_000, 1_000_000, 1_048_000]

    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), *map(str, limits)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 2 * len(limits)
    maps = [line for line in lines if "ClassMapWriter" in line]
    assert all("refused" in line and "out.tif: cannot be written (" in line for line in maps)
    images = [line for line in lines if "ImageWriter" in line]
    assert all("refused" in line for line in images[:3])


@pytest.mark.parametrize(
    ("window", "shape", "dtype"),
    [
        (Window(1, 0, 512, 512), (512, 512), "uint8"),
        (Window(0, 0, 100, 512), (512, 100), "uint8"),
        (Window(512, 512, 512, 512), (512, 512), "uint8"),
        (Window(0, 0, 512, 512), (512, 511), "uint8"),
        (Window(0, 0, 512, 512), (512, 512), "int64"),
    ],
)
def test_only_whole_blocks_of_bytes_are_written(
    tmp_path: Path, window: Window, shape: tuple[int, int], dtype: str
) -> None:
    with (
        ClassMapWriter(tmp_path / "map.tif", grid=Grid(700, 600), classes=CLASSES) as writer,
        pytest.raises(ValueError, match="block"),
    ):
        writer.write_block(window, {"classes": np.zeros((1, *shape), dtype=dtype)})


@pytest.mark.parametrize(
    ("bands", "dtype", "nodata"),
    [(3, "uint8", 0), (1, "uint8", None), (4, "uint16", 0), (2, "float32", -9999)],
)
def test_images_are_written_and_read_back(
    tmp_path: Path, bands: int, dtype: str, nodata: float | None
) -> None:
    data = noise(bands, 40, 48, dtype)
    with ImageWriter(tmp_path / "i.tif", grid=GRID, bands=bands, dtype=dtype, nodata=nodata) as writer:
        writer.write(Window(0, 0, 48, 16), data[:, :16])
        writer.write(Window(0, 16, 48, 24), data[:, 16:])
        writer.finish()

    with open_raster(tmp_path / "i.tif", channels=bands) as source:
        pixels = source.read(source.grid.window)

    assert names_in(tmp_path) == ["i.tif"]
    assert source.grid == GRID
    assert pixels.valid.all()
    np.testing.assert_array_equal(pixels.data, data)


def test_what_an_image_lacks_is_nodata(tmp_path: Path) -> None:
    with ImageWriter(tmp_path / "i.tif", grid=GRID, bands=3, nodata=0) as writer:
        writer.write(Window(0, 0, 10, 10), np.full((3, 10, 10), 9, dtype=np.uint8))
        writer.finish()

    with open_raster(tmp_path / "i.tif") as source:
        assert source.read(GRID.window).valid.sum() == 100
