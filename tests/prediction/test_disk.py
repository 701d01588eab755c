"""What a run takes of the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rsseg.errors import ResourceError
from rsseg.prediction.disk import check_disk, disk_use
from rsseg.raster import Grid

BLOCK_BYTES = 512 * 512
TEN = Grid(5 * 512, 2 * 512)
TWENTY = Grid(5 * 512 - 100, 4 * 512 - 1)
ONE = Grid(100, 512)


def test_every_block_of_every_layer_is_staged(tmp_path: Path) -> None:
    use = disk_use(tmp_path / "map.tif", grid=TEN, target=TEN, layer_bands=4, sieves=False)

    assert use.staged_bytes == 40 * BLOCK_BYTES
    assert 0 < use.final_bytes < use.staged_bytes
    assert use.total_bytes == use.staged_bytes + use.final_bytes


@pytest.mark.parametrize(
    ("layer_bands", "sieves", "at_once"), [(1, False, 1), (1, True, 2), (2, True, 2), (6, True, 5)]
)
def test_finishing_stages_one_layer_at_a_time_once_more(
    tmp_path: Path, layer_bands: int, sieves: bool, at_once: int
) -> None:
    use = disk_use(tmp_path / "map.tif", grid=TEN, target=TWENTY, layer_bands=layer_bands, sieves=sieves)

    assert use.staged_bytes == (10 * layer_bands + 20 * at_once) * BLOCK_BYTES


def test_what_an_unfinished_run_has_staged_need_not_be_free(tmp_path: Path) -> None:
    (tmp_path / "map.tif.part").mkdir()
    (tmp_path / "map.tif.part" / "blocks.tif").write_bytes(bytes([1]) * 2**24)

    kept = disk_use(tmp_path / "map.tif", grid=ONE, target=ONE, layer_bands=1, sieves=False)
    other = disk_use(tmp_path / "other.tif", grid=ONE, target=ONE, layer_bands=1, sieves=False)

    assert kept.free_bytes - other.free_bytes > 2**23


def test_a_disk_that_cannot_hold_the_blocks_is_refused(tmp_path: Path) -> None:
    use = disk_use(tmp_path / "map.tif", grid=TEN, target=TEN, layer_bands=1, sieves=False)

    check_disk(replace(use, free_bytes=use.staged_bytes), tmp_path / "map.tif")
    with pytest.raises(
        ResourceError, match=r"map\.tif: needs 3 MB on its disk while it is made, 3 MB are free"
    ):
        check_disk(replace(use, free_bytes=use.staged_bytes - 1), tmp_path / "map.tif")
