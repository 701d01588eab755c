"""Slow, obvious versions of fast code: what the definitions say, written out.

Attention: x (N, C, L) with all weights written out, for positions an (L, L) matrix, in the type of the input.
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


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Average values (N, C, L) with weights exp <q_i, k_j>."""
    scores = query.transpose(1, 2) @ key  # (N, L, L), row i for position i
    weights = (scores - scores.max(dim=2, keepdim=True).values).exp()
    return value @ (weights / weights.sum(dim=2, keepdim=True)).transpose(1, 2)


def channel_linear_attention(x: Tensor) -> Tensor:
    """Average channels (N, C, L) with weights 1 + <n_c, n_j>, n = x / |x| over positions."""
    unit = x / x.norm(dim=2, keepdim=True)
    weights = 1 + unit @ unit.transpose(1, 2)  # (N, C, C)
    total = weights.sum(dim=2) + EPSILON * unit.sum(dim=2)  # (N, C)
    return (weights / total.unsqueeze(2)) @ x


def published_channel_linear_attention(x: Tensor) -> Tensor:
    """The published form, position by position: (N, C, L) to the same."""
    unit = x / x.norm(dim=1, keepdim=True)
    total = x.shape[2] + (unit * (unit.sum(dim=1, keepdim=True) + EPSILON)).sum(dim=2, keepdim=True)
    return (x.sum(dim=1, keepdim=True) + torch.einsum("ncl,nml,nmp->ncp", x, unit, unit)) / total


def strip_attention(query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None = None) -> Tensor:
    """Let every position of key (K, H, W) average the columns of value (C, H, W), both of one sample.

    Of a column the average of its valid (H, W) rows counts; one without any is left out.
    """
    valid = torch.ones_like(key[0], dtype=torch.bool) if valid is None else valid
    columns = [w for w in range(valid.shape[1]) if valid[:, w].any()]
    queries = torch.stack([query[:, valid[:, w], w].mean(dim=1) for w in columns])  # (columns, K)
    values = torch.stack([value[:, valid[:, w], w].mean(dim=1) for w in columns], dim=1)  # (C, columns)
    weights = torch.softmax(torch.einsum("wk,khv->whv", queries, key), dim=0)
    return torch.einsum("cw,whv->chv", values, weights)


def mask_attention(query: Tensor, key: Tensor, value: Tensor, gate: Tensor, *, heads: int) -> Tensor:
    """Average values (N, L, C), head by head, with weights b_j exp <q_i, k_j> / sqrt(C / heads), b the gate (N, L)."""
    mixed = []
    for q, k, v in zip(*(t.chunk(heads, dim=2) for t in (query, key, value)), strict=True):
        scores = q @ k.transpose(1, 2) / q.shape[2] ** 0.5  # (N, L, L), row i for position i
        weights = gate.unsqueeze(1) * (scores - scores.max(dim=2, keepdim=True).values).exp()
        mixed.append((weights / weights.sum(dim=2, keepdim=True)) @ v)
    return torch.cat(mixed, dim=2)
