"""Attention in two steps: `summarise` takes sums over positions, `attend` lets every position use them.

The sums (`rsseg.models.context`) add up over tiles, so an image may be summarised piece by piece and attended to as
a whole. `forward(x)` is `attend(x, summarise(x))`, which is what the papers do. Cost and memory then grow with the
number of positions L = H * W, those of strips with L * W. Two kinds of attention have no such sums, because every pair
of positions has a weight of its own: dot-product attention, here as the reference, which forms the (L, L) matrix, and
mask attention, which leaves that to torch's fused kernels: their cost is as high, their memory is not.

In this order:

* between positions: `LinearAttention`, `KernelAttention`, `DotProductAttention`
* between channels: `ChannelAttention`, `ChannelLinearAttention`
* pooled over positions: `GlobalMean`, `ChannelGate`, `StripAttention`
* between unmasked positions: `MaskAttention`, `PublishedMaskAttention`

Those between positions or channels add their result, times a learned `scale` that starts at zero, to their input.
Sums, energies and the softmax are taken in float32 at least, with autocast off; projections and the last product run
in the type of x. Mask attention gives half-precision queries, keys and values to the fused kernels as they are, which
add up in float32 by themselves. Where no position is valid, attention adds nothing, whatever x holds there.

Shapes: N samples, C channels, K key channels, H rows, W columns, L = H * W positions.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.errors import OptionError
from rsseg.models.blocks import conv_unit
from rsseg.models.context import (
    ChannelContext,
    ChannelLinearContext,
    GateContext,
    MeanContext,
    PositionContext,
    StripContext,
)

EPSILON = 1e-6
"""Added to every component of the summed keys, as published (specification, sections 2 to 4)."""

_SMALLEST_TOTAL = 2e-5
"""Of the average weight: below it all keys oppose the query and the rest is rounding. Its inverse fits float16."""

_SMALLEST_KERNEL_TOTAL = 1e-30
"""Of the weights of kernel attention: below it the average fades out. Its inverse leaves room for gradients."""

_SMALLEST_SHARE = 1e-3
"""Of a query's weight that active keys have: below it the gradient of the gates is that of a query with this much."""


class _Projections(nn.Module):
    """Queries, keys and values (N, C // 8 or C, H, W) of a map of features, and the scale of the result.

    Without `residual` the result alone is returned, not its sum with the input.

    Raises:
        OptionError: there are fewer than 8 channels.
    """

    def __init__(self, channels: int, *, residual: bool = True) -> None:
        if channels < 8:
            raise OptionError(f"channels is {channels}; attention needs at least 8, for one channel of keys")
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, kernel_size=1)
        self.key = nn.Conv2d(channels, channels // 8, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.scale = nn.Parameter(torch.zeros(1))
        self.residual = residual


class PositionAttention(_Projections):
    """Attention between positions whose weights are products of a feature of the query and one of the key.

    Then the sums over keys can be taken once for all queries. Subclasses say which feature, and which weights.

    Shape: (N, C, H, W) to the same, C >= 8.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the positions of `x` itself."""
        return self.attend(x, self.summarise(x))

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> PositionContext:
        """Sum keys, values and their products over positions; `valid` (N, H, W) leaves positions out."""
        key, value = self.key(x), self.value(x)
        with _autocast_off(x):
            key = _mask(self._feature(_wide(key).flatten(2)), valid)  # (N, K, L)
            value = _mask(_wide(value).flatten(2), valid)  # (N, C, L)
            return PositionContext(
                positions=_count(x, valid),
                keys=key.sum(dim=2),
                values=value.sum(dim=2),
                key_values=key @ value.transpose(1, 2),
            )

    def attend(self, x: Tensor, context: PositionContext) -> Tensor:
        """Let every position of `x` average the values of `context`; a context of N = 1 serves all samples."""
        query = self.query(x)
        with _autocast_off(x):
            query = self._feature(_wide(query).flatten(2))  # (N, K, L)
            mean = replace(context, keys=context.keys + EPSILON).mean().to(query.dtype)
            weights, values = self._weigh(query, mean)
            return _product(x, self.scale * values.transpose(1, 2), weights, residual=self.residual)

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
    Source: Li et al. 2020, arXiv:2007.14902, as MAResU-Net uses it; ABCNet uses it without residual. Departures: a zero
    query or key stays zero, where the published code divides by its norm and gives NaN. Where all keys oppose a query,
    so that their weights average less than 2e-5 (exact ones cannot be negative), it divides by 2e-5 instead.
    """

    def _feature(self, projected: Tensor) -> Tensor:
        return _unit(projected)

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
    Source: Li et al. 2021, Multiattention Network, arXiv:2009.02130. Departure: where the weights of a query average
    less than 1e-30 in all it divides by 1e-30, so that a query whose softplus is 0 adds nothing, where the published
    code gives NaN.
    """

    def _feature(self, projected: Tensor) -> Tensor:
        return functional.softplus(projected)

    def _weigh(self, query: Tensor, mean: PositionContext) -> tuple[Tensor, Tensor]:
        keys = mean.keys.unsqueeze(2)  # (N, K, 1)
        weights = query * keys  # (N, K, L)
        total = weights.sum(dim=1, keepdim=True)  # (N, 1, L)
        return weights / total.clamp_min(_SMALLEST_KERNEL_TOTAL), mean.key_values / keys


class DotProductAttention(_Projections):
    """Position attention in which position j weighs exp <q_i, k_j>: the reference that the others stand in for.

    Forms the (L, L) matrix of weights: memory and cost grow with the square of the positions. Without the factor
    1 / sqrt(K), as in the attention that the linear form expands.

    Shape: (N, C, H, W) to the same, C >= 8.
    Source: Fu et al. 2019, DANet, arXiv:1809.02983.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the positions of `x`."""
        query, key, value = self.query(x), self.key(x), self.value(x)
        with _autocast_off(x):
            query, key, value = (_wide(projected).flatten(2) for projected in (query, key, value))
            weights = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # (N, L, L), row i for position i
            return _product(x, self.scale * value, weights.transpose(1, 2), residual=self.residual)


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
            flat = _mask(_wide(x).flatten(2), valid)  # (N, C, L)
            return ChannelContext(positions=_count(x, valid), gram=flat @ flat.transpose(1, 2))

    def attend(self, x: Tensor, context: ChannelContext) -> Tensor:
        """Let every channel of `x` average the channels; a context of N = 1 serves all samples."""
        with _autocast_off(x):
            weights = torch.softmax(-self._energy(context), dim=2)  # (N, C, C)
            weights = weights * (context.positions > 0).view(-1, 1, 1)
            return _product(x, self.scale * weights, x.flatten(2))

    def _energy(self, context: ChannelContext) -> Tensor:
        if self.energy_positions is None:
            return context.gram
        return self.energy_positions * context.mean().gram


class ChannelLinearAttention(nn.Module):
    """Linear attention between channels, in which channel j weighs 1 + <n_c, n_j>, n = x / |x| over positions.

    All that it needs from everywhere is the Gram matrix of x, since <n_c, n_j> = G_cj / sqrt(G_cc G_jj), and the sum
    of x. A channel of zeros has a product of 0 with all channels.

    Shape: (N, C, H, W) to the same.
    Source: Li et al. 2020, arXiv:2007.14902, corrected. The published code (`form="published"`, for compatibility
    alone) normalises over channels at every position, has the number of positions where that of channels belongs,
    so that weights do not sum to 1, and gives the part of the query to x itself. A zero vector stays zero in ours.

    Raises:
        OptionError: `form` is neither of the two.
    """

    def __init__(self, *, form: Literal["corrected", "published"] = "corrected") -> None:
        if form not in ("corrected", "published"):
            raise OptionError(f"form is {form!r}; it must be 'corrected' or 'published'")
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the channels of `x` itself."""
        return self.attend(x, self.summarise(x))

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> ChannelLinearContext:
        """Take the sums of the form; `valid` (N, H, W) leaves positions out."""
        with _autocast_off(x):
            flat = _mask(_wide(x).flatten(2), valid)  # (N, C, L)
            if self.form == "corrected":
                key, total = flat, flat.sum(dim=2)
            else:
                key = _unit(flat)
                total = (key * (key.sum(dim=1, keepdim=True) + EPSILON)).sum(dim=2)
            gram = flat @ key.transpose(1, 2)
            return ChannelLinearContext(positions=_count(x, valid), gram=gram, total=total)

    def attend(self, x: Tensor, context: ChannelLinearContext) -> Tensor:
        """Let every channel of `x` average the channels; a context of N = 1 serves all samples."""
        with _autocast_off(x):
            flat = _wide(x).flatten(2)  # (N, C, L)
            context = context.to(flat.dtype)
            weights = self._weights(context) * (context.positions > 0).view(-1, 1, 1)
            columns = flat if self.form == "corrected" else torch.cat([flat, _unit(flat)], dim=1)
            return _product(x, self.scale * weights, columns)

    def _weights(self, context: ChannelLinearContext) -> Tensor:
        """What multiplies x, (N, C, C), or in the published form x and u, (N, C, 2 C)."""
        if self.form == "corrected":
            inverse = _inverse_norm(context.gram.diagonal(dim1=1, dim2=2))  # (N, C)
            cosine = inverse.unsqueeze(2) * context.gram * inverse.unsqueeze(1)
            total = cosine.shape[1] + cosine.sum(dim=2) + EPSILON * inverse * context.total
            return (1 + cosine) / total.unsqueeze(2)
        total = context.positions.clamp_min(1).unsqueeze(1) + context.total
        return torch.cat([torch.ones_like(context.gram), context.gram], dim=2) / total.unsqueeze(2)


class GlobalMean(nn.Module):
    """The average of x over all positions, 0 where none is valid.

    Shape: (N, C, H, W) to (N, C, 1, 1).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Average `x` itself."""
        return self.attend(self.summarise(x)).to(x.dtype)

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> MeanContext:
        """Sum x over positions; `valid` (N, H, W) leaves positions out."""
        with _autocast_off(x):
            return MeanContext(positions=_count(x, valid), total=_mask(_wide(x).flatten(2), valid).sum(dim=2))

    def attend(self, context: MeanContext) -> Tensor:
        """The average (N, C, 1, 1) in the type of the context: float32, or float64 once contexts were added."""
        return context.mean().total[:, :, None, None]


class ChannelGate(nn.Module):
    """Reduce to `out` channels, and weigh each by a gate in (0, 1) made of its average and its maximum.

    Where no position is valid, both count as 0 and every gate is 1 / 2. Positions that share the maximum share its
    gradient, which the published pooling gives to one of them.

    Shape: (N, channels, H, W) to (N, out, H, W), out >= ratio.
    Source: Li et al. 2022, MACU-Net, doi 10.1109/LGRS.2021.3052886, there "channel attention block".

    Raises:
        OptionError: `ratio` is not in [1, out].
    """

    def __init__(self, channels: int, out: int, *, ratio: int = 16) -> None:
        if not 1 <= ratio <= out:
            raise OptionError(f"ratio is {ratio}; it must be from 1 to the {out} channels that are weighed")
        super().__init__()
        self.reduce = nn.Conv2d(channels, out, kernel_size=1, bias=False)
        self.average_in = nn.Conv2d(out, out // ratio, kernel_size=1, bias=False)
        self.average_out = nn.Conv2d(out // ratio, out, kernel_size=1, bias=False)
        self.peak_in = nn.Conv2d(out, out // ratio, kernel_size=1, bias=False)
        self.peak_out = nn.Conv2d(out // ratio, out, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Make the gates from `x` itself."""
        reduced = self.reduce(x)
        return self._attend(reduced, self._summarise(reduced, None))

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> GateContext:
        """Take sum and maximum of the reduced channels; `valid` (N, H, W) leaves positions out."""
        return self._summarise(self.reduce(x), valid)

    def attend(self, x: Tensor, context: GateContext) -> Tensor:
        """Reduce and weigh `x` by the gates of `context`; a context of N = 1 serves all samples."""
        return self._attend(self.reduce(x), context)

    def _summarise(self, reduced: Tensor, valid: Tensor | None) -> GateContext:
        with _autocast_off(reduced):
            flat = _wide(reduced).flatten(2)  # (N, out, L)
            seen = flat if valid is None else flat.masked_fill(~valid.flatten(1).unsqueeze(1), -math.inf)
            return GateContext(
                positions=_count(reduced, valid), total=_mask(flat, valid).sum(dim=2), peak=seen.amax(dim=2)
            )

    def _attend(self, reduced: Tensor, context: GateContext) -> Tensor:
        average = context.mean().total
        peak = context.peak.masked_fill((context.positions == 0).unsqueeze(1), 0)
        average, peak = (pooled.to(reduced.dtype)[:, :, None, None] for pooled in (average, peak))
        average = self.average_out(functional.relu(self.average_in(average)))
        peak = self.peak_out(functional.relu(self.peak_in(peak)))
        return reduced * torch.sigmoid(average + peak).to(reduced.dtype)


class StripAttention(nn.Module):
    """Attention of every position to the columns of the map, each averaged over its rows.

    Column w weighs exp <q_w, k_p> in the average of columns that position p adds to itself. Cost and memory grow with
    L * W. Columns without a valid row are left out.

    Shape: (N, C, H, W) to the same.
    Source: Song et al. 2021, AttaNet, arXiv:2103.05930: the vertical strips, without the factor 1 / sqrt(K).
    """

    def __init__(self, channels: int, *, key_channels: int = 64) -> None:
        super().__init__()
        self.query = conv_unit(channels, key_channels, 1)
        self.key = conv_unit(channels, key_channels, 1)
        self.value = conv_unit(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the columns of `x` itself."""
        return self.attend(x, self.summarise(x))

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> StripContext:
        """Sum queries and values over the rows of every column; `valid` (N, H, W) leaves positions out."""
        query, value = self.query(x), self.value(x)
        with _autocast_off(x):
            return StripContext(
                positions=_count_rows(x, valid),
                queries=_sum_rows(query, valid),
                values=_sum_rows(value, valid),
            )

    def attend(self, x: Tensor, context: StripContext) -> Tensor:
        """Let every position of `x` average the columns of `context`; a context of N = 1 serves all samples."""
        key = self.key(x)
        with _autocast_off(x):
            key = _wide(key).flatten(2).transpose(1, 2)  # (N, L, K)
            mean = context.mean().to(key.dtype)
            seen = (context.positions > 0).unsqueeze(1)  # (N, 1, W)
            scores = (key @ mean.queries).masked_fill_(~seen, torch.finfo(key.dtype).min)
            # Where no column is seen the weights are even, and all values 0.
            weights = torch.softmax(scores, dim=2)  # (N, L, W)
            return _product(x, mean.values, weights.transpose(1, 2))


class MaskAttention(nn.Module):
    """Multi-head attention between positions, of which a learned mask leaves some out.

    A 1 x 1 convolution gives every position a probability; from 1 / 2 on it is active, b_j = 1. Position j then weighs
    b_j exp(s_ij) / sum_l b_l exp(s_il), with s = <q, k> / sqrt(C / heads); the mixture y_i is projected, added to the
    input and normalised over channels. Where none is active, all are. Torch's fused kernels form no (L, L) matrix.

    Gradients reach the probabilities straight through the step (b + p - stop_gradient(p)), which a masked softmax does
    not let pass. So where they are wanted, it gets a second term, which is zero and has only the gradient of the gates:
    with a_ij the softmax over all keys, sum_j (p_j - stop_gradient(p_j)) a_ij (v_j - y_i) / sum_l b_l a_il.

    A map of more than `max_tokens` positions is cut into equal windows of at most sqrt(max_tokens) a side, which attend
    to themselves; positions that pad the last ones are never active.

    Shape: (N, C, H, W) to the same.
    Source: the idea of MaskAttn-UNet, arXiv:2503.10686, with what the paper leaves open decided by us. Departure: that
    divisor, which no longer bounds the gradient of an inactive position once it draws nearly all the weight, is taken
    as 1 / 1000 at least. Output and all other gradients are exact.

    Args:
        channels: C.
        heads: a divisor of C; without it 4 where that is one, else 1.
        max_tokens: positions that attend to one another at most.

    Raises:
        OptionError: `heads` does not divide C, or `max_tokens` is not positive.
    """

    def __init__(self, channels: int, *, heads: int | None = None, max_tokens: int = 16384) -> None:
        heads = heads if heads is not None else 4 if channels % 4 == 0 else 1
        if heads < 1 or channels % heads:
            raise OptionError(f"heads is {heads}; it must be a divisor of the {channels} channels")
        if max_tokens < 1:
            raise OptionError(f"max_tokens is {max_tokens}; it must be 1 or more")
        super().__init__()
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.project = nn.Linear(channels, channels)
        self.mask = nn.Conv2d(channels, 1, kernel_size=1)
        self.norm = nn.LayerNorm(channels)
        self.heads = heads
        self.max_tokens = max_tokens
        assert self.mask.bias is not None
        nn.init.constant_(self.mask.bias, 2.0)  # so that nearly all positions are active at first

    def forward(self, x: Tensor, probs: Tensor | None = None) -> Tensor:
        """Attend to the active positions of `x`; `probs` (N, 1, H, W) stand in for those of its own mask."""
        probs = self.mask_probs(x) if probs is None else probs
        height, width = self._window(x)
        tokens = _windows(x, height, width)  # (M, T, C): M windows of T positions
        inside = _windows(torch.ones_like(probs, dtype=torch.bool), height, width)
        mixed = self.project(self._attend(tokens, _windows(probs, height, width), inside))
        return _join_windows(self.norm(tokens + mixed), height, width, like=x)

    def mask_probs(self, x: Tensor) -> Tensor:
        """The probability of every position to be active; (N, 1, H, W) in (0, 1), float32 at least."""
        return torch.sigmoid(_wide(self.mask(x)))

    def _window(self, x: Tensor) -> tuple[int, int]:
        height, width = x.shape[2:]
        if height * width <= self.max_tokens:
            return height, width
        side = math.isqrt(self.max_tokens)
        return _equal_parts(height, at_most=side), _equal_parts(width, at_most=side)

    def _attend(self, tokens: Tensor, probs: Tensor, inside: Tensor) -> Tensor:
        query, key, value = (self._split(p(tokens)) for p in (self.query, self.key, self.value))
        active = _active(probs, inside)  # (M, T, 1)
        with _autocast_off(tokens):
            mixed = _fused_attention(query, key, value, keys=active)  # (M, heads, T, C / heads)
            if probs.requires_grad:
                parts = (_wide(t.detach()) for t in (query, key, value, mixed))
                mixed = mixed + _gate_gradient(*parts, probs=probs, active=active, inside=inside)
        return mixed.transpose(1, 2).flatten(2).to(tokens.dtype)  # (M, T, C)

    def _split(self, projected: Tensor) -> Tensor:
        """Give each head its channels: (M, T, C) to (M, heads, T, C / heads)."""
        windows, tokens, channels = projected.shape
        return projected.view(windows, tokens, self.heads, channels // self.heads).transpose(1, 2)


class PublishedMaskAttention(nn.Module):
    """Mask attention as in the published code, for parity: one head, and a mask that is given and not learned.

    The mask is no parameter: set `mask` (N, H, W) bool, True where a key is active; None stands for all. Departure:
    where none is active all are, where the published code gives NaN. `permute` repairs its last step, which reads the
    numbers (N, L, C) as if they were (N, C, H, W) and so mixes up positions and channels.

    Shape: (N, C, H, W) to the same.
    Source: the code of MaskAttn-UNet, arXiv:2503.10686.
    """

    def __init__(self, channels: int, *, permute: bool = False) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels)
        self.permute = permute
        self.mask: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the active positions of `x`."""
        tokens = x.flatten(2).transpose(1, 2)  # (N, L, C)
        query, key, value = (p(tokens).unsqueeze(1) for p in (self.query, self.key, self.value))
        with _autocast_off(x):
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=self._active())
        y: Tensor = self.norm(tokens + mixed.squeeze(1)).to(x.dtype)
        return (y.transpose(1, 2) if self.permute else y).reshape(x.shape)

    def _active(self) -> Tensor | None:
        """Which keys every query sees; (N, 1, 1, L) bool."""
        if self.mask is None:
            return None
        active = self.mask.flatten(1)  # (N, L)
        active = active | ~active.any(dim=1, keepdim=True)
        return active[:, None, None]


def _autocast_off(x: Tensor) -> AbstractContextManager[None]:
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def _wide(x: Tensor) -> Tensor:
    """The tensor in float32, or float64 where it is that already."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _unit(vectors: Tensor) -> Tensor:
    """Scale the columns of (N, R, L) to length 1; zeros stay."""
    return vectors * _inverse_norm(vectors.square().sum(dim=1, keepdim=True))


def _inverse_norm(square: Tensor) -> Tensor:
    """1 / sqrt of squared lengths, 0 for 0."""
    # A zero vector takes no gradient either: the one of x / max(|x|, tiny) would be 1 / tiny.
    return square.clamp_min(1e-24).rsqrt() * (square > 0)


def _mask(flat: Tensor, valid: Tensor | None) -> Tensor:
    """Set the columns of `flat` (N, R, L) to zero that `valid` (N, H, W) leaves out."""
    return flat if valid is None else flat.masked_fill(~valid.flatten(1).unsqueeze(1), 0)


def _count(x: Tensor, valid: Tensor | None) -> Tensor:
    """How many positions of each sample count; (N,) int64."""
    if valid is not None:
        return valid.flatten(1).sum(dim=1)
    return torch.full((x.shape[0],), x.shape[2] * x.shape[3], dtype=torch.int64, device=x.device)


def _count_rows(x: Tensor, valid: Tensor | None) -> Tensor:
    """How many rows of each column count; (N, W) int64."""
    if valid is not None:
        return valid.sum(dim=1)
    return torch.full((x.shape[0], x.shape[3]), x.shape[2], dtype=torch.int64, device=x.device)


def _sum_rows(projected: Tensor, valid: Tensor | None) -> Tensor:
    """Add up (N, R, H, W) to (N, R, W) without the positions that `valid` (N, H, W) leaves out."""
    if valid is not None:
        projected = projected.masked_fill(~valid.unsqueeze(1), 0)
    return projected.sum(dim=2, dtype=torch.promote_types(projected.dtype, torch.float32))


def _product(x: Tensor, matrix: Tensor, columns: Tensor, *, residual: bool = True) -> Tensor:
    """Multiply `matrix` (N or 1, C, R) by `columns` (N, R, L) and add it to `x` (N, C, H, W) if wanted.

    Gives the shape, type and layout of `x`.
    """
    left, right = matrix.to(x.dtype).expand(x.shape[0], -1, -1), columns.to(x.dtype)
    flat = x.flatten(2)  # (N, C, L)
    turned = x.is_contiguous(memory_format=torch.channels_last)
    if turned:  # the product comes as (N, L, C), as the layout wants it
        left, right, flat = (tensor.transpose(1, 2) for tensor in (right, left, flat))
    y = torch.baddbmm(flat, left, right) if residual else torch.bmm(left, right)
    if not turned:
        return y.view(x.shape)
    n, channels, height, width = x.shape
    # Transposed and viewed, a single sample would have strides by which kernels do not see that channels come last.
    return y.view(n, height, width, channels).permute(0, 3, 1, 2)


def _equal_parts(length: int, *, at_most: int) -> int:
    """The length of equal parts, as few as possible, that cover `length`; none lies wholly outside."""
    return math.ceil(length / math.ceil(length / at_most))


def _windows(x: Tensor, height: int, width: int) -> Tensor:
    """Cut (N, C, H, W), padded with zeros (False) on the right and at the bottom, into windows.

    Returns:
        (M, height * width, C): the windows of the first sample first, row by row.
    """
    bottom, right = -x.shape[2] % height, -x.shape[3] % width
    if bottom or right:
        x = functional.pad(x, (0, right, 0, bottom))
    n, channels, rows, columns = x.shape
    cells = x.reshape(n, channels, rows // height, height, columns // width, width)
    count = n * (rows // height) * (columns // width)
    return cells.permute(0, 2, 4, 3, 5, 1).reshape(count, height * width, channels)


def _join_windows(tokens: Tensor, height: int, width: int, *, like: Tensor) -> Tensor:
    """Put windows (M, height * width, C) back together, in the shape, type and layout of `like` (N, C, H, W)."""
    n, channels, rows, columns = like.shape
    down, across = math.ceil(rows / height), math.ceil(columns / width)
    cells = tokens.view(n, down, across, height, width, channels)
    y = cells.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)[:, :rows, :columns].to(like.dtype)
    if like.is_contiguous(memory_format=torch.channels_last):
        return y.contiguous().permute(0, 3, 1, 2)
    return y.permute(0, 3, 1, 2).contiguous()


def _active(probs: Tensor, inside: Tensor) -> Tensor:
    """Which `probs` (M, T, 1) are at least 1 / 2; `inside` where none are."""
    active = probs >= 0.5
    return torch.where(active.any(dim=1, keepdim=True), active, inside)


def _gate_gradient(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mixed: Tensor,
    *,
    probs: Tensor,
    active: Tensor,
    inside: Tensor,
) -> Tensor:
    """Zeros (M, heads, T, size) whose gradient is that of `mixed` by the gates of its keys; see `MaskAttention`."""
    size = value.shape[3]
    change = (probs - probs.detach()).to(value.dtype).unsqueeze(1).expand(*value.shape[:3], 1)
    gate = active.to(value.dtype).unsqueeze(1).expand_as(change)
    sums = _fused_attention(query, key, torch.cat([change * value, change, gate], dim=3), keys=inside)
    moved, weight, share = sums[..., :size], sums[..., size : size + 1], sums[..., size + 1 :]
    return (moved - weight * mixed) / share.detach().clamp_min(_SMALLEST_SHARE)


def _fused_attention(query: Tensor, key: Tensor, value: Tensor, *, keys: Tensor) -> Tensor:
    """Softmax attention (M, heads, T, ...) to those `keys` (M, T, 1) that are True; values may be longer than keys.

    The fused kernels want one length for all, a multiple of 8: zeros fill up, and change no product.
    """
    scale, size = key.shape[3] ** -0.5, value.shape[3]
    full = 8 * math.ceil(size / 8)
    query, key, value = (
        t if t.shape[3] == full else functional.pad(t, (0, full - t.shape[3])) for t in (query, key, value)
    )
    seen = keys.transpose(1, 2).unsqueeze(1)  # (M, 1, 1, T)
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scale)
    return mixed[..., :size]
