"""The loop a user would write with rasterio and torch: read a window, run the network, write the window.

python bench/naive.py IMAGE OUTPUT WEIGHTS
"""

from __future__ import annotations

import sys

import rasterio
import torch
from rasterio.windows import Window

import rsseg

TILE = 512


def main(image: str, output: str, weights: str) -> None:
    network, scaling = rsseg.load_network(weights), rsseg.load_card(weights).scaling
    mean = torch.tensor(scaling.mean).view(1, -1, 1, 1)
    std = torch.tensor(scaling.std).view(1, -1, 1, 1)
    with rasterio.open(image) as source:
        profile = source.profile | {
            "count": 1,
            "nodata": 255,
            "compress": "deflate",
            "photometric": "MINISBLACK",
        }
        with rasterio.open(output, "w", **profile) as target, torch.inference_mode():
            for row in range(0, source.height, TILE):
                for col in range(0, source.width, TILE):
                    window = Window(col, row, min(TILE, source.width - col), min(TILE, source.height - row))
                    pixels = torch.from_numpy(source.read((1, 2, 3), window=window))[None].float()
                    classes = network((pixels - mean) / std).argmax(1)[0].to(torch.uint8).numpy()
                    target.write(classes, 1, window=window)


if __name__ == "__main__":
    main(*sys.argv[1:])
