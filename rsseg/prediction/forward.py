"""The network's step of the pipeline: pixels in, layers, probabilities or sums for a context out, on one device.

Shapes: N tiles, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rsseg.errors import ResourceError
from rsseg.models.network import Network, pad_to_multiple
from rsseg.prediction.contexts import Contexts, ViewContexts, change_tensors
from rsseg.prediction.decide import DecisionRule, decide, probabilities
from rsseg.prediction.feature_store import BatchFeatures, Features
from rsseg.prediction.precision import PRECISIONS
from rsseg.prediction.prepare import pack_weights
from rsseg.prediction.runtime_check import check_device
from rsseg.prediction.views import View, views_of
from rsseg.preprocess import Scaling
from rsseg.raster.layers import Layers


class Forward:
    """Runs a network over batches of tiles; one thread at a time.

    Args:
        network: gives logits (N, K, H, W) for scaled pixels (N, C, H, W); it is moved to the device.
        scaling: how pixels become its input.
        device: see `resolve_device`.
        precision: a key of `PRECISIONS`; below fp32 the network runs under autocast.
        views: the views over which probabilities are averaged.
        rule: how a pixel is decided, and what is told of it besides its class.
    """

    def __init__(
        self,
        network: nn.Module,
        scaling: Scaling,
        *,
        device: torch.device,
        precision: str = "fp32",
        views: Sequence[View] = views_of("none"),
        rule: DecisionRule | None = None,
    ) -> None:
        self._network = pack_weights(network.eval().to(device))
        self._scaling = scaling
        self._device = device
        self._dtype = PRECISIONS[precision]
        self._views = tuple(views)
        self.rule = rule or DecisionRule()

    @property
    def device_type(self) -> str:
        """The kind of device it runs on, such as `cpu` or `cuda`."""
        return self._device.type

    def __call__(
        self, pixels: NDArray[np.generic], valid: NDArray[np.bool_], *, contexts: ViewContexts = ()
    ) -> NDArray[np.uint8]:
        """Decide the class of every pixel of a batch: (N, H, W), 255 where it is not valid; see `decide`."""
        return self.decide(pixels, valid, wanted=valid, contexts=contexts)["classes"][:, 0]

    @torch.inference_mode()
    def decide(
        self,
        pixels: NDArray[np.generic],
        valid: NDArray[np.bool_],
        *,
        wanted: NDArray[np.bool_],
        contexts: ViewContexts = (),
        kept: BatchFeatures | None = None,
    ) -> Layers:
        """Decide every pixel of a batch that is wanted.

        Args:
            pixels: (N, C, H, W), in the raster's own type.
            valid: (N, H, W), True where the network sees the pixel.
            wanted: (N, H, W), True where it is to be decided.
            contexts: what attention needs from everywhere, held by `hold`; without, every tile attends to itself.
            kept: where the features of the batch are, if an earlier pass has kept them.

        Returns:
            The layers of the rule, (N, bands, H, W) each, 255 where a pixel is not wanted.

        Raises:
            ResourceError: the device's memory does not hold the batch.
        """
        with self._batch(pixels, valid) as (scaled, _):
            scores, averaged = self._scores(scaled, contexts, kept)
            chosen = self._on_device(wanted)
            layers = decide(scores, chosen, self.rule, are_probabilities=averaged)
            return {name: layer.cpu().numpy() for name, layer in layers.items()}

    @torch.inference_mode()
    def probabilities(
        self,
        pixels: NDArray[np.generic],
        valid: NDArray[np.bool_],
        *,
        contexts: ViewContexts = (),
        kept: BatchFeatures | None = None,
    ) -> NDArray[np.float32]:
        """The probability of every class, float32 (N, K, H, W), whether a pixel is valid or not; see `decide`."""
        with self._batch(pixels, valid) as (scaled, _):
            scores, averaged = self._scores(scaled, contexts, kept)
            found: NDArray[np.float32] = (scores if averaged else probabilities(scores)).cpu().numpy()
        return found

    @torch.inference_mode()
    def summarise(
        self,
        pixels: NDArray[np.generic],
        valid: NDArray[np.bool_],
        *,
        counted: NDArray[np.bool_],
        known: ViewContexts = (),
        kept: BatchFeatures | None = None,
    ) -> ViewContexts:
        """Take the sums of the next pass over the counted pixels of a batch, for each view.

        Args:
            pixels: (N, C, H, W), in the raster's own type.
            valid: (N, H, W), True where the network sees the pixel.
            counted: (N, H, W), True where it belongs to the context.
            known: the contexts of all earlier passes, held by `hold`.
            kept: where the features of the batch are, or will be.

        Returns:
            The sums over all samples together (N = 1), in float64 on the device.

        Raises:
            ResourceError: the device's memory does not hold the batch.
        """
        with self._batch(pixels, valid) as (scaled, _):
            held = self._on_device(counted)
            return tuple(
                self._summarise(self._features(number, scaled, kept), view.apply(held), earlier)
                for number, (view, earlier) in enumerate(self._each_view(known))
            )

    def sums_of_nothing(self, known: ViewContexts = ()) -> ViewContexts:
        """The sums that the pass after those of `known` begins with, which tell the shapes of its contexts as well."""
        assert isinstance(self._network, Network)
        side, channels = self._network.stride, self._scaling.channels
        nothing = np.zeros((1, side, side), dtype=np.bool_)
        pixels = np.zeros((1, channels, side, side), dtype=np.uint8)
        return self.summarise(pixels, nothing, counted=nothing, known=self.hold(known))

    def hold(self, contexts: ViewContexts) -> ViewContexts:
        """Bring sums to the device, in the type in which attention computes with them."""
        return change_tensors(
            contexts, lambda _, t: t.to(self._device, torch.float32 if t.is_floating_point() else None)
        )

    @torch.inference_mode()
    def feature_bytes(self) -> float:
        """What the features of a pixel take, in all views."""
        assert isinstance(self._network, Network)
        side = 4 * self._network.padding
        pixels = torch.zeros(1, self._scaling.channels, side, side, device=self._device)
        found = self._features(0, pixels, None)
        return len(self._views) * sum(feature.nbytes for feature in found) / side**2

    def _scores(
        self, scaled: Tensor, contexts: ViewContexts, kept: BatchFeatures | None
    ) -> tuple[Tensor, bool]:
        """Logits of the only view, or the average of the probabilities of all; and whether it is the latter."""
        if len(self._views) == 1:
            return self._logits(0, scaled, contexts[0] if contexts else (), kept), False
        seen = (
            view.undo(probabilities(self._logits(number, scaled, context, kept)))
            for number, (view, context) in enumerate(self._each_view(contexts))
        )
        total = next(seen)
        for one in seen:
            total = total + one
        return total / len(self._views), True

    def _each_view(self, contexts: ViewContexts) -> Iterator[tuple[View, Contexts]]:
        return zip(self._views, contexts or [()] * len(self._views), strict=True)

    def _logits(self, view: int, scaled: Tensor, contexts: Contexts, kept: BatchFeatures | None) -> Tensor:
        seen = self._views[view].apply(scaled)
        features = kept.load(view) if contexts and kept is not None else None
        with self._autocast():
            if features is not None:
                assert isinstance(self._network, Network)
                return self._network.read_out(features, contexts, height=seen.shape[2], width=seen.shape[3])
            logits: Tensor = self._network(seen, contexts) if contexts else self._network(seen)
        return logits

    def _features(self, view: int, scaled: Tensor, kept: BatchFeatures | None) -> Features:
        """What the encoder makes of a batch seen from one side: kept from an earlier pass, or made now and kept."""
        assert isinstance(self._network, Network)
        found = None if kept is None else kept.load(view)
        if found is None:
            padded = pad_to_multiple(self._views[view].apply(scaled), self._network.padding)
            with self._autocast():
                found = tuple(self._network.encode(padded))
            if kept is not None:
                kept.save(view, found)
        return found

    def _summarise(self, features: Features, counted: Tensor, known: Contexts) -> Contexts:
        assert isinstance(self._network, Network)
        with self._autocast():
            sums = self._network.summarise_features(features, counted, known)
        return tuple(context.over_samples() for context in sums)

    @contextmanager
    def _batch(
        self, pixels: NDArray[np.generic], valid: NDArray[np.bool_]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The scaled pixels of a batch and which of them are valid, on the device, whose memory may be short."""
        size = " x ".join(str(n) for n in pixels.shape)
        with memory_errors(f"a batch of {size} values", hint=_smaller(*pixels.shape)):
            on_device = self._on_device(valid)
            yield self._scaling.apply(self._on_device(pixels), on_device), on_device

    def _on_device(self, array: NDArray[np.generic]) -> Tensor:
        """An array on the device; a GPU copies it while the processor goes on."""
        host = torch.from_numpy(array)
        return host.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else host

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32)


_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "alloc_failed", "bad_alloc")


def _smaller(tiles: int, _channels: int, height: int, width: int) -> str:
    """What to choose after a batch for which there was no memory: first half the batch, then half the tile."""
    if tiles > 1:
        return f"choose --batch-size {tiles // 2}"
    tile = max(max(height, width) // 2 // 32, 1) * 32
    return f"choose --tile {tile}, with a --halo below {tile // 2}"


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
    except RuntimeError as err:  # torch has no class of its own for this on a CPU, nor do CUDA's libraries
        if not any(sign in str(err).lower() for sign in _OUT_OF_MEMORY):
            raise
        raise ResourceError(f"not enough memory for {what}", hint=hint) from err


def resolve_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:1` stands for; `auto` prefers a GPU.

    Raises:
        OptionError: another name.
        ResourceError: the machine has no such device.
    """
    check_device(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ResourceError(
            f"device {name}: this machine has {torch.cuda.device_count()} CUDA devices that torch can use",
            hint="use --device cpu, or install a CUDA build of torch",
        )
    return device
