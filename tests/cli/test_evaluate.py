"""`rsseg evaluate` as a user meets it: what it prints, and how it ends."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rsseg.cli.evaluate_pairs import _repeat_option
from rsseg.cli.main import main
from tests.making import THREE, random_pixels, write_argmax_weights, write_raster

PIXELS = np.array([[0, 0, 0, 1, 1], [1, 1, 0, 0, 1]], np.uint8)
LABELS = np.array([[0, 0, 0, 0, 1], [1, 1, 1, 1, 255]], np.uint8)
"""The matrix is [[3, 1], [2, 3]], and a pixel is without a label."""

HOUSES = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"kind": "house"},
            "geometry": {"type": "Polygon", "coordinates": [[[2, 0], [5, 0], [5, -2], [2, -2], [2, 0]]]},
        }
    ],
}


def run(*args: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, args)], input=stdin)


def refused(result: Result, code: int) -> str:
    """The message of a refusal: one line, perhaps a hint, no traceback."""
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert lines[0].startswith("Error: ")
    assert all(line.startswith("Hint: ") for line in lines[1:])
    return result.stderr


@pytest.fixture
def class_map(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "town_classes.tif", PIXELS[None], nodata=255)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "town.tif", LABELS[None], nodata=255)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "classes.json"
    names = [
        {"id": 0, "name": "ground", "color": "#000000"},
        {"id": 1, "name": "building", "color": "#FF0000"},
    ]
    path.write_text(json.dumps({"classes": names}))
    return path


@pytest.fixture
def plain_map(tmp_path: Path) -> Path:
    """A class map on which GeoJSON's coordinates are columns and rows."""
    from rasterio.transform import Affine

    transform = Affine.scale(1, -1)
    return write_raster(
        tmp_path / "plain.tif", PIXELS[None], nodata=255, crs="EPSG:4326", transform=transform
    )


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    path = tmp_path / "houses.geojson"
    path.write_text(json.dumps(HOUSES))
    return path


def test_prints_a_table(class_map: Path, labels: Path, classes: Path) -> None:
    result = run(class_map, "--labels", labels, "--classes", classes)

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "building  0.5000" in result.stdout
    assert "mean IoU                0.5000" in result.stdout
    assert "compared 9 px in 1 pair; left out 1 px without a label" in result.stdout
    assert "protocol plain" in result.stdout


def test_prints_json(class_map: Path, labels: Path, classes: Path) -> None:
    result = run(class_map, "--labels", labels, "--classes", classes, "--json")

    document = json.loads(result.stdout)
    assert document["confusion_matrix"] == [[3, 1], [2, 3]]
    assert document["classes"][1]["name"] == "building"
    assert document["classes"][1]["iou"] == 0.5
    assert document["overall_accuracy"] == pytest.approx(6 / 9)
    assert document["pairs"][0]["labels"] == str(labels)


def test_prints_csv(class_map: Path, labels: Path, classes: Path) -> None:
    result = run(class_map, "--labels", labels, "--classes", classes, "--csv")

    rows = {(score, name): value for _, score, name, value in csv.reader(result.stdout.splitlines())}
    assert float(rows["iou", "building"]) == 0.5
    assert float(rows["overall_accuracy", ""]) == pytest.approx(6 / 9)


def test_csv_and_json_exclude_each_other(class_map: Path, labels: Path) -> None:
    assert "--csv and --json exclude" in refused(run(class_map, "--labels", labels, "--csv", "--json"), 2)


def test_without_class_names_it_says_so_and_quiet_does_not(class_map: Path, labels: Path) -> None:
    talkative, quiet = run(class_map, "--labels", labels), run(class_map, "--labels", labels, "-q")

    assert "Note: the class maps do not name their classes; 2 are assumed" in talkative.stderr
    assert quiet.stderr == ""
    assert quiet.stdout == talkative.stdout


def test_classes_can_come_from_weights(class_map: Path, labels: Path, tmp_path: Path) -> None:
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")

    result = run(class_map, "--labels", labels, "--classes", weights, "--json")

    assert [c["name"] for c in json.loads(result.stdout)["classes"]] == list(THREE.names)
    assert json.loads(result.stdout)["classes"][2]["iou"] is None


def test_unknown_weights_and_classes_are_refused(class_map: Path, labels: Path) -> None:
    assert "unknown weights" in refused(run(class_map, "--labels", labels, "--classes", "no-such-weights"), 4)
    assert "cannot be read" in refused(run(class_map, "--labels", labels, "--classes", "gone.json"), 3)


def test_a_predicted_map_is_compared_with_what_the_network_must_say(tmp_path: Path) -> None:
    pixels = random_pixels(50, 64)
    image = write_raster(tmp_path / "town.tif", pixels)
    truth = write_raster(tmp_path / "truth.tif", pixels.argmax(axis=0).astype(np.uint8)[None])
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")
    class_map = tmp_path / "town_classes.tif"

    predicted = CliRunner().invoke(
        main, ["predict", str(image), "-o", str(class_map), "--weights", str(weights)]
    )
    result = run(class_map, "--labels", truth, "--json")

    assert predicted.exit_code == 0, predicted.output
    document = json.loads(result.stdout)
    assert {c["name"]: c["iou"] for c in document["classes"]} == dict.fromkeys(THREE.names, 1.0)
    assert np.sum(document["confusion_matrix"]) == 50 * 64
    assert (document["overall_accuracy"], document["kappa"], document["mean_f1"]) == (1.0, 1.0, 1.0)


def test_ctrl_c_ends_quietly(class_map: Path, labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rsseg.evaluation.counters.count_pixels", interrupted)

    result = run(class_map, "--labels", labels)

    assert result.exit_code == 130
    assert result.stdout == ""
    assert "Interrupted" in result.stderr
    assert "Traceback" not in result.stderr


# --- which with which ----------------------------------------------------------------------------------------------


def test_several_labels_follow_the_option(class_map: Path, labels: Path, tmp_path: Path) -> None:
    other = write_raster(tmp_path / "other.tif", LABELS[None], nodata=255)

    result = run(class_map, class_map, "--labels", labels, other, "--json")

    document = json.loads(result.stdout)
    assert [pair["labels"] for pair in document["pairs"]] == [str(labels), str(other)]
    assert document["confusion_matrix"] == [[6, 2], [4, 6]]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("m --labels a b -q", "m --labels a --labels b -q"),
        ("m --labels a b --aoi f n --labels c d", "m --labels a --labels b --aoi f n --labels c --labels d"),
        ("m --labels=a b", "m --labels=a --labels b"),
        ("m -q", "m -q"),
        ("m --labels", "m --labels"),
    ],
)
def test_the_option_is_repeated_for_each_file(args: str, expected: str) -> None:
    assert _repeat_option(args.split(), "--labels") == expected.split()


def test_folders_are_joined_by_name(tmp_path: Path) -> None:
    for folder, name, ids in [("maps", "a_classes.tif", PIXELS), ("labels", "a.tif", LABELS)]:
        (tmp_path / folder).mkdir()
        write_raster(tmp_path / folder / name, ids[None], nodata=255)

    result = run(tmp_path / "maps", "--labels", tmp_path / "labels", "--json")

    assert json.loads(result.stdout)["confusion_matrix"] == [[3, 1], [2, 3]]


def test_other_numbers_of_maps_and_labels_are_refused(class_map: Path, labels: Path) -> None:
    message = refused(run(class_map, class_map, class_map, "--labels", labels, labels), 2)

    assert "3 class maps but 2 labels" in message


def test_labels_before_the_maps_swallow_them(class_map: Path, labels: Path) -> None:
    message = refused(run("--labels", labels, class_map), 2)

    assert "no class map is given" in message
    assert "rsseg evaluate MAP... --labels LABEL..." in message


def test_class_maps_come_from_standard_input(class_map: Path, labels: Path) -> None:
    result = run("-", "--labels", labels, "--json", stdin=f"{class_map}\n\n")

    assert json.loads(result.stdout)["pairs"][0]["prediction"] == str(class_map)


def test_the_maps_that_predict_prints_can_be_piped_on(tmp_path: Path) -> None:
    pixels = random_pixels(50, 64)
    image = write_raster(tmp_path / "town.tif", pixels)
    truth = write_raster(tmp_path / "truth.tif", pixels.argmax(axis=0).astype(np.uint8)[None])
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")
    command = ["predict", str(image), "-o", str(tmp_path / "map.tif"), "--weights", str(weights)]

    predicted = CliRunner().invoke(main, command)
    result = run("-", "--labels", truth, "--json", stdin=predicted.stdout)

    assert json.loads(result.stdout)["overall_accuracy"] == 1.0


def pair_lines(class_map: Path, *labels: Path, end: str = "\n") -> str:
    return "".join(f"{class_map}\t{path}{end}" for path in labels)


def test_pairs_come_from_standard_input_or_a_file(class_map: Path, labels: Path, tmp_path: Path) -> None:
    listed, copy = tmp_path / "pairs.tsv", tmp_path / f"copy{labels.suffix}"
    copy.write_bytes(labels.read_bytes())
    listed.write_bytes(pair_lines(class_map, labels, copy, end="\r\n").encode())

    piped = run("--pairs", "-", "--json", stdin=pair_lines(class_map, labels, copy))
    read = run("--pairs", listed, "--json")

    assert json.loads(piped.stdout)["confusion_matrix"] == [[6, 2], [4, 6]]
    assert read.stdout == piped.stdout


@pytest.mark.parametrize(
    ("args", "stdin", "message"),
    [
        (("--pairs", "-"), "", "standard input: lists no pair"),
        (
            ("--pairs", "-"),
            "\nmap.tif\n",
            "standard input, line 2: has 1 columns, expected a class map, a tab",
        ),
        (("--pairs", "-"), "a\tb\tc", "line 1: has 3 columns"),
        (("--pairs", "gone.tsv"), None, "--pairs gone.tsv: cannot be read (No such file"),
        (("map.tif", "--pairs", "-"), "", "--pairs names class maps and labels"),
        (("-", "--labels", "a.tif"), "", "no class map is given"),
        (("-",), "a.tif", "no labels are given"),
    ],
)
def test_lists_that_are_no_pairs_are_refused(args: tuple[str, ...], stdin: str | None, message: str) -> None:
    assert message in refused(run(*args, stdin=stdin), 2)


def test_listed_files_that_are_not_there_are_named(class_map: Path) -> None:
    message = refused(run("--pairs", "-", stdin=f"{class_map}\tgone.tif\n"), 3)

    assert "gone.tif: no such labels" in message


# --- protocols and moves ---------------------------------------------------------------------------------------------


def test_every_number_says_its_protocol(class_map: Path, labels: Path) -> None:
    args = (class_map, "--labels", labels, "--protocol", "isprs", "--erode", "given")

    table, document = run(*args), json.loads(run(*args, "--json").stdout)
    rows = list(csv.DictReader(run(*args, "--csv").stdout.splitlines()))

    assert (
        "\nprotocol isprs+eroded-labels: Vaihingen and Potsdam: means over the five classes" in table.stdout
    )
    assert "\nnot in the means: clutter" in table.stdout
    assert "Note: the class maps do not name their classes; taken for those of isprs" in table.stderr
    assert document["protocol"] == document["pairs"][0]["protocol"] == "isprs+eroded-labels"
    assert document["mean_over"] == ["impervious_surface", "building", "low_vegetation", "tree", "car"]
    assert {row["protocol"] for row in rows} == {"isprs+eroded-labels"}


def test_eroded_labels_leave_nothing_of_a_small_raster(class_map: Path, labels: Path) -> None:
    message = refused(run(class_map, "--labels", labels, "--erode", "3"), 3)

    assert "nothing to compare with" in message
    assert "10 px have no label" in message


def test_the_benchmark_score_can_be_asked_for(class_map: Path, labels: Path) -> None:
    args = (class_map, "--labels", labels, "--protocol", "ade20k")

    assert "benchmark score" in run(*args).stdout
    assert run(*args, "--fail-under", "benchmark_score=0.5").exit_code == 0
    assert run(*args, "--fail-under", "benchmark_score=0.6").exit_code == 7
    message = run(class_map, "--labels", labels, "--fail-under", "benchmark_score=0.5").stderr
    assert "the protocol plain has no such score" in message


def test_classes_can_be_moved(class_map: Path, labels: Path, classes: Path) -> None:
    args = (class_map, "--labels", labels, "--classes", classes, "--map", "labels:building=ground", "--json")

    result = run(*args)

    assert json.loads(result.stdout)["confusion_matrix"] == [[5, 4], [0, 0]]
    assert f"Note: {labels}: building counted as ground, 5 px" in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--protocol", "voc"), "protocol 'voc': unknown"),
        (("--protocol", "uavid", "--erode", "3"), "the protocol uavid is taken on whole labels"),
        (("--erode", "99"), "--erode 99: expected 1 to 64 px"),
        (("--map", "tree"), "--map tree: is not of the form FROM=TO"),
        (("--map", "labels:=1"), "is not of the form FROM=TO"),
        (("--map", "tree=1"), "no raster has the class 'tree'"),
        (("--map", "0=tree"), "the class maps do not name their classes"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    class_map: Path, labels: Path, args: tuple[str, ...], message: str
) -> None:
    assert message in refused(run(class_map, "--labels", labels, *args), 2)


def test_an_erosion_that_is_no_number_is_a_usage_error(class_map: Path, labels: Path) -> None:
    result = run(class_map, "--labels", labels, "--erode", "much")

    assert result.exit_code == 2
    assert "'much' is neither a number of pixels nor given" in result.stderr


def test_the_help_names_every_protocol() -> None:
    from rsseg.evaluation import PROTOCOLS

    said = "".join(run("--help").stdout.split())
    assert f"Howscoresaretaken:{','.join(PROTOCOLS)}." in said


def test_labels_are_read_as_they_were_handed_out(class_map: Path, labels: Path, tmp_path: Path) -> None:
    raw = np.where(LABELS == 255, 0, LABELS + 1).astype(np.uint8)
    files = ("--labels", write_raster(tmp_path / "raw.tif", raw[None]), "--labels-as", "loveda")

    result = run(class_map, *files, "--protocol", "loveda", "--json")

    document = json.loads(result.stdout)
    assert [row[:2] for row in document["confusion_matrix"][:2]] == [[3, 1], [2, 3]]
    assert document["ignored_pixels"] == 1
    assert [c["name"] for c in document["classes"]][:2] == ["background", "building"]
    assert "Note: labels are read as loveda hands them out, 7 classes by value; left out: 0" in result.stderr


def test_labels_that_were_not_handed_out_so_are_refused_in_a_line(class_map: Path, tmp_path: Path) -> None:
    files = ("--labels", write_raster(tmp_path / "raw.tif", np.full((1, 2, 5), 9, np.uint8)))

    message = refused(run(class_map, *files, "--labels-as", "loveda"), 3)

    assert "raw.tif: has the value 9 at column 0, row 0" in message
    assert "Hint: is this the right data set" in message
    assert "labels of 'loda': unknown" in refused(run(class_map, *files, "--labels-as", "loda"), 2)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--labels-as", "loda"), "labels of 'loda': unknown"),
        (("--labels-as", "isprs", "--erode", "given"), "these are whole references"),
        (("--labels-as", "uavid", "--erode", "given"), "never handed out without the edges of objects"),
        (("--classes", "gone.json"), "gone.json"),
        (("--attribute", "kind"), "an attribute and the classes of its values belong together"),
    ],
)
@pytest.mark.parametrize("waiting", [("-", "--labels", "there"), ("--pairs", "-")])
def test_what_can_be_refused_is_refused_before_standard_input_is_read(
    waiting: tuple[str, ...], args: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> list[str]:
        raise AssertionError("the work before it may take hours")

    monkeypatch.setattr("rsseg.cli.evaluate_pairs._standard_input", read)

    result = run(*waiting, *args)

    assert result.exit_code in (2, 3)
    assert message in result.stderr


def test_the_help_says_what_ids_are_moved() -> None:
    assert "not the value in the file" in " ".join(run("--help").stdout.split())


def test_the_help_names_every_coding_of_labels() -> None:
    from rsseg.data.presets.codings import PUBLISHED_LABELS

    said = run("--help").stdout
    assert f"handsthemout:{','.join(PUBLISHED_LABELS)}." in "".join(said.split())
    assert "--labels-as loveda --protocol loveda" in said


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_matter(class_map: Path, labels: Path, threads: int) -> None:
    result = run(class_map, "--labels", labels, "--threads", threads, "--json")

    assert json.loads(result.stdout)["confusion_matrix"] == [[3, 1], [2, 3]]


# --- polygons ------------------------------------------------------------------------------------------------------


def test_polygons_of_one_class(plain_map: Path, houses: Path, classes: Path) -> None:
    result = run(plain_map, "--labels", houses, "--class", "building", "--classes", classes, "--json")

    assert json.loads(result.stdout)["confusion_matrix"] == [[2, 2], [3, 3]]


def test_polygons_with_an_attribute(plain_map: Path, houses: Path, classes: Path) -> None:
    rules = ("--attribute", "kind", "--value", "house=building", "--unlabelled", "ignore")

    result = run(plain_map, "--labels", houses, *rules, "--classes", classes, "--json")

    document = json.loads(result.stdout)
    assert document["confusion_matrix"] == [[0, 0], [3, 3]]
    assert document["ignored_pixels"] == 4


def test_a_value_can_be_left_out(plain_map: Path, houses: Path, classes: Path) -> None:
    rules = ("--attribute", "kind", "--value", "house=ignore", "--unlabelled", "building")

    result = run(plain_map, "--labels", houses, *rules, "--classes", classes, "--json")

    assert json.loads(result.stdout)["confusion_matrix"] == [[0, 0], [2, 2]]
    assert json.loads(result.stdout)["ignored_pixels"] == 6


def test_an_area_of_interest(plain_map: Path, houses: Path, classes: Path) -> None:
    result = run(plain_map, "--labels", plain_map, "--aoi", houses, "--classes", classes, "--json")

    assert json.loads(result.stdout)["confusion_matrix"] == [[3, 0], [0, 3]]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "these labels are polygons; which class they are is not said"),
        (("--class", "hut"), "class 'hut': no such class"),
        (("--class", "building", "--attribute", "kind", "--value", "house=1"), "exclude each other"),
        (("--attribute", "kind"), "belong together"),
        (("--class", "building", "--unlabelled", "sea"), "class 'sea': no such class"),
    ],
)
def test_incomplete_rules_are_refused(
    plain_map: Path, houses: Path, classes: Path, args: tuple[str, ...], message: str
) -> None:
    assert message in refused(run(plain_map, "--labels", houses, "--classes", classes, *args), 2)


def test_a_value_without_a_class_is_a_usage_error(plain_map: Path, houses: Path) -> None:
    result = run(plain_map, "--labels", houses, "--attribute", "kind", "--value", "house")

    assert result.exit_code == 2
    assert "'house' is not of the form VALUE=CLASS" in result.stderr


# --- thresholds and the picture --------------------------------------------------------------------------------------


def test_a_score_that_is_high_enough(class_map: Path, labels: Path, classes: Path) -> None:
    result = run(class_map, "--labels", labels, "--classes", classes, "--fail-under", "iou:building=0.5")

    assert result.exit_code == 0


def test_a_score_that_is_too_low_fails_after_the_table(class_map: Path, labels: Path, classes: Path) -> None:
    result = run(
        *(class_map, "--labels", labels, "--classes", classes),
        *("--fail-under", "mean_iou=0.4", "--fail-under", "iou:building=0.51"),
    )

    assert result.exit_code == 7
    assert "mean IoU                0.5000" in result.stdout
    assert result.stderr == "Error: iou:building is 0.5, at least 0.51 was asked for (protocol plain)\n"


def test_an_unknown_score_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    gone = tmp_path / "gone.tif"

    assert "'miou' is no score" in refused(run(gone, "--labels", gone, "--fail-under", "miou=0.5"), 2)


def test_the_confusion_matrix_can_be_drawn(class_map: Path, labels: Path, tmp_path: Path) -> None:
    picture = tmp_path / "matrix.png"

    result = run(class_map, "--labels", labels, "--plot", picture)

    assert result.exit_code == 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_picture_is_not_overwritten_unasked(class_map: Path, labels: Path, tmp_path: Path) -> None:
    picture = tmp_path / "matrix.png"
    picture.write_text("mine")

    message = refused(run(class_map, "--labels", labels, "--plot", picture), 2)

    assert "exists already" in message
    assert picture.read_text() == "mine"
    assert run(class_map, "--labels", labels, "--plot", picture, "--overwrite").exit_code == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_full_disk_is_said_in_a_line_after_the_table(
    class_map: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _content: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)

    result = run(class_map, "--labels", labels, "--plot", tmp_path / "m.png", "-q")

    assert result.exit_code == 5
    assert "mean IoU" in result.stdout
    assert result.stderr.startswith(f"Error: {tmp_path / 'm.png'}: cannot be written (No space left")
    assert "Hint: " in result.stderr


def test_a_picture_is_a_png_in_a_folder_that_exists(class_map: Path, labels: Path, tmp_path: Path) -> None:
    assert "PNG" in refused(run(class_map, "--labels", labels, "--plot", tmp_path / "matrix.svg"), 2)
    assert "does not exist" in refused(
        run(class_map, "--labels", labels, "--plot", tmp_path / "no" / "m.png"), 2
    )


# --- bad input -------------------------------------------------------------------------------------------------------


def not_a_raster(folder: Path) -> Path:
    path = folder / "text.tif"
    path.write_text("this is no raster")
    return path


def image(folder: Path, **profile: Any) -> Path:
    return write_raster(folder / "image.tif", np.zeros((3, 2, 5), np.uint8), **profile)


def test_files_that_are_not_there(class_map: Path, labels: Path) -> None:
    assert "gone.tif: no such class map" in refused(run("gone.tif", "--labels", labels), 3)
    assert "gone.tif: no such labels" in refused(run(class_map, "--labels", "gone.tif"), 3)


def test_a_text_file_called_tif(class_map: Path, labels: Path, tmp_path: Path) -> None:
    text = not_a_raster(tmp_path)

    assert "text.tif: is not a raster" in refused(run(text, "--labels", labels), 3)
    assert "text.tif: is not a raster" in refused(run(class_map, "--labels", text), 3)


def test_an_image_instead_of_a_class_map(labels: Path, tmp_path: Path) -> None:
    message = refused(run(image(tmp_path), "--labels", labels), 3)

    assert "image.tif: has 3 bands, expected one band of class ids: this is no class map" in message
    assert "Hint: `rsseg predict` makes class maps" in message


def test_labels_of_another_size(class_map: Path, tmp_path: Path) -> None:
    small = write_raster(tmp_path / "small.tif", LABELS[None, :, :4], nodata=255, crs=None, transform=None)

    message = refused(run(class_map, "--labels", small), 3)

    assert "small.tif: is 4 x 2 px" in message
    assert "town_classes.tif is 5 x 2 px" in message


def test_labels_outside_the_classes(class_map: Path, classes: Path, tmp_path: Path) -> None:
    wrong = write_raster(tmp_path / "wrong.tif", LABELS[None] * np.uint8(3), nodata=None)

    message = refused(run(class_map, "--labels", wrong, "--classes", classes), 3)

    assert "5 x 2 px at column 0, row 0: labels hold id 3 (5 px), id 253 (1 px)" in message


def test_labels_are_required(class_map: Path) -> None:
    result = run(class_map)

    assert result.exit_code == 2
    assert "no labels are given" in result.stderr
    assert "--labels LABEL..., or --pairs FILE" in result.stderr


def test_help_shows_examples_line_by_line() -> None:
    lines = [line.strip() for line in run("--help").stdout.splitlines()]

    assert "rsseg evaluate town_classes.tif --labels town_labels.tif" in lines
