"""What position attention costs, by formula: for sizes that no machine can try.

Operations are multiply-accumulates (MAC) of matrix products, of which a 1 x 1 convolution is one. What is done element
by element (norms, softplus, softmax, sums over positions) is linear in the tensors' sizes and not counted, here as by
torch's counter; the tests compare the two.

Memory is what the fullest step holds at once, in float32, besides input and weights: the definition's tensors, each of
them once. Our modules hold more: dot-product attention its scores before and after the softmax, the others a few rows.

Symbols: N positions (the square of a map's side), C channels, K = C // 8 key channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from rsseg.models import attention
from rsseg.models.cost import Cost

FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class AttentionKind:
    """One of the modules to compare: its class in `rsseg.models.attention` and its `cost(positions, channels)`."""

    name: str
    module: str
    cost: Callable[[int, int], Cost]

    def build(self, channels: int) -> nn.Module:
        """Build the module with weights as they come."""
        module: nn.Module = getattr(attention, self.module)(channels)
        return module


def key_channels(channels: int) -> int:
    """K of a number of channels."""
    return channels // 8


def dot_product_cost(positions: int, channels: int) -> Cost:
    """Y = V softmax(Q^T K)^T with Q, K of K rows, V and Y of C, all of N columns.

    MAC: N^2 K for the scores, N^2 C for their product with the values.
    Memory: N^2 scores, and beside them values and result, 2 N C (before, queries, keys and values: less).
    """
    n, c, k = positions, channels, key_channels(channels)
    return Cost(
        mac=_projection_mac(n, c) + n**2 * k + n**2 * c,
        memory_bytes=FLOAT_BYTES * (n**2 + 2 * n * c),
    )


def linear_cost(positions: int, channels: int) -> Cost:
    """Y_i = (S_V + M^T q_i) / (N + q_i S_K) with the sums over positions S_V (C), S_K (K) and M (K, C).

    MAC: N K C for M, N K for the divisor, N C (1 + K) for [S_V M^T] (1 q_i): together 2 N K C and a little.
    Memory: keys and values, then queries and result, N (K + C) in either step; and the sums.
    """
    n, c, k = positions, channels, key_channels(channels)
    return Cost(
        mac=_projection_mac(n, c) + n * k * c + n * k + n * c * (1 + k),
        memory_bytes=FLOAT_BYTES * (n * (k + c) + c + k + k * c),
    )


def kernel_cost(positions: int, channels: int) -> Cost:
    """Y_i = M^T q_i / (q_i S_K) with the sums over positions S_K (K) and M (K, C).

    MAC: N K C for M and as much for M^T q_i. The divisor, another N K by definition, is taken element by element.
    Memory: keys and values, then queries and result, N (K + C) in either step; and the sums.
    """
    n, c, k = positions, channels, key_channels(channels)
    return Cost(
        mac=_projection_mac(n, c) + 2 * n * k * c,
        memory_bytes=FLOAT_BYTES * (n * (k + c) + k + k * c),
    )


def _projection_mac(n: int, c: int) -> int:
    """Queries and keys of K channels, values of C: 1.25 N C^2 where 8 divides C."""
    return n * c * (2 * key_channels(c) + c)


ATTENTION_KINDS = (
    AttentionKind(name="dot-product", module="DotProductAttention", cost=dot_product_cost),
    AttentionKind(name="linear", module="LinearAttention", cost=linear_cost),
    AttentionKind(name="kernel", module="KernelAttention", cost=kernel_cost),
)
