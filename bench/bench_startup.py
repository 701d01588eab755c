"""Seconds from the start of a process to the first tile, beyond importing torch; processor seconds, so others may work.

    python bench/bench_startup.py [WEIGHTS]

Each step runs once to a process, in the order of `rsseg predict`; of several processes the least is shown, since
whatever comes on top is not ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

PROCESSES = 3
STEPS = """
import json, sys, time
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
Predictor(weights, rsseg.PredictOptions(device="cpu"))
done("prepare network")
print(json.dumps(seconds))
"""


def main() -> None:
    weights = sys.argv[1] if len(sys.argv) > 1 else "buildings"
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = []
    for _ in range(PROCESSES):
        said = subprocess.run(
            [sys.executable, "-c", STEPS, weights], env=alone, check=True, stdout=subprocess.PIPE
        ).stdout
        runs.append(json.loads(said.splitlines()[-1]))
    least = {step: min(run[step] for run in runs) for step in runs[0]}
    for step, seconds in least.items():
        print(f"{step:<18} {seconds:6.2f} s")
    print(f"{'beyond torch':<18} {sum(least.values()) - least['import torch']:6.2f} s")


if __name__ == "__main__":
    main()
