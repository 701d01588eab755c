"""What becomes of rasters with something odd about them: a map with the right invalid pixels, or a reasoned refusal.

The same table twice: on real files where the development data is present, and on small ones made here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin

from rsseg.classes import ClassTable
from rsseg.errors import RasterError
from rsseg.raster import ClassMapWriter, RasterSource, open_label_raster, open_raster
from rsseg.tiling import plan_blocks
from tests.raster.make import UTM, damage_block, noise, write_tiff
from tests.raster.test_grid import LOCAL, MARS
from tests.shared import shared_folder

ONE = "has 1 band, the weights expect 3"


@dataclass(frozen=True)
class Mapped:
    """A file that can be mapped: how many of its real pixels are invalid, and with which bands.

    `refused` is what the user reads first with three-channel weights and no `--bands`, where that is a refusal.
    """

    real_invalid: int
    bands: tuple[int, ...] | None = None
    refused: str | None = None
    dtype: str = "uint8"


@dataclass(frozen=True)
class Refused:
    """A file that cannot be mapped, whatever the options."""

    message: str
    hint: str


GRAY = (1, 1, 1)
TABLE: dict[str, Mapped | Refused] = {
    "bilevel_miniswhite.tiff": Refused("has a colour palette", "gdal_translate -expand"),
    "ch_localcs_uint8.tif": Mapped(15938, GRAY, ONE),
    "cmyk_8bit.tiff": Refused("has CMYK colours", "gdal_translate -b 1 -b 2 -b 3"),
    "cog_jpeg_mask_overviews.tif": Mapped(0),
    "colorado_rgb.tif": Mapped(0),
    "colorado_rgb_extmask.tif": Mapped(2739),
    "colorado_rgb_nodata0.tif": Mapped(2364),
    "corrupt_block.tif": Refused("cannot read", "damaged or cut off"),
    "drone_pix4d_rgba_lzw.tif": Mapped(64663),
    "float32_nan_nodata.tif": Mapped(1, GRAY, ONE, dtype="float32"),
    "gcp_only_uint16.tif": Mapped(0, GRAY, ONE, dtype="uint16"),
    "gray_alpha.tif": Mapped(22630, GRAY, "has 1 band besides alpha, the weights expect 3"),
    "huge_dims_36000x18000.tif": Mapped(432_949_915, GRAY, ONE),
    "jpeg_strips_4326.tif": Mapped(0),
    "mars_rgb.tif": Mapped(0),
    "naip_rgbn_4band.tif": Mapped(0, (1, 2, 3), "has 4 bands, the weights expect 3"),
    "nb_aerial_epsg2036_northing_first.tif": Mapped(0),
    "nb_aerial_epsg2953.tif": Mapped(0),
    "neon_yell_no_georef_jpeg.tiff": Mapped(0),
    "oam_manila_epsg3395_jpeg_black.tif": Mapped(0),
    "palette_7168x8704.tif": Refused("has a colour palette", "gdal_translate -expand rgb"),
    "rd_epsg28992_jpeg_tiled.tif": Mapped(0),
    "rgb_12bit.tiff": Mapped(0, dtype="uint16"),
    "rgba_and_nodata_both.tif": Mapped(0),
    "rotated_flipped_utm.tiff": Mapped(0, GRAY, ONE),
    "s2_8band_uint16.tif": Mapped(0, (3, 2, 1), "has 8 bands, the weights expect 3", dtype="uint16"),
    "south_up.tif": Mapped(259200, GRAY, ONE, dtype="float32"),
    "spacenet_pan_uint16.tif": Mapped(0, GRAY, ONE, dtype="uint16"),
}
SLOW = {"huge_dims_36000x18000.tif"}
"""Too large to be mapped in a test: only looked into."""


@pytest.mark.parametrize("name", TABLE)
def test_real_files_are_mapped_or_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    path = shared_folder("data", "robust", name)

    invalid = check_outcome(path, TABLE[name], tmp_path, look_only=name in SLOW)

    expected = TABLE[name]
    if isinstance(expected, Mapped) and name not in SLOW:
        assert invalid == expected.real_invalid


def test_the_table_is_complete() -> None:
    folder = shared_folder("data", "robust")

    assert {p.name for p in folder.iterdir() if p.suffix in (".tif", ".tiff")} == set(TABLE)
    assert set(MADE) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_made_up_files_are_mapped_or_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / name

    expected_invalid = MADE[name](path)

    assert check_outcome(path, TABLE[name], tmp_path) == (expected_invalid or 0)


def check_outcome(path: Path, expected: Mapped | Refused, folder: Path, *, look_only: bool = False) -> int:
    """Do with a file what a prediction would; how many pixels are invalid."""
    if isinstance(expected, Refused):
        with pytest.raises(RasterError) as caught:
            write_map(path, None, folder / "map.tif")
        assert str(caught.value).startswith(f"{path}: {expected.message}")
        assert expected.hint in (caught.value.hint or "")
        assert not (folder / "map.tif").exists()
        return 0
    if expected.refused:
        with pytest.raises(RasterError) as caught:
            open_raster(path, channels=3)
        assert str(caught.value) == f"{path}: {expected.refused}"
        assert "--bands" in (caught.value.hint or "")
    with open_raster(path, bands=expected.bands, channels=3) as source:
        assert source.dtype == expected.dtype
        if look_only:
            assert 0.6 < 1 - source.read_decimated(max_side=600).valid.mean() < 0.8
            return 0
    return write_map(path, expected.bands, folder / "map.tif")


def write_map(path: Path, bands: Sequence[int] | None, output: Path) -> int:
    """Map the valid pixels of a raster to class 0 and check the map against the raster; count its invalid pixels."""
    invalid = 0
    with open_raster(path, bands=bands, channels=3) as source:
        with ClassMapWriter(output, grid=source.grid, classes=ClassTable.unnamed(1)) as writer:
            for window in plan_blocks(source.grid.width, source.grid.height, block=512):
                valid = source.read(window).valid
                writer.write_block(window, {"classes": np.where(valid, 0, 255).astype(np.uint8)[None]})
                invalid += int((~valid).sum())
            writer.finish()
        check_map(source, output, invalid)
    return invalid


def check_map(source: RasterSource, output: Path, invalid: int) -> None:
    """The map lies exactly where the raster does, and is nodata exactly where it is invalid."""
    with open_label_raster(output) as labels:
        assert labels.grid == source.grid
        values = labels.read(labels.grid.window)
    assert int((values == 255).sum()) == invalid
    assert int((values == 0).sum()) == values.size - invalid


JPEG_TILES = {
    "compress": "jpeg",
    "photometric": "ycbcr",
    "interleave": "pixel",
    "tiled": True,
    "blockxsize": 64,
    "blockysize": 64,
}
JPEG_STRIPS = {"compress": "jpeg", "photometric": "rgb", "interleave": "pixel", "blockysize": 16}
RGBA = ["red", "green", "blue", "alpha"]


def outline(rows: int = 40, cols: int = 48) -> NDArray[np.bool_]:
    """An irregular area: a disc."""
    row, col = np.ogrid[:rows, :cols]
    return np.asarray((row - 18) ** 2 + (col - 25) ** 2 < 300)


def outside(valid: NDArray[np.bool_]) -> int:
    return int((~valid).sum())


def rgba(path: Path, **profile: Any) -> int:
    data = noise(4)
    data[3] = np.where(outline(), 255, 0)
    write_tiff(path, data, colors=RGBA, **(UTM | profile))
    return outside(outline())


def rgba_and_nodata(path: Path) -> int:
    """Alpha leaves out one corner, nodata another; both count."""
    data = noise(4)
    data[3] = 255
    data[3, :5, :5] = 0
    data[:, -5:, -6:] = 0
    write_tiff(path, data, colors=RGBA, nodata=0, **UTM)
    return 25 + 30


def with_nodata(value: float, dtype: str, bands: int = 1, **profile: Any) -> Callable[[Path], int]:
    def make(path: Path) -> int:
        data = noise(bands, dtype=dtype)
        data[:, ~outline()] = value
        write_tiff(path, data, nodata=value, **(UTM | profile))
        return outside(outline())

    return make


def with_mask(path: Path, *, internal: bool, **profile: Any) -> int:
    write_tiff(
        path,
        noise(3, 128, 128),
        mask=outline(128, 128),
        environment={"GDAL_TIFF_INTERNAL_MASK": internal},
        **UTM,
        **profile,
    )
    assert path.with_name(path.name + ".msk").exists() != internal
    return outside(outline(128, 128))


def plain(dtype: str = "uint8", bands: int = 3, **profile: Any) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        write_tiff(path, noise(bands, dtype=dtype), **profile)

    return make


def gray_alpha(path: Path) -> int:
    data = noise(2)
    data[1] = np.where(outline(), 255, 0)
    write_tiff(path, data, colors=["gray", "alpha"], **UTM)
    return outside(outline())


def cog_with_mask(path: Path) -> int:
    flat = path.with_name("flat.tif")
    invalid = with_mask(flat, internal=True)
    rasterio.shutil.copy(
        flat, path, driver="COG", compress="jpeg", blocksize=128, overview_count=1, overviews="auto"
    )
    return invalid


def corrupt(path: Path) -> None:
    tiled = JPEG_TILES | {"blockxsize": 64, "blockysize": 64}
    damage_block(write_tiff(path.with_name("good.tif"), noise(3, 128, 128), **tiled, **UTM), path)


def nan_nodata(path: Path) -> int:
    data = np.array([[[1, np.nan, 3], [4, 5, 6]]], dtype=np.float32)
    write_tiff(path, data, nodata=float("nan"), transform=from_origin(100, 200, 100, 100))
    return 1


def control_points(path: Path) -> None:
    points = [
        GroundControlPoint(row=r, col=c, x=10 + c / 100, y=50 - r / 100, z=0)
        for r in (0, 40)
        for c in (0, 48)
    ]
    write_tiff(path, noise(1, dtype="uint16"), gcps=points, crs=CRS.from_epsg(4326))


def sparse(path: Path) -> int:
    """36 Mpx in a few kB: one block of data in the middle."""
    profile = {
        "driver": "GTiff",
        "count": 1,
        "dtype": "uint8",
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
    }
    options = {"width": 6000, "height": 6000, "nodata": 0, "SPARSE_OK": True, "compress": "deflate"}
    with rasterio.open(path, "w", **profile, **options, **UTM) as dataset:
        dataset.write(noise(1, 512, 512), window=rasterio.windows.Window(3072, 3072, 512, 512))
    return 6000 * 6000 - 512 * 512


def palette(path: Path) -> None:
    write_tiff(path, noise(1) % 4, palette={i: (i, 2 * i, 3 * i, 255) for i in range(4)}, nodata=0, **UTM)


def bilevel(path: Path) -> None:
    write_tiff(path, noise(1) % 2, nbits=1, photometric="miniswhite")


def with_overviews(path: Path) -> None:
    write_tiff(path, noise(), overviews=[2, 4], environment={"TIFF_USE_OVR": True}, **UTM)
    assert path.with_name(path.name + ".ovr").exists()


MADE: dict[str, Callable[[Path], int | None]] = {
    "bilevel_miniswhite.tiff": bilevel,
    "ch_localcs_uint8.tif": with_nodata(0, "uint8", crs=CRS.from_wkt(LOCAL)),
    "cmyk_8bit.tiff": plain(bands=4, photometric="cmyk"),
    "cog_jpeg_mask_overviews.tif": cog_with_mask,
    "colorado_rgb.tif": with_overviews,
    "colorado_rgb_extmask.tif": lambda path: with_mask(path, internal=False),
    "colorado_rgb_nodata0.tif": with_nodata(0, "uint8", bands=3),
    "corrupt_block.tif": corrupt,
    "drone_pix4d_rgba_lzw.tif": lambda path: rgba(path, compress="lzw", crs="EPSG:32750"),
    "float32_nan_nodata.tif": nan_nodata,
    "gcp_only_uint16.tif": control_points,
    "gray_alpha.tif": gray_alpha,
    "huge_dims_36000x18000.tif": sparse,
    "jpeg_strips_4326.tif": plain(
        **JPEG_STRIPS, crs="EPSG:4326", transform=from_origin(145.7, 14.9, 3e-6, 3e-6)
    ),
    "mars_rgb.tif": plain(
        **JPEG_TILES, crs=CRS.from_wkt(MARS), transform=from_origin(7376380, -860015, 5, 5)
    ),
    "naip_rgbn_4band.tif": with_nodata(0, "uint8", bands=4, photometric="minisblack"),
    "nb_aerial_epsg2036_northing_first.tif": plain(**(UTM | {"crs": "EPSG:2036"})),
    "nb_aerial_epsg2953.tif": plain(**(UTM | {"crs": "EPSG:2953"})),
    "neon_yell_no_georef_jpeg.tiff": plain(**JPEG_STRIPS),
    "oam_manila_epsg3395_jpeg_black.tif": plain(
        **JPEG_STRIPS, crs="EPSG:3395", transform=from_origin(1e7, 1e6, 0.1, 0.1)
    ),
    "palette_7168x8704.tif": palette,
    "rd_epsg28992_jpeg_tiled.tif": plain(
        **JPEG_TILES, crs="EPSG:28992", transform=from_origin(127375, 428250, 0.25, 0.25)
    ),
    "rgb_12bit.tiff": plain("uint16", nbits=12),
    "rgba_and_nodata_both.tif": rgba_and_nodata,
    "rotated_flipped_utm.tiff": plain(
        bands=1, crs="EPSG:32759", transform=Affine(-0.14, -0.57, 337934.48, -0.57, 0.14, 7840518.46)
    ),
    "s2_8band_uint16.tif": plain("uint16", bands=8, photometric="minisblack", **UTM),
    "south_up.tif": with_nodata(
        -9999, "float32", crs="EPSG:4326", transform=Affine(0.5, 0, -180, 0, 0.5, -90)
    ),
    "spacenet_pan_uint16.tif": with_nodata(0, "uint16"),
}
