"""Whether an exported network says what the original says, on random and on real pixels.

Shapes: N samples, B bands, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rsseg.data.synthetic import Scene, render_window
from rsseg.models.network import Network
from rsseg.prediction.inputs import open_imagery
from rsseg.prediction.options import PredictOptions
from rsseg.preprocess import default_scaling
from rsseg.raster import Pixels, gdal_env
from rsseg.tiling import Window
from rsseg.weights import WeightCard
from rsseg.weights.onnx_file import GraphInput

RANDOM_SIZES = ((2, 64, 160), (1, 97, 75))
"""Samples, rows and columns of the random input; the second size has to be padded by most networks."""

LEAST_SIDE = 128
"""Of real pixels; half of it is twice the largest stride, the least side that a torch program takes."""

SMALLEST_SPREAD = 1e-12
"""Of logits that are all the same: then any difference counts, and none is none."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Scaled pixels (N, B, H, W) to compare two networks on, and where they are from."""

    source: str
    pixels: Tensor


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far apart two networks are on one case.

    `difference` is the worst of all logits over their standard deviation, `changed` the share of pixels that get
    another class.
    """

    source: str
    shape: tuple[int, ...]
    difference: float
    changed: float


def make_cases(card: WeightCard, takes: GraphInput, *, image: str | None) -> list[Case]:
    """Make random pixels, and cut real ones out of the middle of an image, or the synthetic town; at least two sizes.

    Raises:
        RasterError: the image cannot be read or does not fit the card.
    """
    random = _random(len(card.bands), takes)
    side = takes.side or max(card.tile, LEAST_SIDE)
    real = _town(card, side) if image is None else _middle(image, card, side)
    name = "synthetic town" if image is None else image
    cases = [Case(source="random", pixels=x) for x in random] + [Case(source=name, pixels=real)]
    if not takes.fixed:
        cases.append(Case(source=name, pixels=real[:, :, : side // 2].contiguous()))
    return cases


@torch.inference_mode()
def compare(network: Network, exported: Network, case: Case) -> Parity:
    """Compare the logits of a network in eval mode with those of its export."""
    expected, found = network(case.pixels), exported(case.pixels)
    return Parity(
        source=case.source,
        shape=tuple(case.pixels.shape),
        difference=float((expected - found).abs().max() / expected.std().clamp_min(SMALLEST_SPREAD)),
        changed=float((expected.argmax(1) != found.argmax(1)).float().mean()),
    )


def _random(bands: int, takes: GraphInput) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes: Sequence[tuple[int, int, int]] = RANDOM_SIZES
    if takes.fixed:
        sizes = [(1, takes.multiple, takes.multiple)]
    return [torch.randn(n, bands, height, width, generator=generator) for n, height, width in sizes]


def _town(card: WeightCard, side: int) -> Tensor:
    """The town, its three channels in turn where the card has more, or of another type."""
    made = render_window(Scene(width=side, height=side), Window(0, 0, side, side))
    channels = len(card.bands)
    scaling = card.scaling if card.scaling.dtype == "uint8" else default_scaling(channels)
    pixels = made.rgb[np.arange(channels) % len(made.rgb)]
    return scaling.apply(torch.from_numpy(pixels)[None], torch.from_numpy(made.valid)[None])


def _middle(image: str, card: WeightCard, side: int) -> Tensor:
    """The middle of a raster, read and scaled as for prediction."""
    with gdal_env(), open_imagery(image, card, PredictOptions()) as imagery:
        left, top = (max(0, (length - side) // 2) for length in (imagery.grid.width, imagery.grid.height))
        pixels: Pixels = imagery.read(Window(left, top, side, side))
    return card.scaling.apply(torch.from_numpy(pixels.data)[None], torch.from_numpy(pixels.valid)[None])
