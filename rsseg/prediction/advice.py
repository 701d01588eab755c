"""What a user should know about a raster before predicting it, found without a network.

Most of it is what prediction itself would refuse, warn of or take: it is asked, not repeated here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rsseg.errors import OptionError, RasterError
from rsseg.prediction.ground_size import seen_size
from rsseg.prediction.inputs import open_imagery
from rsseg.prediction.layout import layout_warnings
from rsseg.prediction.options import PredictOptions
from rsseg.prediction.sizes import resolve_sizes
from rsseg.raster import CACHE_BYTES, RasterSource
from rsseg.raster.facts import RasterFacts
from rsseg.raster.look import Look
from rsseg.tiling import plan_tiles
from rsseg.tiling.plan import BAND_WIDTH
from rsseg.weights import WeightCard

_FEW = 2
"""Places along the edge in a colour that are taken for a collar."""
_IN_BETWEEN = (30, 225)
"""Where all 8-bit values are below, or above, dark and bright mean nothing: a mask, or a picture of snow."""


@dataclass(frozen=True)
class Advice:
    """Something about a raster that may be wrong, and what to do."""

    text: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a raster fits weights.

    Attributes:
        bands: the numbers of those that become channels; empty where prediction would refuse it.
        tiles: how many it takes.
        tile: their side, in pixels of the raster as the network sees it.
        notes: what is good to know.
        advice: what may be wrong.
    """

    bands: tuple[int, ...] = ()
    tiles: int = 0
    tile: int = 0
    notes: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()


def advise(facts: RasterFacts, source: RasterSource, look: Look | None) -> tuple[Advice, ...]:
    """What may be wrong with a raster as imagery, whatever the weights.

    Args:
        facts: what it says about itself.
        source: the raster.
        look: what a few of its pixels show, if there was a look.
    """
    return (*_about_missing(facts, look), *_about_place(facts), *_about_storage(facts, source))


def advise_labels(facts: RasterFacts) -> tuple[Advice, ...]:
    """What may be wrong with a raster whose pixels are class ids."""
    if not facts.is_lossy:
        return ()
    text = "is compressed as JPEG, which changes class ids"
    return (Advice(text, "make it anew with a lossless compression, such as DEFLATE"),)


def fit_weights(facts: RasterFacts, card: WeightCard) -> Fit:
    """Compare a raster with weights, as `rsseg predict` would without further options."""
    options = PredictOptions()
    try:
        with open_imagery(facts.path, card, options) as imagery:
            sizes, grid = resolve_sizes(card, options), imagery.source.grid
            tiles = plan_tiles(grid.width, grid.height, tile=sizes.tile, halo=sizes.halo, stride=sizes.stride)
            return Fit(
                bands=imagery.source.bands,
                tiles=len(tiles),
                tile=sizes.tile,
                notes=imagery.notes,
                advice=(
                    *(Advice(text) for text in imagery.warnings),
                    *_about_ground_size(imagery.source, card),
                ),
            )
    except (RasterError, OptionError) as err:
        return Fit(advice=(Advice(str(err), err.hint),))


def _about_ground_size(source: RasterSource, card: WeightCard) -> Iterator[Advice]:
    """Whether pixels are as large on the ground as those that the weights were trained on."""
    trained, found = card.gsd_m, source.grid.gsd_m
    if trained is None:
        return
    if found is None:
        yield Advice(
            f"does not say how large its pixels are on the ground; the weights were trained on {trained:.3g} m",
            "objects must be about as large, in pixels, as those in training",
        )
        return
    wished = seen_size(source.grid, "auto", card_gsd_m=trained, path=source.path)
    text = f"its pixels are {found:.3g} m on the ground, the weights were trained on {trained:.3g} m"
    if wished.warnings and found > trained:
        yield Advice(
            f"{text}: {found / trained:.3g} times as large",
            "choose weights for such imagery: what pixels do not show, no --gsd can bring back",
        )
    elif wished.warnings:
        yield Advice(
            f"{text}: {trained / found:.3g} times as small",
            f"--gsd {trained:g} shows it as the weights know it",
        )
    elif (wished.width, wished.height) != (source.grid.width, source.grid.height):
        yield Advice(
            text,
            f"--gsd auto shows it to the network as {wished.width} x {wished.height} px of {trained:.3g} m",
        )


def _about_missing(facts: RasterFacts, look: Look | None) -> Iterator[Advice]:
    """Missing data: not said, said in vain, or all there is."""
    if facts.nodata_text and facts.is_lossy and not facts.has_mask:
        yield Advice(
            f"missing data are the value {facts.nodata_text}, but the pixels are stored as JPEG, which blurs it",
            "pixels at the rim of the imagery may count as data; --collar black or white leaves them out",
        )
    if len(set(facts.nodata)) > 1 and not facts.bands.of("alpha"):
        yield Advice(
            f"its bands have several nodata values: {facts.nodata_text}; a pixel is missing where each has its own",
            "give one value with --nodata",
        )
    if look is None:
        return
    if not look.valid_share:
        yield Advice(
            f"none of the {look.pixels:,} pixels looked at has data",
            "check its nodata value, mask or alpha band",
        )
        return
    for color, places in look.edge_colors.items():
        if places >= _FEW and not _is_all(color, look):
            yield Advice(
                f"{places} of {look.edge_places} places along its edge are all {color}, and count as data",
                f"if that is no ground but a collar, leave it out: --collar {color}",
            )


def _is_all(color: str, look: Look) -> bool:
    """Whether the whole raster is so dark or bright that its edge is nothing special."""
    dark, bright = _IN_BETWEEN
    return max(look.highest) <= dark if color == "black" else min(look.lowest) >= bright


def _about_place(facts: RasterFacts) -> Iterator[Advice]:
    """What keeps polygons from being laid on it; that it has no CRS is a note of the reader."""
    if facts.grid.gcps or facts.grid.rpcs is not None:
        yield Advice(
            "is placed by control points only: maps of it are, too, and polygons cannot be laid on it",
            "rectify it first, for example with gdalwarp, if polygons or areas are needed",
        )
    elif facts.grid.transform.is_degenerate:
        yield Advice(
            "has a transform that gives pixels no area", "give it its place again: gdal_edit -a_ullr ..."
        )


def _about_storage(facts: RasterFacts, source: RasterSource) -> Iterator[Advice]:
    grid = facts.grid
    for warning in layout_warnings(
        facts.path,
        facts.layout,
        width=grid.width,
        height=grid.height,
        band_width=source.swath_columns(WeightCard.tile) if source.is_striped else BAND_WIDTH,
        cache_bytes=CACHE_BYTES,
        preview=True,
    ):
        yield Advice(warning.text, warning.hint)
