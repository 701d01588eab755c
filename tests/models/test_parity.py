"""Parity of whole networks with the published ones, by their numbers in the development data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from rsseg.models.attention import PublishedMaskAttention
from rsseg.models.maskattn_unet import PublishedMaskAttnUNet
from rsseg.models.network import Network, pad_to_multiple
from rsseg.models.registry import build_network, network_entry
from rsseg.weights.published import PUBLISHED
from tests.conftest import PARITY
from tests.models.published import (
    FLOAT64_TOLERANCE,
    Fixture,
    case_inputs,
    mask_bits,
    network_fixture,
    parity_line,
    published_weights,
    worst_error,
)

NETWORKS = (
    "maresunet_r34_b3_c6",
    "maresunet_r34_b4_c6",
    "maresunet_r50_b3_c5",
    "manet_r50_b3_c6",
    "manet_r50_b4_c6",
    "manet_r18_b3_c5",
    "abcnet_r18_b3_c6",
    "abcnet_r18_b4_c8",
    "attanet_r18_b3_c19",
    "attanet_r18_b4_c6",
    "attanet_light_b3_c19",
    "macunet_b3_c6",
    "macunet_b4_c6",
    "maskattn_unet_published_b3_c20",
)
FAMILIES = {"maskattn": "maskattn-unet-published"}
"""What the fixtures call networks that have another name here."""
AUXILIARY = {"aux16": 0, "aux32": 1, "aux1": 0, "aux2": 1}
"""Which auxiliary head an output is of."""


@pytest.fixture(scope="module", params=NETWORKS)
def loaded(request: pytest.FixtureRequest) -> Iterator[tuple[Fixture, Network]]:
    fixture = network_fixture(request.param)
    about = fixture.description
    entry = network_entry(FAMILIES.get(about["family"], about["family"]))
    encoder = about["encoder"] if entry.encoders else ""
    with torch.device("meta"):
        network = build_network(entry.name, encoder=encoder, bands=about["bands"], classes=about["classes"])
    names = PUBLISHED[entry.name]
    weights = {ours: value for name, value in published_weights(about).items() if (ours := names.ours(name))}
    network.load_state_dict(weights, assign=True)
    yield fixture, network.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_a_network_gives_the_published_logits(
    loaded: tuple[Fixture, Network], dtype: torch.dtype, record_property: Callable[[str, object], None]
) -> None:
    fixture, network = loaded
    network = network.to(dtype)

    for name, case in fixture.cases.items():
        (x,) = case_inputs(case)
        if isinstance(network, PublishedMaskAttnUNet):
            _set_masks(network, seed=case["mask_seed"], permute=name.endswith("permfix"))
        with torch.no_grad():
            found = _outputs(network, x.to(dtype))
        for output, expected in case["outputs"].items():
            logits = found[output]
            assert list(logits.shape) == expected["shape"]
            stride = expected["stride"]
            error = worst_error(logits[..., ::stride, ::stride], fixture.arrays[f"{name}/{output}"])
            tolerance = expected["atol"] if dtype == torch.float32 else FLOAT64_TOLERANCE
            line = parity_line(f"{fixture.tag} {name} {output}", dtype, error=error, tolerance=tolerance)
            record_property(PARITY, line)
            assert error <= tolerance


def _set_masks(network: PublishedMaskAttnUNet, *, seed: int, permute: bool) -> None:
    modules = [m for m in network.modules() if isinstance(m, PublishedMaskAttention)]
    for k, (module, side) in enumerate(zip(modules, (64, 32, 16, 32, 64, 128), strict=True), start=1):
        module.mask = mask_bits(seed + k, 1, side, side)
        module.permute = permute


def _outputs(network: Network, x: Tensor) -> dict[str, Tensor]:
    """What the fixtures know of a network, by their names, from one run."""
    maps = network.decode(network.encode(pad_to_multiple(x, network.padding)))
    logits = network.classify(maps, height=x.shape[2], width=x.shape[3])
    found = {"logits": logits.main}
    found |= {name: logits.auxiliary[head] for name, head in AUXILIARY.items() if logits.auxiliary}
    if isinstance(network, PublishedMaskAttnUNet):
        found["pre_head"] = network.head[0](maps[0])
    return found
