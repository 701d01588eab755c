"""MACU-Net: a U-Net each of whose levels sees all others, with asymmetric convolutions and channel gates.

Source: Li et al. 2022, IEEE GRSL 19, doi:10.1109/LGRS.2021.3052886. Follows the published code, which leaves out the
asymmetric block that equation (3) of the paper puts after every upsampled map.

Level 1 has the input's size, every next one half the height and width and twice the channels. The encoder gives a
feature x of each of the five levels. The decoder makes a map y of each but the last, from five maps that chains of
side branches carry there, and that a gate weighs channel by channel (in the published order):

    y4 from x5,             x4, x3, x2, x1
    y3 from y4, x5,         x3, x2, x1
    y2 from y3, x5, y4,     x2, x1
    y1 from y2, x5, y4, y3, x1

Shapes: N samples, B bands, C channels, H rows, W columns; `classes` logits per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.models.attention import ChannelGate
from rsseg.models.blocks import TransposedConv
from rsseg.models.context import AnyContext, GateContext
from rsseg.models.network import Network, reduce_valid

CHANNELS = {1: 16, 2: 32, 3: 64, 4: 128, 5: 256}
"""By level."""


class AsymmetricUnit(nn.Module):
    """The sum of a 3 x 3, a 1 x 3 and a 3 x 1 convolution, then batch norm and ReLU: C channels to `out`."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.square = nn.Conv2d(channels, out, 3, padding=1)
        self.horizontal = nn.Conv2d(channels, out, (1, 3), padding=(0, 1))
        self.vertical = nn.Conv2d(channels, out, (3, 1), padding=(1, 0))
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit."""
        total = self.square(x) + self.horizontal(x) + self.vertical(x)
        return functional.relu(self.norm(total), inplace=True)


class Level(nn.Module):
    """A level of the decoder.

    `rise` has one step up for each map from below, by the level at which the map's chain began: the map of x5 rises
    to level 4 first.
    """

    def __init__(self, level: int) -> None:
        super().__init__()
        c = CHANNELS[level]
        self.rise = nn.ModuleDict(
            {str(chain): TransposedConv(2 * c, c, 2, stride=2) for chain in range(4, level - 1, -1)}
        )
        self.gate = ChannelGate(len(CHANNELS) * c, 2 * c)
        self.refine = nn.Sequential(AsymmetricUnit(2 * c, c), AsymmetricUnit(c, c))

    def forward(
        self, below: Sequence[Tensor], skips: Sequence[Tensor], context: GateContext | None
    ) -> list[Tensor]:
        """Raise the maps from below (x5, y4 and so on) and add this level's own as the last.

        The gate attends to `context`, or to the level's own maps where there is none.
        """
        risen = self._raise(below)
        joined = _join(risen, skips)
        gated = self.gate(joined) if context is None else self.gate.attend(joined, context)
        return [*risen, self.refine(gated)]

    def summarise(
        self, below: Sequence[Tensor], skips: Sequence[Tensor], valid: Tensor | None
    ) -> GateContext:
        """Take what the gate needs; `valid` (N, H, W) leaves positions out."""
        return self.gate.summarise(_join(self._raise(below), skips), valid)

    def _raise(self, below: Sequence[Tensor]) -> list[Tensor]:
        return [step(x) for step, x in zip(self.rise.values(), below, strict=True)]


class MACUNet(Network):
    """MACU-Net. A gate reads what coarser gates have passed, so an image's contexts take four passes.

    There is one context for each gate, the coarsest first.

    Args:
        bands: input channels.
        classes: output channels.
    """

    stride: ClassVar[int] = 16
    padding: ClassVar[int] = 16
    context_passes: ClassVar[int | None] = 4

    def __init__(self, *, bands: int = 3, classes: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict(
            {
                "1": nn.Sequential(
                    AsymmetricUnit(bands, CHANNELS[1]), AsymmetricUnit(CHANNELS[1], CHANNELS[1])
                ),
                "2": _stage_down(2, units=2),
                "3": _stage_down(3, units=3),
                "4": _stage_down(4, units=3),
                "5": _stage_down(5, units=3),
            }
        )
        self.fall = nn.ModuleDict(  # steps of the chains from x1, x2 and x3, by chain and level of arrival
            {
                f"{chain}{level}": _stage_down(level, units=1)
                for level in (2, 3, 4)
                for chain in range(1, level)
            }
        )
        self.level4 = Level(4)
        self.level3 = Level(3)
        self.level2 = Level(2)
        self.level1 = Level(1)
        self.head = nn.Conv2d(CHANNELS[1], classes, kernel_size=1)

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        """Compute the features x1 to x5."""
        features = []
        for stage in self.encoder.values():
            x = stage(x)
            features.append(x)
        return features

    def decode(
        self, features: Sequence[Tensor], contexts: Sequence[AnyContext] | None = None
    ) -> Sequence[Tensor]:
        """Join the features, from the coarsest to the finest, to one map of the input's size."""
        *skips, bottom = features
        own = (None,) * len(skips)
        *_, y1 = self._climb(bottom, self._carry_down(skips), own if contexts is None else contexts)
        return (y1,)

    def summarise_features(
        self, features: Sequence[Tensor], valid: Tensor | None = None, known: Sequence[AnyContext] = ()
    ) -> tuple[AnyContext, ...]:
        """Take the context of the next gate; see `Network`."""
        *skips, bottom = features
        carried, passed = self._carry_down(skips), len(known)
        maps = self._climb(bottom, carried[:passed], known)
        stride = 2 ** (len(skips) - passed - 1)
        reduced = reduce_valid(valid, stride=stride, padding=self.padding)
        return (self._levels[passed].summarise(maps, carried[passed], reduced),)

    @property
    def _levels(self) -> Sequence[Level]:
        return (self.level4, self.level3, self.level2, self.level1)

    def _carry_down(self, skips: Sequence[Tensor]) -> list[list[Tensor]]:
        """Make the skips of each decoder level, the coarsest level and the longest chain first."""
        carried = [[skips[0]]]
        for level, x in enumerate(skips[1:], start=2):
            fallen = (self.fall[f"{chain}{level}"](skip) for chain, skip in enumerate(carried[-1], start=1))
            carried.append([*fallen, x])
        return carried[::-1]

    def _climb(
        self, bottom: Tensor, carried: Sequence[Sequence[Tensor]], contexts: Sequence[AnyContext | None]
    ) -> list[Tensor]:
        """Decode as many levels as there are skips for; give all maps of the last one, its own at the end."""
        maps = [bottom]
        for level, skips, context in zip(self._levels[: len(carried)], carried, contexts, strict=True):
            maps = level(maps, skips, context)
        return maps


def _stage_down(level: int, *, units: int) -> nn.Sequential:
    """Halve height and width by max pooling, then so many units, of which the first doubles the channels."""
    c = CHANNELS[level]
    more = (AsymmetricUnit(c, c) for _ in range(units - 1))
    return nn.Sequential(nn.MaxPool2d(2), AsymmetricUnit(CHANNELS[level - 1], c), *more)


def _join(risen: Sequence[Tensor], skips: Sequence[Tensor]) -> Tensor:
    """Concatenate a level's maps in the published order; both lists come with the longest chain first."""
    *longer, nearest = risen
    return torch.cat([nearest, *longer, *reversed(skips)], dim=1)
