"""A run that goes on takes over what an unfinished one has done, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsseg.prediction import engine as engine_module
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
    monkeypatch.setattr(engine_module, "take_contexts", refuse)
    predict_raster(image, output, weights=attentive, options=options)

    assert output.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert saved.is_file()
    assert not (tmp_path / "map.tif.part").exists()
