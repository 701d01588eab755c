"""Every network of the registry trains, and every number of it is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rsseg.models.registry import NETWORKS, NetworkEntry, build_network
from rsseg.training.engine import train
from rsseg.training.options import OPTIMIZERS, OptimizerOptions
from rsseg.training.schedule import build_optimizer
from rsseg.weights import init_weights, load_weights
from tests.data.labelled import write_tiles
from tests.training.runs import ONE, SPLIT, losses, recipe

pytestmark = pytest.mark.usefixtures("tidy")
each_network = pytest.mark.parametrize("entry", NETWORKS.values(), ids=NETWORKS.keys())


def smallest_encoder(entry: NetworkEntry) -> str:
    return next(iter(entry.sizes))


@each_network
def test_a_network_learns_from_two_batches_and_its_weights_load(
    entry: NetworkEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if entry.side is not None:  # its attention at 128 x 128 px takes a minute
        monkeypatch.setattr(entry.build, "side", 32)
        monkeypatch.setitem(NETWORKS, entry.name, replace(entry, side=32))
    side = max(entry.stride, 32 if entry.side else 16)
    folder = write_tiles(tmp_path / "d", size=(side, side), split=SPLIT)
    options = recipe(
        entry.name,
        encoder=smallest_encoder(entry),
        epochs=1,
        steps_per_epoch=2,
        window=side,
        tile=side,
        batch_size=max(2, entry.least_batch),
    )

    summary = train(folder, tmp_path / "run", options=options, machine=ONE)

    (loss,) = losses(tmp_path / "run")
    assert 0 < loss < 20
    assert summary.scores["mean_iou"] is not None
    weights = load_weights(str(summary.best))
    assert (weights.card.architecture, weights.card.tile) == (entry.name, side)
    start, learnt = init_weights(weights.card, seed=0).state_dict(), weights.network.state_dict()
    assert all(tensor.isfinite().all() for tensor in learnt.values())
    heads = [name for name in learnt if name.startswith(("head.", "auxiliary_heads.")) and "weight" in name]
    assert heads
    assert all(not torch.equal(learnt[name], start[name]) for name in heads)


def is_kernel(name: str, shape: torch.Size) -> bool:
    """By names and axes, where the optimizer goes by the kind of layer."""
    return name.endswith("weight") and len(shape) in (2, 4)


@each_network
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_parameter_is_in_its_group_and_only_kernels_decay(entry: NetworkEntry, optimizer: str) -> None:
    with torch.device("meta"):
        network = build_network(entry.name, encoder=smallest_encoder(entry), classes=3)
    options = OptimizerOptions(name=optimizer, weight_decay=0.05, encoder_lr=0.1)

    groups = build_optimizer(network, options=options).param_groups

    found = [(id(p), (group["weight_decay"], group["factor"])) for group in groups for p in group["params"]]
    expected = {
        id(p): (0.05 if is_kernel(name, p.shape) else 0.0, 0.1 if name.startswith("encoder.") else 1.0)
        for name, p in network.named_parameters()
    }
    assert len(found) == len(expected)
    assert dict(found) == expected
    scales = [p for name, p in network.named_parameters() if name.endswith("scale")]
    assert all(dict(found)[id(scale)] == (0.0, 1.0) for scale in scales)
    assert bool(scales) is (entry.name in ("maresunet", "manet", "abcnet"))
