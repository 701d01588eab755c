"""What reading labelled data costs: a check of two tiles by their size, and codings and marks by the pixel.

    python bench/bench_data.py [--sides 2048 8192]

`place` says whether the tiles have one on the ground; those without get marks. Pixels are of noise, which repeats block
by block. The last lines are nanoseconds a pixel, one thread: a label in six colours, and the marks of three bands.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from measure import RSSEG, run
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin
from rasterio.windows import Window

from rsseg.data.presets.folders import load_table
from rsseg.data.survey import marks_of
from rsseg.raster import Pixels

BLOCK = 512


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[2048, 8192])
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    print(f"{'side':>6} {'place':>5} {'Mpx':>6} {'s':>6} {'MiB':>5}")
    for side in parser.parse_args().sides:
        for placed in (True, False):
            with tempfile.TemporaryDirectory() as name:
                write_tiles(Path(name), side, placed=placed)
                cost = run([*RSSEG, "train", "--check", name])
            print(
                f"{side:>6} {placed!s:>5} {2 * side**2 / 1e6:>6.0f} {cost.seconds:>6.1f} {cost.peak_mib:>5.0f}"
            )
    noise = np.random.default_rng(0)
    coding = load_table("vaihingen").color_coding()
    codes = noise.choice(coding.codes, (1024, 1024))
    pixels = Pixels(noise.integers(0, 256, (3, 512, 512)).astype(np.uint8), np.ones((512, 512), np.bool_))
    labels = np.zeros((512, 512), np.uint8)
    print(f"a label in colours {nanoseconds(lambda: coding.decode(codes), codes.size):.0f} ns")
    print(f"marks {nanoseconds(lambda: marks_of(pixels, labels, share=1 / 2048), labels.size):.0f} ns")


def write_tiles(folder: Path, side: int, *, placed: bool) -> None:
    noise = np.random.default_rng(0).integers(1, 255, (3, BLOCK, BLOCK)).astype(np.uint8)
    for kind, bands, values in (("images", 3, 255), ("labels", 1, 2)):
        (folder / kind).mkdir()
        for number, name in enumerate("ab"):
            place = {"crs": "EPSG:32645", "transform": from_origin(350_000 + 1e5 * number, 3e6, 0.2, 0.2)}
            with rasterio.open(
                folder / kind / f"{name}.tif",
                "w",
                driver="GTiff",
                width=side,
                height=side,
                count=bands,
                dtype="uint8",
                tiled=True,
                blockxsize=BLOCK,
                blockysize=BLOCK,
                compress="deflate",
                **(place if placed else {}),
            ) as dataset:
                for row in range(0, side, BLOCK):
                    for col in range(0, side, BLOCK):
                        height, width = min(BLOCK, side - row), min(BLOCK, side - col)
                        block = noise[:bands, :height, :width] % values
                        dataset.write(block, window=Window(col, row, width, height))
    rows = [{"id": i, "name": f"{i}", "color": "#000000"} for i in range(2)]
    (folder / "classes.json").write_text(json.dumps({"classes": rows}))


def nanoseconds(work: Callable[[], object], pixels: int) -> float:
    """The best of five times, by the pixel."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) / pixels * 1e9


if __name__ == "__main__":
    main()
