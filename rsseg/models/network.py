"""What every network is: an encoder gives features, a decoder joins them to maps, heads turn maps into logits.

    features = network.encode(x)                    # a list, what the encoder sees
    maps = network.decode(features, contexts)       # what the heads read: the main head's map first
    logits = network.head(maps[0])                  # auxiliary heads read the rest, in training only

Attention inside the decoder needs sums over positions from everywhere. `summarise` takes them from a part of an image,
pass by pass, since what a later attention reads may depend on an earlier one:

    known = ()
    for _ in range(network.context_passes):
        known += add_up(network.summarise(tile, valid, known) for tile in tiles)      # with `+`, context by context
    logits = network(tile, known)

Without contexts an image attends to itself, which is what the papers do.

Shapes: N samples, B bands, C channels, H rows, W columns; `classes` logits per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.errors import OptionError
from rsseg.models.context import AnyContext


class Logits(NamedTuple):
    """What a network gives in training: logits (N, classes, H, W) of its head and of each auxiliary head."""

    main: Tensor
    auxiliary: tuple[Tensor, ...] = ()


class Network(nn.Module):
    """(N, B, H, W) to logits (N, classes, H, W), any H and W; in training mode to `Logits`.

    The input is padded with zeros on the right and at the bottom to multiples of `padding`, and the logits are cropped.
    Subclasses fill in `head`, `auxiliary_heads` where they have any, `encode` and `decode`; and `summarise_features`
    where their attention has a context.

    `stride`: logits depend on how the input lies on a grid of so many pixels. `context_passes`: how many passes over an
    image its contexts take; 0 without attention, None where its attention cannot be summed up over tiles.
    `least_batch`: batch norm over pooled features needs so many samples in training, whatever their size.
    """

    stride: ClassVar[int]
    padding: ClassVar[int]
    context_passes: ClassVar[int | None]
    least_batch: ClassVar[int] = 1

    head: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary_heads = nn.ModuleList()

    def forward(
        self, x: Tensor, contexts: Sequence[AnyContext] | None = None, *, merge: bool = False
    ) -> Tensor | Logits:
        """Compute logits; `contexts` are those of all passes, and one of N = 1 serves all samples.

        With `merge` all samples attend to one another, as if they were parts of one image.

        Its padding keeps it from being exported for all sizes: `rsseg.export` takes encode, decode and head.

        Raises:
            OptionError: a batch too small to train on, or contexts for a network that takes none.
        """
        height, width = x.shape[2:]
        if contexts and not self.context_passes:
            raise OptionError(
                f"{type(self).__name__}: takes no contexts, found {len(contexts)}",
                hint="leave them out: it attends to each image by itself, if at all",
            )
        if self.training:
            self._check_batch(x)
        padded = pad_to_multiple(x, self.padding)
        if not self.training and not merge:
            return self.read_out(self.encode(padded), contexts, height=height, width=width)
        features = self.encode(padded)
        if merge:
            contexts = self._merged_contexts(features, x.dtype)
        if not self.training:
            return self.read_out(features, contexts, height=height, width=width)
        return self.classify(self.decode(features, contexts), height=height, width=width)

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        """Compute the encoder's features of a padded input, the finest first."""
        raise NotImplementedError

    def decode(
        self, features: Sequence[Tensor], contexts: Sequence[AnyContext] | None = None
    ) -> Sequence[Tensor]:
        """Join features to the maps that the heads read, the main head's first."""
        raise NotImplementedError

    def read_out(
        self,
        features: Sequence[Tensor],
        contexts: Sequence[AnyContext] | None = None,
        *,
        height: int,
        width: int,
    ) -> Tensor:
        """Compute the main head's logits (N, classes, height, width) of the features of an input of this size."""
        maps = self.decode(features, contexts)
        del features  # unless the caller holds them, they are gone before the head works at full size
        return self.fit(self.head(maps[0]), height=height, width=width)

    def classify(self, maps: Sequence[Tensor], *, height: int, width: int) -> Logits:
        """Compute the logits of all heads."""
        heads = (self.head, *self.auxiliary_heads)
        main, *auxiliary = (
            self.fit(head(features), height=height, width=width)
            for head, features in zip(heads, maps, strict=True)
        )
        return Logits(main, tuple(auxiliary))

    def fit(self, logits: Tensor, *, height: int, width: int) -> Tensor:
        """Bring a head's output to the input's size: by cropping, unless a network says otherwise."""
        return logits[:, :, :height, :width]

    def summarise(
        self, x: Tensor, valid: Tensor | None = None, known: Sequence[AnyContext] = ()
    ) -> tuple[AnyContext, ...]:
        """Take what attention needs from this part of an image, in the next pass.

        Args:
            x: (N, B, H, W).
            valid: (N, H, W) bool; a position counts where all pixels under it are valid, padding never is.
                Without it all positions count, those of the padding as well, as in `forward`.
            known: the contexts of all earlier passes, for the whole image.

        Returns:
            The contexts that this pass adds, in order.
        """
        return self.summarise_features(self.encode(pad_to_multiple(x, self.padding)), valid, known)

    def summarise_features(
        self, features: Sequence[Tensor], valid: Tensor | None = None, known: Sequence[AnyContext] = ()
    ) -> tuple[AnyContext, ...]:
        """Take the contexts of the next pass from what `encode` made of a part; see `summarise`."""
        raise NotImplementedError

    def _merged_contexts(self, features: Sequence[Tensor], dtype: torch.dtype) -> tuple[AnyContext, ...]:
        """The contexts of all passes, taken over all samples of a batch."""
        merged: tuple[AnyContext, ...] = ()
        for _ in range(self.context_passes or 0):
            taken = self.summarise_features(features, None, merged)
            merged += tuple(context.over_samples().to(dtype) for context in taken)
        return merged

    def _check_batch(self, x: Tensor) -> None:
        samples, _, height, width = x.shape
        positions = -(-height // self.stride) * -(-width // self.stride)
        single = samples < self.least_batch or samples * positions < 2
        if single and any(
            isinstance(module, nn.BatchNorm2d) and module.training for module in self.modules()
        ):
            raise OptionError(
                f"{type(self).__name__}: batch size {samples} at {width} x {height} px leaves batch norm a single"
                " value per channel",
                hint="train on larger batches" + ("" if self.least_batch > 1 else " or larger samples"),
            )


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad (..., H, W) with zeros (False) on the right and at the bottom to multiples of `multiple`."""
    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    return functional.pad(x, (0, right, 0, bottom)) if bottom or right else x


def reduce_valid(valid: Tensor | None, *, stride: int, padding: int) -> Tensor | None:
    """Reduce (N, H, W) bool to positions `stride` pixels apart: True where all pixels under a position are.

    Args:
        valid: which pixels count; None stands for all, those of the padding as well.
        stride: pixels between positions, a divisor of `padding`.
        padding: the network's: sides are padded with False to its multiples.
    """
    if valid is None:
        return None
    padded = pad_to_multiple(valid, padding)
    n, height, width = padded.shape
    squares = padded.reshape(n, height // stride, stride, width // stride, stride)
    return squares.all(dim=4).all(dim=2)  # (N, H / stride, W / stride)
