"""A tiny network with attention in two passes, whose maps can be compared with those of the whole raster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from rsseg.models.context import AnyContext, Context
from rsseg.models.network import Network, reduce_valid
from rsseg.models.registry import NETWORKS, NetworkEntry, Size
from rsseg.preprocess import Scaling
from rsseg.weights import Weights, init_weights, load_card, load_weights, save_weights
from tests.making import write_argmax_weights

NAME = "two-passes"
REACH = 8
"""Pixels that its logits see beside an aligned square of four pixels."""


@dataclass(frozen=True, kw_only=True)
class SumContext(Context):
    """The sum of the features, (N, C)."""

    total: Tensor


class TwoPasses(Network):
    """Squares of four pixels, to which the mean over all is added twice, the second time of what came of the first."""

    stride: ClassVar[int] = 4
    padding: ClassVar[int] = 4
    context_passes: ClassVar[int | None] = 2

    def __init__(self, *, bands: int = 3, classes: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(bands, 8, kernel_size=4, stride=4)
        self.mix = nn.Conv2d(8, 8, kernel_size=3, padding=1)
        self.head = nn.ConvTranspose2d(8, classes, kernel_size=4, stride=4)

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        return (self.features(x),)

    def decode(
        self, features: Sequence[Tensor], contexts: Sequence[AnyContext] | None = None
    ) -> Sequence[Tensor]:
        (x,) = features
        for step in range(2):
            x = self._step(x, _sums(x) if contexts is None else contexts[step])
        return (x,)

    def summarise_features(
        self, features: Sequence[Tensor], valid: Tensor | None = None, known: Sequence[AnyContext] = ()
    ) -> tuple[AnyContext, ...]:
        (y,) = features
        for context in known:
            y = self._step(y, context)
        return (_sums(y, reduce_valid(valid, stride=4, padding=4)),)

    def _step(self, x: Tensor, context: AnyContext) -> Tensor:
        assert isinstance(context, SumContext)
        return torch.tanh(self.mix(x)) + 3 * context.mean().total[:, :, None, None]


def _sums(x: Tensor, valid: Tensor | None = None) -> SumContext:
    counted = torch.ones_like(x[:, 0], dtype=torch.bool) if valid is None else valid
    return SumContext(positions=counted.sum(dim=(1, 2)), total=(x * counted[:, None]).sum(dim=(2, 3)))


def write_attentive_weights(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of the network, which the registry knows for as long as the test runs."""
    entry = NetworkEntry(
        name=NAME,
        network="tests.prediction.attentive:TwoPasses",
        sizes={"": Size(0, 0, REACH)},
        stride=4,
        context_passes=2,
    )
    monkeypatch.setitem(NETWORKS, NAME, entry)
    scaling = Scaling(mean=(127.0,) * 3, std=(30.0,) * 3)
    card = replace(
        load_card(str(write_argmax_weights(path))), architecture=NAME, scaling=scaling, tile=64, halo=8
    )
    save_weights(path, init_weights(card, seed=1), card)
    return path


@pytest.fixture
def attentive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    return load_weights(str(write_attentive_weights(tmp_path / "attentive.safetensors", monkeypatch)))
