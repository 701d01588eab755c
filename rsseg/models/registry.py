"""The networks by name, written out; torch is imported only when one is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from rsseg.errors import OptionError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class NetworkEntry:
    """What the rest of rsseg may know about a network without building it.

    `network` is its class, as `module:name`. `encoders` is empty and `default_encoder` "" where a network has none;
    its logits depend on how the input lies on a grid of `stride` pixels; `context_passes` counts the passes over an
    image that the context of its attention takes (0: no attention; None: it cannot be taken, so tiles attend to
    themselves).
    """

    name: str
    network: str
    encoders: tuple[str, ...] = ()
    default_encoder: str = ""
    stride: int
    context_passes: int | None
    paper: str = ""

    @property
    def build(self) -> Callable[..., nn.Module]:
        """The network's class."""
        module, _, name = self.network.partition(":")
        network: Callable[..., nn.Module] = getattr(import_module(module), name)
        return network


_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")

NETWORKS: dict[str, NetworkEntry] = {
    "maresunet": NetworkEntry(
        name="maresunet",
        network="rsseg.models.maresunet:MAResUNet",
        encoders=_RESNETS,
        default_encoder="resnet34",
        stride=32,
        context_passes=1,
        paper="Li et al. 2022, MAResU-Net, IEEE GRSL 19, arXiv:2011.14302",
    ),
    "manet": NetworkEntry(
        name="manet",
        network="rsseg.models.manet:MANet",
        encoders=_RESNETS,
        default_encoder="resnet50",
        stride=32,
        context_passes=1,
        paper="Li et al. 2021, Multiattention Network, IEEE TGRS, arXiv:2009.02130",
    ),
    "linear": NetworkEntry(name="linear", network="rsseg.models.linear:Linear", stride=1, context_passes=0),
}


def network_entry(name: str) -> NetworkEntry:
    """Look a network up.

    Raises:
        OptionError: there is none of that name.
    """
    if name not in NETWORKS:
        raise OptionError(f"{name}: unknown network", hint=f"known networks are: {', '.join(NETWORKS)}")
    return NETWORKS[name]


def build_network(
    architecture: str, *, encoder: str = "", bands: int = 3, classes: int, **options: Any
) -> nn.Module:
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
    if entry.encoders:
        options["encoder"] = _check_encoder(entry, encoder or entry.default_encoder)
    elif encoder:
        raise OptionError(f"{architecture}: has no encoder, found {encoder}", hint="leave the encoder out")
    _check_options(entry, options)
    return entry.build(bands=bands, classes=classes, **options)


def _check_encoder(entry: NetworkEntry, encoder: str) -> str:
    if encoder not in entry.encoders:
        raise OptionError(
            f"{entry.name}: unknown encoder {encoder}", hint=f"its encoders are: {', '.join(entry.encoders)}"
        )
    return encoder


def _check_options(entry: NetworkEntry, options: dict[str, Any]) -> None:
    known = set(signature(entry.build).parameters)
    unknown = sorted(set(options) - known)
    if unknown:
        raise OptionError(
            f"{entry.name}: has no option {', '.join(unknown)}",
            hint=f"its options are: {', '.join(sorted(known - {'bands', 'classes', 'encoder'})) or 'none'}",
        )
