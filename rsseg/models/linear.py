"""The smallest network: one 1 x 1 convolution, for tests and benchmarks of everything around a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from rsseg.models.context import AnyContext
from rsseg.models.network import Network


class Linear(Network):
    """Logits as linear functions of the bands: (N, B, H, W) to (N, classes, H, W). It has no attention."""

    stride: ClassVar[int] = 1
    padding: ClassVar[int] = 1
    context_passes: ClassVar[int | None] = 0

    def __init__(self, *, bands: int = 3, classes: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(bands, classes, kernel_size=1)

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        """The bands are the features."""
        return (x,)

    def decode(
        self,
        features: Sequence[Tensor],
        contexts: Sequence[AnyContext] | None = None,  # noqa: ARG002 - it needs none
    ) -> Sequence[Tensor]:
        """There is nothing to join."""
        return features
