"""Weights in words: their card, and what became of a file that was converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsseg.weights import WeightCard
    from rsseg.weights.convert import Conversion

_SHOWN = 10
"""Names of tensors on a line."""


def card_lines(card: WeightCard) -> list[tuple[str, str]]:
    """What a card says, as names and texts."""
    scaling = card.scaling
    rows = [
        ("description", card.description),
        ("network", f"{card.architecture} {card.encoder}".strip()),
        ("classes", ", ".join(f"{c.id} {c.name} {c.color}" for c in card.classes)),
        ("bands", ", ".join(card.bands)),
        ("scaling", f"{scaling.dtype}, mean {_numbers(scaling.mean)}, std {_numbers(scaling.std)}"),
        ("ground size", f"{card.gsd_m:g} m" if card.gsd_m else "unknown"),
        ("tile, halo", f"{card.tile}, {card.halo} px"),
        ("data", card.data),
        ("licence", card.licence),
        ("scores", ", ".join(f"{name} {value:.4f}" for name, value in card.scores.items())),
    ]
    return [(name, text) for name, text in rows if text]


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in values)


def conversion_lines(conversion: Conversion) -> list[tuple[str, str]]:
    """The card of a conversion, and how the tensors of the file met those of the network."""
    from rsseg.weights.matching import shown

    match = conversion.match
    lists = (
        ("unused", tuple(map(shown, match.unused))),
        ("missing", match.missing),
        ("unknown", tuple(map(shown, match.unknown))),
        ("misshapen", match.misshapen),
    )
    return [
        *card_lines(conversion.card),
        ("tensors", f"{len(match.used)} of {len(conversion.tensors)} used"),
        *((name, _names(names)) for name, names in lists if names),
    ]


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
