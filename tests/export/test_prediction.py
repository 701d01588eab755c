from pathlib import Path

import numpy as np
import pytest
import rasterio

from rsseg.errors import OptionError
from rsseg.prediction.engine import predict_raster
from rsseg.prediction.options import PredictOptions
from rsseg.weights import load_weights
from rsseg.weights.files import file_sha256
from tests.making import random_pixels, read_band, write_raster


def test_a_raster_gets_the_same_classes_from_the_graph(exported, tmp_path: Path) -> None:
    pixels = random_pixels(150, 201)
    pixels[:, :40, :70] = 0
    image = write_raster(tmp_path / "image.tif", pixels, nodata=0)
    options = PredictOptions(tile=96, halo=32, batch_size=2)

    for name, weights in (("torch", exported.weights), ("onnx", load_weights(str(exported.path)))):
        predict_raster(image, tmp_path / f"{name}.tif", weights=weights, options=options)

    by_torch, by_onnx = (read_band(tmp_path / f"{name}.tif") for name in ("torch", "onnx"))
    assert (by_torch == 255).sum() == (by_onnx == 255).sum() == 40 * 70
    assert len(np.unique(by_torch)) == 4
    assert (by_torch != by_onnx).sum() <= 2  # where two logits nearly tie


def test_the_map_carries_the_hash_of_the_graph(exported, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "image.tif", random_pixels(40, 40))

    predict_raster(image, tmp_path / "map.tif", weights=load_weights(str(exported.path)))

    with rasterio.open(tmp_path / "map.tif") as dataset:
        tags = dataset.tags()
    assert tags["RSSEG_WEIGHTS_SHA256"] == file_sha256(exported.path)
    assert (tags["RSSEG_WEIGHTS"], tags["RSSEG_PRECISION"]) == ("w", "fp32")


def test_half_precision_is_refused_from_python_too(exported, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="exported in fp32"):
        predict_raster(
            "image.tif",
            tmp_path / "map.tif",
            weights=load_weights(str(exported.path)),
            options=PredictOptions(precision="bf16"),
        )
