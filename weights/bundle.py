"""Store trained weights as bundled ones: fp16, with measured scores and the words of their recipe; hash in index.toml.

python weights/bundle.py runs/buildings/best.safetensors buildings [tile=1024] [mean_iou=0.83 ...]
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import torch

from rsseg.weights import load_weights, save_weights, with_scores
from rsseg.weights.files import file_sha256

HERE = Path(__file__).parent


def main(source: str, name: str, *facts: str) -> None:
    """Store the weights `source` as `name`, with a tile or scores, NAME=VALUE, instead of those of their card."""
    weights = load_weights(source)
    words = tomllib.loads((HERE / "recipes" / f"{name}.toml").read_text(encoding="utf-8"))["card"]
    said = {key: value for key, _, value in (fact.rpartition("=") for fact in facts)}
    card = replace(weights.card, **words, tile=int(said.pop("tile", weights.card.tile)))
    card = with_scores(card, {key: float(value) for key, value in said.items()} or card.scores)
    target = HERE / f"{name}-{card.architecture}-{card.encoder}.safetensors"
    save_weights(target, weights.network, card, dtype=torch.float16)
    write_entry(name, target)
    for old in sorted(HERE.glob("*.safetensors")):
        if f'"{old.name}"' not in (HERE / "index.toml").read_text(encoding="utf-8"):
            old.unlink()


def write_entry(name: str, target: Path) -> None:
    """Put the table of one set of weights into index.toml, in the place of an earlier one."""
    index = HERE / "index.toml"
    entry = f'[weights.{name}]\nfile = "{target.name}"\nsha256 = "{file_sha256(target)}"\n'
    text = re.sub(rf"\[weights\.{name}\]\n(.+\n)*\n?", "", index.read_text(encoding="utf-8"))
    index.write_text(f"{text.rstrip()}\n\n{entry}", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
