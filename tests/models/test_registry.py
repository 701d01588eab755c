from __future__ import annotations

import pytest
import torch

from rsseg.errors import OptionError
from rsseg.models.registry import NETWORKS, build_network, network_entry
from tests.models.making import image, network

ARCHITECTURES = tuple(NETWORKS)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_entry_says_what_the_network_says(architecture: str) -> None:
    entry = network_entry(architecture)
    with torch.device("meta"):
        built = build_network(architecture, classes=2)

    assert entry.name == architecture
    assert entry.stride == built.stride
    assert entry.context_passes == built.context_passes
    assert (entry.default_encoder in entry.encoders) == bool(entry.encoders)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_built_without_memory_loads_by_assignment(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if network_entry(architecture).side is not None:  # attention at its own size takes long
        monkeypatch.setattr(network_entry(architecture).build, "side", 32)
    original = network(architecture, bands=4, classes=3)
    with torch.device("meta"):
        copy = build_network(
            architecture, encoder=next(iter(network_entry(architecture).sizes)), bands=4, classes=3
        )

    copy.load_state_dict(original.state_dict(), assign=True)

    assert not any(tensor.is_meta for tensor in (*copy.parameters(), *copy.buffers()))
    x = image(1, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(copy.eval()(x), original(x))


def test_an_unknown_network_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="unet: unknown network") as caught:
        build_network("unet", classes=2)

    assert caught.value.hint == f"known networks are: {', '.join(ARCHITECTURES)}"


def test_an_unknown_encoder_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="manet: unknown encoder resnet19") as caught:
        build_network("manet", encoder="resnet19", classes=2)

    assert str(caught.value.hint).startswith("its encoders are: resnet18, resnet34, resnet50, resnet101, ")


def test_an_encoder_for_a_network_without_one_is_refused() -> None:
    with pytest.raises(OptionError, match="linear: has no encoder, found resnet18"):
        build_network("linear", encoder="resnet18", classes=2)


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="maresunet: has no option depth") as caught:
        build_network("maresunet", classes=2, depth=3)

    assert caught.value.hint == "its options are: attention_norm, energy_positions"


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(OptionError, match="attention_norm is 'layer'; it must be 'none' or 'batch'"):
        build_network("maresunet", classes=2, attention_norm="layer")


@pytest.mark.parametrize(("bands", "classes"), [(0, 2), (3, 0)])
def test_a_size_below_one_is_refused(bands: int, classes: int) -> None:
    with pytest.raises(OptionError, match="is 0; it must be at least 1"):
        build_network("linear", bands=bands, classes=classes)
