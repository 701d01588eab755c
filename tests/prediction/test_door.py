"""What is refused before anything is computed."""

from __future__ import annotations

import pytest

from rsseg.errors import OptionError
from rsseg.prediction.door import resolve_sizes
from rsseg.prediction.options import PredictOptions
from rsseg.preprocess import default_scaling
from rsseg.weights import WeightCard
from tests.making import THREE

CARD = WeightCard(
    architecture="maskattn-unet-published",
    encoder="",
    classes=THREE,
    bands=("red", "green", "blue"),
    scaling=default_scaling(3),
    tile=128,
    halo=32,
)


def test_a_network_for_squares_of_one_side_takes_no_other_tile() -> None:
    with pytest.raises(
        OptionError, match="tile is 256 px; maskattn-unet-published takes squares of 128 px only"
    ) as info:
        resolve_sizes(CARD, PredictOptions(tile=256))

    assert "--tile 128" in str(info.value.hint)


def test_its_own_tile_is_taken_with_any_halo() -> None:
    sizes = [resolve_sizes(CARD, PredictOptions(halo=halo)) for halo in (None, 0, 48)]

    assert [(s.tile, s.halo) for s in sizes] == [(128, 32), (128, 0), (128, 48)]
