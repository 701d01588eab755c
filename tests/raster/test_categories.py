"""Which classes a class map names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rsseg.classes import ClassInfo, ClassTable
from rsseg.errors import LabelError, RasterError
from rsseg.raster import ClassMapWriter
from rsseg.raster.categories import read_categories
from rsseg.raster.grid import Grid
from tests.making import THREE, write_raster

PIXELS = np.zeros((1, 4, 4), np.uint8)


def with_names(path: Path, *names: str) -> Path:
    """A class map beside which GDAL's sidecar names categories."""
    categories = "".join(f"<Category>{name}</Category>" for name in names)
    band = f'<PAMRasterBand band="1"><CategoryNames>{categories}</CategoryNames></PAMRasterBand>'
    sidecar = f"<PAMDataset>{band}</PAMDataset>"
    path.with_name(path.name + ".aux.xml").write_text(sidecar, encoding="utf-8")
    return write_raster(path, PIXELS)


def test_what_the_writer_writes_is_read_back(tmp_path: Path) -> None:
    classes = ClassTable((*THREE.classes, ClassInfo(3, "Straße & <Weg>", "#0A0B0C")))
    with ClassMapWriter(tmp_path / "map.tif", grid=Grid(4, 4), classes=classes) as writer:
        writer.write_block(Grid(4, 4).window, {"classes": PIXELS[:1]})
        writer.finish()

    assert read_categories(tmp_path / "map.tif") == classes


def test_a_map_without_a_sidecar_names_nothing(tmp_path: Path) -> None:
    assert read_categories(write_raster(tmp_path / "map.tif", PIXELS)) is None


def test_a_sidecar_about_other_things_names_nothing(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "map.tif", PIXELS)
    (tmp_path / "map.tif.aux.xml").write_text("<PAMDataset><Metadata/></PAMDataset>")

    assert read_categories(path) is None


def test_without_a_palette_colours_are_made_up(tmp_path: Path) -> None:
    table = read_categories(with_names(tmp_path / "map.tif", "ground", "house"))

    assert table is not None
    assert table.names == ("ground", "house")
    assert [c.color for c in table] == [c.color for c in ClassTable.unnamed(2)]


def test_gaps_get_a_name_and_empty_names_at_the_end_are_no_classes(tmp_path: Path) -> None:
    table = read_categories(with_names(tmp_path / "map.tif", "ground", "", " house ", "", ""))

    assert table is not None
    assert table.names == ("ground", "class 1", "house")


def test_a_damaged_sidecar_is_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "map.tif", PIXELS)
    (tmp_path / "map.tif.aux.xml").write_text("<PAMDataset>")

    with pytest.raises(LabelError, match=r"map\.tif\.aux\.xml: is not XML"):
        read_categories(path)


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"map\.tif\.aux\.xml: class names are"):
        read_categories(with_names(tmp_path / "map.tif", "house", "house"))


def test_a_sidecar_without_its_map_is_a_missing_map(tmp_path: Path) -> None:
    with_names(tmp_path / "map.tif", "house").unlink()

    with pytest.raises(RasterError, match="no such file"):
        read_categories(tmp_path / "map.tif")
