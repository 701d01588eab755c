"""`rsseg evaluate` beyond the confusion matrix: intervals, boundaries, objects, calibration, areas, two maps."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from rsseg.cli.main import main
from rsseg.evaluation.compare import outcomes
from tests.cli.test_evaluate import refused
from tests.data.labelled import write_tiles
from tests.making import read_band, write_argmax_weights, write_raster

GSD_M = 0.15


class Town(NamedTuple):
    """Labels, a map that is wrong at some places, another that is right at more, and the first one's confidence."""

    labels: Path
    map: Path
    better: Path
    confidence: Path
    classes: Path


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    folder = tmp_path_factory.mktemp("town")
    label, prediction, better = arrays()
    confidence = np.where(label == prediction, 254, 127).astype(np.uint8)
    confidence[:3] = 255
    classes = folder / "classes.json"
    names = [
        {"id": k, "name": name, "color": "#00000" + str(k)} for k, name in enumerate(("ground", "building"))
    ]
    classes.write_text(json.dumps({"classes": names}))
    return Town(
        *(
            write_raster(folder / name, ids[None], nodata=255)
            for name, ids in (
                ("town.tif", label),
                ("town_classes.tif", prediction),
                ("better_classes.tif", better),
                ("town_confidence.tif", confidence),
            )
        ),
        classes,
    )


def arrays() -> tuple[NDArray[np.uint8], ...]:
    """Labels with buildings, the same moved by two pixels with one missing, and moved by one; (128, 192)."""
    rng = np.random.default_rng(3)
    label = np.kron(rng.random((8, 12)) < 0.3, np.ones((16, 16))).astype(np.uint8)
    label[2:9, 3:11] = 1 - label[2:9, 3:11]
    moved, better = np.roll(label, 2, axis=1), np.roll(label, 1, axis=1)
    moved[:16] = 0
    label[-4:] = 255
    moved[:, -3:] = 255
    return label, moved, better


def run(town: Town, *args: object) -> Result:
    command = ["evaluate", town.map, "--labels", town.labels, "--classes", town.classes, *args]
    return CliRunner().invoke(main, [str(arg) for arg in command])


def found(town: Town, *args: object) -> dict[str, Any]:
    result = run(town, *args, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


ALL = ("--intervals", "32", "--boundary", "2", "--objects", "building", "--areas")


def all_of(town: Town) -> tuple[object, ...]:
    return (*ALL, "--confidence", town.confidence, "--against", town.better)


# --- what is measured ------------------------------------------------------------------------------------------------


def test_nothing_is_measured_unasked(town: Town) -> None:
    document = found(town)

    assert {"intervals", "boundary", "objects", "calibration", "areas", "comparison"}.isdisjoint(document)
    assert "[plain" not in run(town).stdout


def test_every_section_names_its_protocol(town: Town) -> None:
    document, text = found(town, *all_of(town)), run(town, *all_of(town)).stdout

    protocols = {
        "intervals": "plain+blocks32px",
        "boundary": "plain+boundary2px+blocks32px",
        "objects": "plain+objects+blocks32px",
        "calibration": "plain+15bins+blocks32px",
        "areas": "plain+stratified+blocks32px",
        "comparison": "plain+both-maps+blocks32px",
    }
    assert {name: document[name]["protocol"] for name in protocols} == protocols
    assert all(f"[{protocol}]" in text for protocol in protocols.values())


def test_the_csv_has_every_number_with_its_protocol(town: Town) -> None:
    document = found(town, *all_of(town))
    lines = list(csv.DictReader(run(town, *all_of(town), "--csv").stdout.splitlines()))

    values = {(line["protocol"], line["score"], line["class"]): line["value"] for line in lines}
    assert len(values) == len(lines)
    assert values["plain+boundary2px+blocks32px", "boundary_f1", "building"] == str(
        document["boundary"]["classes"][1]["boundary_f1"]
    )
    assert values["plain+objects+blocks32px", "object_f1", "building"] == str(
        document["objects"]["classes"][0]["object_f1"]
    )
    assert values["plain+blocks32px", "mean_iou_low", ""] == str(document["intervals"]["mean_iou_low"])
    assert values["plain+15bins+blocks32px", "ece", ""] == str(document["calibration"]["ece"])
    assert values["plain+boundary2px+blocks32px", "mean_boundary_f1_low", ""] == str(
        document["boundary"]["mean_boundary_f1_low"]
    )
    assert values["plain+objects+blocks32px", "object_f1_se", "building"] == str(
        document["objects"]["classes"][0]["object_f1_se"]
    )
    assert ("plain+stratified+blocks32px", "area_ha", "building") in values
    assert ("plain+both-maps+blocks32px", "only_a_right_pixels", "building") in values


@pytest.mark.parametrize("side", [40, 2048])
@pytest.mark.parametrize("threads", [1, 3])
def test_windows_and_threads_change_nothing(
    town: Town, side: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(town, *all_of(town), "--json").stdout
    monkeypatch.setattr("rsseg.evaluation.counting._SIDE", side)

    assert run(town, *all_of(town), "--threads", threads, "--json").stdout == whole


def test_intervals_hold_the_scores_and_repeat(town: Town) -> None:
    document = found(town, "--intervals", "32px")

    intervals = document["intervals"]
    assert intervals["mean_iou_low"] < document["mean_iou"] < intervals["mean_iou_high"]
    assert (intervals["blocks"], intervals["block_side"]) == (4 * 6, "32 px")
    assert found(town, "--intervals", "32px")["intervals"] == intervals
    assert found(town, "--intervals", "32px", "--seed", 1)["intervals"] != intervals
    assert "CAUTION: with fewer than 30 blocks" in run(town, "--intervals", "32px").stdout


def test_boundaries_objects_and_calibration_have_intervals(town: Town) -> None:
    asked = ("--boundary", "2", "--objects", "building", "--confidence", town.confidence)
    alone, document = found(town, *asked), found(town, "--intervals", "32", *asked)

    scores = {
        "boundary": ("mean_boundary_iou", "mean_boundary_f1"),
        "calibration": ("ece", "mce", "brier", "mean_confidence", "accuracy"),
    }
    of_building = {
        "boundary": ("boundary_iou", "boundary_f1", "boundary_precision", "boundary_recall"),
        "objects": ("object_f1", "object_precision", "object_recall", "object_iou"),
    }
    numbers = [(alone[name], document[name], score) for name, of in scores.items() for score in of]
    numbers += [
        (alone[name]["classes"][-1], document[name]["classes"][-1], score)
        for name, of in of_building.items()
        for score in of
    ]
    # No region of the map is a false alarm, and all wrong pixels have the same confidence.
    the_same_everywhere = {"object_precision", "mce"}
    for without, section, score in numbers:
        assert section[score] == without[score]
        assert f"{score}_low" not in without
        ends = section[f"{score}_low"], section[f"{score}_high"]
        if score in the_same_everywhere:
            assert ends == (section[score], section[score])
        else:
            assert ends[0] < section[score] < ends[1]
            assert (ends[1] - ends[0]) / 5 < section[f"{score}_se"] < (ends[1] - ends[0]) / 3
    assert {document[name]["blocks"] for name in ("intervals", "boundary", "objects", "calibration")} == {24}


def test_intervals_of_boundaries_and_objects_are_shown(town: Town) -> None:
    text = run(town, "--intervals", "32", "--boundary", "2", "--objects", "building").stdout

    of_boundaries, of_objects = text.split("[plain+boundary2px+blocks32px]")[1].split("\n\nObjects")
    for section, rows in (
        (of_boundaries, ("mean boundary IoU ", "mean boundary F1 ", "boundary F1 building ")),
        (of_objects, ("object F1 building ", "IoU of matched building ")),
    ):
        assert "95 % from" in section
        assert "24 labelled blocks of 32 px" in section.replace("\n  ", " ")
        assert all(section.count(row) == 1 for row in rows)


def test_blocks_in_metres_are_the_same_as_in_pixels(town: Town) -> None:
    in_pixels, in_metres = found(town, "--intervals", 32), found(town, "--intervals", f"{32 * GSD_M:g}m")

    assert in_metres["intervals"]["block_side"] == "4.8 m"
    for name in ("mean_iou_low", "kappa_se", "blocks", "classes"):
        assert in_metres["intervals"][name] == in_pixels["intervals"][name]


def test_blocks_are_as_wide_as_leaves_enough_of_them(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsseg.evaluation.measures.blocks._ENOUGH", 5)

    assert found(town, "--intervals", "auto")["intervals"]["block_side"] == "64 px"
    monkeypatch.setattr("rsseg.evaluation.measures.blocks._ENOUGH", 2)
    assert found(town, "--intervals")["intervals"]["block_side"] == "128 px"


def test_a_boundary_tolerance_in_metres_is_the_same_as_in_pixels(town: Town) -> None:
    in_pixels, in_metres = found(town, "--boundary", "2"), found(town, "--boundary", f"{2 * GSD_M}m")

    assert in_metres["boundary"]["protocol"] == "plain+boundary0.3m"
    assert in_metres["boundary"]["classes"] == in_pixels["boundary"]["classes"]
    assert found(town, "--boundary", "1")["boundary"]["mean_boundary_f1"] < 0.7
    assert in_pixels["boundary"]["mean_boundary_f1"] > 0.8


def test_objects_are_counted_by_name_or_id_and_size(town: Town) -> None:
    by_name = found(town, "--objects", "building")["objects"]
    by_id = found(town, "--objects", "1", "--objects", "building")["objects"]
    large = found(town, "--objects", "building", "--min-object", "300")["objects"]

    assert by_id == by_name
    assert [c["name"] for c in by_name["classes"]] == ["building"]
    assert large["protocol"] == "plain+objects300px"
    counts = [
        c["objects_matched"] + c["objects_missed"] for c in (by_name["classes"][0], large["classes"][0])
    ]
    assert 0 < counts[1] < counts[0]


def test_calibration_counts_every_pixel_that_has_a_confidence(town: Town) -> None:
    label, prediction, _ = arrays()
    used = (label != 255) & (prediction != 255)
    used[:3] = False
    right = used & (label == prediction)

    calibration = found(town, "--confidence", town.confidence)["calibration"]

    wrong_share = 1 - right.sum() / used.sum()
    assert calibration["pixels"] == used.sum()
    assert calibration["accuracy"] == pytest.approx(1 - wrong_share)
    assert calibration["ece"] == pytest.approx(
        0.5 * wrong_share
    )  # the wrong ones are said to be right at 0.5
    assert [b["pixels"] for b in calibration["curve"] if b["pixels"]] == [
        used.sum() - right.sum(),
        right.sum(),
    ]


def test_areas_are_hectares_of_the_whole_map(town: Town) -> None:
    label, prediction, _ = arrays()
    areas = found(town, "--areas")["areas"]

    pixel_ha = GSD_M**2 / 1e4
    mapped = [c["mapped_area_ha"] for c in areas["classes"]]
    assert mapped == pytest.approx([pixel_ha * np.count_nonzero(prediction == k) for k in range(2)])
    assert sum(c["area_ha"] for c in areas["classes"]) == pytest.approx(sum(mapped))
    sampled = label[(prediction == 1) & (label != 255)]
    assert areas["classes"][1]["users_accuracy"] == pytest.approx(np.mean(sampled == 1))
    assert "CAUTION: SE and 95 % intervals" in run(town, "--areas").stdout


def test_blocks_give_areas_larger_standard_errors(town: Town) -> None:
    alone, blocks = found(town, "--areas")["areas"], found(town, "--areas", "--intervals", "32")["areas"]

    assert (alone["standard_errors"], blocks["standard_errors"]) == ("independent pixels", "blocks")
    assert (alone["protocol"], blocks["protocol"]) == ("plain+stratified", "plain+stratified+blocks32px")
    assert blocks["classes"][1]["area_ha"] == pytest.approx(alone["classes"][1]["area_ha"])
    assert blocks["classes"][1]["area_ha_se"] > 3 * alone["classes"][1]["area_ha_se"]


def test_a_map_of_several_labels_is_counted_once(town: Town, tmp_path: Path) -> None:
    again = write_raster(tmp_path / "again.tif", read_band(town.labels)[None], nodata=255)
    command = ["evaluate", town.map, "--labels", town.labels, again, "--areas", "--json"]

    document = json.loads(CliRunner().invoke(main, [str(arg) for arg in command]).stdout)

    assert document["areas"]["total_area_ha"] == pytest.approx(
        found(town, "--areas")["areas"]["total_area_ha"]
    )
    assert document["pixels"] == 2 * found(town)["pixels"]


def test_without_a_place_areas_are_pixels(tmp_path: Path) -> None:
    label, prediction, _ = arrays()
    paths = [
        write_raster(tmp_path / name, ids[None], nodata=255, crs=None, transform=None)
        for name, ids in (("map.tif", prediction), ("label.tif", label))
    ]

    result = CliRunner().invoke(
        main, ["evaluate", str(paths[0]), "--labels", str(paths[1]), "--areas", "--json"]
    )

    areas = json.loads(result.stdout)["areas"]
    assert areas["unit"] == "px"
    assert areas["total_area_px"] == np.count_nonzero(prediction != 255)


def test_the_better_map_is_found_out(town: Town) -> None:
    label, prediction, better = arrays()
    document, text = found(town, "--against", town.better), run(town, "--against", town.better).stdout

    comparison = document["comparison"]
    used = (label != 255) & (prediction != 255)
    assert comparison["pixels"] == used.sum()
    assert comparison["maps_b"] == [str(town.better)]
    assert comparison["mcnemar"]["b_only"] == np.count_nonzero(
        used & (prediction != label) & (better == label)
    )
    assert comparison["mean_iou_difference_high"] < 0
    assert comparison["kappa_test"]["z"] < 0
    assert "\nB is better: A - B is -" in text
    assert "CAUTION: both tests take pixels for independent" in text


def test_a_map_is_not_better_than_itself(town: Town) -> None:
    comparison = found(town, "--against", town.map)["comparison"]

    assert comparison["mean_iou_difference"] == comparison["mean_iou_difference_se"] == 0
    assert comparison["mcnemar"]["chi2"] is None
    result = run(town, "--against", town.map)
    assert "neither is shown to be better" in result.stdout
    assert f"--against {town.map}: is the class map {town.map} itself" in result.stderr
    assert "itself" not in run(town, "--against", town.better).stderr


def test_the_differences_are_written_as_a_class_map(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "where.tif"
    label, prediction, better = arrays()

    result = run(town, "--against", town.better, "--differences", path)

    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(read_band(path), outcomes(label, prediction, better))
    assert "only B right" in path.with_name("where.tif.aux.xml").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["where.tif", "where.tif.aux.xml"]


def test_classes_are_moved_in_the_second_map_too(town: Town) -> None:
    document = found(town, "--against", town.better, "--map", "prediction:building=ground")

    rows = document["comparison"]["classes"]
    assert [(row["iou_a"], row["iou_b"]) for row in rows if row["name"] == "building"] == [(0.0, 0.0)]


def test_companions_of_several_maps_are_found_in_folders(town: Town, tmp_path: Path) -> None:
    for folder, name, source in (
        ("maps", "a_classes.tif", town.map),
        ("maps", "b_classes.tif", town.better),
        ("labels", "a.tif", town.labels),
        ("labels", "b.tif", town.labels),
        ("sure", "a_confidence.tif", town.confidence),
        ("sure", "b.tif", town.confidence),
        ("old", "a_classes.tif", town.better),
        ("old", "b.tif", town.better),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        write_raster(tmp_path / folder / name, read_band(source)[None], nodata=255)
    folders = {name: str(tmp_path / name) for name in ("maps", "labels", "sure", "old")}
    command = ["evaluate", folders["maps"], "--labels", folders["labels"], "--json"]

    result = CliRunner().invoke(
        main, [*command, "--confidence", folders["sure"], "--against", folders["old"]]
    )

    document = json.loads(result.stdout)
    assert [Path(path).name for path in document["comparison"]["maps_b"]] == ["a_classes.tif", "b.tif"]
    one, two = (found(town, "--confidence", town.confidence)["calibration"]["pixels"] for _ in range(2))
    assert document["calibration"]["pixels"] > max(one, two)


def test_files_follow_their_options_in_order(town: Town) -> None:
    command = [
        *("evaluate", town.map, town.better, "--labels", town.labels, town.labels),
        *("--against", town.better, town.map, "--confidence", town.confidence, town.confidence, "--json"),
    ]

    document = json.loads(CliRunner().invoke(main, [str(arg) for arg in command]).stdout)

    assert document["comparison"]["maps_a"] == [str(town.map), str(town.better)]
    assert document["comparison"]["maps_b"] == [str(town.better), str(town.map)]


def test_unnamed_classes_are_found_first(town: Town) -> None:
    command = ["evaluate", str(town.map), "--labels", str(town.labels), *ALL[:4], "--json"]

    document = json.loads(CliRunner().invoke(main, command).stdout)

    assert len(document["boundary"]["classes"]) == 2
    named = found(town, *ALL[:4])
    assert document["intervals"]["mean_iou_se"] == named["intervals"]["mean_iou_se"]
    assert document["boundary"]["mean_boundary_iou"] == named["boundary"]["mean_boundary_iou"]


def test_the_page_is_written_with_everything(town: Town, tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    result = run(town, *all_of(town), "--report", page)

    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert "plain+boundary2px" in text
    assert "plain+both-maps+blocks32px" in text
    assert f"{page}: the page" in result.stderr


# --- limits ----------------------------------------------------------------------------------------------------------


def test_scores_beyond_pixels_have_limits(town: Town) -> None:
    measured = ("--boundary", "2", "--objects", "building", "--confidence", town.confidence)
    good = (
        *("--fail-under", "mean_boundary_f1=0.5", "--fail-under", "object_f1:building=0.1"),
        *("--fail-over", "ece=0.5"),
    )
    bad = ("--fail-under", "boundary_iou:building=0.99", "--fail-over", "brier=0.001")

    assert run(town, *measured, *good).exit_code == 0
    failed = run(town, *measured, *bad)
    assert failed.exit_code == 7
    assert "boundary_iou:building is 0." in failed.stderr
    assert "at least 0.99 was asked for (protocol plain+boundary2px)" in failed.stderr
    assert "at most 0.001 was asked for (protocol plain+15bins)" in failed.stderr


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (("--fail-under", "mean_boundary_f1=0.5"), "this is not measured", "add --boundary 3"),
        (("--fail-under", "object_f1:building=0.5"), "this is not measured", "add --objects CLASS"),
        (("--fail-over", "ece=0.1"), "--fail-over ece: this is not measured", "add --confidence FILE"),
        (("--fail-under", "ece=0.1"), "'ece' is no score", "--fail-over ece=0.05"),
        (("--fail-under", "boundary_f1=0.1"), "'boundary_f1' is no score", "boundary_f1:CLASS"),
        (("--fail-over", "mean_iou=0.1"), "'mean_iou' is no score", "errors are ece, mce, brier"),
        (("--fail-over", "ece=much"), "'much' is no number", None),
    ],
)
def test_limits_that_nobody_can_check_are_refused(
    town: Town, args: tuple[str, ...], message: str, hint: str | None
) -> None:
    said = refused(run(town, *args), 2)

    assert message in said
    assert hint is None or hint in said


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("iou:nosuch=0.5", "no class is called 'nosuch'"),
        ("benchmark_score=0.5", "the protocol plain has no such score"),
        ("mean_iou=70", "--fail-under mean_iou=70: can never be met"),
    ],
)
def test_limits_that_can_never_be_met_are_refused_before_reading(
    town: Town, tmp_path: Path, limit: str, message: str
) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"no raster")

    assert message in refused(run(town._replace(map=broken), "--fail-under", limit), 2)


def test_a_limit_of_a_class_without_objects_is_refused(town: Town) -> None:
    result = run(town, "--objects", "building", "--fail-under", "object_f1:ground=0.5")

    assert result.exit_code == 2
    assert "this is not measured for ground" in result.stderr


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--min-object", 5), "--min-object goes with --objects"),
        (("--min-object", 0, "--objects", "building"), "min object is 0"),
        (("--replicates", 5), "--replicates goes with --intervals or --against"),
        (("--seed", 5), "--seed goes with --intervals or --against"),
        (("--intervals", "--replicates", 1), "replicates is 1; it must be at least 2"),
        (("--intervals", "8"), "blocks of 8 px are 8 px of"),
        (("--intervals", "1m"), "blocks of 1 m are 6.67 px of"),
        (("--boundary", "0.01m"), "it must be at least 1 px"),
        (("--boundary", "0.5"), "expected 1 to 64 px"),
        (("--boundary", "100"), "expected 1 to 64 px"),
        (("--objects", "tower"), "objects of class 'tower': no such class"),
        (("--differences", "d.tif"), "--differences goes with --against"),
        (("--image", "i.tif"), "--image goes with --report"),
        (("--report", "page.pdf"), "--report page.pdf: expected a file *.html"),
        (("--report", "nowhere/page.html"), "nowhere/page.html: the folder nowhere does not exist"),
    ],
)
def test_options_that_do_not_fit_are_refused(town: Town, args: tuple[object, ...], message: str) -> None:
    assert message in refused(run(town, *args), 2)


def test_lengths_that_are_none_are_usage_errors(town: Town) -> None:
    for args in (("--boundary", "2km"), ("--intervals", "map.tif"), ("--boundary", "0")):
        result = run(town, *args)

        assert result.exit_code == 2
        assert "length" in result.stderr
        assert "Traceback" not in result.stderr


def test_metres_without_a_place_are_refused(tmp_path: Path) -> None:
    label, *_ = arrays()
    path = write_raster(tmp_path / "map.tif", label[None], nodata=255, crs=None, transform=None)

    result = CliRunner().invoke(
        main, ["evaluate", str(path), "--labels", str(path), "--boundary", "2m", "-q"]
    )

    message = refused(result, 2)
    assert "map.tif: nothing says how large a pixel is on the ground" in message
    assert "Hint: give the length in pixels" in message


@pytest.mark.parametrize("option", ["--confidence", "--against"])
def test_companions_that_do_not_fit_are_refused(town: Town, tmp_path: Path, option: str) -> None:
    small = write_raster(tmp_path / "small.tif", read_band(town.map)[None, :64], nodata=255)
    floats = write_raster(tmp_path / "floats.tif", np.ones((1, 128, 192), np.float32))
    (tmp_path / "empty").mkdir()

    assert f"{option} gone.tif: no such file" in refused(run(town, option, "gone.tif"), 3)
    assert "2 files for 1 class maps" in refused(run(town, option, small, small), 2)
    assert "small.tif: is 192 x 64 px" in refused(run(town, option, small), 3)
    assert "floats.tif" in refused(run(town, option, floats), 3)
    assert "holds 0 files for town_classes.tif" in refused(run(town, option, tmp_path / "empty"), 3)


def test_existing_files_are_not_overwritten_unasked(town: Town, tmp_path: Path) -> None:
    page, where = tmp_path / "page.html", tmp_path / "where.tif"
    for path in (page, where):
        path.write_text("mine")
    args = ("--against", town.better)

    assert "page.html: exists already" in refused(run(town, "--report", page), 2)
    assert "where.tif: exists already" in refused(run(town, *args, "--differences", where), 2)
    assert run(town, *args, "--differences", where, "--report", page, "--overwrite").exit_code == 0
    assert page.read_text() != "mine"
    assert read_band(where).shape == (128, 192)


def test_differences_of_several_maps_are_refused(town: Town, tmp_path: Path) -> None:
    command = ["evaluate", town.map, "--labels", town.labels, town.better]
    args = ["--against", town.better, "--differences", tmp_path / "d.tif"]

    result = CliRunner().invoke(main, [str(arg) for arg in (*command, *args)])

    assert "one file for 2 pairs" in refused(result, 2)


@pytest.mark.parametrize(
    "args",
    [
        ("--areas",),
        ("--confidence", "c.tif"),
        ("--against", "one", "two"),
        ("--against", "one", "--differences", "d.tif"),
        ("--report", "p.html", "--image", "i.tif"),
    ],
)
def test_what_needs_class_maps_does_not_go_with_a_data_set(args: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, ["evaluate", "--data", "tiles", *args])

    assert "--data" in refused(result, 2)


def test_what_would_do_instead_is_said(town: Town) -> None:
    confidence = CliRunner().invoke(main, ["evaluate", "--data", "tiles", "--confidence", "c.tif"])

    assert "Hint: add --calibration" in refused(confidence, 2)
    assert "Hint: name those of the class maps: --confidence FILE..." in refused(
        run(town, "--calibration"), 2
    )


def test_errors_of_one_class_are_shown_on_the_page(town: Town, tmp_path: Path) -> None:
    named, by_id = tmp_path / "named.html", tmp_path / "id.html"

    assert run(town, "--report", named, "--focus", "ground").exit_code == 0
    assert run(town, "--report", by_id, "--focus", "0").exit_code == 0

    assert "Found, missed and false alarms are about ground." in named.read_text()
    assert by_id.read_bytes() == named.read_bytes()


def test_a_class_to_show_must_be_there_and_have_a_page(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("rsseg.evaluation.engine.count_pair")  # nothing is counted before
    page = ("--report", tmp_path / "p.html")

    assert "class 'roof': no such class" in refused(run(town, *page, "--focus", "roof"), 2)
    assert "--focus goes with --report" in refused(run(town, "--focus", "building"), 2)


def test_the_second_map_must_have_the_same_classes(town: Town, tmp_path: Path) -> None:
    many = write_raster(tmp_path / "many.tif", np.full((1, 128, 192), 7, np.uint8), nodata=255)

    assert "the second map holds id 7" in refused(run(town, "--against", many), 3)


def test_the_help_has_headings() -> None:
    lines = CliRunner().invoke(main, ["evaluate", "--help"]).stdout.splitlines()

    for heading in ("Protocol:", "Beyond the confusion matrix:", "Two class maps:", "Output:"):
        assert heading in lines


# --- a data set ------------------------------------------------------------------------------------------------------


def test_a_data_set_is_measured_and_shown_like_maps(tmp_path: Path) -> None:
    tiles = write_tiles(tmp_path / "tiles", size=(70, 90), split={"train": ["a"], "val": ["b", "c"]})
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")
    page, maps = tmp_path / "page.html", tmp_path / "maps"
    maps.mkdir()
    wanted = ("--boundary", "1", "--objects", "red", "--intervals", "16", "--json")
    data = ("evaluate", "--data", tiles, "--weights", weights, "--report", page, *wanted)

    gone = CliRunner().invoke(main, [str(arg) for arg in data])
    kept = CliRunner().invoke(main, [str(arg) for arg in (*data, "--maps", maps, "--overwrite")])
    by_hand = CliRunner().invoke(
        main, [str(arg) for arg in ("evaluate", maps, "--labels", tiles / "labels", *wanted)]
    )

    assert (gone.exit_code, kept.exit_code) == (0, 0), gone.output + kept.output
    assert "plain+boundary1px" in page.read_text()
    assert "data:image/jpeg" in page.read_text()  # the images of the data set
    for name in ("boundary", "objects", "intervals"):
        documents = [json.loads(result.stdout)[name] for result in (gone, kept, by_hand)]
        assert documents[0] == documents[1] == documents[2]
