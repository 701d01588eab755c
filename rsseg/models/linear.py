"""The smallest network: one 1 x 1 convolution, for tests and benchmarks of everything around a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from rsseg.models.context import BlockContext


class Linear(nn.Module):
    """Logits as linear functions of the bands: (N, B, H, W) to (N, classes, H, W). It has no attention."""

    stride: ClassVar[int] = 1
    context_passes: ClassVar[int | None] = 0

    def __init__(self, *, bands: int = 3, classes: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(bands, classes, kernel_size=1)

    def forward(self, x: Tensor, contexts: Sequence[BlockContext] | None = None) -> Tensor:  # noqa: ARG002
        """Compute logits; there is nothing to know about the rest of the image."""
        logits: Tensor = self.head(x)
        return logits

    def attention_modules(self) -> tuple[nn.Module, ...]:
        """No attention, no modules."""
        return ()

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> tuple[BlockContext, ...]:  # noqa: ARG002
        """No attention, no contexts."""
        return ()
