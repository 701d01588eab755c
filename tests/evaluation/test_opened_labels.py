"""Labels that are open already: evaluated as the same labels in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rsseg.classes import ClassInfo, ClassTable
from rsseg.errors import LabelError, RasterError
from rsseg.evaluation import EvaluateOptions, Evaluation, LabelRules, Move, Pair, evaluate_maps
from rsseg.evaluation.pairs import OpenedLabels
from rsseg.raster.labels import open_label_raster
from tests.evaluation.files import DEGREES, random_ids, shifted, write_boxes, write_ids, write_map
from tests.making import THREE

OTHER = ClassTable((ClassInfo(0, "rot", "#FF0000"), *THREE.classes[1:]))


@pytest.fixture
def class_map(tmp_path: Path) -> Path:
    return write_map(tmp_path / "map.tif", random_ids(40, 60, seed=1))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    ids = np.kron(random_ids(4, 6, seed=2), np.ones((10, 10), np.uint8))
    return write_ids(tmp_path / "labels.tif", ids, **DEGREES)


def evaluated(
    class_map: Path,
    labels: Path,
    *,
    classes: ClassTable = THREE,
    aoi: Path | None = None,
    options: EvaluateOptions,
) -> Evaluation:
    with open_label_raster(labels) as source:
        opened = OpenedLabels(source=source, classes=classes, aoi=aoi)
        # The name is that of polygons, about which no rule is given.
        return evaluate_maps([Pair(class_map, labels.with_suffix(".geojson"), opened)], options=options)


@pytest.mark.parametrize("erode", [None, 2])
def test_they_are_what_the_file_says(
    class_map: Path, labels: Path, tmp_path: Path, erode: int | None
) -> None:
    aoi, options = write_boxes(tmp_path / "aoi.geojson", (5, 5, 50, 30)), EvaluateOptions(erode=erode)

    found = evaluated(class_map, labels, aoi=aoi, options=options)

    expected = evaluate_maps([Pair(class_map, labels)], rules=LabelRules(aoi=aoi), options=options)
    counts, wanted = found.confusion, expected.confusion
    np.testing.assert_array_equal(counts.matrix, wanted.matrix)
    assert (counts.ignored, counts.nodata) == (wanted.ignored, wanted.nodata)
    assert counts.scored


def test_their_classes_are_brought_together(class_map: Path, labels: Path) -> None:
    options = EvaluateOptions(moves=(Move.parse("labels:rot=green"),))

    found = evaluated(class_map, labels, classes=OTHER, options=options)

    plain = evaluated(class_map, labels, options=EvaluateOptions()).confusion.matrix
    np.testing.assert_array_equal(found.confusion.matrix[1], plain[0] + plain[1])
    assert not found.confusion.matrix[0].any()
    assert "rot counted as green" in found.pairs[0].notes[0]


def test_other_classes_are_refused(class_map: Path, labels: Path) -> None:
    with pytest.raises(LabelError, match="has the classes rot, green, blue") as refusal:
        evaluated(class_map, labels, classes=OTHER, options=EvaluateOptions())

    assert "aux.xml" not in (refusal.value.hint or "")


def test_another_grid_is_refused(class_map: Path, tmp_path: Path) -> None:
    elsewhere = write_ids(tmp_path / "there.tif", random_ids(40, 60, seed=2), **shifted(7, 0))

    with pytest.raises(RasterError, match="pixels lie up to 7 px away"):
        evaluated(class_map, elsewhere, options=EvaluateOptions())
