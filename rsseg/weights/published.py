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
    does not have. `scaling` is what its recipe puts pixels through: `imagenet` (mean and standard deviation) or `unit`
    (to 0..1).
    """

    renames: Renames
    unused: str = r"(?!)"
    scaling: str = "imagenet"

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

_MACUNET: Renames = (
    (r"^conv10\.", "head."),
    (r"^conv([1-5])\.", r"encoder.\1."),
    (r"^conv([1-3][2-4])\.", r"fall.\1."),
    (r"^deconv([1-4])\.", r"level\1.rise.\1."),
    (r"^deconv([2-4])([1-3])\.", r"level\2.rise.\1."),
    (r"^skblock([1-4])\.", r"level\1.gate."),
    *((rf"^conv{10 - level}\.", f"level{level}.refine.") for level in range(1, 5)),
    (r"(^|\bgate\.)conv\.", r"\1reduce."),
    (r"\bfc11\.", "average_in."),
    (r"\bfc12\.", "average_out."),
    (r"\bfc21\.", "peak_in."),
    (r"\bfc22\.", "peak_out."),
    (r"\bsqure\.", "square."),
    (r"\bcross_ver\.", "horizontal."),
    (r"\bcross_hor\.", "vertical."),
    (r"\bbn\.", "norm."),
)
_MASKATTN_UNET: Renames = (
    (r"\bconv_block\.", ""),
    (r"^initial_conv\.", "down.0."),
    (r"^downsample([1-3])\.maxpool_conv\.", r"down.\1."),
    (r"^self_attention([1-3])\.", r"down_attention.\1."),
    *((rf"^bottom{i + 1}\.", f"bottom.{i}.") for i in range(3)),
    *((rf"^upsample{i + 1}\.conv\.", f"up.{i}.mix.") for i in range(3)),
    *((rf"^self_attention{i + 4}\.", f"up_attention.{i}.") for i in range(3)),
    (r"^final_layer\.", "head."),
)
_HEADS: Renames = (
    (r"^conv_out\.", "head."),
    (r"^conv_out(1|16)\.", "auxiliary_heads.0."),
    (r"^conv_out(2|32)\.", "auxiliary_heads.1."),
    (r"^(head|auxiliary_heads\.\d)\.conv\.", r"\1.refine."),
    (r"^(head|auxiliary_heads\.\d)\.conv_out\.", r"\1.classify."),
    (r"\bbn\.", "norm."),
)
"""Of ABCNet and AttaNet."""
_ABCNET: Renames = (
    *_HEADS,
    (r"^cp\.resnet\.", "encoder."),
    (r"^cp\.conv_avg\.", "mean.project."),
    (r"^cp\.arm(16|32)\.", r"enhance\1."),
    (r"^cp\.conv_head(16|32)\.", r"refine\1."),
    *((rf"^sp\.conv{i + 1}\.", f"spatial.{i}.") for i in range(3)),
    (r"^sp\.conv_out\.", "spatial.3."),
    (r"^fam\.", "aggregation."),
    (r"(^|\.)(conv|convblk)\.(?=conv\.|norm\.)", r"\1mix."),
    (r"\bconv_atten\.", "attention."),
    (r"\bbn_atten\.", "norm."),
    *_POSITION,
)
_ATTANET: Renames = (
    (r"^head\.", ""),
    *_HEADS,
    (r"^resnet\.", "encoder."),
    (r"^conv_head16\.", "fine."),
    (r"^conv_head32\.", "coarse."),
    (r"^conv_head1\.", "mix."),
    (r"^conv_head2\.", "refine."),
    (r"^afm\.", "gate."),
    (r"(^|\bgate\.)conv\.", r"\1mix."),
    (r"\bconv_atten\.", "project."),
    (r"\bbn_atten\.", "norm."),
    (r"^sam\.conv1\.", "strip.query."),
    (r"^sam\.conv2\.", "strip.key."),
    (r"^sam\.conv3\.", "strip.value."),
)
_ATTANET_LIGHT: Renames = (
    (r"\bbackbone\.branch\.", "encoder."),
    *((rf"\bS1_{i + 1}\.", f"fine.{i}.") for i in range(2)),
    *((rf"\bS2_{i + 1}\.", f"fine.{i + 2}.") for i in range(3)),
    *((rf"\bS3_{i + 1}\.", f"coarse.{i}.") for i in range(2)),
    (r"\bS3_3\.", "last."),
    (r"\bconv_head8\.", "fine."),
    (r"\bconv_head16\.", "coarse."),
    (r"\bconv_head81\.", "fine_out."),
    (r"\bconv_head161\.", "coarse_out."),
    *_ATTANET,
)

PUBLISHED: Mapping[str, PublishedNames] = {
    "maresunet": PublishedNames(renames=_ATTENTION_UNET, scaling="unit"),
    "manet": PublishedNames(renames=_ATTENTION_UNET),
    "abcnet": PublishedNames(renames=_ABCNET),
    "attanet": PublishedNames(renames=_ATTANET, unused=r"^head\.resnet\.fc\."),
    "attanet-light": PublishedNames(renames=_ATTANET_LIGHT),
    "macunet": PublishedNames(renames=_MACUNET, scaling="unit"),
    "maskattn-unet-published": PublishedNames(
        renames=_MASKATTN_UNET, unused=r"\.emb_layer\.", scaling="unit"
    ),
}
"""By the networks' names in the registry."""
