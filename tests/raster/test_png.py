from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from rsseg.errors import ResourceError
from rsseg.raster import write_png
from rsseg.raster.env import georeference_optional
from tests.raster.make import noise


@pytest.mark.parametrize("bands", [3, 4])
def test_a_picture_is_written_alone_and_read_back(tmp_path: Path, bands: int) -> None:
    rgb = np.moveaxis(noise(bands, 10, 12), 0, 2)

    write_png(tmp_path / "p.png", rgb)

    with georeference_optional(), rasterio.open(tmp_path / "p.png") as dataset:
        np.testing.assert_array_equal(np.moveaxis(dataset.read(), 0, 2), rgb)
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]


def test_a_missing_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        write_png(tmp_path / "none" / "p.png", np.zeros((2, 2, 3), dtype=np.uint8))


def test_a_picture_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.png").mkdir()

    with pytest.raises(ResourceError, match="cannot be written"):
        write_png(tmp_path / "p.png", np.zeros((2, 2, 3), dtype=np.uint8))

    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]
