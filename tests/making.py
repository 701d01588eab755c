"""Small rasters and weights that tests make for themselves."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin
from torch import nn

from rsseg.classes import ClassInfo, ClassTable
from rsseg.preprocess import Scaling
from rsseg.weights import WeightCard, Weights, init_weights, load_weights, save_weights

UTM = {"crs": "EPSG:32645", "transform": from_origin(350_000, 3_060_000, 0.15, 0.15)}
THREE = ClassTable(
    (ClassInfo(0, "red", "#FF0000"), ClassInfo(1, "green", "#00FF00"), ClassInfo(2, "blue", "#0000FF"))
)


def random_pixels(height: int, width: int, *, bands: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Noise (bands, height, width) without the values 0 and 255."""
    return np.random.default_rng(seed).integers(1, 255, (bands, height, width)).astype(np.uint8)


def write_raster(path: Path, pixels: NDArray[Any], **profile: Any) -> Path:
    """Write (bands, rows, cols) as a GeoTIFF, in UTM unless told otherwise; `crs=None` leaves it out."""
    count, height, width = pixels.shape
    settings = {"driver": "GTiff", **UTM, **profile}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", width=width, height=height, count=count, dtype=pixels.dtype, **settings
        ) as dataset:
            dataset.write(pixels)
    return path


def read_band(path: Path) -> NDArray[Any]:
    """The first band."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            return dataset.read(1)


def write_sparse_raster(path: Path, *, width: int, height: int) -> Path:
    """A three-band raster of any size that takes hardly any disk; all pixels are 0 and valid."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=3,
        dtype="uint8",
        tiled=True,
        sparse_ok=True,
        **UTM,
    ):
        return path


def let_attention_count(network: nn.Module) -> None:
    """Set the scales of attention to 0.5 instead of the initial 0."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("scale"):
                parameter.fill_(0.5)


def attending_weights(path: Path, card: WeightCard) -> Weights:
    """Weights of a MAResU-Net whose attention counts, as another card describes them."""
    card = replace(card, architecture="maresunet", encoder="resnet18")
    network = init_weights(card, seed=3)
    let_attention_count(network)
    save_weights(path, network, card)
    return load_weights(str(path))


def write_argmax_weights(
    path: Path, *, bands: int = 3, dtype: str = "uint8", names: tuple[str, ...] | None = None
) -> Path:
    """Weights of a one-layer network whose class is the brightest band: what they predict can be checked by hand."""
    card = WeightCard(
        architecture="linear",
        encoder="",
        classes=THREE if bands == 3 else ClassTable.unnamed(bands),
        bands=names or tuple(f"channel {n}" for n in range(bands)),
        scaling=Scaling(mean=(0.0,) * bands, std=(1.0,) * bands, dtype=dtype),
        tile=64,
        halo=0,
    )
    network = init_weights(card, seed=0)
    with torch.no_grad():
        network.head.weight.copy_(torch.eye(bands)[:, :, None, None])
        network.head.bias.zero_()
    save_weights(path, network, card)
    return path
