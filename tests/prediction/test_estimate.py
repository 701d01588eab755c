"""What a network takes, found by running it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from rsseg.models.cost import count_memory
from rsseg.prediction import estimate
from rsseg.prediction.context_pass import ENCODER_COST, PASS_COST
from rsseg.prediction.engine import Predictor
from rsseg.prediction.estimate import tensor_bytes, with_seconds
from rsseg.prediction.forward import Forward
from rsseg.prediction.options import PredictOptions
from rsseg.weights import Limits, Weights
from tests.making import write_sparse_raster


class Clock:
    """Ten seconds pass in every forward."""

    def __init__(self) -> None:
        self.now = 0.0
        self.shapes: list[tuple[int, ...]] = []

    def decide(self, pixels: Any, _valid: object, *, wanted: Any) -> None:
        self.shapes.append(pixels.shape)
        assert wanted.shape == (1, *pixels.shape[2:])
        self.now += 10.0


@pytest.mark.parametrize(("room", "spared"), [(0, 0.0), (None, 2 * ENCODER_COST)])
def test_the_estimate_grows_with_tiles_pixels_and_passes(
    attentive: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int | None, spared: float
) -> None:
    options = PredictOptions(context="raster", tile=1024, device="cpu", feature_cache=room)
    predictor = Predictor(attentive, options)
    plan = predictor.plan(
        write_sparse_raster(tmp_path / "a.tif", width=3000, height=2000), tmp_path / "map.tif"
    )
    clock = Clock()
    monkeypatch.setattr("rsseg.prediction.estimate.time.perf_counter", lambda: clock.now)

    timed = with_seconds(plan, replace(predictor._setup, forward=cast(Forward, clock)))

    tiles, side = len(plan.tiles), plan.sizes.tile
    assert clock.shapes == [(1, 3, 512, 512)] * 2
    assert timed.seconds == pytest.approx(tiles * 10.0 * (side / 512) ** 2 * (1 + 2 * PASS_COST - spared))


def test_tensors_that_are_counted_without_data_are_those_of_a_run(attentive: Weights) -> None:
    run, exported = tensor_bytes(attentive, side=256), replace(attentive, limits=Limits(precision="fp32"))

    assert tensor_bytes(exported, side=256) == pytest.approx(run, rel=0.01)


def test_the_network_is_counted_once_for_all_rasters(
    attentive: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    monkeypatch.setattr(estimate, "count_memory", lambda *args: counted.append(1) or count_memory(*args))
    predictor = Predictor(attentive, PredictOptions(device="cpu"))

    for name in ("a", "b"):
        predictor.plan(
            write_sparse_raster(tmp_path / f"{name}.tif", width=200, height=200), tmp_path / "map.tif"
        )

    assert counted == [1]
