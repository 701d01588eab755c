"""Windows, threads and counters: what is counted does not depend on how it is cut."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine

from rsseg.errors import LabelError
from rsseg.evaluation import (
    EvaluateOptions,
    LabelRules,
    Pair,
    Seen,
    evaluate_maps,
)
from rsseg.evaluation.counters import PairFacts
from rsseg.evaluation.counting import plan_windows
from rsseg.evaluation.lengths import Length
from rsseg.evaluation.options import MeasureOptions
from rsseg.tiling import Window
from tests.evaluation.files import (
    DEGREES,
    random_ids,
    shifted,
    write_boxes,
    write_ids,
)
from tests.making import THREE


@pytest.mark.parametrize("block", [7, 16, 33])
def test_the_windows_do_not_matter_to_warped_and_eroded_labels(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = np.kron(random_ids(8, 9, seed=4, values=(0, 1, 2)), np.ones((7, 7), np.uint8))
    place = shifted(2.3, -1.6) | {"transform": DEGREES["transform"] * Affine.rotation(3)}
    pair = Pair(
        write_ids(tmp_path / "map.tif", random_ids(50, 60, seed=1), **DEGREES),
        write_ids(tmp_path / "label.tif", label, **place),
    )
    aoi = write_boxes(tmp_path / "aoi.geojson", (5, 2, 44, 39))
    options = EvaluateOptions(erode=2, threads=3)
    whole = evaluate_maps([pair], THREE, rules=LabelRules(aoi=aoi), options=options).confusion

    monkeypatch.setattr("rsseg.evaluation.counting._SIDE", block)
    cut = evaluate_maps([pair], THREE, rules=LabelRules(aoi=aoi), options=options).confusion

    np.testing.assert_array_equal(cut.matrix, whole.matrix)
    assert (cut.ignored, cut.nodata) == (whole.ignored, whole.nodata)
    assert whole.scored > 100


@dataclass(frozen=True)
class _Neighbours:
    """How many pixels differ from the one to their right: needs to see one pixel further."""

    margin: int = 1

    def empty(self) -> int:
        return 0

    def count(self, seen: Seen) -> int:
        differ = seen.prediction[:, 1:] != seen.prediction[:, :-1]
        part = seen.keep.slices(seen.read)
        return int(np.count_nonzero(differ[part[0], part[1].start : part[1].stop]))


@dataclass(frozen=True)
class _Blocks:
    """Pixels by block of 8 x 8."""

    margin: int = 0

    def empty(self) -> Counter[Any]:
        return Counter()

    def count(self, seen: Seen) -> Counter[Any]:
        return Counter({block: label.size for block, label, _ in seen.blocks(8)})


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("block", [6, 2048])
def test_further_counters_see_every_pixel_once_with_its_margin(
    tmp_path: Path, block: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsseg.evaluation.counting._SIDE", block)
    prediction = random_ids(21, 30, seed=2)
    path = write_ids(tmp_path / "map.tif", prediction)
    facts = []

    def choose(of_pair: PairFacts) -> dict[str, Any]:
        facts.append(of_pair)
        return {"edges": _Neighbours(), "blocks": _Blocks()}

    evaluation = evaluate_maps(
        [Pair(path, path)] * 2, THREE, options=EvaluateOptions(threads=threads), counters=choose
    )

    assert evaluation.counted("edges") == 2 * np.count_nonzero(prediction[:, 1:] != prediction[:, :-1])
    blocks = evaluation.counted("blocks")
    assert len(blocks) == 2 * 3 * 4
    assert (blocks[0, 0, 0], blocks[1, 2, 3]) == (64, 5 * 6)
    assert [(f.pair, f.image, f.classes, f.grid.width) for f in facts] == [(n, 0, 3, 30) for n in range(2)]


@given(st.integers(-9, 9), st.integers(0, 9), st.integers(1, 5000), st.integers(1, 5000), st.booleans())
def test_windows_partition_what_is_compared(
    col: int, row: int, width: int, height: int, strips: bool
) -> None:
    area = Window(col, row, width, height)

    windows = plan_windows(area, in_strips=strips)

    assert sum(w.pixels for w in windows) == area.pixels
    assert all(area.contains(w) and 0 < w.pixels <= 2048 * 2048 for w in windows)
    assert len({(w.col_off, w.row_off) for w in windows}) == len(windows)
    assert not strips or all(w.width == width for w in windows)


def test_the_first_window_that_fails_is_the_one_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsseg.evaluation.counting._SIDE", 8)
    label = np.zeros((24, 8), np.uint8)
    label[9:] = 7
    pair = Pair(
        write_ids(tmp_path / "map.tif", np.zeros_like(label)), write_ids(tmp_path / "label.tif", label)
    )

    with pytest.raises(LabelError, match=r"8 x 8 px at column 0, row 8: labels hold id 7 \(56 px\)"):
        evaluate_maps([pair], THREE, options=EvaluateOptions(threads=3))


def test_chips_of_one_map_are_counted_in_its_blocks(tmp_path: Path) -> None:
    """Blocks that two chips share are one observation, not two."""
    ids = random_ids(40, 48, seed=3)
    class_map = write_ids(tmp_path / "map.tif", random_ids(40, 48, seed=4), **DEGREES)
    whole = write_ids(tmp_path / "whole.tif", ids, **DEGREES)
    chips = [
        write_ids(tmp_path / "top.tif", ids[:21], **DEGREES),
        write_ids(tmp_path / "bottom.tif", ids[21:], **shifted(0, 21)),
    ]
    options = EvaluateOptions(measures=MeasureOptions(intervals=Length(16), replicates=50))

    one = evaluate_maps([Pair(class_map, whole)], THREE, options=options).sections[0]
    cut = evaluate_maps([Pair(class_map, chip) for chip in chips], THREE, options=options).sections[0]

    assert (one.facts["blocks"], dict(cut.facts)) == (9, dict(one.facts))
    assert cut.scores == one.scores
