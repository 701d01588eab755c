from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from rsseg.errors import OptionError, ResourceError, WeightsError
from rsseg.models.context import MeanContext
from rsseg.prediction.forward import Forward
from rsseg.weights import load_network, load_weights
from rsseg.weights.exported import load_onnx
from rsseg.weights.files import file_sha256
from rsseg.weights.onnx_file import GraphInput
from tests.graphs import CARD, metadata, write_fixed_graph, write_graph


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_graph(tmp_path / "w.onnx", metadata())


def test_an_onnx_file_is_loaded_like_weights(path: Path) -> None:
    weights = load_weights(str(path))

    assert (weights.card, weights.name, weights.sha256) == (CARD, "w", file_sha256(path))
    assert weights.limits.precision == "fp32"


def test_the_network_takes_and_gives_tensors(path: Path) -> None:
    x = torch.randn(2, 3, 5, 7)

    assert torch.equal(load_network(str(path))(x), x)


def test_any_layout_in_memory_gives_the_same(path: Path) -> None:
    x = torch.randn(2, 3, 4, 6)

    assert torch.equal(load_onnx(path)(x.contiguous(memory_format=torch.channels_last)), x)


def test_the_input_is_padded_to_what_the_graph_takes_and_the_logits_are_cropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load_onnx(write_graph(tmp_path / "w.onnx", metadata(takes=GraphInput(multiple=32))))
    seen = []
    monkeypatch.setattr(network, "run", lambda x: seen.append(x.shape) or x)

    logits = network(torch.zeros(1, 3, 33, 20))

    assert seen == [(1, 3, 64, 32)]
    assert logits.shape == (1, 3, 33, 20)


def test_a_graph_for_one_side_takes_no_larger_input(tmp_path: Path) -> None:
    network = load_onnx(write_fixed_graph(tmp_path / "w.onnx", side=64))

    assert network(torch.zeros(2, 3, 64, 33)).shape == (2, 3, 64, 33)
    with pytest.raises(OptionError, match="takes squares of 64 px only, found 33 x 65"):
        network(torch.zeros(1, 3, 65, 33))


def test_it_decides_pixels_like_any_network(path: Path) -> None:
    pixels = np.array([[[[3, 1]], [[2, 9]], [[1, 1]]]], dtype=np.uint8)
    forward = Forward(load_onnx(path), CARD.scaling, device=torch.device("cpu"))

    assert forward(pixels, np.array([[[True, True]]])).tolist() == [[[0, 1]]]


@pytest.fixture
def threads() -> Iterator[int]:
    """Another number of threads than torch has, which has its own again afterwards."""
    own = torch.get_num_threads()
    yield own + 1
    torch.set_num_threads(own)


def test_it_runs_with_as_many_threads_as_torch_has_by_then(path: Path, threads: int) -> None:
    network = load_onnx(path)
    torch.set_num_threads(threads)

    network(torch.zeros(1, 3, 2, 2))

    assert network._session.get_session_options().intra_op_num_threads == threads


def test_its_graph_is_opened_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_onnx(path)
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)

    assert network(torch.zeros(1, 3, 2, 2)).shape == (1, 3, 2, 2)


def test_an_exported_network_cannot_be_trained(path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be trained"):
        load_onnx(path).train()


def test_an_exported_network_takes_no_contexts(path: Path) -> None:
    context = MeanContext(positions=torch.ones(1), total=torch.ones(1, 3))

    with pytest.raises(OptionError, match="takes no contexts"):
        load_onnx(path)(torch.zeros(1, 3, 2, 2), [context])


def test_bands_and_classes_have_to_be_the_cards(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "w.onnx", metadata(), classes=2)

    with pytest.raises(WeightsError, match="the card has 3 bands and 3 classes"):
        load_onnx(path)


def test_a_graph_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "w.onnx", metadata(), operator="Segment")

    with pytest.raises(WeightsError, match=r"w\.onnx: onnxruntime cannot run this graph"):
        load_onnx(path)


class _Failing:
    def __init__(self, message: str) -> None:
        self._message = message

    def get_inputs(self) -> list[object]:
        return [type("Input", (), {"name": "pixels"})]

    def run(self, *_: object) -> None:
        raise RuntimeException(self._message)


def test_short_memory_is_one_error(path: Path) -> None:
    network = load_onnx(path)
    network._session = _Failing("Failed to allocate memory for requested buffer of size 9")
    forward = Forward(network, CARD.scaling, device=torch.device("cpu"))

    with pytest.raises(ResourceError, match="not enough memory for a batch"):
        forward(np.zeros((1, 3, 2, 2), np.uint8), np.ones((1, 2, 2), np.bool_))


def test_other_failures_pass_through(path: Path) -> None:
    network = load_onnx(path)
    network._session = _Failing("Non-zero status code returned")

    with pytest.raises(RuntimeException):
        network(torch.zeros(1, 3, 2, 2))


def test_a_device_that_onnxruntime_passes_over_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load_onnx(path)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: network._session)

    with pytest.raises(ResourceError, match="onnxruntime cannot use device cuda:1"):
        network._session_for(torch.device("cuda:1"))
