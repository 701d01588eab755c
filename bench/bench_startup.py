"""Seconds from the start of a process to the first tile, beyond importing torch; processor seconds, so others may work.

    python bench/bench_startup.py [WEIGHTS]

Each step runs once to a process, in the order of `rsseg predict`, the last one up to the first tile that is placed; of
several processes the least is shown, since whatever comes on top is not ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import scene

PROCESSES = 3
STEPS = """
import json, sys, time
from pathlib import Path
seconds, last = {}, time.process_time()
def done(step):
    global last
    now = time.process_time()
    seconds[step], last = now - last, now
import torch
done("import torch")
from rsseg.cli.predict import predict
import rsseg
from rsseg.prediction.engine import Predictor
done("import rsseg")
weights = rsseg.load_weights(sys.argv[1])
done("load weights")
predictor = Predictor(weights, rsseg.PredictOptions(device="cpu"))
done("prepare network")

class FirstTile(Exception):
    pass

def stop(share):
    if share > 0:
        raise FirstTile

try:
    predictor.predict(sys.argv[2], Path(sys.argv[2]).with_name("map.tif"), on_progress=stop)
except FirstTile:
    done("first tile")
print(json.dumps(seconds))
"""


def main() -> None:
    weights = sys.argv[1] if len(sys.argv) > 1 else "buildings"
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = []
    with tempfile.TemporaryDirectory() as name:
        image = scene(Path(name), size=1024)
        for _ in range(PROCESSES):
            command = [sys.executable, "-c", STEPS, weights, image]
            said = subprocess.run(command, env=alone, check=True, stdout=subprocess.PIPE).stdout
            runs.append(json.loads(said.splitlines()[-1]))
    least = {step: min(run[step] for run in runs) for step in runs[0]}
    for step, seconds in least.items():
        print(f"{step:<18} {seconds:6.2f} s")
    print(f"{'beyond torch':<18} {sum(least.values()) - least['import torch']:6.2f} s")


if __name__ == "__main__":
    main()
