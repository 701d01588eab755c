"""The loop a user would write with rasterio and torch: read a window, run the network, write what it keeps.

    python bench/naive.py IMAGE OUTPUT WEIGHTS [--tile 512] [--halo 0]

It runs in float32, ignores nodata, and neither reads ahead nor writes behind.
"""

from __future__ import annotations

import argparse

import rasterio
import torch
from rasterio.windows import Window

import rsseg


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("image")
    parser.add_argument("output")
    parser.add_argument("weights")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--halo", type=int, default=0)
    args = parser.parse_args()
    predict(args.image, args.output, args.weights, tile=args.tile, halo=args.halo)


def predict(image: str, output: str, weights: str, *, tile: int, halo: int) -> None:
    network, scaling = rsseg.load_network(weights), rsseg.load_card(weights).scaling
    mean = torch.tensor(scaling.mean).view(1, -1, 1, 1)
    std = torch.tensor(scaling.std).view(1, -1, 1, 1)
    keep = tile - 2 * halo
    with rasterio.open(image) as source:
        profile = source.profile | {
            "count": 1,
            "nodata": 255,
            "compress": "deflate",
            "photometric": "MINISBLACK",
        }
        with rasterio.open(output, "w", **profile) as target, torch.inference_mode():
            for row in range(0, source.height, keep):
                for col in range(0, source.width, keep):
                    top, left = max(row - halo, 0), max(col - halo, 0)
                    bottom = min(row + keep + halo, source.height)
                    right = min(col + keep + halo, source.width)
                    window = Window(left, top, right - left, bottom - top)
                    pixels = torch.from_numpy(source.read((1, 2, 3), window=window))[None].float()
                    classes = network((pixels - mean) / std).argmax(1)[0].to(torch.uint8).numpy()
                    kept = classes[row - top : row - top + keep, col - left : col - left + keep]
                    target.write(kept, 1, window=Window(col, row, kept.shape[1], kept.shape[0]))


if __name__ == "__main__":
    main()
