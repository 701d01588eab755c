"""What must hold of whole predictions, whatever part of a raster is wanted and wherever it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from rsseg.prediction.engine import predict_raster
from rsseg.prediction.inputs import open_imagery
from rsseg.prediction.options import PredictOptions
from rsseg.prediction.provenance import describe_run
from rsseg.weights import Weights, read_card
from tests.making import UTM, attending_weights, random_pixels, read_band, write_argmax_weights, write_raster
from tests.raster.make import write_geojson
from tests.raster.site import Site, serving

HEIGHT, WIDTH = 160, 260


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    path = write_argmax_weights(tmp_path_factory.mktemp("w") / "network.safetensors")
    return attending_weights(path, read_card(path))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raster(tmp_path_factory.mktemp("i") / "i.tif", random_pixels(HEIGHT, WIDTH), tiled=True)


@pytest.fixture(scope="module")
def site(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(image.parent, tmp_path_factory.mktemp("log") / "log") as site:
        yield site


def predicted(image: str | Path, output: Path, weights: Weights, **options: Any) -> NDArray[np.uint8]:
    """The class map, by tiles of 128 pixels."""
    chosen = PredictOptions(tile=128, halo=32, device="cpu", precision="fp32", **options)
    predict_raster(image, output, weights=weights, options=chosen)
    return read_band(output)


def area(path: Path) -> tuple[Path, NDArray[np.bool_]]:
    """A ring and a sliver, as a file, and which pixels are in them."""
    ring = shapely.Point(60.2, 80.3).buffer(55).difference(shapely.Point(50, 90).buffer(25))
    shape = shapely.union(ring, shapely.box(240.3, 10.2, 250.8, 50.1))
    transform = UTM["transform"]
    ground = shapely.transform(shape, lambda xy: np.column_stack(transform * xy.T))
    rows, cols = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return write_geojson(path, [(ground, {})], epsg=32645), np.asarray(shapely.contains_xy(shape, cols, rows))


@pytest.mark.parametrize("context", ["raster", "tile"])
def test_inside_the_area_of_interest_the_map_is_that_of_the_whole_raster(
    network: Weights, image: Path, tmp_path: Path, context: str
) -> None:
    aoi, inside = area(tmp_path / "aoi.geojson")

    whole = predicted(image, tmp_path / "whole.tif", network, context=context)
    part = predicted(image, tmp_path / "part.tif", network, context=context, aoi=aoi)

    assert len(np.unique(whole[inside])) > 1
    np.testing.assert_array_equal(part, np.where(inside, whole, 255))


def test_tiles_outside_the_area_of_interest_are_not_computed(
    network: Weights, image: Path, tmp_path: Path
) -> None:
    aoi, _ = area(tmp_path / "aoi.geojson")
    options = PredictOptions(tile=128, halo=32, device="cpu", aoi=aoi)

    summary = predict_raster(image, tmp_path / "map.tif", weights=network, options=options)

    assert summary.skipped_tiles > 0


@pytest.mark.parametrize("context", ["raster", "tile"])
def test_a_raster_outside_the_area_of_interest_gets_a_map_without_data_and_a_warning(
    network: Weights, image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, context: str
) -> None:
    beside = shapely.box(*UTM["transform"] * (WIDTH, 0), *UTM["transform"] * (2 * WIDTH, HEIGHT))
    aoi = write_geojson(tmp_path / "aoi.geojson", [(beside, {})], epsg=32645)

    found = predicted(
        image, tmp_path / "map.tif", network, context=context, aoi=aoi, preview=tmp_path / "p.png"
    )

    assert (found == 255).all()
    assert f"none of its polygons meets {image}" in caplog.text
    assert "check the CRS of both files" in caplog.text


@pytest.mark.parametrize("context", ["raster", "tile"])
def test_a_collar_is_as_if_it_were_declared(network: Weights, tmp_path: Path, context: str) -> None:
    pixels = np.minimum(random_pixels(HEIGHT, WIDTH), 230)  # no noise that is nearly white
    pixels[:, :, :50] = 0
    declared = write_raster(tmp_path / "declared.tif", pixels, nodata=0)
    plain = write_raster(tmp_path / "plain.tif", np.where(pixels == 0, 255, pixels).astype(np.uint8))

    expected = predicted(declared, tmp_path / "a.tif", network, context=context)
    found = predicted(plain, tmp_path / "b.tif", network, context=context, collar="white")

    assert (expected == 255).sum() == 50 * HEIGHT
    np.testing.assert_array_equal(found, expected)


def test_the_map_of_a_remote_raster_is_that_of_the_file(
    network: Weights, image: Path, site: Site, tmp_path: Path
) -> None:
    local = predicted(image, tmp_path / "local.tif", network)
    remote = predicted(f"{site.url}good/{image.name}", tmp_path / "remote.tif", network)

    np.testing.assert_array_equal(remote, local)
    assert (tmp_path / "remote.tif").read_bytes() == (tmp_path / "local.tif").read_bytes()


def test_a_remote_raster_is_known_by_its_pixels_too(network: Weights, image: Path, site: Site) -> None:
    pixels = random_pixels(HEIGHT, WIDTH)
    pixels[:, 80, 130] += 1
    write_raster(image.with_name("other.tif"), pixels, tiled=True)
    options = PredictOptions(collar="black", gsd=0.2)
    checksums = []

    for name in (f"{site.url}good/i.tif", f"{site.url}again/i.tif", f"{site.url}good/other.tif", image):
        with open_imagery(name, network.card, options) as imagery:
            checksums.append(describe_run(imagery, {})["pixels"])

    assert checksums[0] == checksums[1] != checksums[2]
    assert None not in checksums[:3]
    assert checksums[3] is None
