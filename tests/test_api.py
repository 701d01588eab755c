from pathlib import Path

import pytest
import torch

import rsseg
from rsseg.classes import ClassTable
from rsseg.models.registry import NETWORKS
from rsseg.preprocess import default_scaling
from rsseg.weights import init_weights, save_weights
from rsseg.weights.card import new_card


@pytest.mark.parametrize("name", ["evaluate", "load_network", "predict_raster", "train"])
def test_the_engines_can_be_called_from_python(name: str) -> None:
    assert callable(getattr(rsseg, name))
    assert name in dir(rsseg)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        _ = rsseg.predict


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loaded_network_maps_scaled_pixels_to_logits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = NETWORKS[name]
    if entry.side is not None:  # its attention takes seconds at 128 px
        monkeypatch.setattr(entry.build, "side", 32)
    card = new_card(
        name,
        encoder=next(iter(entry.sizes)),
        classes=ClassTable.unnamed(3),
        scaling=default_scaling(5),
        description="untrained",
    )
    save_weights(tmp_path / "w.safetensors", init_weights(card, seed=0), card)

    network = rsseg.load_network(str(tmp_path / "w.safetensors"))

    height, width = (32, 32) if entry.side is not None else (40, 51)
    with torch.no_grad():
        logits = network(torch.randn(2, 5, height, width, generator=torch.Generator().manual_seed(0)))
    assert not network.training
    assert logits.shape == (2, 3, height, width)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
