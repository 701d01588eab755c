"""The same image seen from other sides: flipped, or turned by quarters.

The average of what a network says about all of them depends less on which way up the imagery is.

Shapes: (..., H, W), H rows and W columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rsseg.prediction.options import Augmentation


@dataclass(frozen=True)
class View:
    """A symmetry of the square: rows and columns swapped or not, then either of them reversed or not.

    `undo(apply(x)) == x` for any H and W; where `swap` is set, (..., H, W) becomes (..., W, H).
    """

    swap: bool = False
    reverse_rows: bool = False
    reverse_cols: bool = False

    def apply(self, image: Tensor) -> Tensor:
        """Show an image (..., H, W) from this side; the result may share memory with it."""
        return self._reversed(image.transpose(-2, -1) if self.swap else image)

    def undo(self, maps: Tensor) -> Tensor:
        """Bring maps of what `apply` showed back into place; the result may share memory with them."""
        straight = self._reversed(maps)
        return straight.transpose(-2, -1) if self.swap else straight

    def _reversed(self, image: Tensor) -> Tensor:
        dims = [dim for dim, reverse in ((-2, self.reverse_rows), (-1, self.reverse_cols)) if reverse]
        return torch.flip(image, dims) if dims else image


FLIPS = (
    View(),
    View(reverse_cols=True),
    View(reverse_rows=True),
    View(reverse_rows=True, reverse_cols=True),
)
TURNS = tuple(replace(view, swap=True) for view in FLIPS)


def views_of(augmentation: Augmentation) -> tuple[View, ...]:
    """The views that are averaged; the first one is the image as it is, and all of them form a group."""
    match augmentation:
        case "none":
            return FLIPS[:1]
        case "flips":
            return FLIPS
        case "d4":
            return FLIPS + TURNS
