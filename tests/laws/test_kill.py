"""A prediction that is killed, at any moment, and started again gives the same bytes as one that never was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.making import random_pixels, write_argmax_weights, write_raster

HEIGHT, WIDTH = 1300, 1500
TRIALS = 10

# Children are forked before torch has begun any thread, so that a trial does not import torch again.
KILLED = """
import json, os, random, signal, sys, time
from pathlib import Path
from rsseg.prediction.engine import predict_raster
from rsseg.prediction.options import PredictOptions
from rsseg.raster import class_map
from rsseg.weights import load_weights

class_map.COMMIT_S = 0.0
image, weights, folder, trials = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
options = PredictOptions(tile=192, halo=32, readers=1)

def begin(name):
    child = os.fork()
    if child == 0:
        summary = predict_raster(image, folder / name, weights=load_weights(weights), options=options)
        (folder / (name + ".json")).write_text(json.dumps([summary.resumed_blocks, summary.class_pixels]))
        os._exit(0)
    return child

def seconds(child):
    start = time.monotonic()
    assert os.waitpid(child, 0)[1] == 0
    return time.monotonic() - start

whole = seconds(begin("whole.tif"))
moments = random.Random(4)
for trial in range(trials):
    child = begin(f"{trial}.tif")
    time.sleep(whole * (trial + moments.random()) / trials)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not (folder / f"{trial}.tif").exists():
        seconds(begin(f"{trial}.tif"))
"""


def test_a_run_that_was_killed_at_any_moment_gives_the_same_bytes(tmp_path: Path) -> None:
    image = write_raster(tmp_path / "image.tif", random_pixels(HEIGHT, WIDTH), tiled=True)
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")
    maps = tmp_path / "maps"
    maps.mkdir()

    command = [sys.executable, "-c", KILLED, str(image), str(weights), str(maps), str(TRIALS)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])

    expected = (maps / "whole.tif").read_bytes()
    resumed, pixels = zip(
        *(json.loads((maps / f"{n}.tif.json").read_text()) for n in range(TRIALS)), strict=True
    )
    assert all((maps / f"{n}.tif").read_bytes() == expected for n in range(TRIALS))
    assert all(counts == pixels[0] for counts in pixels)
    assert sum(pixels[0]) == HEIGHT * WIDTH
    assert sum(count > 0 for count in resumed) >= 3
    assert not list(maps.glob("*.part"))
