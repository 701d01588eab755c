"""Networks made ready to predict: the same logits up to rounding, sooner.

Batch norm is folded into convolutions, weights lie channels last and in the type in which they are used, and torch
compiles the network if asked; or another runtime takes the place of torch.
"""

from __future__ import annotations

import os
import shutil
from copy import deepcopy

import torch
from torch import nn

from rsseg.errors import ResourceError
from rsseg.models.network import Network
from rsseg.prediction.folding import fold_norms
from rsseg.prediction.options import Runtime
from rsseg.prediction.precision import PRECISIONS
from rsseg.weights.exported import ExportedNetwork, OnnxNetwork

COMPILERS = ("g++", "clang++")
"""What torch looks for to compile on a CPU, where CXX names no other."""


def prepare(
    network: Network,
    *,
    device: torch.device,
    precision: str,
    runtime: Runtime = "torch",
    compile: bool = False,  # noqa: A002 - the option's name
    channels: int,
    side: int | None = None,
) -> Network:
    """Make a network ready to predict, under autocast of the precision where that is not fp32.

    Args:
        network: in eval mode, on the CPU; it stays as it is.
        device: where it will run.
        precision: a key of `PRECISIONS`; convolutions keep their weights in it, sums of attention are wider.
        runtime: what runs it.
        compile: let torch compile the forward pass, once for each shape of input, on a GPU as CUDA graphs; sums for
            contexts are not compiled.
        channels: of its input.
        side: the only side that it takes, in pixels; None where it takes any.

    Returns:
        A network with the same logits; an exported one is run by onnxruntime unless `runtime` is openvino.

    Raises:
        ResourceError: a package or a compiler is missing.
        WeightsError: OpenVINO cannot run an exported graph.
    """
    if isinstance(network, ExportedNetwork):
        return _exported(network, runtime)
    if compile and device.type == "cpu":
        check_compiler()
    prepared = deepcopy(network).eval().requires_grad_(requires_grad=False)
    fold_norms(prepared, torch.zeros(1, channels, *[side or 2 * network.stride] * 2))
    if runtime != "torch":
        from rsseg.prediction.runtimes import TracedNetwork

        return TracedNetwork(prepared, runtime=runtime, precision=precision)
    _cast_weights(prepared.to(device), PRECISIONS[precision])
    pack_weights(prepared)
    if compile:
        prepared.compile(dynamic=False, mode="reduce-overhead" if device.type == "cuda" else None)
    return prepared


def runtime_of(network: Network, runtime: Runtime) -> Runtime:
    """What really runs a network where this runtime is asked for: exported ones are not run by torch."""
    return "onnxruntime" if runtime == "torch" and isinstance(network, ExportedNetwork) else runtime


def check_compiler() -> None:
    """Refuse to compile where there is nothing to compile with.

    Raises:
        ResourceError: torch would find no C++ compiler.
    """
    names = [os.environ["CXX"]] if "CXX" in os.environ else COMPILERS
    if not any(map(shutil.which, names)):
        raise ResourceError(
            f"--compile needs a C++ compiler, found none ({', '.join(names)})",
            hint="install g++, or leave --compile out",
        )


def pack_weights(network: nn.Module) -> nn.Module:
    """Lay the weights of convolutions out channels last, in which they are quickest; gives back the network itself.

    Such a convolution gives channels last, whatever it takes. Those that look at single pixels are left out: they
    follow their input, and of a few bands channels last would be ten times slower.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.kernel_size != (1, 1):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _exported(network: ExportedNetwork, runtime: Runtime) -> Network:
    if runtime == "openvino" and isinstance(network, OnnxNetwork):
        from rsseg.prediction.runtimes import OpenVinoFile

        return OpenVinoFile(network)
    return network


def _cast_weights(network: Network, dtype: torch.dtype) -> None:
    """Keep the weights in which autocast uses them, or it casts them anew for every batch."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.to(dtype)
