"""What `rsseg export` makes of every network: seconds, size, and how far the graph is from the network.

Untrained networks with their smallest encoder, attention scales set to 0.5.

python bench/bench_export.py [NETWORK ...]
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from rsseg.classes import ClassTable
from rsseg.export.engine import ExportSummary, export_weights
from rsseg.export.options import ExportOptions
from rsseg.models.registry import NETWORKS, network_entry
from rsseg.preprocess import default_scaling
from rsseg.weights import Weights, init_weights
from rsseg.weights.card import new_card

TILE = 256


def main() -> None:
    print(
        f"{'network':<24} {'format':<6} {'sizes':>15} {'seconds':>8} {'MB':>6} {'difference':>11} {'changed':>9}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or NETWORKS:
            for suffix in (".onnx", ".pt2"):
                output = Path(folder) / f"{name}{suffix}"
                made = export_weights(untrained(name), output, options=ExportOptions(tolerance=1e6))
                print(f"{name:<24} {suffix:<6} {row(made)}", flush=True)


def untrained(name: str) -> Weights:
    entry = network_entry(name)
    card = new_card(
        name,
        encoder=next(iter(entry.sizes)),
        classes=ClassTable.unnamed(6),
        scaling=default_scaling(3),
        description="untrained",
    )
    card = replace(card, tile=entry.side or TILE)
    network = init_weights(card, seed=0)
    with torch.no_grad():
        for parameter, tensor in network.named_parameters():
            if parameter.endswith("scale"):
                tensor.fill_(0.5)
    return Weights(network=network, card=card, name=name, sha256="")


def row(made: ExportSummary) -> str:
    sizes = f"{made.takes.multiple} only" if made.takes.fixed else f"multiples of {made.takes.multiple}"
    worst = max(case.difference for case in made.parity)
    changed = max(case.changed for case in made.parity)
    return f"{sizes:>15} {made.seconds:8.1f} {made.size_bytes / 1e6:6.1f} {worst:11.1e} {changed:9.5%}"


if __name__ == "__main__":
    main()
