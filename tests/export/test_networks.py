from pathlib import Path

import pytest
import torch

from rsseg.export.parity import compare, make_cases
from rsseg.export.program import ProgramNetwork, to_pt2
from rsseg.graphs import onnx as to
from rsseg.graphs.tracing import plan_input, trace
from rsseg.models import efficientnet, resnet
from rsseg.models.registry import NETWORKS
from rsseg.weights import Weights
from rsseg.weights.exported import OnnxNetwork
from rsseg.weights.onnx_file import GraphInput
from tests.export.making import SHALLOW, SHALLOW_LITE, make_weights

TESTED_ELSEWHERE = {"maresunet", "linear", "maskattn-unet"}
"""The first two from file to file in test_engine.py, where the graph takes any size, the last one below."""

ONE_SIZE = {"maskattn-unet-published"}

WORST = {"macunet": 5e-4, "maskattn-unet-published": 1e-3}
"""Of differences between logits, over their spread; elsewhere 1e-4.

MACU-Net's logits follow a gate on a maximum, the published MaskAttn-UNet's are mostly 0: few carry the spread.
"""


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(resnet.LAYOUTS, *SHALLOW)


def onnx_difference(weights: Weights, takes: GraphInput) -> float:
    content = to.to_onnx(trace(weights.network, takes, bands=3), metadata={}, opset=20)
    network = OnnxNetwork(content, weights.card, takes, name="graph")
    case = make_cases(weights.card, takes, image=None)[-1]
    return compare(weights.network, network, case).difference


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("name", sorted(set(NETWORKS) - TESTED_ELSEWHERE))
def test_an_onnx_graph_says_what_the_network_says(name: str, tmp_path: Path) -> None:
    weights = make_weights(tmp_path / "w.safetensors", name)

    difference = onnx_difference(weights, GraphInput(multiple=weights.card.tile, fixed=True))

    assert difference < WORST.get(name, 1e-4)


@pytest.mark.parametrize("name", ["manet", "attanet"])
def test_a_graph_of_channels_convolved_by_themselves_says_what_the_network_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(efficientnet.LAYOUTS, *SHALLOW_LITE)
    weights = make_weights(tmp_path / "w.safetensors", name, encoder=SHALLOW_LITE[0])

    assert onnx_difference(weights, plan_input(weights.card, weights.network)) < 1e-4


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("name", sorted(set(NETWORKS) - TESTED_ELSEWHERE - ONE_SIZE))
def test_one_program_serves_all_sizes(name: str, tmp_path: Path) -> None:
    weights = make_weights(tmp_path / "w.safetensors", name)
    takes = plan_input(weights.card, weights.network)

    network = ProgramNetwork(to_pt2(trace(weights.network, takes, bands=3), metadata={}), takes)

    cases = make_cases(weights.card, takes, image=None)
    assert len({case.pixels.shape for case in cases}) == 4
    assert max(compare(weights.network, network, case).difference for case in cases) < 1e-4


def test_windows_and_blocks_of_attention_are_put_together_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = make_weights(tmp_path / "w.safetensors", "maskattn-unet", tile=32, max_tokens=64)
    monkeypatch.setattr(to, "SCORES_BYTES", 4 * 4 * 64 * 16 * 24)

    assert onnx_difference(weights, plan_input(weights.card, weights.network)) < 1e-4


def test_sizes_below_the_stride_go_through_the_graph_too(exported) -> None:
    x = torch.randn(1, 3, 9, 40)
    network = OnnxNetwork(exported.path, exported.weights.card, exported.summary.takes, name="graph")

    with torch.inference_mode():
        assert torch.allclose(network(x), exported.weights.network(x), rtol=1e-4, atol=1e-3)
