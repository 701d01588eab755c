from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rsseg.models.maresunet import MAResUNetAttention
from rsseg.models.registry import build_network
from tests.models.making import filled, image


def test_whole_channels_drop_before_each_of_the_three_last_convolutions() -> None:
    torch.manual_seed(0)
    block = filled(MAResUNetAttention(16), dtype=torch.float32).train()
    dropped: list[tuple[Tensor, Tensor]] = []
    read: list[Tensor] = []
    for module in block.modules():
        if isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.register_forward_hook(lambda _, args, y: dropped.append((args[0].clone(), y)))
    for name in ("position_out", "channel_out", "out"):
        block.get_submodule(name).register_forward_pre_hook(lambda _, args: read.append(args[0]))

    with torch.no_grad():
        block(image(100, 16, 6, 5))

    assert len(read) == 3
    assert all(left is y for left, (_, y) in zip(read, dropped, strict=True))
    for x, y in dropped:
        gone = (y == 0).flatten(2).all(dim=2)[:, :, None, None]
        torch.testing.assert_close(y, (x / 0.9).masked_fill(gone, 0))
        open_ = (x != 0).flatten(2).any(dim=2)[:, :, None, None]
        share = float(gone[open_].float().mean())
        assert share == pytest.approx(0.1, abs=0.04)  # four standard deviations of some 1000 channels


def test_batch_norm_replaces_the_dropout() -> None:
    with torch.device("meta"):
        built = build_network("maresunet", encoder="resnet18", classes=2, attention_norm="batch")

    assert not [module for module in built.modules() if isinstance(module, nn.Dropout2d)]
    for block in built.modules():
        if isinstance(block, MAResUNetAttention):
            units = (block.mix, block.position_out, block.channel_out, block.out)
            assert all(isinstance(unit.get_submodule("norm"), nn.BatchNorm2d) for unit in units)
