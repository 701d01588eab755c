"""Every network of the registry trains, and every number of it is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from rsseg.models.registry import NETWORKS, NetworkEntry, build_network
from rsseg.training.engine import train
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


@each_network
def test_every_parameter_is_in_one_group_and_only_kernels_decay(entry: NetworkEntry) -> None:
    with torch.device("meta"):
        network = build_network(entry.name, encoder=smallest_encoder(entry), classes=3)
    kernels = {
        id(module.weight)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    }

    optimizer = build_optimizer(network, lr=0.1, weight_decay=0.05)

    decays = [(id(p), group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]]
    assert len(decays) == len(list(network.parameters()))
    assert dict(decays) == {id(p): 0.05 if id(p) in kernels else 0.0 for p in network.parameters()}
