"""How large a tile is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rsseg.errors import OptionError
from rsseg.models.registry import network_entry
from rsseg.prediction.options import PredictOptions
from rsseg.prediction.sizes import LARGEST_TILE, Sizes, check_side, larger_sizes, resolve_sizes
from tests.graphs import CARD

ATTENTIVE = replace(CARD, architecture="maresunet", encoder="resnet18", tile=512, halo=64)


def test_unless_asked_for_sizes_are_the_cards() -> None:
    assert resolve_sizes(ATTENTIVE, PredictOptions()) == Sizes(tile=512, halo=64, stride=32)


def test_of_a_tile_that_was_asked_for_a_quarter_is_halo_at_most() -> None:
    assert resolve_sizes(ATTENTIVE, PredictOptions(tile=128)).halo == 32
    assert resolve_sizes(ATTENTIVE, PredictOptions(tile=1024)).halo == 64
    assert resolve_sizes(ATTENTIVE, PredictOptions(tile=128, halo=0)).keep == 128


@pytest.mark.parametrize(("halo", "tile"), [(224, 512), (256, 1024), (608, 2432)])
def test_a_halo_that_the_cards_tile_has_no_room_for_gets_a_larger_tile(halo: int, tile: int) -> None:
    assert resolve_sizes(ATTENTIVE, PredictOptions(halo=halo)) == Sizes(tile=tile, halo=halo, stride=32)


def test_a_halo_that_a_tile_that_was_asked_for_has_no_room_for_is_refused() -> None:
    with pytest.raises(OptionError, match="halo"):
        resolve_sizes(ATTENTIVE, PredictOptions(tile=512, halo=256))


def test_larger_tiles_have_a_wide_halo_of_at_most_an_eighth() -> None:
    sizes = larger_sizes(ATTENTIVE, PredictOptions(), length=10**6)

    assert [(s.tile, s.halo) for s in sizes] == [(tile, 128) for tile in range(1024, LARGEST_TILE + 1, 128)]


def test_no_tile_is_larger_than_what_covers_the_raster() -> None:
    assert [s.tile for s in larger_sizes(ATTENTIVE, PredictOptions(), length=1100)] == [1024, 1152]
    assert larger_sizes(ATTENTIVE, PredictOptions(), length=600) == []


def test_a_halo_that_was_asked_for_stays() -> None:
    sizes = larger_sizes(ATTENTIVE, PredictOptions(halo=256), length=2048)

    assert {s.halo for s in sizes} == {256}
    assert [s.tile for s in larger_sizes(ATTENTIVE, PredictOptions(halo=480), length=2048)] == [1920, 2048]


def test_a_network_that_looks_nowhere_needs_no_halo() -> None:
    assert {s.halo for s in larger_sizes(CARD, PredictOptions(), length=1000)} == {0}


def test_a_keep_that_cannot_be_shifted_is_refused_with_the_seam_check() -> None:
    with pytest.raises(OptionError, match="--seam-check shifts tiles by half of the 32 px"):
        resolve_sizes(ATTENTIVE, PredictOptions(tile=96, halo=32, seam_check=True))


def test_a_side_that_a_network_does_not_take_is_refused() -> None:
    entry = network_entry("maskattn-unet-published")

    check_side(entry, "tile", 128)
    with pytest.raises(OptionError, match="takes squares of 128 px only"):
        check_side(entry, "tile", 256)
