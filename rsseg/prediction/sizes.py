"""How large a tile is and how much of it is decided: what was asked for, or what suits the weights."""

from __future__ import annotations

from dataclasses import dataclass

from rsseg.errors import OptionError
from rsseg.models.registry import NetworkEntry, network_entry
from rsseg.prediction.options import PredictOptions
from rsseg.tiling.plan import check_tile, padded_length
from rsseg.weights import WeightCard


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Side of what the network reads, margin around what it decides, and the grid it needs, in pixels."""

    tile: int
    halo: int
    stride: int

    @property
    def keep(self) -> int:
        """Side of what a tile decides."""
        return self.tile - 2 * self.halo


LARGEST_TILE = 2048
"""The largest tile that is chosen unasked: beyond it the halo costs little, and a step of the progress takes long."""

_WIDE_HALO = 128
"""The halo of tiles that are chosen larger than the card's: with the context of the raster hardly a pixel depends on
the cut then (decisions/0008), so that the map depends little on how much memory a machine has."""


def resolve_sizes(card: WeightCard, options: PredictOptions) -> Sizes:
    """The sizes asked for, or the card's.

    Of a tile that was asked for at most a quarter is halo. Where the card's tile has no room for a halo that was asked
    for, the tile is four times as large as that.

    Raises:
        OptionError: they do not fit the network.
    """
    entry = network_entry(card.architecture)
    stride = entry.stride
    tile = card.tile if options.tile is None else options.tile
    halo = card.halo if options.tile is None else min(card.halo, tile // 4 // stride * stride)
    if options.tile is None and options.halo is not None and 2 * options.halo >= tile and entry.side is None:
        tile = padded_length(4 * options.halo, stride=stride)
    return _checked(card, options, tile=tile, halo=halo)


def larger_sizes(card: WeightCard, options: PredictOptions, *, length: int) -> list[Sizes]:
    """The sizes with tiles above the card's that can be chosen with the context of the raster, the smallest first.

    Args:
        card: describes the weights.
        options: with a halo, or without.
        length: longer side of the raster, in pixels; no tile is larger than what covers it, nor than `LARGEST_TILE`.

    Raises:
        OptionError: the halo that was asked for does not fit the network.
    """
    entry = network_entry(card.architecture)
    stride, reach = entry.stride, entry.sizes[card.encoder].reach
    step = padded_length(_WIDE_HALO, stride=stride)
    halo = step if reach is None else min(step, padded_length(reach, stride=stride))
    least = 8 * halo if options.halo is None else max(8 * halo, 4 * options.halo)
    covering = padded_length(length, stride=step)
    tiles = range(card.tile + step, min(covering, LARGEST_TILE) + 1, step)
    return [_checked(card, options, tile=tile, halo=max(halo, card.halo)) for tile in tiles if least <= tile]


def _checked(card: WeightCard, options: PredictOptions, *, tile: int, halo: int) -> Sizes:
    entry = network_entry(card.architecture)
    stride = entry.stride
    sizes = Sizes(tile=tile, halo=halo if options.halo is None else options.halo, stride=stride)
    check_tile(tile=sizes.tile, halo=sizes.halo, stride=stride)
    check_side(entry, "tile", sizes.tile)
    if options.seam_check and sizes.keep < 2 * stride:
        raise OptionError(
            f"--seam-check shifts tiles by half of the {sizes.keep} px they keep; that is less than the network's"
            f" stride, {stride} px",
            hint="choose a larger --tile or a smaller --halo",
        )
    return sizes


def check_side(entry: NetworkEntry, name: str, size: int) -> None:
    """Refuse a size, of `name`, that a network for squares of one side cannot take.

    Raises:
        OptionError: see above.
    """
    if entry.side not in (None, size):
        raise OptionError(
            f"{name} is {size} px; {entry.name} takes squares of {entry.side} px only",
            hint=f"choose --{name} {entry.side}, or another network",
        )
