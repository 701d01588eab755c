from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rsseg.errors import ResourceError
from rsseg.models import resnet
from rsseg.models.network import Network
from rsseg.models.registry import NETWORKS
from rsseg.prediction import prepare as module
from rsseg.prediction import runtimes
from rsseg.prediction.prepare import prepare
from rsseg.weights.exported import load_onnx
from tests.export.making import SHALLOW
from tests.graphs import metadata, write_graph
from tests.models.making import image, network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shallow() -> Network:
    """A MAResU-Net with one block to a stage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(resnet.LAYOUTS, *SHALLOW)
        return network("maresunet")


def prepared(given: Network, **wish: Any) -> Network:
    return prepare(given, **{"device": CPU, "precision": "fp32", "channels": 3, **wish})


@torch.inference_mode()
def test_a_prepared_network_gives_the_same_logits(shallow: Network) -> None:
    x = image(1, 3, 64, 96)

    made = prepared(shallow)

    assert not any(isinstance(part, nn.BatchNorm2d) for part in made.modules())
    assert torch.allclose(made(x), shallow(x), atol=1e-4 * float(shallow(x).std()))


@torch.inference_mode()
def test_bf16_is_near_and_keeps_all_but_products_wide(shallow: Network) -> None:
    x = image(1, 3, 64, 96)

    made = prepared(shallow, precision="bf16")
    with torch.autocast("cpu", torch.bfloat16):
        found, sums = made(x), made.summarise(x)

    expected = shallow(x)
    assert found.dtype == made.get_submodule("head.classify").weight.dtype == torch.bfloat16
    assert made.get_parameter("attention4.position.scale").dtype == torch.float32
    assert sums[0].position.key_values.dtype == sums[0].channel.gram.dtype == torch.float32
    assert float((found - expected).abs().mean() / expected.std()) < 0.05


@torch.inference_mode()
@pytest.mark.parametrize(
    "name", [name for name in NETWORKS if name not in ("linear", "maskattn-unet-published")]
)
def test_channels_of_a_single_tile_come_last_in_every_convolution(name: str) -> None:
    """Kernels choose by strides; those of one sample may say that channels come first where it makes no difference."""
    made, seen = prepared(network(name), precision="bf16"), []

    def look(part: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        (x,) = inputs
        if x.shape[1] > 3 and x.shape[2] * x.shape[3] > 1:
            lies_otherwise = x.stride() != torch.empty_like(x, memory_format=torch.channels_last).stride()
            seen.append(
                (part, lies_otherwise and x.stride() != torch.empty(x.shape).stride(), lies_otherwise)
            )

    for part in made.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            part.register_forward_pre_hook(look)  # type: ignore[arg-type]
    with torch.autocast("cpu", torch.bfloat16):
        made(image(1, 3, 128, 128))

    assert len(seen) > 10
    assert not [part for part, odd, _ in seen if odd]
    if not name.startswith(
        "maskattn"
    ):  # whose joins give channels first; attention is nearly all of its work
        assert not [part for part, _, first in seen if first]


def test_the_network_given_stays_as_it_is(shallow: Network) -> None:
    before = deepcopy(shallow.state_dict())

    prepared(shallow, precision="bf16")

    after = shallow.state_dict()
    assert list(after) == list(before)
    assert all(after[name].dtype == before[name].dtype for name in before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@torch.inference_mode()
@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_another_runtime_gives_the_same_logits_for_every_shape(runtime: Any) -> None:
    pytest.importorskip(runtime)
    given = network("linear")
    made = prepared(given, runtime=runtime)

    for shape in ((1, 3, 64, 64), (2, 3, 32, 48), (1, 3, 64, 64)):
        x = image(*shape)
        assert torch.allclose(made(x), given(x), atol=1e-5)


def test_the_graphs_of_the_last_two_shapes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(runtimes, "_to_onnx", lambda _, shape: made.append(shape[3]) or b"")
    monkeypatch.setattr(runtimes, "_open", lambda *_, **__: lambda x: x)
    traced = prepared(network("linear"), runtime="onnxruntime")

    for width in (8, 16, 8, 24, 8, 16):
        traced(torch.zeros(1, 3, 8, width))

    assert made == [8, 16, 24, 16]


def test_a_runtime_that_cannot_compute_in_the_precision_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino")
    monkeypatch.setattr(openvino.CompiledModel, "get_property", lambda *_: openvino.Type.bf16)
    made = prepared(network("linear"), runtime="openvino")

    with pytest.raises(ResourceError, match="precision fp32: OpenVINO computes in bf16 on this processor"):
        made(image(1, 3, 32, 32))


@torch.inference_mode()
def test_autocast_does_not_become_part_of_a_graph() -> None:
    given = network("linear")
    made = prepared(given, runtime="onnxruntime")
    x = image(1, 3, 32, 32)

    with torch.autocast("cpu", torch.bfloat16):
        found = made(x)

    assert torch.allclose(found, given(x), atol=1e-5)


@torch.inference_mode()
def test_openvino_runs_an_exported_file(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    given = load_onnx(write_graph(tmp_path / "w.onnx", metadata()))
    x = image(2, 3, 20, 30)

    made = prepared(given, runtime="openvino")

    assert made is not given
    assert torch.equal(made(x), given(x))


def test_an_exported_file_stays_with_onnxruntime(tmp_path: Path) -> None:
    given = load_onnx(write_graph(tmp_path / "w.onnx", metadata()))

    assert prepared(given) is given


def test_without_a_compiler_there_is_no_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(module.shutil, "which", lambda _: None)

    with pytest.raises(ResourceError, match=r"--compile needs a C\+\+ compiler") as caught:
        prepared(network("linear"), compile=True)

    assert "leave --compile out" in str(caught.value.hint)
