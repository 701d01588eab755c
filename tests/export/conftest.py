"""One export for all tests of this folder: it takes seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from rsseg.export.engine import ExportSummary, export_weights
from rsseg.export.options import ExportOptions
from rsseg.models import resnet
from rsseg.weights import Weights
from tests.export.making import SHALLOW, make_weights


@dataclass(frozen=True)
class Exported:
    """Weights with the ONNX file made of them."""

    weights: Weights
    path: Path
    summary: ExportSummary


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """MAResU-Net with a shallow ResNet-18, three classes."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(resnet.LAYOUTS, *SHALLOW)
        weights = make_weights(folder / "w.safetensors", "maresunet")
    summary = export_weights(weights, folder / "w.onnx", options=ExportOptions())
    return Exported(weights, summary.output, summary)


@pytest.fixture
def simple(tmp_path: Path) -> Weights:
    """A network of one convolution, whose export takes a second."""
    return make_weights(tmp_path / "w.safetensors", "linear")
