from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from rsseg.errors import OptionError, RasterError, WeightsError
from rsseg.export import engine
from rsseg.export.engine import export_weights
from rsseg.export.options import ExportOptions
from rsseg.graphs import tracing
from rsseg.graphs.onnx import to_onnx
from rsseg.version import __version__
from rsseg.weights import init_weights, load_card
from rsseg.weights.files import file_sha256
from rsseg.weights.onnx_file import GraphInput, read_onnx
from tests.making import random_pixels, write_raster


def test_graph_and_network_agree_on_random_and_real_pixels_of_several_sizes(exported) -> None:
    shapes = [parity.shape for parity in exported.summary.parity]

    assert shapes == [(2, 3, 64, 160), (1, 3, 97, 75), (1, 3, 128, 128), (1, 3, 64, 128)]
    assert {parity.source for parity in exported.summary.parity} == {"random", "synthetic town"}
    assert max(parity.difference for parity in exported.summary.parity) < 1e-4
    assert max(parity.changed for parity in exported.summary.parity) < 1e-3


def test_the_file_says_what_it_is(exported) -> None:
    model = onnx.load(exported.path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}

    assert read_onnx(exported.path).card == exported.weights.card
    assert read_onnx(exported.path).input == GraphInput(multiple=32)
    assert metadata["rsseg_weights_sha256"] == exported.weights.sha256
    assert (model.producer_name, model.producer_version) == ("rsseg", __version__)
    assert exported.summary.sha256 == file_sha256(exported.path)


def test_any_number_of_samples_and_any_size_are_named_in_the_graph(exported) -> None:
    model = onnx.load(exported.path)
    tensors = (*model.graph.input, *model.graph.output)
    dims = [[d.dim_param or d.dim_value for d in t.type.tensor_type.shape.dim] for t in tensors]

    assert [tensor.name for tensor in tensors] == ["pixels", "logits"]
    assert dims == [["samples", 3, "height", "width"]] * 2


def test_no_paths_of_this_machine_get_into_the_file(exported) -> None:
    content = exported.path.read_bytes()

    assert not [word for word in (b".py", b"site-packages", str(Path.cwd()).encode()) if word in content]


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_the_same_weights_give_the_same_bytes(simple, tmp_path: Path, suffix: str) -> None:
    files = [
        export_weights(simple, tmp_path / f"{name}{suffix}", options=ExportOptions()).output for name in "ab"
    ]

    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_torch_program_carries_card_and_hash(simple, tmp_path: Path) -> None:
    summary = export_weights(simple, tmp_path / "w.pt2", options=ExportOptions())
    extra = {"rsseg_card": "", "rsseg_weights_sha256": "", "rsseg_multiple": ""}

    torch.export.load(summary.output, extra_files=extra)

    assert extra.pop("rsseg_version") == __version__
    assert extra == {
        "rsseg_card": simple.card.to_json(),
        "rsseg_weights_sha256": simple.sha256,
        "rsseg_multiple": "1",
    }
    assert summary.opset is None


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_graph_that_is_not_the_network_is_not_written(
    simple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    other = init_weights(simple.card, seed=9)
    monkeypatch.setattr(engine, "trace", lambda _, *args, **options: tracing.trace(other, *args, **options))

    with pytest.raises(WeightsError, match="not written, since the graph is not the network") as caught:
        export_weights(simple, tmp_path / f"x{suffix}", options=ExportOptions())

    assert "random" in str(caught.value)
    assert "--tolerance" in str(caught.value.hint)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_logits_that_are_no_numbers_are_a_difference(simple, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(engine, "compare", lambda *_: replace(PARITY, difference=float("nan")))

    with pytest.raises(WeightsError, match="differ by nan"):
        export_weights(simple, tmp_path / "x.onnx", options=ExportOptions())


PARITY = engine.Parity(source="random", shape=(1, 3, 2, 2), difference=0.0, changed=0.0)


def test_a_network_that_cuts_windows_is_exported_for_the_tile_of_its_card(
    simple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "CUTS_WINDOWS", {"linear"})
    caplog.set_level("INFO", logger="rsseg")

    summary = export_weights(simple, tmp_path / "x.onnx", options=ExportOptions())

    assert read_onnx(summary.output).input == GraphInput(multiple=64, fixed=True)
    assert {parity.shape for parity in summary.parity} == {(1, 3, 64, 64)}
    assert "linear is exported for one size only, 64 x 64 px" in caplog.text


def test_an_opset_that_torch_cannot_write_is_refused(simple) -> None:
    program = tracing.trace(simple.network, GraphInput(multiple=1), bands=3)

    with pytest.raises(OptionError, match="opset 12: torch could only write 18"):
        to_onnx(program, metadata={}, opset=12)


def test_an_image_is_compared_on_its_middle(simple, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "image.tif", random_pixels(50, 200))

    summary = export_weights(simple, tmp_path / "x.onnx", options=ExportOptions(image=str(image)))

    assert [(parity.source, parity.shape) for parity in summary.parity[2:]] == [
        (str(image), (1, 3, 128, 128)),
        (str(image), (1, 3, 64, 128)),
    ]


def test_an_image_that_does_not_fit_is_refused_before_the_work(
    simple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write_raster(tmp_path / "image.tif", random_pixels(64, 64).astype(np.uint16))
    monkeypatch.delattr(engine, "trace")

    with pytest.raises(RasterError, match="holds uint16 pixels"):
        export_weights(simple, tmp_path / "x.onnx", options=ExportOptions(image=str(image)))


def test_the_share_done_rises_to_1(simple, tmp_path: Path) -> None:
    shares = []

    export_weights(simple, tmp_path / "x.pt2", options=ExportOptions(), on_progress=shares.append)

    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_the_card_is_read_as_that_of_weights(exported) -> None:
    assert load_card(str(exported.path)) == exported.weights.card
