"""The networks by name, written out; torch is imported only when one is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from rsseg.errors import OptionError

if TYPE_CHECKING:
    from rsseg.models.network import Network


@dataclass(frozen=True)
class Size:
    """What a network costs with one encoder, three bands and six classes; the tests measure it again.

    `parameters` of the training graph; `gmac` multiply-accumulates in eval mode of one image of 512 x 512 pixels
    (of its `side`, where a network takes no other), in 10^9; `reach` how many pixels around an aligned square of
    `stride` pixels its logits depend on when the context of its attention is given, None where some attention always
    sees the whole tile.
    """

    parameters: int
    gmac: float
    reach: int | None


@dataclass(frozen=True, kw_only=True)
class NetworkEntry:
    """What the rest of rsseg may know about a network without building it.

    `network` is its class, as `module:name`, and `options` what makes a variant of it. `sizes` holds a line for each
    encoder; a network without a choice of encoders has the single key "", as its `default_encoder` is. Its logits
    depend on how the input lies on a grid of `stride` pixels. `context_passes` counts the passes over an image that
    the context of its attention takes (0: no attention; None: it cannot be taken, so tiles attend to themselves, and
    `no_context` says why).
    A batch in training holds at least `least_batch` samples. `side` is set where it takes no other input than squares
    of that side.
    """

    name: str
    network: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Size]
    default_encoder: str = ""
    stride: int
    context_passes: int | None
    no_context: str = ""
    least_batch: int = 1
    side: int | None = None
    paper: str = ""

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders to choose from; empty where there is no choice."""
        return tuple(name for name in self.sizes if name)

    @property
    def build(self) -> Callable[..., Network]:
        """The network's class."""
        module, _, name = self.network.partition(":")
        network: Callable[..., Network] = getattr(import_module(module), name)
        return network


_STRIPS = "its attention is tied to the columns of a tile"
_QUADRATIC = "its attention compares each position with each other, and no sum stands for that"

_ENTRIES = (
    NetworkEntry(
        name="maresunet",
        network="rsseg.models.maresunet:MAResUNet",
        sizes={
            "resnet18": Size(16_168_350, 19.04, 282),
            "resnet34": Size(26_276_510, 28.70, 514),
            "resnet50": Size(102_722_702, 105.56, 278),
            "resnet101": Size(121_714_830, 124.95, 550),
            "efficientnet-lite0": Size(4_643_570, 6.50, 521),
            "efficientnet-lite1": Size(5_408_242, 7.11, 653),
            "efficientnet-lite2": Size(6_383_414, 7.66, 653),
        },
        default_encoder="resnet34",
        stride=32,
        context_passes=1,
        paper="Li et al. 2022, MAResU-Net, IEEE GRSL 19, arXiv:2011.14302",
    ),
    NetworkEntry(
        name="manet",
        network="rsseg.models.manet:MANet",
        sizes={
            "resnet18": Size(11_986_590, 15.82, 250),
            "resnet34": Size(22_094_750, 25.48, 482),
            "resnet50": Size(35_860_622, 54.02, 246),
            "resnet101": Size(54_852_750, 73.41, 518),
            "efficientnet-lite0": Size(3_236_146, 5.84, 489),
            "efficientnet-lite1": Size(4_000_818, 6.45, 621),
            "efficientnet-lite2": Size(4_687_030, 6.88, 621),
        },
        default_encoder="resnet50",
        stride=32,
        context_passes=1,
        paper="Li et al. 2021, Multiattention Network, IEEE TGRS, arXiv:2009.02130",
    ),
    NetworkEntry(
        name="abcnet",
        network="rsseg.models.abcnet:ABCNet",
        sizes={
            "resnet18": Size(13_666_563, 15.61, 281),
            "resnet34": Size(23_774_723, 25.27, 513),
            "resnet50": Size(28_848_899, 28.85, 277),
            "resnet101": Size(47_841_027, 48.24, 549),
            "efficientnet-lite0": Size(5_037_251, 7.81, 489),
            "efficientnet-lite1": Size(5_801_923, 8.42, 621),
            "efficientnet-lite2": Size(6_486_531, 8.82, 621),
        },
        default_encoder="resnet18",
        stride=32,
        context_passes=2,
        least_batch=2,
        paper="Li et al. 2021, ABCNet, ISPRS J. P&RS 181, arXiv:2102.02531",
    ),
    NetworkEntry(
        name="attanet",
        network="rsseg.models.attanet:AttaNet",
        sizes={
            "resnet18": Size(12_786_240, 11.41, None),
            "resnet34": Size(22_894_400, 21.08, None),
            "resnet50": Size(28_189_760, 24.85, None),
            "resnet101": Size(47_181_888, 44.25, None),
            "efficientnet-lite0": Size(4_106_240, 3.59, None),
            "efficientnet-lite1": Size(4_870_912, 4.20, None),
            "efficientnet-lite2": Size(5_560_128, 4.60, None),
        },
        default_encoder="resnet18",
        stride=32,
        context_passes=None,
        no_context=_STRIPS,
        least_batch=2,
        paper="Song et al. 2021, AttaNet, AAAI, arXiv:2103.05930",
    ),
    NetworkEntry(
        name="attanet-light",
        network="rsseg.models.attanet:AttaNetLight",
        sizes={"": Size(1_002_272, 2.70, None)},
        stride=16,
        context_passes=None,
        no_context=_STRIPS,
        least_batch=2,
        paper="Song et al. 2021, AttaNet, AAAI, arXiv:2103.05930",
    ),
    NetworkEntry(
        name="macunet",
        network="rsseg.models.macunet:MACUNet",
        sizes={"": Size(5_151_734, 29.41, 122)},
        stride=16,
        context_passes=4,
        paper="Li et al. 2022, MACU-Net, IEEE GRSL 19, doi:10.1109/LGRS.2021.3052886",
    ),
    NetworkEntry(
        name="maskattn-unet",
        network="rsseg.models.maskattn_unet:MaskAttnUNet",
        sizes={"": Size(22_757_836, 1601.81, None)},
        stride=8,
        context_passes=None,
        no_context=_QUADRATIC,
        paper="MaskAttn-UNet 2025, arXiv:2503.10686",
    ),
    NetworkEntry(
        name="maskattn-unet-published",
        network="rsseg.models.maskattn_unet:PublishedMaskAttnUNet",
        sizes={"": Size(24_681_042, 67.95, None)},
        stride=8,
        context_passes=None,
        no_context=_QUADRATIC,
        side=128,
        paper="MaskAttn-UNet 2025, arXiv:2503.10686",
    ),
    NetworkEntry(
        name="linear",
        network="rsseg.models.linear:Linear",
        sizes={"": Size(24, 0.005, 0)},
        stride=1,
        context_passes=0,
    ),
)
NETWORKS: dict[str, NetworkEntry] = {entry.name: entry for entry in _ENTRIES}


def network_entry(name: str) -> NetworkEntry:
    """Look a network up; an underscore stands for a hyphen.

    Raises:
        OptionError: there is none of that name.
    """
    entry = NETWORKS.get(name.replace("_", "-"))
    if entry is None:
        raise OptionError(f"{name}: unknown network", hint=f"known networks are: {', '.join(NETWORKS)}")
    return entry


def build_network(
    architecture: str, *, encoder: str = "", bands: int = 3, classes: int, **options: Any
) -> Network:
    """Build an untrained network: `network(x)` takes (N, bands, H, W) to logits (N, classes, H, W), any H and W.

    Args:
        architecture: a key of `NETWORKS`.
        encoder: one of the network's encoders; "" takes its default.
        bands: input channels.
        classes: output channels.
        options: what the network's constructor takes besides, for instance `attention_norm`.

    Raises:
        OptionError: unknown network, encoder or option, or a size below 1.
    """
    entry = network_entry(architecture)
    for what, size in {"bands": bands, "classes": classes}.items():
        if size < 1:
            raise OptionError(f"{architecture}: {what} is {size}; it must be at least 1")
    chosen = check_encoder(entry, encoder)
    if chosen:
        options["encoder"] = chosen
    _check_options(entry, options)
    return entry.build(bands=bands, classes=classes, **{**entry.options, **options})


def check_encoder(entry: NetworkEntry, encoder: str) -> str:
    """The encoder that a network is built with: its default for "", which is "" where there is no choice.

    Raises:
        OptionError: it has no such encoder.
    """
    if encoder and not entry.encoders:
        raise OptionError(f"{entry.name}: has no encoder, found {encoder}", hint="leave the encoder out")
    if encoder and encoder not in entry.encoders:
        raise OptionError(
            f"{entry.name}: unknown encoder {encoder}", hint=f"its encoders are: {', '.join(entry.encoders)}"
        )
    return encoder or entry.default_encoder


def _check_options(entry: NetworkEntry, options: dict[str, Any]) -> None:
    known = set(signature(entry.build).parameters)
    unknown = sorted(set(options) - known)
    if unknown:
        raise OptionError(
            f"{entry.name}: has no option {', '.join(unknown)}",
            hint=f"its options are: {', '.join(sorted(known - {'bands', 'classes', 'encoder'})) or 'none'}",
        )
