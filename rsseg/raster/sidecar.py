"""What a GeoTIFF cannot hold goes into OUTPUT.aux.xml, which GDAL reads together with it.

That is the names of the classes and their attribute table, and a georeference that GeoTIFF's keys cannot express.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rsseg.classes import ClassTable
from rsseg.raster.grid import Grid

_INTEGER, _STRING = "0", "2"
_COLUMNS = (  # name, GDAL's type and usage of a column (GFT_*, GFU_*)
    ("Value", _INTEGER, "5"),
    ("Class", _STRING, "2"),
    ("Red", _INTEGER, "6"),
    ("Green", _INTEGER, "7"),
    ("Blue", _INTEGER, "8"),
)


def write_sidecar(path: Path, *, classes: ClassTable | None = None, lost: Grid | None = None) -> None:
    """Write the sidecar of a raster, or add to the one that GDAL wrote for what it could not express.

    Args:
        path: the file, named after the raster with `.aux.xml` added.
        classes: names and colours of a class map's values.
        lost: a grid whose georeference the raster itself cannot hold; overrides what the raster says.
    """
    root = ElementTree.parse(path).getroot() if path.exists() else Element("PAMDataset")
    if lost is not None:
        _add_georeference(root, lost)
    if classes is not None:
        band = SubElement(root, "PAMRasterBand", band="1")
        _add_names(band, classes)
        _add_table(band, classes)
    ElementTree.indent(root)
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8") + b"\n")


def _add_names(band: Element, classes: ClassTable) -> None:
    names = SubElement(band, "CategoryNames")
    for name in classes.names:
        SubElement(names, "Category").text = name


def _add_table(band: Element, classes: ClassTable) -> None:
    table = SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_COLUMNS):
        field = SubElement(table, "FieldDefn", index=str(index))
        for tag, text in (("Name", name), ("Type", kind), ("Usage", usage)):
            SubElement(field, tag).text = text
    for index, info in enumerate(classes):
        row = SubElement(table, "Row", index=str(index))
        for value in (info.id, info.name, *info.rgb):
            SubElement(row, "F").text = str(value)


def _add_georeference(root: Element, grid: Grid) -> None:
    for element in [e for e in root if e.tag in ("SRS", "GeoTransform", "GCPList")]:
        root.remove(element)
    if grid.crs is not None:
        # Without an axis mapping GDAL takes x first, the order in which rasters are stored.
        SubElement(root, "SRS").text = grid.crs.to_wkt()
    if not grid.gcps:
        t = grid.transform
        numbers = (t.c, t.a, t.b, t.f, t.d, t.e)
        SubElement(root, "GeoTransform").text = ", ".join(f"{number:.17g}" for number in numbers)
        return
    points = SubElement(root, "GCPList")
    if grid.gcp_crs is not None:
        points.set("Projection", grid.gcp_crs.to_wkt())
    for index, p in enumerate(grid.gcps, start=1):
        place = {"Pixel": p.col, "Line": p.row, "X": p.x, "Y": p.y, "Z": p.z}
        SubElement(points, "GCP", {"Id": str(index), **{key: f"{n:.17g}" for key, n in place.items()}})
