"""Rasters as the network sees them: bands, pixel type, scale, ground size and a second file, together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsseg.errors import OptionError, RasterError
from rsseg.prediction.inputs import Imagery, open_imagery
from rsseg.prediction.options import PredictOptions
from rsseg.preprocess import Percentiles, Scaling, Stretch
from rsseg.raster import Pixels, handles
from rsseg.weights import WeightCard, read_card
from tests.making import random_pixels, write_argmax_weights, write_raster


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> WeightCard:
    """Three bands, red, green, blue, 8 bits, 0.3 m."""
    path = tmp_path_factory.mktemp("w") / "w.safetensors"
    return replace(read_card(write_argmax_weights(path, names=("red", "green", "blue"))), gsd_m=0.3)


def scaled_for(dtype: str, card: WeightCard) -> WeightCard:
    return replace(card, scaling=Scaling(mean=(0.0,) * 3, std=(1.0,) * 3, dtype=dtype))


def opened(image: Path, card: WeightCard, **options: Any) -> Imagery:
    return open_imagery(image, card, PredictOptions(**options))


def whole(imagery: Imagery) -> Pixels:
    return imagery.read(imagery.source.grid.window)


def test_natively_a_raster_is_seen_as_it_is(tmp_path: Path, card: WeightCard) -> None:
    pixels = random_pixels(20, 30)
    image = write_raster(tmp_path / "i.tif", pixels)

    with opened(image, card) as imagery:
        np.testing.assert_array_equal(whole(imagery).data, pixels)
        assert imagery.grid is imagery.source.grid
        assert imagery.described() == {
            "bands": [1, 2, 3],
            "nodata": "auto",
            "scale": None,
            "extra": None,
            "collar": None,
            "gsd": None,
        }


@pytest.mark.parametrize("wish", ["auto", 0.3])
def test_another_ground_size_changes_what_is_seen_but_not_the_grid(
    tmp_path: Path, card: WeightCard, wish: Any
) -> None:
    small = random_pixels(10, 15)
    image = write_raster(tmp_path / "i.tif", small.repeat(2, axis=1).repeat(2, axis=2))

    with opened(image, card, gsd=wish) as imagery:
        np.testing.assert_array_equal(whole(imagery).data, small)
        assert (imagery.grid.width, imagery.grid.height) == (30, 20)
        assert imagery.source.grid.gsd_m == pytest.approx(0.3)
        assert imagery.described()["gsd"] == pytest.approx(0.3)
        assert "are seen as 15 x 10 px of 0.3 m" in imagery.notes[-1]


def test_a_ground_size_that_is_too_far_off_is_a_warning(tmp_path: Path, card: WeightCard) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(20, 30))

    with opened(image, replace(card, gsd_m=1.0), gsd="auto") as imagery:
        assert imagery.source.grid is imagery.grid
        assert "too far apart for --gsd auto" in imagery.warnings[0]


def test_bands_that_contradict_the_card_are_a_warning(tmp_path: Path, card: WeightCard) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(20, 30), photometric="RGB")

    with opened(image, replace(card, bands=("nir", "red", "green"))) as imagery:
        assert imagery.source.bands == (1, 2, 3)
        assert "the weights expect nir, red, green" in imagery.warnings[0]


def test_percentiles_become_a_stretch_of_each_band(tmp_path: Path, card: WeightCard) -> None:
    pixels = random_pixels(20, 30).astype(np.uint16) * np.array([1, 10, 100], np.uint16)[:, None, None]
    image = write_raster(tmp_path / "i.tif", pixels)

    with opened(image, card, stretch=Percentiles(0, 100)) as imagery:
        data = whole(imagery).data
        described = imagery.described()
        note = imagery.notes[-1]

    assert data.min(axis=(1, 2)).tolist() == [0.0] * 3
    assert data.max(axis=(1, 2)).tolist() == [255.0] * 3
    assert described["scale"] == "p0-100"
    assert note.startswith(f"{image}: --scale p0-100 is {pixels[0].min()},{pixels[0].max()};")


def test_percentiles_are_those_of_the_raster_at_any_ground_size(tmp_path: Path, card: WeightCard) -> None:
    pixels = random_pixels(40, 40).astype(np.uint16) * 9
    image = write_raster(tmp_path / "i.tif", pixels)
    fixed = Stretch(*(tuple(values.tolist()) for values in np.percentile(pixels, [2, 98], axis=(1, 2))))

    with (
        opened(image, card, gsd=0.41, stretch=Percentiles(2, 98)) as asked,
        opened(image, card, gsd=0.41, stretch=fixed) as told,
    ):
        np.testing.assert_array_equal(whole(asked).data, whole(told).data)


@pytest.mark.parametrize(
    ("pixels", "weights", "fits"),
    [
        ("uint8", "uint8", True),
        ("uint16", "uint16", True),
        ("float32", "float32", True),
        ("float64", "float32", True),
        ("uint16", "uint8", False),
        ("uint8", "uint16", False),
        ("int16", "uint16", False),
        ("float32", "uint16", False),
    ],
)
def test_pixels_have_the_type_that_the_weights_were_trained_on(
    tmp_path: Path, card: WeightCard, pixels: str, weights: str, fits: bool
) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(8, 8).astype(pixels))

    if fits:
        with opened(image, scaled_for(weights, card)) as imagery:
            assert whole(imagery).data.dtype == pixels
        return
    with pytest.raises(RasterError, match=f"holds {pixels} pixels, the weights were trained on {weights}"):
        opened(image, scaled_for(weights, card))


@pytest.mark.parametrize("scale", [Stretch(0, 9), Percentiles(2, 98)])
def test_a_scale_is_for_weights_of_8_bits(tmp_path: Path, card: WeightCard, scale: Any) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(8, 8).astype(np.uint16))

    with pytest.raises(OptionError, match="these weights were trained on uint16"):
        opened(image, scaled_for("uint16", card), stretch=scale)


def test_a_scale_of_pixels_that_fit_anyway_is_done_and_said(tmp_path: Path, card: WeightCard) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(8, 8))

    with opened(image, card, stretch=Stretch(0, 100)) as imagery:
        assert imagery.notes == (f"{image}: holds uint8 pixels, as the weights expect; --scale changes them",)


def test_a_second_file_is_resampled_and_stretched_with_the_first(tmp_path: Path, card: WeightCard) -> None:
    small = random_pixels(10, 15).astype(np.uint16)
    large = small.repeat(2, axis=1).repeat(2, axis=2)
    image = write_raster(tmp_path / "i.tif", large[:2])
    extra = write_raster(tmp_path / "e.tif", large[2:])

    with opened(image, card, extra=extra, gsd=0.3, stretch=Stretch(0, 255)) as imagery:
        np.testing.assert_array_equal(whole(imagery).data, small.astype(np.float32))
        assert imagery.source.bands == (1, 2, 3)
        assert imagery.described()["extra"] == 3
        assert [Path(name).name for name in imagery.files] == ["i.tif", "e.tif"]


def test_bands_are_chosen_of_both_files(tmp_path: Path, card: WeightCard) -> None:
    pixels = random_pixels(10, 15, bands=5)
    image = write_raster(tmp_path / "i.tif", pixels[:3])
    extra = write_raster(tmp_path / "e.tif", pixels[3:])

    with opened(image, card, extra=extra, bands=(5, 1, 4)) as imagery:
        np.testing.assert_array_equal(whole(imagery).data, pixels[[4, 0, 3]])


def test_what_is_described_is_json(tmp_path: Path, card: WeightCard) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(20, 30).astype(np.uint16))

    with opened(image, card, nodata=0.0, gsd=0.2, stretch=Percentiles(2, 98), bands=(3, 2, 1)) as imagery:
        described = json.loads(json.dumps(imagery.described(), allow_nan=False))

    assert described["bands"] == [3, 2, 1]
    assert described["nodata"] == "0.0"
    assert described["scale"] == "p2-98"
    assert described["gsd"] == pytest.approx(0.2, rel=0.05)


def test_sheets_of_a_series_are_described_alike(tmp_path: Path, card: WeightCard) -> None:
    """A saved context may be used for its neighbours although each has percentiles of its own."""
    described = []
    for name, brightness in (("a", 1), ("b", 2)):
        pixels = random_pixels(20, 30).astype(np.uint16) * brightness
        with opened(write_raster(tmp_path / f"{name}.tif", pixels), card, stretch=Percentiles(2, 98)) as one:
            described.append(one.described())

    assert described[0] == described[1]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"bands": (1, 2)}, OptionError),
        ({"gsd": 100.0}, RasterError),
        ({"stretch": Percentiles(2, 98), "nodata": 7.0, "bands": (1, 1, 1)}, RasterError),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_stays_open(
    tmp_path: Path,
    card: WeightCard,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    error: type[Exception],
) -> None:
    image = write_raster(tmp_path / "i.tif", np.full((3, 8, 8), 7, np.uint8))
    datasets: list[Any] = []
    original = handles.open_dataset
    monkeypatch.setattr(
        handles, "open_dataset", lambda path: (datasets.append(original(path)), datasets[-1])[1]
    )

    with pytest.raises(error):
        opened(image, card, **options)

    assert all(dataset.closed for dataset in datasets)
