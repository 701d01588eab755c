from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rsseg.errors import RasterError
from rsseg.prediction.scale import stretch_between
from rsseg.preprocess import Percentiles, Stretch
from rsseg.raster import CollarSource, open_raster, open_stacked
from rsseg.raster.collar import CollarColor
from tests.making import write_raster


def test_each_band_has_its_own_percentiles_among_valid_pixels(tmp_path: Path) -> None:
    pixels = np.stack([np.arange(2000.0), 5 * np.arange(2000.0) + 7]).reshape(2, 40, 50).astype(np.float32)
    pixels[0, 0, :10] = np.nan
    path = write_raster(tmp_path / "i.tif", pixels)

    with open_raster(path) as source:
        stretch = stretch_between(source, Percentiles(2, 98))

    valid = pixels.reshape(2, -1)[:, 10:]
    assert stretch.minimum == pytest.approx(np.percentile(valid, 2, axis=1))
    assert stretch.maximum == pytest.approx(np.percentile(valid, 98, axis=1))


def test_nodata_does_not_count(tmp_path: Path) -> None:
    pixels = np.zeros((1, 40, 50), np.uint16)
    pixels[0, :20] = np.arange(1000, 2000).reshape(20, 50)
    path = write_raster(tmp_path / "i.tif", pixels, nodata=0)

    with open_raster(path) as source:
        assert stretch_between(source, Percentiles(0, 100)) == Stretch((1000.0,), (1999.0,))


@pytest.mark.parametrize(("color", "value"), [("white", 65535), ("black", 0)])
def test_the_colour_of_a_collar_does_not_count(tmp_path: Path, color: CollarColor, value: int) -> None:
    pixels = np.full((2, 40, 50), value, np.uint16)
    pixels[:, 20:] = np.arange(1000, 2000).reshape(20, 50)
    pixels[0, 20] = value  # in one band only: no collar
    path = write_raster(tmp_path / "i.tif", pixels)

    with open_raster(path) as source:
        stretch = stretch_between(source, Percentiles(0, 100), collar=CollarSource(source, color))

    assert (stretch.minimum[1], stretch.maximum[1]) == (1000.0, 1999.0)
    assert value in (stretch.minimum[0], stretch.maximum[0])


def test_heights_beside_a_photo_may_have_the_colour_of_its_collar(tmp_path: Path) -> None:
    photo, heights = np.zeros((1, 8, 50), np.uint16), np.zeros((1, 8, 50), np.uint16)
    photo[:, :, 10:] = heights[:, :, :10] = 7
    photo[:, :, 20] = 9
    paths = [write_raster(tmp_path / "i.tif", photo), write_raster(tmp_path / "e.tif", heights)]

    with open_stacked(*paths, bands=None, channels=2) as source:
        collar = CollarSource(source, "black", photo=source.first)
        pixels = collar.read_uncolored(source.grid.window)

    assert (pixels.valid == (photo[0] != 0)).all()


def test_a_constant_band_is_explained(tmp_path: Path) -> None:
    pixels = np.stack([np.arange(64), np.full(64, 5)]).reshape(2, 8, 8).astype(np.uint16)
    path = write_raster(tmp_path / "i.tif", pixels)

    with open_raster(path, bands=[2, 1]) as source, pytest.raises(RasterError) as caught:
        stretch_between(source, Percentiles(2, 98))

    assert str(caught.value) == (
        f"{path}: band 2 is 5 at both percentiles of p2-98, among the 64 valid ones of the 64 pixels looked at;"
        " there is nothing to stretch"
    )
    assert "--scale MIN,MAX" in (caught.value.hint or "")


def test_a_raster_without_a_valid_pixel_is_explained(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "i.tif", np.zeros((1, 8, 8), np.uint16), nodata=0)

    with (
        open_raster(path) as source,
        pytest.raises(RasterError, match="none of the 64 pixels looked at is valid"),
    ):
        stretch_between(source, Percentiles(2, 98))
