"""What must hold of a map whose raster the network sees at another ground size, or with a second file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from rasterio.transform import from_origin

from rsseg.prediction.engine import predict_raster
from rsseg.prediction.options import PredictOptions
from rsseg.preprocess import Percentiles
from rsseg.raster import ResampledSource, open_label_raster, open_raster
from rsseg.weights import Weights, load_weights
from tests.making import attending_weights, random_pixels, read_band, write_argmax_weights, write_raster
from tests.raster.make import write_geojson


@pytest.fixture(scope="module")
def argmax(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    path = tmp_path_factory.mktemp("w") / "argmax.safetensors"
    return load_weights(str(write_argmax_weights(path, names=("red", "green", "blue"))))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, argmax: Weights) -> Weights:
    return attending_weights(tmp_path_factory.mktemp("w") / "network.safetensors", argmax.card)


def mapped(image: Path, weights: Weights, **options: Any) -> NDArray[np.uint8]:
    output = image.with_name("map.tif")
    predict_raster(image, output, weights=weights, options=PredictOptions(overwrite=True, **options))
    with open_label_raster(output) as made, open_raster(image, bands=[1]) as source:
        assert made.grid == source.grid
    return read_band(output)


def doubled(values: NDArray[Any]) -> NDArray[Any]:
    return values.repeat(2, axis=-1).repeat(2, axis=-2)


@pytest.mark.parametrize("context", ["tile", "raster"])
def test_a_raster_whose_pixels_were_doubled_gives_the_map_of_the_original(
    tmp_path: Path, network: Weights, context: Any
) -> None:
    small = random_pixels(150, 190)
    small[:, 20:60, 30:50] = 0
    place = {"crs": "EPSG:32645", "nodata": 0}
    original = write_raster(tmp_path / "i.tif", small, **place, transform=from_origin(3e5, 3e6, 0.3, 0.3))
    large = write_raster(
        tmp_path / "d.tif", doubled(small), **place, transform=from_origin(3e5, 3e6, 0.15, 0.15)
    )
    options = {"tile": 128, "halo": 32, "context": context}

    expected = mapped(original, network, **options)

    assert (expected[20:60, 30:50] == 255).all()
    assert len(np.unique(expected)) > 2
    assert (mapped(large, network, gsd=0.3, **options) == doubled(expected)).all()


@pytest.mark.parametrize("gsd", [0.1, 0.117, 0.21, 0.4])
@pytest.mark.parametrize("tile", [64, 300])
def test_each_pixel_has_the_class_of_what_the_network_saw_there(
    tmp_path: Path, argmax: Weights, gsd: float, tile: int
) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(233, 310), tiled=True)
    height, width = round(233 * 0.15 / gsd), round(310 * 0.15 / gsd)
    with ResampledSource(open_raster(image), width=width, height=height) as source:
        seen = source.read(source.grid.window).data.argmax(axis=0)

    found = mapped(image, argmax, gsd=gsd, tile=tile, halo=0)

    rows, cols = ((np.arange(233) + 0.5) * height / 233), ((np.arange(310) + 0.5) * width / 310)
    assert (found == seen[np.ix_(rows.astype(int), cols.astype(int))]).all()


@pytest.mark.parametrize("gsd", [0.2, 0.07])
def test_pixels_without_data_have_none_at_any_ground_size(
    tmp_path: Path, argmax: Weights, gsd: float
) -> None:
    pixels = np.maximum(random_pixels(120, 160), 1)
    pixels[:, :, 5::40] = pixels[:, :, 6::40] = 0
    place = {"nodata": 0, "transform": from_origin(3e5, 3e6, 0.1, 0.1)}
    image = write_raster(tmp_path / "i.tif", pixels, **place)
    layers = {"probabilities": tmp_path / "p.tif", "confidence": tmp_path / "c.tif"}

    found = mapped(image, argmax, gsd=gsd, **layers)

    missing = (pixels == 0).all(axis=0)
    assert missing.sum() == 960
    for path in (tmp_path / "map.tif", *layers.values()):
        assert (read_band(path)[missing] == 255).all()
    assert (found[~missing] != 255).mean() > 0.9


def test_the_area_of_interest_is_cut_in_the_rasters_own_pixels_at_any_ground_size(
    tmp_path: Path, argmax: Weights
) -> None:
    image = write_raster(
        tmp_path / "i.tif", random_pixels(90, 100), transform=from_origin(3e5, 3e6, 0.1, 0.1)
    )
    circle = shapely.Point(3e5 + 5.03, 3e6 - 4.41).buffer(2.7)
    aoi = write_geojson(tmp_path / "aoi.geojson", [(circle, {})], epsg=32645)
    rows, cols = np.mgrid[:90, :100] + 0.5
    inside = shapely.contains_xy(circle, 3e5 + cols * 0.1, 3e6 - rows * 0.1)

    whole = mapped(image, argmax, gsd=0.37)
    part = mapped(image, argmax, gsd=0.37, aoi=aoi)

    assert inside.mean() > 0.2
    np.testing.assert_array_equal(part, np.where(inside, whole, 255))


def test_sixteen_bits_in_two_files_are_stretched_between_their_percentiles(
    tmp_path: Path, argmax: Weights
) -> None:
    pixels = random_pixels(90, 70).astype(np.uint16) * np.array([3, 50, 200], np.uint16)[:, None, None]
    image = write_raster(tmp_path / "i.tif", pixels[1:])
    extra = write_raster(tmp_path / "e.tif", pixels[:1])
    low, high = np.percentile(pixels, [5, 95], axis=(1, 2))[:, :, None, None]

    options = {"extra": extra, "bands": (3, 1, 2), "stretch": Percentiles(5, 95), "precision": "fp32"}
    found = mapped(image, argmax, **options)

    stretched = np.clip((pixels - low) / (high - low), 0, 1).astype(np.float32)
    clear = np.sort(stretched, axis=0)[-1] - np.sort(stretched, axis=0)[-2] > 1e-5
    assert clear.mean() > 0.9
    assert (found == stretched.argmax(axis=0))[clear].all()
