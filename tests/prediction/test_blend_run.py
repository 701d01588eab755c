"""`--blend average` through the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsseg.prediction.engine import predict_raster
from rsseg.prediction.options import PredictOptions
from rsseg.weights import Weights, load_weights
from tests.making import random_pixels, read_band, write_argmax_weights, write_raster
from tests.prediction.attentive import REACH


@pytest.mark.parametrize(("tile", "halo"), [(64, 16), (200, 60), (96, 40)])
def test_averaging_what_looks_at_single_pixels_changes_nothing(tmp_path: Path, tile: int, halo: int) -> None:
    weights = load_weights(str(write_argmax_weights(tmp_path / "w.safetensors")))
    pixels = random_pixels(530, 610)
    pixels[:, 100:300, 200:450] = 0
    raster = write_raster(tmp_path / "i.tif", pixels, nodata=0)
    options = PredictOptions(tile=tile, halo=halo, blend="average", probabilities=tmp_path / "p.tif")

    summary = predict_raster(raster, tmp_path / "map.tif", weights=weights, options=options)

    expected = pixels.argmax(axis=0)
    expected[100:300, 200:450] = 255
    assert (read_band(tmp_path / "map.tif") == expected).all()
    assert ((read_band(tmp_path / "p.tif") == 255) == (expected == 255)).all()
    assert summary.nodata_pixels == 200 * 250


def test_with_one_context_and_twice_the_reach_averaging_is_cropping(
    attentive: Weights, tmp_path: Path
) -> None:
    raster = write_raster(tmp_path / "i.tif", random_pixels(203, 307))
    maps = {}
    for context in ("raster", "tile"):
        for blend in ("crop", "average"):
            options = PredictOptions(
                tile=96, halo=2 * REACH, context=context, blend=blend, device="cpu", overwrite=True
            )
            predict_raster(raster, tmp_path / "map.tif", weights=attentive, options=options)
            maps[context, blend] = read_band(tmp_path / "map.tif")

    assert (maps["raster", "average"] == maps["raster", "crop"]).mean() > 0.9999
    assert (maps["tile", "average"] == maps["tile", "crop"]).mean() < 0.999


def test_an_average_that_was_interrupted_is_gone_on_with(
    attentive: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the middle, the same command gives the bytes of an uninterrupted run."""
    monkeypatch.setattr("rsseg.raster.class_map.COMMIT_S", -1.0)
    raster = write_raster(tmp_path / "i.tif", random_pixels(1100, 1100))
    options = PredictOptions(tile=160, halo=16, blend="average", device="cpu")
    predict_raster(raster, tmp_path / "whole.tif", weights=attentive, options=options)

    def interrupt(share: float) -> None:
        if share > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_raster(
            raster, tmp_path / "map.tif", weights=attentive, options=options, on_progress=interrupt
        )
    summary = predict_raster(raster, tmp_path / "map.tif", weights=attentive, options=options)

    assert summary.resumed_blocks > 0
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
