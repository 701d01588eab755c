"""What a raster says about itself, and a vector file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS

from rsseg.errors import LabelError, RasterError
from rsseg.raster import ClassMapWriter, Grid
from rsseg.raster.facts import read_facts
from rsseg.raster.vector_facts import read_vector_facts
from tests.making import THREE
from tests.raster.make import UTM, noise, write_geojson, write_tiff


def test_what_a_plain_image_says(tmp_path: Path) -> None:
    facts = read_facts(
        write_tiff(tmp_path / "a.tif", noise(bands=4), colors=("red", "green", "blue", "alpha"), **UTM)
    )

    assert facts.data_bands == (1, 2, 3)
    assert facts.bands.of("alpha") == (4,)
    assert (facts.nodata_text, facts.has_mask, facts.is_lossy, facts.bits) == ("", False, False, None)
    assert (facts.classes, facts.made_with) == (None, {})
    assert facts.grid.gsd_m == pytest.approx(0.5)


def test_masks_nodata_and_bits_are_told_apart(tmp_path: Path) -> None:
    mask = np.ones((40, 48), np.bool_)
    masked = read_facts(write_tiff(tmp_path / "m.tif", noise(), mask=mask, **UTM))
    nodata = read_facts(write_tiff(tmp_path / "n.tif", noise(), nodata=0, **UTM))
    bits = read_facts(write_tiff(tmp_path / "b.tif", noise(dtype="uint16"), nbits=12, **UTM))

    assert (masked.has_mask, masked.nodata_text) == (True, "")
    assert (nodata.has_mask, nodata.nodata_text, nodata.nodata) == (False, "0", (0.0,) * 3)
    assert bits.bits == 12


def test_jpeg_is_lossy(tmp_path: Path) -> None:
    assert read_facts(write_tiff(tmp_path / "a.tif", noise(), compress="jpeg", **UTM)).is_lossy
    assert not read_facts(write_tiff(tmp_path / "b.tif", noise(), compress="deflate", **UTM)).is_lossy


def test_a_class_map_names_its_classes(tmp_path: Path) -> None:
    grid = Grid(width=8, height=8, transform=UTM["transform"], crs=CRS.from_string(str(UTM["crs"])))
    with ClassMapWriter(
        tmp_path / "map.tif", grid=grid, classes=THREE, tags={"RSSEG_WEIGHTS": "roofs", "OTHER": "1"}
    ) as writer:
        writer.write_block(grid.window, {"classes": np.zeros((1, 8, 8), np.uint8)})
        writer.finish()
    facts = read_facts(tmp_path / "map.tif")

    assert facts.classes is not None
    assert facts.classes.names == THREE.names
    assert facts.made_with == {"weights": "roofs"}
    assert facts.bands.of("palette") == (1,)


def test_what_is_no_raster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="no such file"):
        read_facts(tmp_path / "gone.tif")


def test_layers_of_a_vector_file(tmp_path: Path) -> None:
    box = shapely.box(0, 0, 1, 1)
    rows = [(box, {"kind": "house" if n % 3 else "shed", "number": n}) for n in range(30)]
    (layer,) = read_vector_facts(write_geojson(tmp_path / "drawn.geojson", rows))

    assert (layer.name, layer.features, layer.crs, layer.holds_polygons) == ("drawn", 30, "EPSG:32633", True)
    assert layer.attributes == {"kind": {"house": 20, "shed": 10}, "number": {}}


def test_points_are_no_polygons(tmp_path: Path) -> None:
    (layer,) = read_vector_facts(write_geojson(tmp_path / "p.geojson", [(shapely.Point(0, 0), {})]))

    assert not layer.holds_polygons


def test_what_is_no_vector_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")

    with pytest.raises(LabelError, match=r"a\.json: is not a vector file"):
        read_vector_facts(tmp_path / "a.json")
    with pytest.raises(LabelError, match="no such file"):
        read_vector_facts(tmp_path / "gone.gpkg")
