"""Speed and peak memory of `rsseg evaluate`, beside what a script with numpy and scikit-learn does on what it can hold.

    python bench/bench_evaluate.py [--size 4096] [--script 2048] [--rounds 1] [--measures]

Class map and labels of `size` x `size` pixels, six classes in patches, DEFLATE in blocks of 512, agreeing at about nine
pixels in ten. Times are those of whole commands, start included. The script reads both rasters whole and asks
scikit-learn for the matrix; it gets a pair of its own, of `script` x `script` pixels. `--measures` times what is
measured besides the confusion matrix instead, one after the other and all together; the labels stand for a second map
and for a confidence.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from measure import RSSEG, Cost, run
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.windows import Window
from scipy.spatial import cKDTree

BLOCK = 512
CLASSES = 6
SCRIPT = """
import sys, numpy as np, rasterio
from sklearn.metrics import confusion_matrix
prediction, label = (rasterio.open(path).read(1) for path in sys.argv[1:])
used = (label != 255) & (prediction != 255)
matrix = confusion_matrix(label[used], prediction[used], labels=range(6))
hits = np.diag(matrix)
print((hits / (matrix.sum(0) + matrix.sum(1) - hits)).mean())
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--script", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--measures", action="store_true")
    args = parser.parse_args()
    print(f"{'what':>24} {'pixels a side':>14} {'seconds':>8} {'Mpx/s':>7} {'cpu s':>7} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as name:
        large, small = (write_pair(Path(name), size) for size in (args.size, args.script))
        script = [sys.executable, "-c", SCRIPT]
        for _ in range(args.rounds):
            if args.measures:
                measures(large, args.size)
                continue
            for threads in ("1", "2"):
                row(f"rsseg, {threads} threads", args.size, evaluate(large, "--threads", threads))
            row("rsseg, --erode 3", args.size, evaluate(large, "--threads", "2", "--erode", "3"))
            row("rsseg, 2 threads", args.script, evaluate(small, "--threads", "2"))
            row("numpy, scikit-learn", args.script, run([*script, *small]))


def measures(pair: tuple[Path, Path], size: int) -> None:
    class_map, labels = pair
    options = {
        "confusion": (),
        "intervals": ("--intervals",),
        "boundary, 3 px": ("--boundary", "3"),
        "objects, 1 class": ("--objects", "1"),
        "objects, 6 classes": tuple(f"--objects={k}" for k in range(CLASSES)),
        "confidence": ("--confidence", labels),
        "areas": ("--areas",),
        "against": ("--against", labels),
    }
    together = [o for name, several in options.items() if name != "objects, 1 class" for o in several]
    protocol = ("--threads", "2", "--classes", write_classes(class_map.with_name("classes.json")))
    for name, several in {**options, "all": together}.items():
        row(name, size, evaluate(pair, *protocol, *several))


def write_classes(path: Path) -> Path:
    names = [{"id": k, "name": f"class {k}", "color": "#000000"} for k in range(CLASSES)]
    path.write_text(json.dumps({"classes": names}))
    return path


def evaluate(pair: tuple[Path, Path], *options: str | Path) -> Cost:
    class_map, labels = pair
    return run([*RSSEG, "evaluate", class_map, "--labels", labels, "--json", *options])


def row(what: str, size: int, cost: Cost) -> None:
    rate = size**2 / 1e6 / cost.seconds
    print(
        f"{what:>24} {size:14d} {cost.seconds:8.1f} {rate:7.1f} {cost.cpu_seconds:7.1f} {cost.peak_mib:9.0f}",
        flush=True,
    )


def write_pair(folder: Path, size: int) -> tuple[Path, Path]:
    """A class map and its labels."""
    class_map, labels = folder / f"map{size}.tif", folder / f"labels{size}.tif"
    profile = {"width": size, "height": size, "count": 1, "dtype": "uint8", "nodata": 255}
    stored = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate", "zlevel": 6}
    place = {"crs": "EPSG:32645", "transform": from_origin(350_000, 3_060_000, 0.1, 0.1)}
    rng = np.random.default_rng(size)
    patterns = [patches(rng) for _ in range(16)]
    with (
        rasterio.open(class_map, "w", driver="GTiff", **profile, **stored, **place) as to_map,
        rasterio.open(labels, "w", driver="GTiff", **profile, **stored, **place) as to_labels,
    ):
        for row_off in range(0, size, BLOCK):
            for col_off in range(0, size, BLOCK):
                height, width = min(BLOCK, size - row_off), min(BLOCK, size - col_off)
                window = Window(col_off, row_off, width, height)
                label, prediction = patterns[rng.integers(len(patterns))]
                to_labels.write(label[:height, :width], 1, window=window)
                to_map.write(prediction[:height, :width], 1, window=window)
    return class_map, labels


def patches(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A block of labels in patches of about 40 pixels with bent edges, and one that has them up to 4 pixels away."""
    rows, cols = np.mgrid[:BLOCK, :BLOCK]
    middles = rng.uniform(0, BLOCK, (160, 2))
    _, nearest = cKDTree(middles).query(np.stack([rows, cols], axis=-1))
    label = rng.integers(0, CLASSES, 160).astype(np.uint8)[nearest]
    label[rng.integers(BLOCK) :, : BLOCK // 16] = 255
    wave = 4 * np.sin(np.mgrid[:BLOCK, :BLOCK] / 9.0)
    moved = np.clip(np.rint([rows + wave[1], cols + wave[0]]), 0, BLOCK - 1).astype(int)
    prediction = label[moved[0], moved[1]]
    prediction[prediction == 255] = 0
    return label, prediction


if __name__ == "__main__":
    main()
