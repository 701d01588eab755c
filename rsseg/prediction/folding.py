"""Batch norm as a part of the convolution before it: in eval mode both are linear, so one convolution does for two.

Which convolution a batch norm follows is not read off names or the order of registration, which prove nothing: the
network runs once, and every operation is noted with the tensors that it takes and gives.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

Step = tuple[list[Tensor], list[Tensor]]
"""What an operation takes, and what it gives."""


def fold_norms(network: nn.Module, sample: Tensor) -> list[str]:
    """Fold every batch norm that alone reads what one convolution gives into that convolution, in place.

    A convolution or a batch norm that runs more than once, or with something else that reads what is between them,
    stays as it is. The new weights are computed in float64.

    Args:
        network: in eval mode.
        sample: an input that it takes, the smaller the quicker; its values do not matter.

    Returns:
        The names of the folded batch norms, which are identities now.
    """
    pairs = _find_pairs(network, sample)
    for conv_name, norm_name in pairs:
        conv, norm = network.get_submodule(conv_name), network.get_submodule(norm_name)
        assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
        assert isinstance(norm, nn.BatchNorm2d)
        conv.weight, conv.bias = _fold(conv, norm)
        parent, _, attribute = norm_name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, nn.Identity())
    return [norm_name for _, norm_name in pairs]


def _find_pairs(network: nn.Module, sample: Tensor) -> list[tuple[str, str]]:
    """The names of convolutions and of the batch norms that can be folded into them."""
    with torch.no_grad(), _Record() as record:
        result = network(sample)
    record.note([result], [])  # what a network gives, its caller reads
    convs, norms = {}, {}
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            norms[name] = module.running_mean
        elif isinstance(module, nn.Conv2d) or (isinstance(module, nn.ConvTranspose2d) and module.groups == 1):
            convs[name] = module.weight
    return [(c, n) for n, mean in norms.items() for c, weight in convs.items() if record.joins(weight, mean)]


class _Record(TorchFunctionMode):
    """Notes what every operation takes and gives, and keeps it, so that each tensor has an id of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._uses: Counter[int] = Counter()
        self._last_use: dict[int, Step] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation."""
        given = func(*args, **(kwargs or {}))
        if _tensors(given):  # the others ask for a shape or a type
            self.note([args, kwargs], given)
        return given

    def note(self, takes: Any, gives: Any) -> None:
        """Note an operation, whose tensors may lie in tuples, lists and dictionaries."""
        step = _tensors(takes), _tensors(gives)
        for tensor in step[0]:
            self._uses[id(tensor)] += 1
            self._last_use[id(tensor)] = step

    def joins(self, weight: Tensor, mean: Tensor | None) -> bool:
        """Whether both were used once, and the norm with this mean alone reads what the convolution gave."""
        if self._uses[id(weight)] != 1 or self._uses[id(mean)] != 1:
            return False
        (between,) = self._last_use[id(weight)][1]
        return self._uses[id(between)] == 1 and self._last_use[id(between)] is self._last_use[id(mean)]


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _fold(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> tuple[nn.Parameter, nn.Parameter]:
    """The weights and the bias that do for both."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    fused = fuse_conv_bn_weights(
        conv.weight.double(),
        None if conv.bias is None else conv.bias.double(),
        norm.running_mean.double(),
        norm.running_var.double(),
        norm.eps,
        None if norm.weight is None else norm.weight.double(),
        None if norm.bias is None else norm.bias.double(),
        isinstance(conv, nn.ConvTranspose2d),
    )
    weight, bias = (nn.Parameter(tensor.to(conv.weight.dtype), requires_grad=False) for tensor in fused)
    return weight, bias
