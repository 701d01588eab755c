"""A raster in words, and as plain values, for `rsseg info`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsseg.classes import ClassTable
    from rsseg.prediction.advice import Fit
    from rsseg.raster import Grid
    from rsseg.raster.facts import RasterFacts
    from rsseg.raster.look import Look
    from rsseg.weights import WeightCard

_SHOWN_IDS = 12
_M2_PER_HA = 10_000
_UNITS = {"metre": "m", "meter": "m", "foot": "ft", "US survey foot": "ft"}


def title(facts: RasterFacts, kind: str) -> str:
    """What it is, how large, and of which bands."""
    grid, count = facts.grid, facts.bands.count
    types = ", ".join(dict.fromkeys(facts.bands.dtypes))
    bits = "" if facts.bits is None else f" ({facts.bits} bit{'s' * (facts.bits != 1)})"
    pixels = grid.window.pixels / 1e6
    size = f"{grid.width:,} x {grid.height:,} px" + (f" ({pixels:,.1f} Mpx)" if pixels >= 1 else "")
    return f"{kind}, {size}, {count} band{'s' * (count != 1)} of {types}{bits}"


def rows(facts: RasterFacts) -> list[tuple[str, str]]:
    """How it is stored, where it lies, and its bands."""
    layout = facts.layout
    rows, cols = layout.block_shape
    stored = "strips" if cols >= facts.grid.width else "blocks"
    told = layout.compression or ("not compressed" if layout.driver == "GTiff" else "")
    compression = f", {told}" if told else ""
    return [
        (
            "stored as",
            f"{layout.driver}, {stored} of {cols} x {rows} px{compression},"
            f" {'overviews' if layout.has_overviews else 'no overviews'}",
        ),
        ("place", _place_text(facts)),
        ("bands", ", ".join(_band_text(facts, band) for band in range(1, facts.bands.count + 1))),
    ]


def _place_text(facts: RasterFacts) -> str:
    from rsseg.raster.grid import crs_name

    grid = facts.grid
    crs = grid.crs or grid.gcp_crs
    parts = ["no CRS" if crs is None else crs_name(crs)]
    if grid.gcps:
        parts.append(f"{len(grid.gcps)} control points")
    elif grid.rpcs is not None:
        parts.append("rational polynomials")
    elif not grid.georeferenced():
        parts.append("no place")
    else:
        parts += _pixels_text(grid)
    if grid.gcps and grid.pixel_sides_m is not None:
        parts.append(f"about {_sides(grid.pixel_sides_m)} m on the ground")
    area = grid.pixel_area_m2(range(grid.height))
    if area is not None:
        hectares = area * grid.window.pixels / _M2_PER_HA
        parts.append(f"{hectares / 100:,.1f} km2" if hectares > 1000 else f"{_rounded(hectares)} ha")
    return ", ".join(parts)


def _pixels_text(grid: Grid) -> list[str]:
    """How large pixels are on the map, and on the ground where that is something else."""
    t, crs = grid.transform, grid.crs
    on_map, on_ground = _sides((math.hypot(t.a, t.d), math.hypot(t.b, t.e))), grid.pixel_sides_m
    unit = (
        "units" if crs is None else "degrees" if crs.is_geographic else _UNITS.get(crs.linear_units, "units")
    )
    texts = [f"pixels of {on_map} {unit}"]
    if on_ground is not None and (unit != "m" or _sides(on_ground) != on_map):
        texts = [f"{texts[0]} on the map", f"{_sides(on_ground)} m on the ground"]
    if t.b or t.d:
        return [*texts, "rotated"]
    return [*texts, "south up"] if t.e > 0 else texts


def _sides(sides: tuple[float, float]) -> str:
    across, down = map(_rounded, sides)
    return across if across == down else f"{across} x {down}"


def _rounded(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _band_text(facts: RasterFacts, band: int) -> str:
    description = facts.bands.descriptions[band - 1] if facts.bands.descriptions else ""
    interpretation = facts.bands.interpretations[band - 1]
    return f"{band} {interpretation}" + (f" ({description})" if description else "")


def values_text(look: Look | None) -> str:
    """The lowest and highest values of each band; empty where none were looked at."""
    if look is None or not look.lowest:
        return ""
    spans = [f"{low:g} to {high:g}" for low, high in zip(look.lowest, look.highest, strict=True)]
    shown = spans[:1] if len(set(spans)) == 1 else spans
    return f"{', '.join(shown)} in the {look.pixels:,} pixels looked at"


def missing_text(facts: RasterFacts, look: Look | None) -> str:
    """What says that data are missing, and how much is."""
    says = [
        *([f"value {facts.nodata_text}"] if facts.nodata_text else []),
        *(f"alpha, band {band}" for band in facts.bands.of("alpha")),
        *(["a mask"] if facts.has_mask else []),
    ]
    told = " and ".join(says) or "nothing says that any is missing"
    return told if look is None else f"{told}; {1 - look.valid_share:.1%} of the pixels looked at"


def fit_text(fit: Fit | None, card: WeightCard | None) -> str:
    """What prediction would take it as; empty where it would refuse."""
    if fit is None or card is None or not fit.bands:
        return ""
    bands = ", ".join(f"{number} as {name}" for number, name in zip(fit.bands, card.bands, strict=True))
    return f"bands {bands}; {fit.tiles:,} tile{'s' * (fit.tiles != 1)} of {fit.tile} px"


def ids_text(ids: Mapping[int, int], classes: ClassTable | None) -> str:
    """Which ids occur and how often, in the places that were looked at."""
    names = {} if classes is None else {info.id: info.name for info in classes}
    total = sum(ids.values())
    listed = [
        f"{value} {names.get(value, 'no data' if value == 255 else '')}".rstrip() + f" {count / total:.1%}"
        for value, count in sorted(ids.items())
    ]
    more = [f"and {len(listed) - _SHOWN_IDS} more"] if len(listed) > _SHOWN_IDS else []
    return ", ".join(listed[:_SHOWN_IDS] + more)


def short(text: str) -> str:
    """A hash by its first digits; any other text as it is."""
    return text[:12] if len(text) == 64 else text


def details(facts: RasterFacts) -> dict[str, Any]:
    """What a raster says about itself."""
    from rsseg.raster.grid import crs_name

    grid, layout, bands = facts.grid, facts.layout, facts.bands
    crs = grid.crs or grid.gcp_crs
    return {
        "width": grid.width,
        "height": grid.height,
        "bands": [
            {
                "band": band,
                "dtype": bands.dtypes[band - 1],
                "interpretation": bands.interpretations[band - 1],
                "description": bands.descriptions[band - 1] or None,
                "nodata": _finite(facts.nodata[band - 1]),
            }
            for band in range(1, bands.count + 1)
        ],
        "bits": facts.bits,
        "crs": None if crs is None else crs_name(crs),
        "georeferenced": grid.georeferenced(),
        "gsd_m": grid.gsd_m,
        "driver": layout.driver,
        "compression": layout.compression or None,
        "block_shape": list(layout.block_shape),
        "overviews": layout.has_overviews,
        "alpha": list(bands.of("alpha")),
        "mask": facts.has_mask,
        "files": list(facts.files),
    }


def _finite(value: float | None) -> float | str | None:
    """JSON has no word for NaN."""
    return value if value is None or math.isfinite(value) else str(value)


def look_details(look: Look | None) -> dict[str, Any] | None:
    """What the look at it showed; None where there was none."""
    if look is None:
        return None
    return {
        "pixels": look.pixels,
        "valid_share": look.valid_share,
        "lowest": list(look.lowest),
        "highest": list(look.highest),
        "edge_places": look.edge_places,
        "edge_white": look.edge_colors.get("white", 0),
        "edge_black": look.edge_colors.get("black", 0),
    }


def fit_details(fit: Fit | None) -> dict[str, Any] | None:
    """How it fits weights; None where nobody asked."""
    if fit is None:
        return None
    return {"bands": list(fit.bands), "tiles": fit.tiles, "tile": fit.tile, "fits": bool(fit.bands)}
