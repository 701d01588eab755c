"""How an evaluation is shown: text, lines for spreadsheets, JSON, thresholds, picture."""

from __future__ import annotations

import csv
import errno
import json
import re
from pathlib import Path

import numpy as np
import pytest

from rsseg.classes import ClassInfo, ClassTable
from rsseg.errors import OptionError, ResourceError
from rsseg.evaluation.confusion import Confusion
from rsseg.evaluation.plot import write_confusion_plot
from rsseg.evaluation.report import csv_text, table_text
from rsseg.evaluation.result import Evaluation, PairResult
from rsseg.evaluation.thresholds import Threshold, missed_thresholds

CLASSES = ClassTable(
    (ClassInfo(0, "ground", "#000000"), ClassInfo(1, "building", "#FF0000"), ClassInfo(2, "sea", "#0000FF"))
)
FIRST = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])
SECOND = np.array([[0, 0, 0], [2, 4, 0], [0, 0, 0]])


def evaluation(*matrices: np.ndarray, ignored: int = 0, nodata: int = 0) -> Evaluation:
    pairs = [
        PairResult(
            prediction=Path(f"{i}_classes.tif"),
            labels=Path(f"{i}.tif"),
            confusion=Confusion(matrix, ignored=ignored, nodata=nodata),
            notes=("odd",),
        )
        for i, matrix in enumerate(matrices)
    ]
    return Evaluation(classes=ClassTable(CLASSES.classes[: len(matrices[0])]), pairs=tuple(pairs))


def many_classes(count: int) -> Evaluation:
    confusion = Confusion(np.eye(count, dtype=np.int64))
    pair = PairResult(prediction=Path("a"), labels=Path("b"), confusion=confusion)
    return Evaluation(classes=ClassTable.unnamed(count), pairs=(pair,))


def row_of(text: str, name: str) -> list[str]:
    """The cells of the first line that begins with a name; cells are two blanks apart."""
    line = next(line for line in text.splitlines() if line.startswith(name))
    return re.split(r" {2,}", line.strip())


def test_scores_come_from_the_sum_of_all_pairs() -> None:
    found = evaluation(FIRST, SECOND)

    assert found.confusion.matrix.tolist() == [[3, 1, 0], [2, 4, 0], [0, 0, 0]]
    assert found.scores.mean_iou == pytest.approx((3 / 6 + 4 / 7) / 2)


def test_the_table_shows_each_class() -> None:
    text = table_text(evaluation(FIRST, SECOND))

    assert row_of(text, "ground") == [
        *("ground", "0.5000", "0.6667", "0.6000", "0.7500"),
        *("4", "40.00 %", "5", "50.00 %"),
    ]
    assert row_of(text, "sea") == ["sea", "-", "-", "-", "-", "0", "0.00 %", "0", "0.00 %"]


def test_the_table_shows_the_summary_and_the_protocol() -> None:
    text = table_text(evaluation(FIRST, SECOND))

    assert row_of(text, "mean IoU") == ["mean IoU", "0.5357"]
    assert row_of(text, "overall accuracy") == ["overall accuracy", "0.7000"]
    assert row_of(text, "kappa") == ["kappa", "0.4000"]
    assert "protocol plain: means over all classes that are in the labels or in the class map;" in text
    assert "in neither, so not in the means: sea" in text
    assert "compared 10 px in 2 pairs" in text


def test_the_table_shows_the_matrix_in_percent_of_the_reference() -> None:
    _, matrix, *_ = table_text(evaluation(FIRST, SECOND)).split("\n\n")

    assert row_of(matrix, "reference") == ["reference \\ predicted", "ground", "building", "sea"]
    assert row_of(matrix, "building") == ["building", "33.33 %", "66.67 %", "0.00 %"]
    assert row_of(matrix, "sea") == ["sea", "-", "-", "-"]


def test_a_matrix_too_wide_for_a_terminal_is_left_out() -> None:
    assert "reference \\ predicted" in table_text(many_classes(10))
    assert "reference \\ predicted" not in table_text(many_classes(11))


def test_pixels_that_could_not_be_compared_are_shown() -> None:
    text = table_text(evaluation(FIRST[:2, :2], ignored=1000, nodata=4))

    assert "left out 1,000 px without a label" in text
    assert "NOT compared: 4 labelled px (50.00%) that are nodata in the class map" in text
    assert "NOT compared" not in table_text(evaluation(FIRST[:2, :2]))


def test_columns_stand_under_each_other() -> None:
    tables = table_text(evaluation(FIRST * 10**7, SECOND)).split("\n\n")[:3]

    for table in tables:
        assert len({len(line) for line in table.splitlines()}) == 1


def test_csv_holds_every_number() -> None:
    found = evaluation(FIRST, SECOND, ignored=2, nodata=1)

    head, *rows = csv.reader(csv_text(found).splitlines())
    values = {(score, name): value for _, score, name, value in rows}

    assert head == ["protocol", "score", "class", "value"]
    assert {row[0] for row in rows} == {"plain"}
    assert float(values["mean_iou", ""]) == found.scores.mean_iou
    assert float(values["recall", "building"]) == found.scores.recall[1]
    assert values["iou", "sea"] == ""
    assert values["reference_pixels", "ground"] == "4"
    assert values["nodata_pixels", ""] == "2"
    assert len(values) == len(rows)


def test_json_holds_every_number_and_null_for_what_is_undefined() -> None:
    document = json.loads(json.dumps(evaluation(FIRST, SECOND, ignored=2).to_dict(), allow_nan=False))

    assert document["protocol"] == "plain"
    assert document["confusion_matrix"] == [[3, 1, 0], [2, 4, 0], [0, 0, 0]]
    assert document["overall_accuracy"] == pytest.approx(0.7)
    assert document["classes"][1]["name"] == "building"
    assert document["classes"][1]["iou"] == pytest.approx(4 / 7)
    assert document["classes"][2]["iou"] is None
    assert (document["pixels"], document["ignored_pixels"]) == (10, 4)
    assert document["pairs"][0] == {
        "prediction": "0_classes.tif",
        "labels": "0.tif",
        "protocol": "plain",
        "pixels": 4,
        "ignored_pixels": 2,
        "nodata_pixels": 0,
        "nodata_share": 0.0,
        "overall_accuracy": 0.75,
        "mean_iou": 0.375,
        "notes": ["odd"],
    }


def test_thresholds_that_are_met_are_not_mentioned() -> None:
    thresholds = [Threshold.parse("mean_iou=0.5"), Threshold.parse("overall_accuracy=0.7")]

    assert missed_thresholds(evaluation(FIRST, SECOND), thresholds) == []


def test_thresholds_that_are_missed_are_named() -> None:
    thresholds = [Threshold.parse("kappa=0.5"), Threshold.parse("iou:building=0.6")]

    assert missed_thresholds(evaluation(FIRST, SECOND), thresholds) == [
        "kappa is 0.4, at least 0.5 was asked for (protocol plain)",
        "iou:building is 0.571429, at least 0.6 was asked for (protocol plain)",
    ]


def test_an_undefined_score_meets_no_threshold() -> None:
    missed = missed_thresholds(evaluation(FIRST, SECOND), [Threshold.parse("iou:sea=0")])

    assert missed == ["iou:sea is undefined, at least 0 was asked for (protocol plain)"]


def test_class_names_in_thresholds_may_hold_anything() -> None:
    assert Threshold.parse("f1:a=b:c=0.5") == Threshold("f1", 0.5, "a=b:c")


@pytest.mark.parametrize(
    "text", ["", "mean_iou", "0.7", "miou=0.7", "iou=0.7", "kappa:building=1", "mean_iou=x", "mean_iou=nan"]
)
def test_other_forms_of_thresholds_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="--fail-under"):
        Threshold.parse(text)


def test_a_threshold_for_an_unknown_class_lists_the_classes() -> None:
    with pytest.raises(OptionError, match="no class is called 'hut'") as caught:
        missed_thresholds(evaluation(FIRST, SECOND), [Threshold.parse("iou:hut=0.5")])

    assert caught.value.hint == "classes are: ground, building, sea"


@pytest.mark.parametrize("classes", [1, 3, 30])
def test_the_picture_is_a_png_of_a_bounded_size(classes: int, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "matrix.png"

    write_confusion_plot(path, many_classes(classes))

    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert 500 < picture.width < 4000
        assert np.asarray(picture.convert("L")).std() > 5
    assert [p.name for p in tmp_path.iterdir()] == ["matrix.png"]


def test_the_same_matrix_gives_the_same_picture(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_confusion_plot(tmp_path / name, evaluation(FIRST, SECOND))

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("name", [r"a $\x$ b", "$", "建物", "مبنى", "a\tb"])
def test_any_name_of_a_class_can_be_drawn(name: str, tmp_path: Path) -> None:
    found = evaluation(FIRST, SECOND)
    classes = ClassTable((ClassInfo(0, name, "#000000"), *CLASSES.classes[1:]))

    write_confusion_plot(tmp_path / "m.png", Evaluation(classes=classes, pairs=found.pairs))

    assert (tmp_path / "m.png").stat().st_size > 1000


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _content: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(ResourceError, match=r"m\.png: cannot be written \(No space left") as caught:
        write_confusion_plot(tmp_path / "m.png", evaluation(FIRST, SECOND))

    assert caught.value.hint
    assert not list(tmp_path.iterdir())
