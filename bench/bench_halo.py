"""How far a tiled map is from the network run once on the whole raster: share of pixels that differ, against the halo.

    python bench/bench_halo.py [IMAGE] [--weights buildings] [--side 2048] [--keep 256] [--halos 0,32,...] [-o FILE.png]

Of IMAGE a part in its middle that fits into memory is taken; without one, a synthetic town. Each tile keeps `keep`
pixels and reads a halo around them. There are four lines: all tiles attend to the whole part (`raster`) or each to
itself (`tile`), and a pixel is decided by the tile that keeps it (`crop`) or by the average of those around it
(`average`).
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
import rasterio
from measure import cut_part, scene
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

import rsseg
from rsseg.prediction.options import Blend, ContextKind
from rsseg.weights import Weights

Line = tuple[ContextKind, Blend]
LINES: tuple[Line, ...] = (("tile", "crop"), ("tile", "average"), ("raster", "crop"), ("raster", "average"))
COLORS = {"tile": "tab:orange", "raster": "tab:blue"}
STYLES = {"crop": "-", "average": "--"}


def main() -> None:
    args = arguments()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    halos = [int(halo) for halo in args.halos.split(",")]
    weights = rsseg.load_weights(args.weights)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        part = cut_part(args.image or scene(folder, size=args.side), folder / "part.tif", side=args.side)
        # In one tile; its context leaves out what pads the part to a multiple of the network's stride.
        whole = predicted(part, weights, ("raster", "crop"), tile=args.side, halo=0)
        print(
            f"{args.weights}, {whole.shape[1]} x {whole.shape[0]} px of {args.image or 'the synthetic town'}"
        )
        print(f"{'halo':>5} " + " ".join(f"{', '.join(line):>15}" for line in LINES))
        curves: dict[Line, list[float]] = {line: [] for line in LINES}
        for halo in halos:
            for line, curve in curves.items():
                tiled = predicted(part, weights, line, tile=args.keep + 2 * halo, halo=halo)
                curve.append(float((tiled != whole)[whole != 255].mean()))
            print(f"{halo:>5} " + " ".join(f"{curve[-1]:>15.4%}" for curve in curves.values()), flush=True)
    draw(args.output, halos, curves, title=f"{args.weights}, tiles that keep {args.keep} px")
    print(args.output)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--weights", default="buildings")
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--keep", type=int, default=256)
    parser.add_argument("--halos", default="0,32,64,96,128,192,256,288")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/halo.png"))
    return parser.parse_args()


def predicted(part: Path, weights: Weights, line: Line, *, tile: int, halo: int) -> NDArray[np.uint8]:
    context, blend = line
    output = part.with_name("map.tif")
    options = rsseg.PredictOptions(
        tile=tile, halo=halo, context=context, blend=blend, precision="fp32", overwrite=True
    )
    rsseg.predict_raster(part, output, weights=weights, options=options)
    with rasterio.open(output) as made:
        classes: NDArray[np.uint8] = made.read(1)
    return classes


def draw(path: Path, halos: list[int], curves: dict[Line, list[float]], *, title: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (context, blend), curve in curves.items():
        # A share of nothing has no place on a logarithmic axis.
        none = [halo for halo, share in zip(halos, curve, strict=True) if not share]
        label = f"{context} context, {blend}" + f" (no pixel at {', '.join(map(str, none))})" * bool(none)
        shares = [share * 100 or np.nan for share in curve]
        axes.plot(halos, shares, marker="o", color=COLORS[context], linestyle=STYLES[blend], label=label)
    axes.set_yscale("log")
    axes.set(xlabel="halo (pixels)", ylabel="pixels that differ from the whole (%)", title=title)
    axes.set_xticks(halos)
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    main()
