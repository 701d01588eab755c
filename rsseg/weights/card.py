"""The card of weights, and the network it describes.

The card is one JSON string with sorted keys, so that the same weights give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rsseg.classes import ClassTable
from rsseg.errors import RssegError, WeightsError
from rsseg.preprocess import Scaling

if TYPE_CHECKING:
    from rsseg.models.network import Network

CARD_FORMAT = 1
CARD_KEY = "rsseg_card"
"""Under which key a file's metadata hold the card."""


@dataclass(frozen=True, kw_only=True)
class WeightCard:
    """What describes weights: all that prediction needs to know, and where they come from.

    `architecture` and `encoder` name the network in the registry (`encoder` is empty where it has none);
    `bands` names the channels in order; `gsd_m` is the ground size of a training pixel in metres;
    `tile` and `halo` are the sizes prediction uses unless told otherwise, in pixels; `scores` holds measured
    validation scores; `energy_positions` is described in docs/design.md, section 3.
    """

    architecture: str
    encoder: str
    classes: ClassTable
    bands: tuple[str, ...]
    scaling: Scaling
    tile: int = 512
    halo: int = 64
    gsd_m: float | None = None
    energy_positions: int | None = None
    network_options: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    data: str = ""
    licence: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.bands) != self.scaling.channels:
            raise WeightsError(
                f"the card names {len(self.bands)} bands but scales {self.scaling.channels} channels"
            )
        for name, kind in (("tile", int), ("halo", int), ("architecture", str), ("encoder", str)):
            if type(getattr(self, name)) is not kind:
                raise WeightsError(f"the card has {name} {getattr(self, name)!r}; expected {kind.__name__}")
        reserved = {"encoder", "bands", "classes"} & set(self.network_options)
        if reserved:
            raise WeightsError(
                f"the card's network options hold {', '.join(reserved)}, which it says elsewhere"
            )

    def to_json(self) -> str:
        """The card as it stands in the file's header; equal cards give equal strings.

        Raises:
            WeightsError: a number is not finite, which JSON cannot say.
        """
        values = {
            **{name: getattr(self, name) for name in _PLAIN},
            "format": CARD_FORMAT,
            "bands": list(self.bands),
            "classes": self.classes.to_list(),
            "scaling": self.scaling.to_dict(),
            "network_options": dict(self.network_options),
            "scores": dict(self.scores),
        }
        try:
            return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)
        except ValueError as err:
            raise WeightsError(f"the card holds a number that is not finite ({values})") from err

    @classmethod
    def from_json(cls, text: str) -> WeightCard:
        """The inverse of `to_json`.

        Raises:
            WeightsError: the text is no card, or one of a later format.
        """
        try:
            row = json.loads(text)
            if row["format"] != CARD_FORMAT:
                raise WeightsError(
                    f"the card has format {row['format']}; this rsseg reads {CARD_FORMAT}",
                    hint="a newer rsseg may read it",
                )
            return cls(
                **{name: row[name] for name in _PLAIN},
                bands=tuple(row["bands"]),
                classes=ClassTable.from_list(row["classes"]),
                scaling=Scaling.from_dict(row["scaling"]),
                network_options=row["network_options"],
                scores=row["scores"],
            )
        except WeightsError:
            raise
        except (KeyError, TypeError, ValueError, RecursionError, RssegError) as err:
            raise WeightsError(f"the card is damaged ({type(err).__name__}: {err})") from err


_PLAIN = (
    "architecture",
    "encoder",
    "tile",
    "halo",
    "gsd_m",
    "energy_positions",
    "description",
    "data",
    "licence",
)


def new_card(
    architecture: str, *, encoder: str, classes: ClassTable, scaling: Scaling, description: str
) -> WeightCard:
    """Describe weights by what their network is: the registry's default encoder for "", tiles of a size that it takes.

    Bands are called red, green and blue where there are three.

    Raises:
        OptionError: there is no such network, or not with this encoder.
    """
    from rsseg.models.registry import check_encoder, network_entry

    entry = network_entry(architecture)
    tile = entry.side or WeightCard.tile
    return WeightCard(
        architecture=entry.name,
        encoder=check_encoder(entry, encoder),
        classes=classes,
        bands=("red", "green", "blue") if scaling.channels == 3 else numbered_bands(scaling.channels),
        scaling=scaling,
        tile=tile,
        halo=min(WeightCard.halo, tile // 8) if entry.stride > 1 else 0,
        description=description,
    )


def numbered_bands(count: int) -> tuple[str, ...]:
    """Names for bands of which nothing is known but their order."""
    return tuple(f"band {n}" for n in range(1, count + 1))


def with_scores(card: WeightCard, scores: Mapping[str, float]) -> WeightCard:
    """The card with measured scores."""
    return replace(card, scores=dict(scores))


def build_from_card(card: WeightCard) -> Network:
    """Build the network that a card describes, in the default initialisation.

    Raises:
        OptionError: the registry has no such network, or not with this encoder.
    """
    from rsseg.models.registry import build_network

    energy = {} if card.energy_positions is None else {"energy_positions": card.energy_positions}
    options = {**card.network_options, **energy}
    return build_network(
        card.architecture,
        encoder=card.encoder,
        bands=len(card.bands),
        classes=len(card.classes),
        **options,
    )


def init_weights(card: WeightCard, *, seed: int) -> Network:
    """Build the card's network with untrained weights that depend on nothing but the seed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_from_card(card).eval()
