"""What a vector file says about itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.errors import CRSError

from rsseg.errors import LabelError
from rsseg.raster.env import reason
from rsseg.raster.grid import crs_name

_MOST_VALUES = 20
"""An attribute with more values is no class."""
_MOST_FEATURES = 100_000
"""So many features are looked at for their attributes."""


@dataclass(frozen=True, kw_only=True)
class VectorLayer:
    """A layer of a vector file.

    Attributes:
        name: of the layer.
        kind: of its geometries, such as `MultiPolygon`, in OGR's words; empty for a table without any.
        features: how many there are.
        crs: in a word or two; empty where none is said.
        attributes: of each attribute with few values, how many features have each; nothing for the others.
    """

    name: str
    kind: str
    features: int
    crs: str
    attributes: Mapping[str, Mapping[str, int]]

    @property
    def holds_polygons(self) -> bool:
        """Whether it may."""
        return "Polygon" in self.kind or self.kind in ("Unknown", "GeometryCollection")


def read_vector_facts(path: str | Path) -> tuple[VectorLayer, ...]:
    """Ask a vector file about its layers; of attributes the first 100,000 features are read.

    Raises:
        LabelError: there is none at `path`.
    """
    if not Path(path).exists():
        raise LabelError(f"{path}: no such file", hint="check the path")
    try:
        layers = pyogrio.list_layers(path).tolist()
        return tuple(_layer(path, name, kind or "") for name, kind in layers)
    except (DataSourceError, DataLayerError) as err:
        raise LabelError(
            f"{path}: is not a vector file that can be read ({reason(err)})", hint="try `ogrinfo FILE`"
        ) from err


def _layer(path: str | Path, name: str, kind: str) -> VectorLayer:
    info = pyogrio.read_info(path, layer=name, force_feature_count=True)
    _, _, _, columns = pyogrio.raw.read(path, layer=name, read_geometry=False, max_features=_MOST_FEATURES)
    found = {
        field: Counter(map(str, column.tolist()))
        for field, column in zip(info["fields"], columns, strict=True)
    }
    return VectorLayer(
        name=name,
        kind=kind,
        features=int(info["features"]),
        crs=_crs_text(info["crs"]),
        attributes={
            field: dict(counts.most_common()) if len(counts) <= _MOST_VALUES else {}
            for field, counts in found.items()
        },
    )


def _crs_text(text: str | None) -> str:
    try:
        return crs_name(CRS.from_user_input(text)) if text else ""
    except CRSError:
        return "one that is not understood"
