"""The page of an evaluation: what stands on it, and what does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsseg.classes import ClassTable
from rsseg.errors import OptionError, RasterError, ResourceError
from rsseg.evaluation import EvaluateOptions, Pair, evaluate_maps
from rsseg.evaluation.page import page_counters, places, write_report
from rsseg.evaluation.page.pictures import OUTCOMES
from rsseg.evaluation.page.provenance import MOST_ROWS, names_of
from rsseg.evaluation.page.writing import WINDOW_SIDE, WINDOWS
from rsseg.evaluation.result import Evaluation
from rsseg.version import __version__
from tests.evaluation.files import DEGREES, NOWHERE, random_ids, write_ids
from tests.evaluation.pages import ALL_MEASURES, NASTY, Report, Seen, make_report, read_page
from tests.making import THREE, UTM, random_pixels, write_raster

TWO = ClassTable(NASTY.classes[:2])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """All that can be measured, of two pairs."""
    return make_report(tmp_path_factory.mktemp("page"), pairs=2, measures=ALL_MEASURES, confidence=True)


def numbers_of(document: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """All numbers of a JSON document with their keys; ids of classes and bins without a pixel are left out."""
    if isinstance(document, dict) and document.get("pixels") != 0:
        for name, value in document.items():
            yield from numbers_of(value, name)
    elif isinstance(document, list):
        for value in document:
            yield from numbers_of(value, key)
    elif isinstance(document, int | float) and not isinstance(document, bool) and key != "id":
        yield key, document


def written(key: str, value: float) -> str:
    """A number as the page has it."""
    if key == "nodata_share":
        return f"{100 * value:.2f}"
    if key in ("from", "to"):
        return f"{value:.2f}"
    if key == "level":
        return f"{100 * value:g}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def test_every_number_of_the_json_is_on_the_page(report: Report) -> None:
    on_page = set(re.findall(r"\d[\d,]*(?:\.\d+)?", report.page.text))

    numbers = {(key, written(key, value)) for key, value in numbers_of(report.evaluation.to_dict())}

    assert len(numbers) > 200
    assert {(key, text) for key, text in numbers if text.lstrip("-") not in on_page} == set()


def test_every_score_stands_beside_its_protocol(report: Report) -> None:
    assert [card.split()[-1] for card in report.page.cards] == ["plain"] * len(report.evaluation.summary)
    for table in report.page.tables:
        if re.search(r"\b[01]\.\d{4}\b", " ".join(table)):
            protocol = re.search(r"protocol (plain\S*)", table[0] or table[1])
            assert protocol or table.count("protocol"), table[:5]
    for section in report.evaluation.sections:
        assert f"protocol {section.protocol}" in report.page.text


def test_the_page_names_version_protocol_and_files_with_hashes(report: Report) -> None:
    text = report.page.text

    assert f"rsseg {__version__}" in text
    assert report.evaluation.measure.text in text
    for pair in report.evaluation.pairs:
        assert pair.prediction.name in text
    assert len(re.findall(r"\b[0-9a-f]{64}\b", text)) == 6
    assert re.search(r"image0\.tif \d+,\d{3} - ", text)


def test_names_are_text_and_nothing_else(report: Report) -> None:
    source = report.path.read_text(encoding="utf-8")

    assert len(report.page.named("script")) == len(report.page.named("style")) == 1
    assert "<script>alert" not in source
    for name in NASTY.names:
        assert name in report.page.text
    assert "map0 & <b>.tif" in report.page.text
    assert report.page.named("b") != []  # of our own, in the matrix
    assert all("onload" not in attributes for _, attributes in report.page.tags)


def test_nothing_is_fetched(report: Report) -> None:
    source = report.path.read_text(encoding="utf-8")

    assert "://" not in source
    assert "@import" not in source
    assert report.page.named("link") == []
    for _, attributes in report.page.tags:
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "#").startswith("#")
    assert set(re.findall(r"url\(([^;)]{0,12})", source)) == {"data:image/j"}


def test_pictures_have_texts_and_tables_have_heads(report: Report) -> None:
    pictures = report.page.named("img")
    ids = [attributes["id"] for _, attributes in report.page.tags if "id" in attributes]

    assert pictures
    assert all(picture["alt"] for picture in pictures)
    assert {head["scope"] for head in report.page.named("th")} == {"row", "col"}
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in report.page.named("a")} <= set(ids)


def test_the_same_evaluation_gives_the_same_bytes(report: Report, tmp_path: Path) -> None:
    images = [report.path.parent / f"image{number}.tif" for number in range(2)]

    write_report(tmp_path / "again.html", report.evaluation, images=images)

    assert (tmp_path / "again.html").read_bytes() == report.path.read_bytes()


def test_what_was_not_measured_says_how_to_get_it(tmp_path: Path) -> None:
    page = make_report(tmp_path).page

    for option in ("--intervals", "--boundary", "--objects", "--confidence", "--areas"):
        assert option in page.text
    assert not page.named("polyline")
    assert " to " not in " ".join(page.cards)


def test_all_that_was_measured_is_not_said_to_be_missing(report: Report) -> None:
    assert "Not measured" not in report.page.text
    assert report.page.named("polyline")
    assert all(" to " in card for card in report.page.cards)


def test_without_an_image_the_page_says_how_to_show_it(tmp_path: Path) -> None:
    report = make_report(tmp_path, images=False)

    assert "--image" in report.page.text
    assert "jpeg" not in report.path.read_text(encoding="utf-8")


def test_of_two_classes_missed_and_false_alarms_are_told_apart(tmp_path: Path) -> None:
    page = make_report(tmp_path, classes=TWO).page

    assert legend_of(page) == ["right", "found", "missed", "false alarm", "no data", "no label"]
    assert f"are about {TWO.names[1]}" in page.text
    assert chosen(page) == "1"


def test_of_more_classes_only_when_one_is_asked_for(report: Report, tmp_path: Path) -> None:
    assert legend_of(report.page) == ["right", "wrong", "no data", "no label"]
    assert "are about" not in report.page.text
    assert chosen(report.page) is None

    for focus in (NASTY.names[0], "0"):
        write_report(tmp_path / "focus.html", report.evaluation, focus=focus)

        page = read_page(tmp_path / "focus.html")
        assert f"are about {NASTY.names[0]}" in page.text
        assert chosen(page) == "0"
        assert legend_of(page) == [
            *("right", "found", "missed", "false alarm", "other errors", "no data", "no label"),
        ]


def test_every_class_can_be_chosen_on_the_page(report: Report) -> None:
    options = [o for o in report.page.named("option") if o["value"].isdecimal() or not o["value"]]

    assert [o["value"] for o in options] == ["", "0", "1", "2"]
    assert "Errors of all classes, in one colour" in report.page.text


def legend_of(page: Seen) -> list[str]:
    """What the first legend of errors explains."""
    codes = [item for item in page.named("li") if "data-code" in item]
    return [OUTCOMES[int(item["data-code"])].name for item in codes[: len(OUTCOMES)] if "hidden" not in item]


def chosen(page: Seen) -> str | None:
    """The class that is chosen in the first place."""
    return next((o["value"] for o in page.named("option") if "selected" in o), None)


def test_an_unknown_class_is_refused(report: Report, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="class 'roof': no such class"):
        write_report(tmp_path / "focus.html", report.evaluation, focus="roof")


def compared(folder: Path, label: np.ndarray, prediction: np.ndarray, **place: Any) -> Evaluation:
    """An evaluation of one pair, ready for a page."""
    pair = Pair(
        write_ids(folder / "map.tif", prediction, **place), write_ids(folder / "label.tif", label, **place)
    )
    return evaluate_maps([pair], THREE, options=EvaluateOptions(threads=1), counters=page_counters(1))


def test_worst_windows_have_coordinates_and_a_reason(tmp_path: Path) -> None:
    label = np.zeros((2 * WINDOW_SIDE, 2 * WINDOW_SIDE), np.uint8)
    prediction = label.copy()
    prediction[300:310, 10:30] = 2

    write_report(tmp_path / "r.html", compared(tmp_path, label, prediction, **DEGREES))

    text = read_page(tmp_path / "r.html").text
    assert "1. map.tif, 256 x 256 px at column 0, row 256" in text
    assert "200 of 65,536 compared px wrong (0.31 %)" in text
    assert "Columns 0 to 255, rows 256 to 511 of the class map" in text
    assert (
        "Middle at x 85.001280, y 26.996160 in EPSG:4326; latitude 26.996160° N, longitude 85.001280° E"
        in text
    )
    assert "Most of it: red in the labels, blue in the map (100.00 %)" in text
    assert "2. map.tif" not in text


def test_a_raster_without_a_place_has_pixel_coordinates_only(tmp_path: Path) -> None:
    ids = random_ids(20, 30, seed=1), random_ids(20, 30, seed=2)

    write_report(tmp_path / "r.html", compared(tmp_path, *ids, **NOWHERE))

    text = read_page(tmp_path / "r.html").text
    assert "Columns 0 to 29, rows 0 to 19" in text
    assert "Middle at" not in text


def test_metres_are_named_with_their_crs_and_degrees(tmp_path: Path) -> None:
    ids = random_ids(20, 30, seed=1), random_ids(20, 30, seed=2)

    write_report(tmp_path / "r.html", compared(tmp_path, *ids, **UTM))

    assert re.search(
        r"x 350002\.2, y 3059998\.5 in EPSG:32645; latitude 27\.6\d+° N, longitude 85\.4\d+° E",
        read_page(tmp_path / "r.html").text,
    )


def test_a_right_map_has_no_worst_windows(tmp_path: Path) -> None:
    ids = random_ids(20, 30, seed=1)

    write_report(tmp_path / "r.html", compared(tmp_path, ids, ids, **DEGREES))

    assert "No pixel is wrong." in read_page(tmp_path / "r.html").text


def test_a_map_that_is_gone_still_has_its_page(tmp_path: Path) -> None:
    report = make_report(tmp_path)
    gone = replace(
        report.evaluation, pairs=(replace(report.evaluation.pairs[0], prediction=Path("gone.tif")),)
    )

    write_report(tmp_path / "gone.html", gone, images=[tmp_path / "image0.tif"])

    assert "Evaluation of gone.tif" in read_page(tmp_path / "gone.html").text


def test_class_maps_tell_how_they_were_predicted(tmp_path: Path) -> None:
    ids = random_ids(20, 30, seed=1)
    evaluation = compared(tmp_path, ids, ids, **DEGREES)
    import rasterio

    with rasterio.open(tmp_path / "map.tif", "r+") as dataset:
        dataset.update_tags(RSSEG_WEIGHTS="buildings", RSSEG_HALO="64", OTHER="x")

    write_report(tmp_path / "r.html", evaluation, made_with={"data set": "villages"})

    text = read_page(tmp_path / "r.html").text
    assert "How map.tif was predicted weights buildings halo 64" in text
    assert "data set villages" in text


def test_an_image_on_other_pixels_is_refused(tmp_path: Path) -> None:
    evaluation = make_report(tmp_path, images=False).evaluation
    image = write_raster(tmp_path / "other.tif", random_pixels(70, 91), **DEGREES)

    with pytest.raises(RasterError, match=r"other\.tif: is 91 x 70 px"):
        write_report(tmp_path / "r.html", evaluation, images=[image])


def test_a_page_that_cannot_be_written_is_an_error(report: Report, tmp_path: Path) -> None:
    with pytest.raises(ResourceError):
        write_report(tmp_path / "nowhere" / "r.html", report.evaluation)


def test_noise_makes_the_largest_page_and_it_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, windows, maps = (1024, 768), 3_400_000, 500_000
    assert windows + places.MOST_CHARACTERS < 8_000_000
    monkeypatch.setattr(places, "MOST_CHARACTERS", maps)
    label, prediction = random_ids(*size, seed=1), random_ids(*size, seed=2)
    image = write_raster(tmp_path / "image.tif", random_pixels(*size), **DEGREES)

    write_report(tmp_path / "r.html", compared(tmp_path, label, prediction, **DEGREES), images=[image])

    page = read_page(tmp_path / "r.html")
    assert maps < (tmp_path / "r.html").stat().st_size < windows + maps
    assert len([h for h in page.named("h3") if h.get("id", "").startswith("worst-")]) == WINDOWS


def test_of_many_pairs_the_worst_are_drawn_and_the_first_listed(tmp_path: Path) -> None:
    report = make_report(tmp_path, pairs=8, size=(12, 12))
    drawn = [h for h in report.page.named("h3") if h.get("id", "").startswith("map-")]

    assert len(drawn) == 6
    assert "Of 8 class maps the 6 with the most wrong pixels are drawn." in report.page.text

    pair = report.evaluation.pairs[0]
    many = replace(report.evaluation, pairs=(pair,) * (MOST_ROWS + 3))
    write_report(tmp_path / "many.html", many)
    assert "3 more pairs are in --json." in read_page(tmp_path / "many.html").text


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    paths = [Path("/a/b/images/x.tif"), Path("/a/b/labels/x.tif"), Path("/a/y.tif"), Path("x.tif")]

    names = names_of([*paths, paths[0]])

    assert [names[path] for path in paths] == ["images/x.tif", "labels/x.tif", "y.tif", "x.tif"]
    assert len(set(names_of([Path("a/z.tif"), Path("b/a/z.tif")]).values())) == 2
