"""What a whole prediction writes beside the map, and over which views it averages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from rsseg.prediction.engine import predict_raster
from rsseg.prediction.options import Augmentation, PredictOptions, Threshold
from rsseg.weights import Weights, load_weights
from tests.making import random_pixels, read_band, write_argmax_weights, write_raster

HEIGHT, WIDTH = 104, 128
PIXELS = random_pixels(HEIGHT, WIDTH)


def read_all(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as dataset:
        pixels: NDArray[np.uint8] = dataset.read()
    return pixels


def probabilities(
    folder: Path, pixels: NDArray[np.uint8], weights: Weights, **options: Any
) -> NDArray[np.uint8]:
    """Predict pixels (bands, rows, cols) with the context of all of them; gives the probabilities."""
    image = write_raster(folder / "image.tif", np.ascontiguousarray(pixels))
    written = PredictOptions(
        context="raster", tile=64, halo=8, probabilities=folder / "p.tif", overwrite=True, **options
    )
    predict_raster(image, folder / "map.tif", weights=weights, options=written)
    return read_all(folder / "p.tif")


def farthest(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def flipped(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return array[:, ::-1]


def turned(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.rot90(array, axes=(1, 2))


@pytest.mark.parametrize(("tta", "change"), [("flips", flipped), ("d4", flipped), ("d4", turned)])
def test_a_changed_raster_gives_the_changed_probabilities(
    attentive: Weights, tmp_path: Path, tta: Augmentation, change: Any
) -> None:
    """With the raster's context and a halo as wide as the network sees; 8 bits may round the other way."""
    plain = farthest(
        probabilities(tmp_path, change(PIXELS), attentive),
        change(probabilities(tmp_path, PIXELS, attentive)),
    )

    averaged = farthest(
        probabilities(tmp_path, change(PIXELS), attentive, tta=tta),
        change(probabilities(tmp_path, PIXELS, attentive, tta=tta)),
    )

    assert plain > 20
    assert averaged <= 1


def test_probabilities_do_not_depend_on_the_tiles(attentive: Weights, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "image.tif", PIXELS)
    found = []

    for tile, batch in ((48, 1), (96, 3)):
        options = PredictOptions(
            context="raster", tile=tile, halo=8, batch_size=batch, probabilities=tmp_path / f"{tile}.tif"
        )
        predict_raster(image, tmp_path / f"map{tile}.tif", weights=attentive, options=options)
        found.append(read_all(tmp_path / f"{tile}.tif"))

    assert farthest(*found) <= 1


def test_layers_agree_with_a_map_that_is_the_same_without_them(attentive: Weights, tmp_path: Path) -> None:
    pixels = PIXELS.copy()
    pixels[:, :20, 40:] = 0
    image = write_raster(tmp_path / "image.tif", pixels, nodata=0)
    layers: dict[str, Any] = {name: tmp_path / f"{name}.tif" for name in ("probabilities", "confidence")}

    predict_raster(image, tmp_path / "plain.tif", weights=attentive, options=PredictOptions())
    summary = predict_raster(image, tmp_path / "map.tif", weights=attentive, options=PredictOptions(**layers))

    classes, probs, sure = (read_all(p) for p in (tmp_path / "map.tif", *layers.values()))
    decided = classes[0] != 255
    np.testing.assert_array_equal(classes[0], read_band(tmp_path / "plain.tif"))
    assert (~decided).sum() == 20 * 88
    assert (probs[:, ~decided] == 255).all()
    assert (sure[:, ~decided] == 255).all()
    np.testing.assert_array_equal(sure[0][decided], probs.max(axis=0)[decided])
    taken = np.take_along_axis(probs, np.where(decided, classes, 0), axis=0)[0]
    np.testing.assert_array_equal(taken[decided], sure[0][decided])
    assert summary.layers == layers
    assert summary.nodata_pixels == 20 * 88
    assert summary.class_areas_m2 == pytest.approx([0.0225 * n for n in summary.class_pixels])


def test_a_threshold_takes_a_class_from_its_probability_on(tmp_path: Path) -> None:
    """Logits are the pixels: 3 more give a probability of 0.953, 2 more of 0.881."""
    weights = load_weights(str(write_argmax_weights(tmp_path / "two.safetensors", bands=2)))
    pixels = np.full((2, 1, 6), 100, dtype=np.uint8)
    pixels[1, 0] += np.array([0, 1, 2, 3, 4, 250], dtype=np.uint8)  # the last wraps around to 94
    image = write_raster(tmp_path / "image.tif", pixels)
    options = PredictOptions(
        threshold=Threshold("class 1", 0.9), confidence=tmp_path / "c.tif", tile=32, halo=0
    )

    predict_raster(image, tmp_path / "map.tif", weights=weights, options=options)

    assert read_band(tmp_path / "map.tif").tolist() == [[0, 0, 0, 1, 1, 0]]
    assert read_band(tmp_path / "c.tif").tolist() == [[127, 68, 30, 242, 249, 253]]


def test_provenance_says_what_was_asked_for(attentive: Weights, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "image.tif", PIXELS)
    options = PredictOptions(tta="flips", min_area=5, confidence=tmp_path / "c.tif")

    predict_raster(image, tmp_path / "map.tif", weights=attentive, options=options)

    with rasterio.open(tmp_path / "map.tif") as a, rasterio.open(tmp_path / "c.tif") as b:
        assert a.tags() == b.tags()
        assert (a.tags()["RSSEG_TTA"], a.tags()["RSSEG_MIN_AREA"]) == ("flips", "5")
        assert str(tmp_path) not in json.dumps(b.tags())
