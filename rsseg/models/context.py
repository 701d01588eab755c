"""What attention needs from everywhere: sums over positions that add up over tiles.

A context is taken by `summarise` and used by `attend`; between the two it may be added to the contexts of other
tiles, in any number, because every entry is a sum over positions, a maximum over them or a count of them.

Shapes: N samples, C channels, K key channels, W columns. `positions` (N,) int64 counts what was summed.
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
class ChannelLinearContext(Context):
    """For linear channel attention: `gram` (N, C, C) and `total` (N, C).

    Of the corrected form they are the sums of x x^T and of x. Of the published form, with u = x / |x| at every
    position, they are the sums of x u^T and of u times the sum of u's entries (plus an epsilon).
    """

    gram: Tensor
    total: Tensor


@dataclass(frozen=True, kw_only=True)
class MeanContext(Context):
    """For a global average: `total` (N, C), the sum of x."""

    total: Tensor


@dataclass(frozen=True, kw_only=True)
class GateContext(Context):
    """For a channel gate: `total` (N, C), the sum of x, and `peak` (N, C), its maximum, -inf over no positions."""

    total: Tensor
    peak: Tensor

    def __add__(self, other: Self) -> Self:
        """Merge two contexts: the larger of the peaks, the sum of the rest."""
        peak = torch.maximum(self.peak.double(), other.peak.double())
        return replace(super().__add__(other), peak=peak)

    def sums(self) -> dict[str, Tensor]:
        """The sums by name, without the count and the peak."""
        return {"total": self.total}

    def over_samples(self) -> Self:
        """One context for all samples of a batch, as if they were parts of one image; N becomes 1."""
        return replace(super().over_samples(), peak=self.peak.double().amax(dim=0, keepdim=True))

    def to(self, dtype: torch.dtype) -> Self:
        """The same with sums and peaks of another type; the count stays int64."""
        return replace(super().to(dtype), peak=self.peak.to(dtype))


@dataclass(frozen=True, kw_only=True)
class StripContext(Context):
    """For strip attention: `queries` (N, K, W) and `values` (N, C, W), summed over the rows of every column.

    `positions` is (N, W): every column has a count of its own. Contexts add where they are of the same columns, so
    an image may be cut into an upper and a lower part, but not into a left and a right one.
    """

    queries: Tensor
    values: Tensor

    def mean(self) -> Self:
        """The averages in the place of the sums; 0 in columns where no position was counted."""
        count = self.positions.clamp_min(1).unsqueeze(1)  # (N, 1, W)
        return self._with_sums(lambda total: total / count)


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

    def to(self, dtype: torch.dtype) -> BlockContext:
        """The same with sums of another type; counts stay int64."""
        return BlockContext(position=self.position.to(dtype), channel=self.channel.to(dtype))


AnyContext = Context | BlockContext
"""The context of one attention module."""
