from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rsseg.errors import OptionError
from rsseg.models.attanet import FusionGate
from rsseg.models.network import Logits, Network
from rsseg.models.registry import build_network
from tests.models.making import filled, image, network

VARIANTS = ("attanet", "attanet-light")


@pytest.mark.parametrize(
    ("architecture", "parameters", "auxiliary"),
    [
        ("attanet", 13_302_568 - 513_000, 150_144),  # without the unused classifier of the encoder
        ("attanet-light", 1_004_768, 113_280),
    ],
)
def test_nineteen_classes_take_the_parameters_of_the_specification(
    architecture: str, parameters: int, auxiliary: int
) -> None:
    built = on_meta(architecture)

    assert sum(p.numel() for p in built.parameters()) == parameters
    assert sum(p.numel() for p in built.auxiliary_heads.parameters()) == auxiliary


@pytest.mark.parametrize(("architecture", "gmac"), [("attanet", 22.85), ("attanet-light", 5.47)])
def test_inference_costs_what_the_specification_says(architecture: str, gmac: float) -> None:
    built = on_meta(architecture)

    with FlopCounterMode(display=False) as counter:
        built(torch.empty(1, 3, 512, 1024, device="meta"))

    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.015)


@pytest.mark.parametrize(("architecture", "gmac"), [("attanet", 11.80), ("attanet-light", 2.93)])
def test_all_heads_together_cost_what_the_specification_says(architecture: str, gmac: float) -> None:
    built = on_meta(architecture)

    with FlopCounterMode(display=False) as counter:
        maps = built.decode(built.encode(torch.empty(1, 3, 512, 512, device="meta")))
        built.classify(maps, height=512, width=512)

    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.015)


def on_meta(architecture: str) -> Network:
    """The network for Cityscapes, without memory."""
    with torch.device("meta"):
        return build_network(architecture, classes=19).eval()


@pytest.mark.parametrize(("height", "width"), [(75, 101), (31, 33), (16, 16)])
@pytest.mark.parametrize("architecture", VARIANTS)
def test_nothing_is_padded_and_the_corners_stay_where_they_are(
    architecture: str, height: int, width: int
) -> None:
    built = network(architecture, classes=5)
    x = image(2, 3, height, width)

    with torch.no_grad():
        features = built.encode(x)
        coarse = built.head(built.decode(features)[0])
        logits = built(x)

    assert features[0].shape[2:] == (math.ceil(height / 8), math.ceil(width / 8))
    assert logits.shape == (2, 5, height, width)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        torch.testing.assert_close(logits[:, :, *corner], coarse[:, :, *corner])


@pytest.mark.parametrize("architecture", VARIANTS)
def test_training_gives_two_auxiliary_logits_of_the_inputs_size_and_eval_none(architecture: str) -> None:
    built = network(architecture, classes=5)
    x = image(2, 3, 31, 33)

    with torch.no_grad():
        alone = built(x)
        logits = built.train()(x)

    assert isinstance(alone, Tensor)
    assert isinstance(logits, Logits)
    assert logits.main.shape == alone.shape == (2, 5, 31, 33)
    assert [tuple(extra.shape) for extra in logits.auxiliary] == [(2, 5, 31, 33)] * 2


@pytest.mark.parametrize("architecture", VARIANTS)
def test_training_on_a_single_sample_is_refused(architecture: str) -> None:
    built = network(architecture).train()

    with pytest.raises(OptionError, match=r"AttaNet(Light)?: batch size 1 at 64 x 64 px") as caught:
        built(image(1, 3, 64, 64))

    assert caught.value.hint == "train on larger batches"


@pytest.mark.parametrize(("architecture", "rates"), [("attanet", [0.1] * 3), ("attanet-light", [])])
def test_only_the_large_variant_drops_channels_in_its_heads(architecture: str, rates: list[float]) -> None:
    built = on_meta(architecture)

    assert [m.p for m in built.modules() if isinstance(m, nn.Dropout2d)] == rates


@pytest.mark.parametrize("architecture", VARIANTS)
def test_classifiers_and_the_gates_projection_start_with_normal_weights(architecture: str) -> None:
    built = build_network(architecture, classes=19)

    normal = [head.get_submodule("classify") for head in (built.head, *built.auxiliary_heads)]
    for module in (*normal, built.get_submodule("gate.project")):
        assert isinstance(module, nn.Conv2d)
        weight = module.weight.detach()
        assert module.bias is None
        assert float(weight.std()) == pytest.approx(1 / math.sqrt(module.in_channels), rel=0.1)
        # PyTorch's own start is uniform and ends at one standard deviation of this one.
        assert weight.abs().max() > 2 / math.sqrt(module.in_channels)


def test_a_gate_is_one_number_between_zero_and_one_for_every_channel() -> None:
    gate = filled(FusionGate(16 + 24, 16, kernel_size=3))
    fine, coarse = image(2, 16, 9, 13, dtype=torch.float64), image(2, 24, 5, 7, dtype=torch.float64)

    found = gate(fine, coarse)

    assert found.shape == (2, 16, 1, 1)
    assert 0 < found.min() < found.max() < 1


@pytest.mark.parametrize(("opening", "unused"), [(-100.0, "coarse"), (100.0, "fine")], ids=["closed", "open"])
@pytest.mark.parametrize("architecture", VARIANTS)
def test_a_closed_gate_keeps_the_coarse_map_out_and_an_open_one_the_fine_map(
    architecture: str, opening: float, unused: str
) -> None:
    built = network(architecture, dtype=torch.float64)
    norm = built.get_submodule("gate.norm")
    assert isinstance(norm, nn.BatchNorm2d)
    features = list(built.encode(image(1, 3, 64, 64, dtype=torch.float64)))
    changed = list(features)
    place = 2 if unused == "coarse" else {"attanet": 1, "attanet-light": 0}[architecture]
    changed[place] = -features[place]

    with torch.no_grad():
        half_open = (built.decode(changed)[0] - built.decode(features)[0]).abs().max()
        nn.init.constant_(norm.bias, opening)
        found = built.decode(changed)[0]

    assert half_open > 1e-2
    torch.testing.assert_close(found, built.decode(features)[0], rtol=0, atol=1e-10)
