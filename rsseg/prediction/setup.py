"""What stays the same from raster to raster: weights ready to run, and what was chosen for them, resolved once."""

from __future__ import annotations

from dataclasses import dataclass

from rsseg.prediction.forward import Forward
from rsseg.prediction.options import ContextKind, PredictOptions, Runtime
from rsseg.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What predicts rasters.

    Attributes:
        weights: as they were loaded.
        forward: the network, ready on its device.
        options: what the user chose.
        context: what tiles attend to.
        passes: how many over a raster end in its context: none where each tile attends to itself.
        side: of the only tiles that the network takes, in pixels; None where it takes any.
        precision: in which the network computes.
        runtime: what runs it.
        tensor_bytes: what its tensors take in fp32 for each pixel that it sees.
        feature_bytes: what the features of a pixel take where those of tiles may be kept between passes, else 0.
        held_bytes: what the process holds before the first raster: torch, the network.
    """

    weights: Weights
    forward: Forward
    options: PredictOptions
    context: ContextKind
    passes: int
    side: int | None
    precision: str
    runtime: Runtime
    tensor_bytes: float
    feature_bytes: float = 0.0
    held_bytes: int

    @property
    def on_host(self) -> bool:
        """Whether the network runs in the host's memory."""
        return self.forward.device_type == "cpu"
