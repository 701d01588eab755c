"""What attention needs from everywhere: sums over positions that add up over tiles.

A context is taken by `summarise` and used by `attend`; between the two it may be added to the contexts of other
tiles, in any number, because every entry is a sum over positions or a count of them.

Shapes: N samples, C channels, K key channels. `positions` (N,) int64 counts what was summed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Context:
    """Sums over positions and their count; the context of a whole is the sum of the contexts of its parts."""

    positions: Tensor

    def __add__(self, other: Self) -> Self:
        """Merge two contexts in float64, so that a long chain of tiles loses nothing."""
        return replace(
            self,
            positions=self.positions + other.positions,
            **{name: value.double() + getattr(other, name).double() for name, value in self.sums().items()},
        )

    def sums(self) -> dict[str, Tensor]:
        """The sums by name, without the count."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "positions"}

    def mean(self) -> Self:
        """The averages in the place of the sums; 0 where no position was counted."""
        count = self.positions.clamp_min(1)
        return self._with_sums(lambda total: total / count.view(-1, *[1] * (total.dim() - 1)))

    def over_samples(self) -> Self:
        """One context for all samples of a batch, as if they were parts of one image; N becomes 1."""
        merged = self._with_sums(lambda total: total.double().sum(dim=0, keepdim=True))
        return replace(merged, positions=self.positions.sum(dim=0, keepdim=True))

    def to(self, dtype: torch.dtype) -> Self:
        """The same with sums of another type; the count stays int64."""
        return self._with_sums(lambda total: total.to(dtype))

    def _with_sums(self, change: Callable[[Tensor], Tensor]) -> Self:
        return replace(self, **{name: change(total) for name, total in self.sums().items()})


@dataclass(frozen=True, kw_only=True)
class PositionContext(Context):
    """For position attention: `keys` (N, K), `values` (N, C), `key_values` (N, K, C)."""

    keys: Tensor
    values: Tensor
    key_values: Tensor


@dataclass(frozen=True, kw_only=True)
class ChannelContext(Context):
    """For channel attention: the Gram matrix `gram` (N, C, C), the sum of x x^T."""

    gram: Tensor


@dataclass(frozen=True, kw_only=True)
class BlockContext:
    """What an attention block needs from everywhere: the contexts of its two branches."""

    position: PositionContext
    channel: ChannelContext

    def __add__(self, other: BlockContext) -> BlockContext:
        return BlockContext(position=self.position + other.position, channel=self.channel + other.channel)

    def over_samples(self) -> BlockContext:
        """One context for all samples of a batch, as if they were parts of one image; N becomes 1."""
        return BlockContext(position=self.position.over_samples(), channel=self.channel.over_samples())


AnyContext = Context | BlockContext
"""The context of one attention module."""
