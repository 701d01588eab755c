from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from rsseg.prediction import seams as module
from rsseg.prediction.engine import Predictor, predict_raster
from rsseg.prediction.options import ContextKind, PredictOptions
from rsseg.prediction.seams import NEAR
from rsseg.tiling.seams import plan_seams
from rsseg.weights import Weights
from tests.making import random_pixels, read_band, write_raster

TILE, HALO = 96, 8
WIDTH, HEIGHT = 220, 190


def change_of(
    weights: Weights, image: Path, context: ContextKind, *, tile: int = TILE, batch_size: int = 1
) -> float | None:
    options = PredictOptions(
        tile=tile,
        halo=HALO,
        context=context,
        seam_check=True,
        batch_size=batch_size,
        device="cpu",
        overwrite=True,
    )
    return predict_raster(image, image.with_name("map.tif"), weights=weights, options=options).seam_change


def recomputed(weights: Weights, pixels: NDArray[np.uint8], class_map: NDArray[np.uint8]) -> float:
    """The slow way: every shifted tile alone, cut from an array, pixel by pixel near an edge."""
    valid = torch.from_numpy((pixels != 0).any(axis=0))
    x = weights.card.scaling.apply(torch.from_numpy(pixels)[None], valid[None])
    x = functional.pad(x, (0, 32, 0, 32))
    changed = compared = 0
    for seam in plan_seams(WIDTH, HEIGHT, tile=TILE, halo=HALO, stride=4):
        read, keep = seam.tile.read, seam.tile.keep
        with torch.inference_mode():
            classes = weights.network(x[(..., *read.slices())])[0].argmax(dim=0)
        for row in keep.rows:
            for col in keep.cols:
                near_col = seam.col - NEAR <= col < seam.col + NEAR
                near_row = seam.row - NEAR <= row < seam.row + NEAR
                if (near_col or near_row) and valid[row, col]:
                    compared += 1
                    changed += int(class_map[row, col] != classes[row - read.row_off, col - read.col_off])
    return changed / compared


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_share_is_that_of_all_pixels_near_an_edge(
    attentive: Weights, tmp_path: Path, batch_size: int
) -> None:
    pixels = random_pixels(HEIGHT, WIDTH)
    pixels[:, :70, :100] = 0
    image = write_raster(tmp_path / "i.tif", pixels, nodata=0)

    found = change_of(attentive, image, "tile", batch_size=batch_size)

    expected = recomputed(attentive, pixels, read_band(tmp_path / "map.tif"))
    assert expected > 0.01
    assert found == pytest.approx(expected, rel=0.01)


def test_with_the_context_of_the_raster_no_seam_changes(attentive: Weights, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(HEIGHT, WIDTH))

    assert change_of(attentive, image, "raster") < 1e-4


@pytest.mark.parametrize(("width", "height"), [(60, 50), (96, 96)])
def test_a_raster_of_one_tile_has_no_seams(
    attentive: Weights, tmp_path: Path, width: int, height: int
) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(height, width))

    assert change_of(attentive, image, "tile") is None


def test_a_raster_of_one_row_of_tiles_has_seams_in_that_row(attentive: Weights, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(40, 300))

    change = change_of(attentive, image, "tile")

    assert change is not None
    assert change > 0


def test_where_no_tile_near_an_edge_has_data_there_is_nothing_to_compare(
    attentive: Weights, tmp_path: Path
) -> None:
    image = write_raster(tmp_path / "i.tif", np.zeros((3, HEIGHT, WIDTH), np.uint8), nodata=0)

    assert change_of(attentive, image, "tile") is None


def test_no_more_tiles_than_a_bound_are_predicted_again(
    attentive: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(HEIGHT, WIDTH))
    calls: list[int] = []
    # What the plan counts is no prediction.
    attentive.network.register_forward_hook(
        lambda *_: calls.append(1) if torch.is_inference_mode_enabled() else None
    )
    tiles = predict_raster(image, tmp_path / "plain.tif", weights=attentive).tiles
    assert len(calls) == tiles
    calls.clear()

    monkeypatch.setattr(module, "MOST_SEAMS", 3)
    seams = plan_seams(WIDTH, HEIGHT, tile=64, halo=8, stride=4)
    summary = predict_raster(
        image, tmp_path / "map.tif", weights=attentive, options=PredictOptions(seam_check=True)
    )

    assert summary.seam_change is not None
    assert len(seams) > 3
    assert len(calls) == tiles + 3


def test_progress_ends_with_the_check(attentive: Weights, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(HEIGHT, WIDTH))
    shares: list[float] = []

    for context in ("raster", "tile"):
        options = PredictOptions(context=context, seam_check=True, overwrite=True)
        Predictor(attentive, options).predict(image, tmp_path / "map.tif", on_progress=shares.append)
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        shares.clear()
