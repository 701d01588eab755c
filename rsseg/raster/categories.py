"""Which classes a class map names: the category names of its sidecar, with the colours of its palette."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from rsseg.classes import ClassInfo, ClassTable
from rsseg.errors import LabelError
from rsseg.raster.env import open_dataset


def read_categories(path: str | Path) -> ClassTable | None:
    """Read the classes that a class map names in `PATH.aux.xml`, GDAL's place for them; None if it names none.

    Categories without a name are called `class 3`; nameless ones at the end are none. Colours are those of the
    palette, or made up where there is none.

    Raises:
        RasterError: the map is missing or not a raster.
        LabelError: the sidecar is damaged, or names a class twice.
    """
    names = _category_names(Path(f"{path}.aux.xml"))
    if not names:
        return None
    colors = _palette(path)
    made_up = ClassTable.unnamed(len(names))
    try:
        return ClassTable(
            tuple(ClassInfo(c.id, names[c.id] or c.name, colors.get(c.id, c.color)) for c in made_up)
        )
    except LabelError as err:
        raise LabelError(f"{path}.aux.xml: {err}") from err


def _category_names(sidecar: Path) -> list[str]:
    """The names in the order of the ids, without empty ones at the end."""
    if not sidecar.is_file():
        return []
    try:
        band = ElementTree.parse(sidecar).find("PAMRasterBand[@band='1']")
    except ElementTree.ParseError as err:
        raise LabelError(
            f"{sidecar}: is not XML ({err})", hint="it names the classes of the map; delete it to go without"
        ) from err
    names = [] if band is None else [(c.text or "").strip() for c in band.findall("CategoryNames/Category")]
    while names and not names[-1]:
        names.pop()
    return names


def _palette(path: str | Path) -> dict[int, str]:
    """Colours as `#RRGGBB` by pixel value; empty without a palette."""
    with open_dataset(path) as dataset:
        try:
            colors = dataset.colormap(1)
        except ValueError:  # rasterio's word for a band without one
            return {}
    return {value: f"#{r:02X}{g:02X}{b:02X}" for value, (r, g, b, _) in colors.items()}
