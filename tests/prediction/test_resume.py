"""A run that goes on takes over what an unfinished one has done, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsseg.errors import ResourceError
from rsseg.prediction import run as run_module
from rsseg.prediction.engine import predict_raster
from rsseg.prediction.options import PredictOptions
from rsseg.raster import ClassMapWriter
from rsseg.weights import Weights
from tests.making import random_pixels, write_raster


def test_a_context_that_was_taken_is_not_taken_again(
    attentive: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write_raster(tmp_path / "image.tif", random_pixels(200, 240), tiled=True)
    output, saved = tmp_path / "map.tif", tmp_path / "saved.safetensors"
    options = PredictOptions(context="raster", save_context=saved)
    predict_raster(image, tmp_path / "whole.tif", weights=attentive, options=options)
    saved.unlink()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the context was taken again")

    with monkeypatch.context() as patch:
        patch.setattr(ClassMapWriter, "write_block", interrupt)
        with pytest.raises(KeyboardInterrupt):
            predict_raster(image, output, weights=attentive, options=options)
    monkeypatch.setattr(run_module, "take_contexts", refuse)
    predict_raster(image, output, weights=attentive, options=options)

    assert output.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert saved.is_file()
    assert not (tmp_path / "map.tif.part").exists()


@pytest.mark.parametrize("min_area", [0, 40])
def test_a_run_with_too_many_regions_goes_on_with_more_memory_or_without_merging(
    attentive: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, min_area: int
) -> None:
    image = write_raster(tmp_path / "image.tif", random_pixels(200, 240), tiled=True)
    output, options = tmp_path / "map.tif", PredictOptions(min_area=min_area)
    predict_raster(image, tmp_path / "whole.tif", weights=attentive, options=options)

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "REGION_BYTES", 10**15)
        with pytest.raises(ResourceError, match="the map has more than 0 regions"):
            predict_raster(image, output, weights=attentive, options=PredictOptions(min_area=9))
    assert not output.exists()
    summary = predict_raster(image, output, weights=attentive, options=options)

    assert summary.resumed_blocks == 1
    assert output.read_bytes() == (tmp_path / "whole.tif").read_bytes()
