import sys
from pathlib import Path

import pytest

from rsseg.errors import ResourceError, WeightsError
from rsseg.weights import CARD_KEY, load_card, read_limits
from rsseg.weights.files import Limits
from rsseg.weights.onnx_file import GraphInput, read_onnx
from tests.graphs import ANY_SIZE, CARD, metadata, write_fixed_graph, write_graph
from tests.making import write_argmax_weights


def test_the_card_and_the_sizes_come_back(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "w.onnx", metadata(takes=GraphInput(multiple=32)))

    file = read_onnx(path)

    assert (file.card, file.input) == (CARD, GraphInput(multiple=32))
    assert load_card(str(path)) == CARD


def test_a_graph_for_one_side_says_so(tmp_path: Path) -> None:
    limits = read_limits(write_fixed_graph(tmp_path / "w.onnx", side=64))

    assert (limits.side, limits.precision) == (64, "fp32")


def test_tensors_have_no_limits(tmp_path: Path) -> None:
    assert read_limits(write_argmax_weights(tmp_path / "w.safetensors")) == Limits()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "without an rsseg card"),
        ({CARD_KEY: "{"}, "the card is damaged"),
        ({CARD_KEY: CARD.to_json()}, "does not say which sizes it takes"),
        ({CARD_KEY: CARD.to_json(), "rsseg_multiple": "many"}, "does not say which sizes it takes"),
    ],
)
def test_a_foreign_graph_is_refused(tmp_path: Path, entries: dict[str, str], message: str) -> None:
    path = write_graph(tmp_path / "w.onnx", entries)

    with pytest.raises(WeightsError, match=message) as caught:
        read_onnx(path)

    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kept", [100, -5])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    path = write_graph(tmp_path / "w.onnx", metadata())
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(WeightsError, match="is no complete ONNX file"):
        read_onnx(path)


def test_an_empty_file_has_no_card(tmp_path: Path) -> None:
    (tmp_path / "w.onnx").touch()

    with pytest.raises(WeightsError, match="without an rsseg card"):
        read_onnx(tmp_path / "w.onnx")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        read_onnx(tmp_path / "w.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    path = write_graph(tmp_path / "w.onnx", metadata(takes=ANY_SIZE))
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ResourceError, match=f"need the package {package}$") as caught:
        read_limits(path)

    assert caught.value.hint == "pip install 'rsseg[onnx]'"


def test_a_torch_program_is_refused_for_what_it_can_do(tmp_path: Path) -> None:
    (tmp_path / "w.pt2").write_bytes(b"PK\x03\x04")

    with pytest.raises(WeightsError, match="can run code when it is loaded") as caught:
        load_card(str(tmp_path / "w.pt2"))

    assert "rsseg export" in str(caught.value.hint)
