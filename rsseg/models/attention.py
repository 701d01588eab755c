"""Attention in two steps: `summarise` takes sums over positions, `attend` lets every position use them.

The sums (`rsseg.models.context`) add up over tiles, so an image may be summarised piece by piece and attended to as
a whole. `forward(x)` is `attend(x, summarise(x))`, which is what the papers do. Cost and memory grow with the number
of positions L = H * W; no (L, L) matrix is ever formed.

Every module adds its result, times a learned `scale` that starts at zero, to its input. Sums, energies and the
softmax are taken in float32 at least, with autocast off; projections and the last product run in the type of x.
Where no position is valid, attention adds nothing.

Shapes: N samples, C channels, K = C // 8 key channels, H rows, W columns, L = H * W positions.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.models.context import ChannelContext, PositionContext

EPSILON = 1e-6
"""Added to every component of the summed keys, as published (specification, sections 2 and 4)."""

_SMALLEST_TOTAL = 2e-5
"""Of the average weight: below it all keys oppose the query and the rest is rounding. Its inverse fits float16."""


class PositionAttention(nn.Module):
    """Attention between positions whose weights are products of a feature of the query and one of the key.

    Then the sums over keys can be taken once for all queries. Subclasses say which feature, and which weights.

    Shape: (N, C, H, W) to the same, C >= 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, kernel_size=1)
        self.key = nn.Conv2d(channels, channels // 8, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the positions of `x` itself."""
        return self.attend(x, self.summarise(x))

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> PositionContext:
        """Sum keys, values and their products over positions; `valid` (N, H, W) leaves positions out."""
        key, value = self.key(x), self.value(x)
        with _autocast_off(x):
            key = _mask(self._feature(_wide(key).flatten(2)), valid)  # (N, K, L)
            value = _wide(value).flatten(2)  # (N, C, L)
            return PositionContext(
                positions=_count(x, valid),
                keys=key.sum(dim=2),
                values=_mask(value, valid).sum(dim=2),
                key_values=key @ value.transpose(1, 2),
            )

    def attend(self, x: Tensor, context: PositionContext) -> Tensor:
        """Let every position of `x` average the values of `context`; a context of N = 1 serves all samples."""
        query = self.query(x)
        with _autocast_off(x):
            query = self._feature(_wide(query).flatten(2))  # (N, K, L)
            mean = replace(context, keys=context.keys + EPSILON).mean().to(query.dtype)
            weights, values = self._weigh(query, mean)
            return _add_product(x, self.scale * values.transpose(1, 2), weights)

    def _feature(self, projected: Tensor) -> Tensor:
        """The feature of projected queries or keys; (N, K, L) to the same."""
        raise NotImplementedError

    def _weigh(self, query: Tensor, mean: PositionContext) -> tuple[Tensor, Tensor]:
        """Weights (N, R, L) and the values (N, R, C) that they mix, from averages over positions."""
        raise NotImplementedError


class LinearAttention(PositionAttention):
    """Position attention in which position j weighs 1 + <q_i, k_j>, with unit-length q and k.

    That is the first-order expansion of the softmax weight exp <q_i, k_j>.

    Shape: (N, C, H, W) to the same, C >= 8.
    Source: Li et al. 2020, arXiv:2007.14902, as MAResU-Net uses it. Departure: a zero query or key stays zero, where
    the published code divides by its norm and gives NaN.
    """

    def _feature(self, projected: Tensor) -> Tensor:
        square = projected.square().sum(dim=1, keepdim=True)
        # A zero vector takes no gradient either: the one of x / max(|x|, tiny) would be 1 / tiny.
        return projected * (square.clamp_min(1e-24).rsqrt() * (square > 0))

    def _weigh(self, query: Tensor, mean: PositionContext) -> tuple[Tensor, Tensor]:
        total = 1 + mean.keys.unsqueeze(1) @ query  # (N, 1, L)
        query = torch.cat([torch.ones_like(total), query], dim=1)  # (N, 1 + K, L)
        values = torch.cat([mean.values.unsqueeze(1), mean.key_values], dim=1)  # (N, 1 + K, C)
        return query / total.clamp_min(_SMALLEST_TOTAL), values


class KernelAttention(PositionAttention):
    """Position attention in which position j weighs <softplus(q_i), softplus(k_j)>.

    Written so that nothing overflows in half precision, however small the keys: each key channel holds an average of
    the values, and a position mixes these K averages with weights that are positive and sum to 1.

    Shape: (N, C, H, W) to the same, C >= 8.
    Source: Li et al. 2021, Multiattention Network, arXiv:2009.02130.
    """

    def _feature(self, projected: Tensor) -> Tensor:
        return functional.softplus(projected)

    def _weigh(self, query: Tensor, mean: PositionContext) -> tuple[Tensor, Tensor]:
        keys = mean.keys.unsqueeze(2)  # (N, K, 1)
        weights = query * keys  # (N, K, L)
        total = weights.sum(dim=1, keepdim=True)  # (N, 1, L)
        return weights / total.clamp_min(torch.finfo(query.dtype).tiny), mean.key_values / keys


class ChannelAttention(nn.Module):
    """Softmax attention between channels: a channel attends most to the channel it correlates with least.

    The sign is inherited from DANet and intended. The energy is the raw sum of x x^T over positions, as published;
    with `energy_positions` set it is that many times the mean, and so does not depend on the size of the image.

    Shape: (N, C, H, W) to the same.
    Source: Li et al. 2022, MAResU-Net, arXiv:2011.14302; the same module serves MANet.
    """

    def __init__(self, *, energy_positions: float | None = None) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))
        self.energy_positions = energy_positions

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the channels of `x` itself."""
        return self.attend(x, self.summarise(x))

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> ChannelContext:
        """Sum x x^T over positions; `valid` (N, H, W) leaves positions out."""
        with _autocast_off(x):
            flat = _wide(x).flatten(2)  # (N, C, L)
            return ChannelContext(positions=_count(x, valid), gram=_mask(flat, valid) @ flat.transpose(1, 2))

    def attend(self, x: Tensor, context: ChannelContext) -> Tensor:
        """Let every channel of `x` average the channels; a context of N = 1 serves all samples."""
        with _autocast_off(x):
            weights = torch.softmax(-self._energy(context), dim=2)  # (N, C, C)
            weights = weights * (context.positions > 0).view(-1, 1, 1)
            return _add_product(x, self.scale * weights, x.flatten(2))

    def _energy(self, context: ChannelContext) -> Tensor:
        if self.energy_positions is None:
            return context.gram
        return self.energy_positions * context.mean().gram


def _autocast_off(x: Tensor) -> AbstractContextManager[None]:
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def _wide(x: Tensor) -> Tensor:
    """The tensor in float32, or float64 where it is that already."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _mask(flat: Tensor, valid: Tensor | None) -> Tensor:
    """Set the columns of `flat` (N, R, L) to zero that `valid` (N, H, W) leaves out."""
    return flat if valid is None else flat * valid.flatten(1).unsqueeze(1)


def _count(x: Tensor, valid: Tensor | None) -> Tensor:
    """How many positions of each sample count; (N,) int64."""
    if valid is not None:
        return valid.flatten(1).sum(dim=1)
    return torch.full((x.shape[0],), x.shape[2] * x.shape[3], dtype=torch.int64, device=x.device)


def _add_product(x: Tensor, matrix: Tensor, columns: Tensor) -> Tensor:
    """Add `matrix` (N or 1, C, R) times `columns` (N, R, L) to `x` (N, C, H, W), in the type and layout of `x`."""
    flat = x.flatten(2)  # (N, C, L)
    matrix = matrix.to(x.dtype).expand(x.shape[0], -1, -1)
    columns = columns.to(x.dtype)
    if x.is_contiguous(memory_format=torch.channels_last):
        columns, matrix = columns.transpose(1, 2), matrix.transpose(1, 2)
        rows = torch.baddbmm(flat.transpose(1, 2), columns, matrix)  # (N, L, C), as the layout wants it
        return rows.transpose(1, 2).view(x.shape)
    return torch.baddbmm(flat, matrix, columns).view(x.shape)
