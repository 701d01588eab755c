"""The network's step of the pipeline: pixels in, class ids or sums for a context out, on one device.

Shapes: N tiles, C channels, H rows, W columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rsseg.classes import NODATA_CLASS
from rsseg.errors import OptionError, ResourceError
from rsseg.models.network import Network
from rsseg.prediction.contexts import Contexts, change_tensors
from rsseg.preprocess import Scaling

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Forward:
    """Runs a network over batches of tiles; one thread at a time.

    Args:
        network: gives logits (N, K, H, W) for scaled pixels (N, C, H, W); it is moved to the device.
        scaling: how pixels become its input.
        device: see `resolve_device`.
        precision: a key of `PRECISIONS`; below fp32 the network runs under autocast.
    """

    def __init__(
        self, network: nn.Module, scaling: Scaling, *, device: torch.device, precision: str = "fp32"
    ) -> None:
        self._network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._scaling = scaling
        self._device = device
        self._dtype = PRECISIONS[precision]

    @property
    def device_type(self) -> str:
        """The kind of device it runs on, such as `cpu` or `cuda`."""
        return self._device.type

    @torch.inference_mode()
    def __call__(
        self, pixels: NDArray[np.generic], valid: NDArray[np.bool_], *, contexts: Contexts = ()
    ) -> NDArray[np.uint8]:
        """Decide the class of every pixel of a batch.

        Args:
            pixels: (N, C, H, W), in the raster's own type.
            valid: (N, H, W), True where the pixel counts.
            contexts: what attention needs from everywhere, held by `hold`; without, every tile attends to itself.

        Returns:
            Class ids (N, H, W), 255 where a pixel is not valid.

        Raises:
            ResourceError: the device's memory does not hold the batch.
        """
        with self._batch(pixels, valid) as (scaled, on_device):
            with self._autocast():
                logits = self._network(scaled, contexts) if contexts else self._network(scaled)
            # Classes last: argmax over the fastest dimension is several times quicker on a CPU.
            classes = logits.permute(0, 2, 3, 1).argmax(-1).to(torch.uint8)
            decided: NDArray[np.uint8] = classes.masked_fill_(~on_device, NODATA_CLASS).cpu().numpy()
        return decided

    @torch.inference_mode()
    def summarise(
        self,
        pixels: NDArray[np.generic],
        valid: NDArray[np.bool_],
        *,
        counted: NDArray[np.bool_],
        known: Contexts = (),
    ) -> Contexts:
        """Take the sums of the next pass over the counted pixels of a batch.

        Args:
            pixels: (N, C, H, W), in the raster's own type.
            valid: (N, H, W), True where the network sees the pixel.
            counted: (N, H, W), True where it belongs to the context.
            known: the contexts of all earlier passes, held by `hold`.

        Returns:
            The sums over all samples together (N = 1), in float64 on the device.

        Raises:
            ResourceError: the device's memory does not hold the batch.
        """
        assert isinstance(self._network, Network)
        with self._batch(pixels, valid) as (scaled, _):
            with self._autocast():
                sums = self._network.summarise(scaled, torch.from_numpy(counted).to(self._device), known)
            return tuple(context.over_samples() for context in sums)

    def sums_of_nothing(self, known: Contexts = ()) -> Contexts:
        """The sums that the pass after those of `known` begins with, which tell the shapes of its contexts as well."""
        assert isinstance(self._network, Network)
        side, channels = self._network.stride, self._scaling.channels
        nothing = np.zeros((1, side, side), dtype=np.bool_)
        pixels = np.zeros((1, channels, side, side), dtype=np.uint8)
        return self.summarise(pixels, nothing, counted=nothing, known=self.hold(known))

    def hold(self, contexts: Contexts) -> Contexts:
        """Bring sums to the device, in the type in which attention computes with them."""
        return change_tensors(
            contexts, lambda _, t: t.to(self._device, torch.float32 if t.is_floating_point() else None)
        )

    @contextmanager
    def _batch(
        self, pixels: NDArray[np.generic], valid: NDArray[np.bool_]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The scaled pixels of a batch and which of them are valid, on the device, whose memory may be short."""
        size = " x ".join(str(n) for n in pixels.shape)
        with memory_errors(f"a batch of {size} values"):
            on_device = torch.from_numpy(valid).to(self._device)
            scaled = self._scaling.apply(torch.from_numpy(pixels).to(self._device), on_device)
            yield scaled.contiguous(memory_format=torch.channels_last), on_device

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32)


@contextmanager
def memory_errors(what: str, *, hint: str = "choose a smaller --batch-size or --tile") -> Iterator[None]:
    """Turn what torch and numpy raise when memory is short into one error.

    Raises:
        ResourceError: there is not enough memory for `what`.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as err:
        raise ResourceError(f"not enough memory for {what}", hint=hint) from err
    except RuntimeError as err:
        if "can't allocate memory" not in str(err):  # torch has no class of its own for this on a CPU
            raise
        raise ResourceError(f"not enough memory for {what}", hint=hint) from err


def resolve_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:1` stands for; `auto` prefers a GPU.

    Raises:
        OptionError: another name.
        ResourceError: the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise OptionError(f"device is {name!r}; expected auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ResourceError(
            f"device {name}: this machine has {torch.cuda.device_count()} CUDA devices that torch can use",
            hint="use --device cpu, or install a CUDA build of torch",
        )
    return device


def resolve_precision(name: str, device: torch.device) -> str:
    """What `auto` stands for: bf16 or fp16 on a GPU, whichever it has, and fp32 on a CPU.

    Raises:
        OptionError: an unknown name, or fp16 on a CPU.
    """
    if name == "auto":
        if device.type == "cpu":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if name not in PRECISIONS:
        raise OptionError(f"precision is {name!r}; expected auto, {', '.join(PRECISIONS)}")
    if name == "fp16" and device.type == "cpu":
        raise OptionError("precision fp16 needs a GPU", hint="use --precision bf16 or fp32 on a CPU")
    return name
