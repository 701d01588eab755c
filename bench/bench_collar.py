"""What looking for a collar costs: `python bench/bench_collar.py RASTER [white|black]`."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from rsseg.prediction.stages import map_ahead
from rsseg.raster import CollarSource, gdal_env, open_raster


def main(path: str, color: str = "white") -> None:
    with (
        gdal_env(),
        CollarSource(open_raster(path), color) as source,
        tempfile.TemporaryDirectory() as folder,
    ):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, cpu = time.perf_counter(), time.process_time()
        source.find(
            Path(folder), on_progress=lambda _share: None, ahead=partial(map_ahead, threads=2, depth=4)
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        megapixels = source.grid.width * source.grid.height / 1e6
        mask = (Path(folder) / "collar.tif").stat().st_size
    print(f"{megapixels:.1f} Mpx: {wall:.2f} s, {cpu:.2f} s of the processor ({megapixels / cpu:.0f} Mpx/s),")
    print(f"{grown / 1024:.0f} MB more memory, a mask of {mask / 1000:.0f} KB")


if __name__ == "__main__":
    main(*sys.argv[1:])
