"""The published state dicts: what the authors' code calls a tensor, and what we call it.

`encoderK.B.*`, `cp.resnet.*` and `head.resnet.*` hold torchvision's ResNet by its own names, as ours does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Renames = tuple[tuple[str, str], ...]
"""Patterns and what replaces them, applied one after the other."""


@dataclass(frozen=True, kw_only=True)
class PublishedNames:
    """How the tensors of a published network are called.

    `renames` lead to our names; `unused` matches tensors (by their published names) that its code never uses and ours
    does not have.
    """

    renames: Renames
    unused: str = r"(?!)"

    def ours(self, published: str) -> str | None:
        """Our name of a tensor; None for one that is never used."""
        if re.search(self.unused, published):
            return None
        name = published
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name


_POSITION: Renames = (
    (r"\b(query|key|value)_conv\.", r"\1."),
    (r"\bgamma$", "scale"),
)
DECODER_BLOCK: Renames = (
    (r"\bconv1\.(?=weight|bias)", "reduce.conv."),
    (r"\bnorm1\.", "reduce.norm."),
    (r"\bdeconv2\.", "upsample.conv."),
    (r"\bnorm2\.", "upsample.norm."),
    (r"\bconv3\.(?=weight|bias)", "expand.conv."),
    (r"\bnorm3\.", "expand.norm."),
)
"""Of MAResU-Net and MANet; on its own, because the encoder's convolutions have the same names."""
_ATTENTION_UNET: Renames = (
    (r"^firstconv\.", "encoder.conv1."),
    (r"^firstbn\.", "encoder.bn1."),
    (r"^encoder([1-4])\.", r"encoder.layer\1."),
    (r"\bPAM\.", "position."),
    (r"\bCAM\.", "channel."),
    *_POSITION,
    (r"\bconv1\.0\.", "mix.conv."),
    (r"\bconv2P\.1\.0\.", "position_out.conv."),
    (r"\bconv2C\.1\.0\.", "channel_out.conv."),
    (r"\bconv3\.1\.0\.", "out.conv."),
    (r"^finaldeconv1\.", "head.upsample.conv."),
    (r"^finalconv2\.", "head.refine.conv."),
    (r"^finalconv3\.", "head.classify."),
    *((rf"^(decoder[1-4]\.){pattern}", rf"\1{ours}") for pattern, ours in DECODER_BLOCK),
)

PUBLISHED: Mapping[str, PublishedNames] = {
    "maresunet": PublishedNames(renames=_ATTENTION_UNET),
    "manet": PublishedNames(renames=_ATTENTION_UNET),
}
"""By the networks' names in the registry."""
