"""A look at a few places of a raster: what it finds, and how much it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rsseg.errors import RasterError
from rsseg.raster import open_raster
from rsseg.raster.labels import open_label_raster
from rsseg.raster.look import look_at, look_at_labels
from rsseg.tiling import Window
from tests.raster.make import UTM, damage_block, noise, write_tiff


def test_all_of_a_small_raster_is_looked_at(tmp_path: Path) -> None:
    data = noise(rows=100, cols=130)
    data[:, 10:20, 30:50] = 0
    path = write_tiff(tmp_path / "a.tif", data, nodata=0, **UTM)

    with open_raster(path) as source:
        look = look_at(source)

    assert look is not None
    assert look.pixels == 100 * 130
    assert look.valid_share == 1 - 200 / (100 * 130)
    valid = data.reshape(3, -1)[:, (data != 0).any(axis=0).ravel()]
    assert (look.lowest, look.highest) == (tuple(valid.min(axis=1)), tuple(valid.max(axis=1)))
    assert look.values == {}


def test_ids_of_one_band_are_counted(tmp_path: Path) -> None:
    ids = np.zeros((1, 40, 50), np.uint8)
    ids[0, :4] = 3
    ids[0, -2:] = 255
    path = write_tiff(tmp_path / "a.tif", ids, nodata=255, **UTM)

    with open_raster(path) as source, open_label_raster(path) as labels:
        look = look_at(source)
        assert look is not None
        assert look.values == {0: 34 * 50, 3: 4 * 50}
        assert look_at_labels(labels) == {0: 34 * 50, 3: 4 * 50, 255: 2 * 50}


def test_many_values_are_no_ids(tmp_path: Path) -> None:
    data = np.arange(400, dtype=np.uint16).reshape(1, 20, 20)

    with open_raster(write_tiff(tmp_path / "a.tif", data, **UTM)) as source:
        look = look_at(source)

    assert look is not None
    assert look.values == {}


@pytest.mark.parametrize(("color", "value"), [("white", 250), ("black", 4)])
def test_a_wedge_along_the_edge_is_seen(tmp_path: Path, color: str, value: int) -> None:
    data = noise(rows=1000, cols=1200) // 2 + 40
    data[:, :200, 1100:] = value
    path = write_tiff(tmp_path / "a.tif", data, tiled=True, blockxsize=256, blockysize=256, **UTM)

    with open_raster(path) as source:
        look = look_at(source)

    assert look is not None
    assert look.edge_places == 60
    found = {name: count > 1 for name, count in look.edge_colors.items()}
    assert found == {"white": color == "white", "black": color == "black"}


def test_what_is_declared_missing_is_no_colour(tmp_path: Path) -> None:
    data = noise(rows=300, cols=300)
    data[:, :, :100] = 0

    with open_raster(write_tiff(tmp_path / "a.tif", data, nodata=0, **UTM)) as source:
        look = look_at(source)

    assert look is not None
    assert look.edge_colors["black"] == 0


def test_floats_have_no_white(tmp_path: Path) -> None:
    with open_raster(write_tiff(tmp_path / "a.tif", noise(dtype="float32"), **UTM)) as source:
        look = look_at(source)

    assert look is not None
    assert set(look.edge_colors) == {"black"}


def test_no_data_at_all_has_no_values(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", np.zeros((3, 200, 200), np.uint8), nodata=0, **UTM)

    with open_raster(path) as source:
        look = look_at(source)

    assert look is not None
    assert (look.valid_share, look.lowest, look.highest) == (0.0, (), ())


def test_what_is_read_does_not_grow_with_the_raster(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(rows=64, cols=64), **UTM)
    sparse = tmp_path / "large.tif"
    import rasterio

    with rasterio.open(
        sparse, "w", driver="GTiff", width=60_000, height=50_000, count=3, dtype="uint8", tiled=True,
        blockxsize=512, blockysize=512, sparse_ok=True, **UTM,
    ):  # fmt: skip
        pass
    reads: list[Window] = []
    with open_raster(sparse) as source, open_raster(path) as small:
        inside = source._read_inside
        source._read_inside = lambda window, **how: (reads.append(window), inside(window, **how))[1]  # type: ignore[method-assign]
        look = look_at(source)
        whole = look_at(small)

    assert look is not None
    assert whole is not None
    assert {(window.width, window.height) for window in reads} == {(64, 64)}
    assert len(set(reads)) <= 64 + 60
    assert len({(w.col_off // 512, w.row_off // 512) for w in reads}) * 512 * 512 * 3 <= 64 * 2**20
    assert look.pixels <= 64 * 64 * 64


def test_blocks_that_take_long_are_not_looked_into(tmp_path: Path) -> None:
    with (
        open_raster(_in_one_block(tmp_path / "three.vrt", bands=3)) as source,
        open_label_raster(_in_one_block(tmp_path / "one.vrt", bands=1)) as labels,
    ):
        assert look_at(source) is None
        assert look_at_labels(labels) == {}


def _in_one_block(path: Path, *, bands: int) -> Path:
    """A mosaic of nothing, 8000 x 8000 px."""
    band = '<VRTRasterBand dataType="Byte" band="{}" blockXSize="8000" blockYSize="8000"/>'
    listed = "".join(band.format(number) for number in range(1, bands + 1))
    path.write_text(f'<VRTDataset rasterXSize="8000" rasterYSize="8000">{listed}</VRTDataset>')
    return path


def test_damage_is_an_error(tmp_path: Path) -> None:
    whole = write_tiff(
        tmp_path / "a.tif",
        noise(rows=256, cols=256),
        tiled=True,
        blockxsize=128,
        blockysize=128,
        compress="jpeg",
        **UTM,
    )
    damaged = damage_block(whole, tmp_path / "b.tif", zeros=False)

    with open_raster(damaged) as source, pytest.raises(RasterError, match=r"b\.tif: cannot read"):
        look_at(source)
