"""The changes that were drawn for a batch, made on its device: what the network learns from.

    pixels -> scaled -> warped -> lit -> blurred -> noisy -> compressed -> without a band -> mixed

That is the order of the world: ground of a certain size, light, optics, sensor, file. Means are taken over valid
pixels only. A sample depends on its own change and on nothing else of its batch, to the last bit. Noise comes from a
generator of the sample's own seed: equal from run to run on one kind of device.

Shapes: M samples and donors, N samples, C channels, R rows and columns read, S rows and columns of the window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rsseg.classes import IGNORE_INDEX
from rsseg.data.augment import Change, Mix
from rsseg.preprocess import Scaling
from rsseg.training.loader import Batch


def make_changes(
    batch: Batch, scaling: Scaling, *, window: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """What the network sees of a batch, and what it should say.

    Returns:
        Scaled and changed pixels (N, C, S, S) float32, 0 where invalid, and labels (N, S, S) int64.
    """
    pixels, valid, labels = (
        torch.from_numpy(array).to(device) for array in (batch.pixels, batch.valid, batch.labels)
    )
    if any(change.is_warp for change in batch.changes):
        x, valid, labels = _warped(pixels, valid, labels, batch.changes, scaling=scaling, window=window)
    else:
        x = scaling.apply(pixels, valid)
    _light(x, batch.changes)
    for picture, known, change in zip(x, valid, batch.changes, strict=True):
        _roughen(picture, known, change, scaling)
    x.masked_fill_(~valid.unsqueeze(1), 0.0)
    labels = labels.long()  # a copy: the batch stays as it is
    for sample, donor, mix in batch.mixes:
        taken = _taken(labels[donor], mix)
        x[sample] = torch.where(taken, x[donor], x[sample])
        labels[sample] = torch.where(taken, labels[donor], labels[sample])
    return x[: batch.size], labels[: batch.size]


def _warped(
    pixels: Tensor,
    valid: Tensor,
    labels: Tensor,
    changes: Sequence[Change],
    *,
    scaling: Scaling,
    window: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Scale, zoom and rotate one by one, each from its own square: rounding must not see the rest of the batch."""
    parts = []
    for number, change in enumerate(changes):
        start = (pixels.shape[-1] - change.read_side(window)) // 2
        middle = slice(start, start + change.read_side(window))
        known, ids = valid[number, middle, middle], labels[number, middle, middle]
        x = scaling.apply(pixels[number : number + 1, :, middle, middle], known[None])[0]
        parts.append(_warp(x, known, ids, change, window=window) if change.is_warp else (x, known, ids))
    x, valid, labels = (torch.stack(part) for part in zip(*parts, strict=True))
    return x, valid, labels


def _warp(
    x: Tensor, valid: Tensor, labels: Tensor, change: Change, *, window: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Zoom and rotate a square about its middle: pixels bilinear, labels nearest.

    From zoom 1.5 on, a pixel is the mean of several on a finer grid, as that of a coarser sensor is. It is valid where
    most of it is.
    """
    finer, extent = max(1, round(change.zoom)), change.zoom * window / x.shape[-1]
    grid = fine = _grid(change.angle, extent=extent, size=window, device=x.device)
    if finer > 1:
        fine = _grid(change.angle, extent=extent, size=finer * window, device=x.device)
    sums = _sampled(torch.cat([x, valid[None].float()]), fine, "bilinear")
    if finer > 1:
        sums = functional.avg_pool2d(sums, finer)
    kept = sums[-1] > 0.5
    ids = _sampled(labels[None].float() - IGNORE_INDEX, grid, "nearest")[0]  # 0 outside: left out
    ids = ids.add_(IGNORE_INDEX).masked_fill_(~kept, IGNORE_INDEX).to(labels.dtype)
    return sums[:-1] / sums[-1].clamp(min=0.5), kept, ids


def _grid(angle: float, *, extent: float, size: int, device: torch.device) -> Tensor:
    """Where `size` x `size` points lie in a square of which they span the share `extent`: (1, size, size, 2)."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    places = (torch.arange(size, device=device) * 2 + 1 - size) * (extent / size)
    cols, rows = places[None, :], places[:, None]
    return torch.stack([cosine * cols - sine * rows, sine * cols + cosine * rows], dim=-1)[None]


def _sampled(planes: Tensor, grid: Tensor, mode: str) -> Tensor:
    return functional.grid_sample(planes[None], grid, mode=mode, align_corners=False)[0]


def _light(x: Tensor, changes: Sequence[Change]) -> None:
    """Change the light of (N, C, S, S) in place."""
    gains = torch.tensor([change.gain for change in changes], device=x.device)
    offsets = np.array([change.offset for change in changes], dtype=np.float32)  # (N, C)
    x.mul_(gains.view(-1, 1, 1, 1)).add_(torch.from_numpy(offsets).to(x.device)[:, :, None, None])


def _roughen(x: Tensor, valid: Tensor, change: Change, scaling: Scaling) -> None:
    """Blur, disturb and compress one sample (C, S, S), and leave a channel out, in place."""
    if change.blur:
        x.copy_(_blurred(x, valid, change.blur))
    if change.noise:
        generator = torch.Generator(x.device).manual_seed(change.seed)
        x.add_(torch.randn(x.shape, generator=generator, device=x.device), alpha=change.noise)
    if change.quality:
        x.copy_(_as_jpeg(x, valid, change.quality, scaling))
    if change.dropped >= 0:
        x[change.dropped] = 0.0


def _blurred(x: Tensor, valid: Tensor, sigma: float) -> Tensor:
    """Blur (C, S, S) by a Gaussian, over what is valid and inside."""
    # Not at the top: it takes a quarter of a second, and few recipes blur.
    from kornia.filters import gaussian_blur2d

    size = 2 * math.ceil(3 * sigma) + 1
    solid = torch.cat([x.masked_fill(~valid, 0.0), valid[None].to(x.dtype)])
    sums = gaussian_blur2d(solid[None], (size, size), (sigma, sigma), border_type="constant")[0]
    return sums[:-1] / sums[-1].clamp(min=1e-6)


def _as_jpeg(x: Tensor, valid: Tensor, quality: int, scaling: Scaling) -> Tensor:
    """Pass scaled 8-bit colours (3, S, S) through JPEG."""
    from kornia.enhance import jpeg_codec_differentiable

    mean, std = (torch.tensor(v, device=x.device).view(-1, 1, 1) for v in (scaling.mean, scaling.std))
    picture = (x * std).add_(mean).round_().clamp_(0, 255)
    coded = jpeg_codec_differentiable(picture / 255, torch.tensor([float(quality)], device=x.device))
    return scaling.apply(coded.mul(255).round_()[None], valid[None])[0]


def _taken(labels: Tensor, mix: Mix) -> Tensor:
    """Where a sample takes what its donor, whose labels (S, S) these are, has: (S, S) bool."""
    side = labels.shape[-1]
    top, left, bottom, right = (round(side * share) for share in (mix.top, mix.left, mix.bottom, mix.right))
    taken = torch.zeros_like(labels, dtype=torch.bool)
    taken[top:bottom, left:right] = True
    if mix.classes:
        taken &= torch.isin(labels, torch.tensor(mix.classes, device=labels.device))
    return taken
