"""What is refused before anything is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rsseg.classes import ClassTable
from rsseg.errors import OptionError
from rsseg.models.registry import NETWORKS, NetworkEntry, Size
from rsseg.prediction.door import (
    check_options,
    check_outputs,
    identify_files,
    resolve_context,
    resolve_threshold,
)
from rsseg.prediction.options import PredictOptions, Threshold
from rsseg.prediction.sizes import resolve_sizes
from rsseg.preprocess import default_scaling
from rsseg.weights import Limits, WeightCard, read_card
from tests.making import THREE, write_argmax_weights

FILE = Path("context.safetensors")
CARD = WeightCard(
    architecture="maskattn-unet-published",
    encoder="",
    classes=THREE,
    bands=("red", "green", "blue"),
    scaling=default_scaling(3),
    tile=128,
    halo=32,
)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightCard:
    """Of a network for each kind: `linear`, `maresunet`, and `strips` whose context cannot be taken."""
    strips = NetworkEntry(
        name="strips",
        network="nowhere:Strips",
        sizes={"": Size(0, 0, None)},
        stride=32,
        context_passes=None,
        no_context="its attention is tied to columns",
    )
    monkeypatch.setitem(NETWORKS, "strips", strips)
    return read_card(write_argmax_weights(tmp_path / "w.safetensors"))


@pytest.mark.parametrize(
    ("architecture", "options", "expected"),
    [
        ("maresunet", {}, "tile"),
        ("maresunet", {"context": "tile"}, "tile"),
        ("maresunet", {"context": "raster"}, "raster"),
        ("maresunet", {"use_context": FILE}, "raster"),
        ("maresunet", {"save_context": FILE}, "raster"),
        ("maresunet", {"context_sample": 0.1}, "raster"),
        ("linear", {"context": "raster"}, "raster"),
        ("strips", {}, "tile"),
        ("strips", {"context": "tile"}, "tile"),
    ],
)
def test_the_context_is_as_asked_for_or_as_the_other_options_need_it(
    card: WeightCard, architecture: str, options: dict[str, Any], expected: str
) -> None:
    assert resolve_context(replace(card, architecture=architecture), PredictOptions(**options)) == expected


@pytest.mark.parametrize("options", [{"context": "raster"}, {"use_context": FILE}])
def test_a_network_that_cannot_have_one_is_refused_with_the_reason(
    card: WeightCard, options: dict[str, Any]
) -> None:
    with pytest.raises(OptionError, match=r"strips: .* cannot be taken: its attention is tied") as caught:
        resolve_context(replace(card, architecture="strips"), PredictOptions(**options))
    assert caught.value.hint == "use --context tile"


def test_every_network_that_cannot_have_one_says_why() -> None:
    assert all(entry.no_context for entry in NETWORKS.values() if entry.context_passes is None)


def test_without_attention_there_is_no_context_to_save(card: WeightCard) -> None:
    with pytest.raises(OptionError, match="linear: has no attention, so --save-context has no meaning"):
        resolve_context(card, PredictOptions(save_context=FILE))


def test_tiles_that_cannot_be_shifted_are_refused(card: WeightCard) -> None:
    options = PredictOptions(tile=160, halo=64, seam_check=True)

    with pytest.raises(OptionError, match="half of the 32 px they keep"):
        resolve_sizes(replace(card, architecture="maresunet"), options)
    assert resolve_sizes(replace(card, architecture="maresunet"), replace(options, tile=192)).keep == 64


@pytest.mark.parametrize(
    ("preview", "save", "message"),
    [
        (None, "map.tif", "map.tif: is the class map, too"),
        (None, "map.tif.aux.xml", "map.tif.aux.xml: is the class map, too"),
        ("look.png", "look.png", "look.png: is --preview, too"),
        (None, "image.tif", "image.tif: is the input"),
        ("map.png", "here/../map.tif", "map.tif: is the class map, too"),
    ],
)
def test_a_context_is_never_saved_over_something_else(
    tmp_path: Path, preview: str | None, save: str, message: str
) -> None:
    (tmp_path / "image.tif").touch()
    (tmp_path / "here").mkdir()
    options = PredictOptions(
        preview=preview and tmp_path / preview, save_context=tmp_path / save, overwrite=True
    )

    with pytest.raises(OptionError, match=message):
        check_outputs(tmp_path / "map.tif", options, inputs=identify_files([tmp_path / "image.tif"]))


def test_the_context_that_is_used_is_an_input(tmp_path: Path) -> None:
    used = tmp_path / "context.safetensors"
    used.touch()

    with pytest.raises(OptionError, match="is the input"):
        check_outputs(used, PredictOptions(use_context=used, overwrite=True), inputs={})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probabilities": "map.tif"}, "map.tif: is the class map, too"),
        ({"confidence": "p.tif", "probabilities": "p.tif"}, "p.tif: is --probabilities, too"),
        ({"confidence": "image.tif"}, "image.tif: is the input"),
        ({"probabilities": "p.tif", "extra": "p.tif"}, "p.tif: is the input"),
        ({"probabilities": "p.tif", "aoi": "p.tif"}, "p.tif: is the input"),
        ({"probabilities": "p.png"}, "p.png: is written as GeoTIFF"),
        ({"confidence": "none/c.tif"}, "c.tif: the folder .* does not exist"),
    ],
)
def test_a_layer_is_never_written_over_something_else(
    tmp_path: Path, options: dict[str, str], message: str
) -> None:
    (tmp_path / "image.tif").touch()
    (tmp_path / "p.tif").touch()
    paths: Any = {name: tmp_path / path for name, path in options.items()}

    with pytest.raises(OptionError, match=message):
        check_outputs(
            tmp_path / "map.tif",
            PredictOptions(overwrite=True, **paths),
            inputs=identify_files([tmp_path / "image.tif"]),
        )


def test_each_of_many_inputs_is_looked_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for path in paths:
        path.touch()
    inputs = identify_files([*paths, "https://example.org/c.tif", tmp_path / "gone.tif"])

    assert list(inputs.values()) == list(map(str, paths))
    for path in paths:
        with pytest.raises(OptionError, match=f"{path.name}: is the input {path}"):
            check_outputs(path, PredictOptions(overwrite=True), inputs=inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "device is 'tpu'; expected auto, cpu, cuda or cuda:N"),
        ({"device": "cpu", "precision": "fp16"}, "precision fp16 needs a GPU"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"runtime": "openvino", "precision": "fp16"}, "--runtime openvino computes in fp32 or bf16"),
        ({"runtime": "onnxruntime", "compile": True}, "--compile is for torch; --runtime is onnxruntime"),
        ({"threshold": Threshold("nope", 0.5)}, "--threshold decides between two classes"),
        ({"tile": 100}, "tile is 100 px"),
        ({"context": "raster"}, "cannot be taken"),
    ],
)
def test_what_cannot_be_is_refused_without_a_network(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_options(CARD, Limits(), PredictOptions(**options))


def test_an_exported_graph_is_not_compiled() -> None:
    with pytest.raises(OptionError, match="--compile is for torch; an exported graph") as caught:
        check_options(CARD, Limits(precision="fp32"), PredictOptions(compile=True))
    assert "use the .safetensors file" in str(caught.value.hint)


def test_a_threshold_is_that_of_one_of_two_classes() -> None:
    two = ClassTable.unnamed(2)

    assert resolve_threshold(two, None) is None
    assert resolve_threshold(two, Threshold(two.names[1], 0.3)) == (1, 0.3)
    with pytest.raises(OptionError, match="no class 'nope'; the weights have"):
        resolve_threshold(two, Threshold("nope", 0.5))


def test_an_existing_context_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    saved = tmp_path / "context.safetensors"
    saved.touch()

    with pytest.raises(OptionError, match="exists already"):
        check_outputs(tmp_path / "map.tif", PredictOptions(save_context=saved), inputs={})
    check_outputs(tmp_path / "map.tif", PredictOptions(save_context=saved, overwrite=True), inputs={})


def test_a_network_for_squares_of_one_side_takes_no_other_tile() -> None:
    with pytest.raises(
        OptionError, match="tile is 256 px; maskattn-unet-published takes squares of 128 px only"
    ) as info:
        resolve_sizes(CARD, PredictOptions(tile=256))

    assert "--tile 128" in str(info.value.hint)


def test_its_own_tile_is_taken_with_any_halo() -> None:
    sizes = [resolve_sizes(CARD, PredictOptions(halo=halo)) for halo in (None, 0, 48)]

    assert [(s.tile, s.halo) for s in sizes] == [(128, 32), (128, 0), (128, 48)]
