"""Slow, obvious versions of fast code: what the definitions say, written out.

Attention: x (N, C, L) with every position's weights in an (L, L) matrix, in the type of the input.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-6


def linear_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Average values (N, C, L) with weights 1 + <q_i, k_j>, q and k (N, K, L) scaled to unit length."""
    query = query / query.norm(dim=1, keepdim=True)
    key = key / key.norm(dim=1, keepdim=True)
    weights = 1 + query.transpose(1, 2) @ key  # (N, L, L), row i for position i
    total = weights.sum(dim=2) + EPSILON * query.sum(dim=1)  # (N, L)
    return value @ (weights / total.unsqueeze(2)).transpose(1, 2)


def kernel_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Average values (N, C, L) with weights <softplus(q_i), softplus(k_j)>."""
    query, key = torch.log1p(query.exp()), torch.log1p(key.exp())
    weights = query.transpose(1, 2) @ key  # (N, L, L)
    total = weights.sum(dim=2) + EPSILON * query.sum(dim=1)  # (N, L)
    return value @ (weights / total.unsqueeze(2)).transpose(1, 2)


def channel_attention(x: Tensor, *, energy_positions: float | None = None) -> Tensor:
    """Average channels (N, C, L) with weights softmax(max_j E - E), E the raw or the scaled mean of x x^T."""
    energy = torch.einsum("ncl,ndl->ncd", x, x)
    if energy_positions is not None:
        energy = energy * (energy_positions / x.shape[2])
    exponent = energy.max(dim=2, keepdim=True).values - energy
    exponent = (exponent - exponent.max(dim=2, keepdim=True).values).exp()
    return (exponent / exponent.sum(dim=2, keepdim=True)) @ x
