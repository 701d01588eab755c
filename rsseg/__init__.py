"""Segment large remote-sensing imagery: GeoTIFF in, class map out, on exactly the same grid.

The functions below are the engines behind the commands; each is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rsseg.version import __version__ as __version__

if TYPE_CHECKING:
    from rsseg.evaluation.engine import evaluate_maps as evaluate
    from rsseg.prediction.engine import predict_raster as predict_raster
    from rsseg.prediction.options import PredictOptions as PredictOptions
    from rsseg.training.engine import train as train
    from rsseg.training.options import TrainOptions as TrainOptions
    from rsseg.weights import load_card as load_card
    from rsseg.weights import load_network as load_network
    from rsseg.weights import load_weights as load_weights

__all__ = [
    "PredictOptions",
    "TrainOptions",
    "__version__",
    "evaluate",
    "load_card",
    "load_network",
    "load_weights",
    "predict_raster",
    "train",
]

_PUBLIC = {
    "PredictOptions": "rsseg.prediction.options",
    "TrainOptions": "rsseg.training.options",
    "evaluate": "rsseg.evaluation.engine:evaluate_maps",
    "load_card": "rsseg.weights",
    "load_network": "rsseg.weights",
    "load_weights": "rsseg.weights",
    "predict_raster": "rsseg.prediction.engine",
    "train": "rsseg.training.engine",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rsseg' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
