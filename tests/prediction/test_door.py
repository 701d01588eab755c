"""What is refused before anything is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rsseg.errors import OptionError
from rsseg.models.registry import NETWORKS, NetworkEntry, Size
from rsseg.prediction.door import check_outputs, resolve_context, resolve_sizes
from rsseg.prediction.options import PredictOptions
from rsseg.preprocess import default_scaling
from rsseg.weights import WeightCard, read_card
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
        check_outputs(tmp_path / "map.tif", options, inputs=[tmp_path / "image.tif"])


def test_the_context_that_is_used_is_an_input(tmp_path: Path) -> None:
    used = tmp_path / "context.safetensors"
    used.touch()

    with pytest.raises(OptionError, match="is the input"):
        check_outputs(used, PredictOptions(use_context=used, overwrite=True), inputs=[])


def test_an_existing_context_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    saved = tmp_path / "context.safetensors"
    saved.touch()

    with pytest.raises(OptionError, match="exists already"):
        check_outputs(tmp_path / "map.tif", PredictOptions(save_context=saved), inputs=[])
    check_outputs(tmp_path / "map.tif", PredictOptions(save_context=saved, overwrite=True), inputs=[])


def test_a_network_for_squares_of_one_side_takes_no_other_tile() -> None:
    with pytest.raises(
        OptionError, match="tile is 256 px; maskattn-unet-published takes squares of 128 px only"
    ) as info:
        resolve_sizes(CARD, PredictOptions(tile=256))

    assert "--tile 128" in str(info.value.hint)


def test_its_own_tile_is_taken_with_any_halo() -> None:
    sizes = [resolve_sizes(CARD, PredictOptions(halo=halo)) for halo in (None, 0, 48)]

    assert [(s.tile, s.halo) for s in sizes] == [(128, 32), (128, 0), (128, 48)]
