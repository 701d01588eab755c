"""What a user is told about a raster: what is wrong, and nothing where all is well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from rsseg.prediction.advice import Advice, advise, advise_labels, fit_weights
from rsseg.preprocess import Scaling
from rsseg.raster import open_raster
from rsseg.raster.facts import read_facts
from rsseg.raster.look import look_at
from rsseg.weights import WeightCard
from tests.making import THREE
from tests.raster.make import UTM, noise, write_tiff

CARD = WeightCard(
    architecture="linear",
    encoder="",
    classes=THREE,
    bands=("red", "green", "blue"),
    scaling=Scaling(mean=(0.0,) * 3, std=(1.0,) * 3),
    tile=64,
    halo=0,
    gsd_m=0.5,
)
SIDE = 300


def advice_on(path: Path) -> tuple[Advice, ...]:
    with open_raster(path) as source:
        return advise(read_facts(path), source, look_at(source))


def texts(path: Path) -> str:
    return "; ".join(advice.text for advice in advice_on(path))


def large(dtype: str = "uint8") -> Any:
    return noise(rows=SIDE, cols=SIDE, dtype=dtype) // 2 + 40


def test_a_sound_image_gives_no_advice(tmp_path: Path) -> None:
    mask = np.ones((SIDE, SIDE), np.bool_)
    mask[:, :50] = False
    for name, profile in {"plain": {}, "nodata": {"nodata": 0}, "jpeg": {"compress": "jpeg"}}.items():
        assert advice_on(write_tiff(tmp_path / f"{name}.tif", large(), **UTM, **profile)) == ()
    assert advice_on(write_tiff(tmp_path / "mask.tif", large(), mask=mask, **UTM)) == ()


@pytest.mark.parametrize(("color", "value"), [("white", 255), ("black", 2)])
def test_a_collar_is_suspected(tmp_path: Path, color: str, value: int) -> None:
    data = large()
    data[:, :, :80] = value

    (advice,) = advice_on(write_tiff(tmp_path / "a.tif", data, **UTM))

    assert f"places along its edge are all {color}, and count as data" in advice.text
    assert advice.hint is not None
    assert f"--collar {color}" in advice.hint


def test_a_dark_mask_has_no_collar(tmp_path: Path) -> None:
    assert advice_on(write_tiff(tmp_path / "a.tif", (large() % 2)[:1], **UTM)) == ()


def test_nodata_that_jpeg_blurs(tmp_path: Path) -> None:
    assert "which blurs it" in texts(
        write_tiff(tmp_path / "a.tif", large(), compress="jpeg", nodata=0, **UTM)
    )


def test_a_raster_without_data(tmp_path: Path) -> None:
    assert "none of the 90,000 pixels" in texts(
        write_tiff(tmp_path / "a.tif", np.zeros((3, SIDE, SIDE), np.uint8), nodata=0, **UTM)
    )


def test_control_points(tmp_path: Path) -> None:
    points = [GroundControlPoint(row=r, col=c, x=c, y=-r) for r, c in ((0, 0), (0, 9), (9, 0))]
    path = write_tiff(tmp_path / "a.tif", large(), gcps=points, crs=CRS.from_epsg(32633))

    assert "placed by control points only" in texts(path)


def test_strips_of_a_wide_raster(tmp_path: Path) -> None:
    data = np.full((1, 20, 70_000), 100, np.uint8)
    many = np.repeat(data, 8, axis=0)

    assert "is stored in strips of" in texts(write_tiff(tmp_path / "a.tif", many, blockysize=1, **UTM))


def test_class_ids_as_jpeg(tmp_path: Path) -> None:
    ids = large()[:1] % 3

    (advice,) = advise_labels(read_facts(write_tiff(tmp_path / "a.tif", ids, compress="jpeg", **UTM)))

    assert "changes class ids" in advice.text
    assert advise_labels(read_facts(write_tiff(tmp_path / "b.tif", ids, **UTM))) == ()


# --- against weights ------------------------------------------------------------------------------------------------


def fit(path: Path, **changes: Any) -> Any:
    return fit_weights(read_facts(path), replace(CARD, **changes))


def test_a_raster_that_fits(tmp_path: Path) -> None:
    found = fit(write_tiff(tmp_path / "a.tif", noise(rows=100, cols=130), **UTM))

    assert (found.bands, found.tile, found.tiles) == ((1, 2, 3), 64, 6)
    assert (found.notes, found.advice) == ((), ())


def test_bands_in_another_order_are_found(tmp_path: Path) -> None:
    found = fit(write_tiff(tmp_path / "a.tif", noise(), colors=("blue", "green", "red"), **UTM))

    assert found.bands == (3, 2, 1)
    assert "takes bands 3,2,1 as red, green, blue" in found.notes[0]


def test_bands_that_contradict_the_weights(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(), colors=("red", "green", "blue"), **UTM)

    found = fit(path, bands=("nir", "red", "green"))

    assert "but the weights expect nir, red, green" in found.advice[0].text


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({"bands": 5}, "has 5 bands, the weights expect 3"),
        ({"bands": 1}, "has 1 band, the weights expect 3"),
        ({"dtype": "uint16"}, "holds uint16 pixels"),
    ],
)
def test_what_prediction_would_refuse(tmp_path: Path, profile: dict[str, Any], expected: str) -> None:
    found = fit(write_tiff(tmp_path / "a.tif", noise(**profile), **UTM))

    assert (found.bands, found.tiles) == ((), 0)
    assert expected in found.advice[0].text
    assert found.advice[0].hint


@pytest.mark.parametrize(
    ("gsd_m", "text", "hint"),
    [
        (0.49, None, None),
        (None, None, None),
        (0.3, "its pixels are 0.5 m on the ground, the weights were trained on 0.3 m", "--gsd auto shows it"),
        (0.1, "5 times as large", "choose weights for such imagery"),
        (2.0, "4 times as small", "--gsd 2 shows it"),
    ],
)
def test_ground_sizes(tmp_path: Path, gsd_m: float | None, text: str | None, hint: str | None) -> None:
    found = fit(write_tiff(tmp_path / "a.tif", noise(), **UTM), gsd_m=gsd_m)

    assert [a.text.endswith(text or "?") for a in found.advice] == [True] * (text is not None)
    assert [(a.hint or "").startswith(hint or "?") for a in found.advice] == [True] * (hint is not None)


def test_a_raster_that_does_not_say_its_ground_size(tmp_path: Path) -> None:
    found = fit(write_tiff(tmp_path / "a.tif", noise()))

    assert "does not say how large its pixels are on the ground" in found.advice[0].text
