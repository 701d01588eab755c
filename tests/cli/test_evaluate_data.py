"""`rsseg evaluate --data`: the scores are those of predicting and evaluating by hand, and those of training."""

from __future__ import annotations

import errno
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rsseg.classes import ClassInfo, ClassTable
from rsseg.cli.main import main
from rsseg.data.presets.folders import load_table
from rsseg.evaluation import confusion_matrix
from rsseg.preprocess import Scaling
from rsseg.weights import WeightCard, init_weights, load_card, save_weights
from tests.data.labelled import brightest, replace_label, square, write_classes, write_features, write_tiles
from tests.data.published import class_ids, image, write_loveda, write_vaihingen
from tests.evaluation.pages import read_page
from tests.making import THREE, random_pixels, read_band, write_argmax_weights, write_raster

MACHINE = ("--device", "cpu", "--precision", "fp32", "--threads", "1")
SPLIT = {"train": ["a"], "val": ["b", "c"]}


def rsseg(*args: object) -> Result:
    return CliRunner().invoke(main, list(map(str, args)))


def evaluate(*args: object) -> dict[str, Any]:
    result = rsseg("evaluate", *args, *MACHINE, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def by_hand(image: Path, output: Path, weights: Path, *options: object) -> Path:
    result = rsseg("predict", image, "-o", output, "--weights", weights, *MACHINE, *options)
    assert result.exit_code == 0, result.output
    return output


def compared(document: dict[str, Any]) -> dict[str, Any]:
    """What does not tell how the map came to be there."""
    pairs = [{k: v for k, v in p.items() if k not in ("prediction", "notes")} for p in document["pairs"]]
    return {**{k: v for k, v in document.items() if k != "made_with"}, "pairs": pairs}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_argmax_weights(tmp_path / "argmax.safetensors")


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Labels that are not always the brightest band, some of them missing, and images without data here and there."""
    folder = write_tiles(tmp_path / "tiles", size=(70, 90), split=SPLIT)
    for seed, name in enumerate(SPLIT["val"]):
        pixels = random_pixels(70, 90, seed=20 + seed)
        pixels[:, 30:50, 40:60] = 0
        write_raster(folder / "images" / f"{name}.tif", pixels, nodata=0)
        label = brightest(pixels)[0]
        label[:20] = (label[:20] + 1) % 3
        label[:, 80:] = 255
        replace_label(folder, name, label)
    return folder


def test_it_is_what_predict_and_evaluate_say(tiles: Path, weights: Path, tmp_path: Path) -> None:
    maps = [by_hand(tiles / "images" / f"{n}.tif", tmp_path / f"{n}.tif", weights) for n in SPLIT["val"]]
    labels = [tiles / "labels" / f"{n}.tif" for n in SPLIT["val"]]

    found = evaluate("--data", tiles, "--weights", weights)

    hand = json.loads(rsseg("evaluate", *maps, "--labels", *labels, "--json").stdout)
    assert compared(found) == compared(hand)
    assert found["nodata_pixels"] == 2 * 20 * 20
    assert 0 < found["overall_accuracy"] < 1


def test_other_parts_are_predicted_when_asked_for(tiles: Path, weights: Path) -> None:
    found = evaluate("--data", tiles, "--split", "train", "--weights", weights)

    assert [pair["labels"] for pair in found["pairs"]] == [str(tiles / "labels" / "a.tif")]
    assert found["overall_accuracy"] == 1.0


def test_polygons_count_in_their_area_and_edges_as_by_hand(weights: Path, tmp_path: Path) -> None:
    write_classes(tmp_path)
    write_raster(tmp_path / "town.tif", random_pixels(64, 80))
    write_features(tmp_path / "drawn.geojson", square(5, 5, 20, kind="g"), square(20, 8, 30, kind="b"))
    write_features(tmp_path / "train.geojson", square(0, 40, 20))
    write_features(tmp_path / "val.geojson", square(3, 3, 36))
    drawn = (
        'image = "town.tif"\nlabels = "drawn.geojson"\nattribute = "kind"\n'
        'values = {g = "green", b = "blue"}\nunlabelled = "red"\n'
    )
    (tmp_path / "town.toml").write_text(
        'classes = "classes.json"\n'
        + "".join(f'[[{part}]]\n{drawn}aoi = "{part}.geojson"\n' for part in ("train", "val"))
    )
    aoi = tmp_path / "val.geojson"
    rules = (
        "--attribute",
        "kind",
        "--value",
        "g=green",
        "--value",
        "b=blue",
        "--unlabelled",
        "red",
        "--aoi",
        aoi,
    )
    class_map = by_hand(tmp_path / "town.tif", tmp_path / "map.tif", weights)

    found = evaluate("--data", tmp_path / "town.toml", "--weights", weights, "--erode", 2)

    hand = json.loads(
        rsseg(
            "evaluate", class_map, "--labels", tmp_path / "drawn.geojson", *rules, "--erode", 2, "--json"
        ).stdout
    )
    for name in ("confusion_matrix", "pixels", "ignored_pixels", "protocol"):
        assert found[name] == hand[name]
    assert 0 < found["pixels"] < 36 * 36


def test_labels_in_colours_are_read(tmp_path: Path) -> None:
    pixels, ids = image(), class_ids(6)
    write_vaihingen(tmp_path / "v", pixels, ids, eroded=True)
    table = load_table("vaihingen").classes
    card = WeightCard(
        architecture="linear",
        encoder="",
        classes=table,
        bands=("nir", "red", "green"),
        scaling=Scaling(mean=(100.0,) * 3, std=(50.0,) * 3),
        tile=64,
        halo=0,
    )
    weights = tmp_path / "six.safetensors"
    save_weights(weights, init_weights(card, seed=1), card)
    first = tmp_path / "v" / "top" / "top_mosaic_09cm_area30.tif"
    decided = read_band(by_hand(first, tmp_path / "map.tif", weights, "--bands", "1,2,3"))

    how = ("--preset", "vaihingen-eroded", "--protocol", "isprs", "--erode", "given")
    found = evaluate("--data", tmp_path / "v", "--weights", weights, *how)

    assert found["confusion_matrix"] == confusion_matrix(ids, decided, 6).tolist()
    assert found["protocol"] == "isprs+eroded-labels"
    refused = rsseg("evaluate", "--data", tmp_path / "v", "--weights", weights, *how[:4])
    assert refused.exit_code == 2
    assert "--preset vaihingen-eroded: these references came without the edges of objects" in refused.stderr
    assert "add --erode given" in refused.stderr


def test_it_is_what_training_validated(tiles: Path, tmp_path: Path) -> None:
    recipe = "--model linear --epochs 1 --steps-per-epoch 2 --batch-size 2 --window 32 --tile 64 --halo 8"
    assert rsseg("train", tiles, "-o", tmp_path / "run", *recipe.split(), *MACHINE, "-q").exit_code == 0
    row = json.loads((tmp_path / "run" / "log.jsonl").read_text())

    found = evaluate("--data", tiles, "--weights", tmp_path / "run" / "best.safetensors")

    assert round(found["mean_iou"], 6) == row["mean_iou"]
    assert round(found["overall_accuracy"], 6) == row["overall_accuracy"]
    assert 0 < row["overall_accuracy"] < 1


# --- what is predicted, and where -----------------------------------------------------------------------------------


def test_only_labelled_ground_is_predicted(weights: Path, tmp_path: Path) -> None:
    folder = write_tiles(
        tmp_path / "wide", names=("a", "b"), size=(300, 400), split={"train": ["a"], "val": ["b"]}
    )
    label = np.full((300, 400), 255, np.uint8)
    label[200:210, 300:310] = 1
    replace_label(folder, "b", label)
    (tmp_path / "maps").mkdir()
    whole = by_hand(folder / "images" / "b.tif", tmp_path / "whole.tif", weights)

    found = evaluate("--data", folder, "--weights", weights, "--maps", tmp_path / "maps")

    kept = read_band(tmp_path / "maps" / "b_classes.tif")
    hand = json.loads(rsseg("evaluate", whole, "--labels", folder / "labels" / "b.tif", "--json").stdout)
    assert found["confusion_matrix"] == hand["confusion_matrix"]
    assert (kept[200:210, 300:310] == read_band(whole)[200:210, 300:310]).all()
    assert (kept[:128] == 255).all()
    assert (kept[:, :256] == 255).all()


def test_maps_of_one_image_are_told_apart(weights: Path, tmp_path: Path) -> None:
    write_classes(tmp_path)
    pixels = random_pixels(40, 48)
    for name in ("x", "y", "z"):
        (tmp_path / name).mkdir()
        write_raster(tmp_path / name / "town.tif", pixels)
        write_raster(tmp_path / name / "labels.tif", brightest(pixels), nodata=255)
    entries = [f'[[{part}]]\nimage = "{n}/town.tif"\nlabels = "{n}/labels.tif"\n' for part, n in
               (("train", "x"), ("val", "y"), ("val", "z"))]  # fmt: skip
    (tmp_path / "d.toml").write_text('classes = "classes.json"\n' + "".join(entries))
    (tmp_path / "maps").mkdir()

    found = evaluate("--data", tmp_path / "d.toml", "--weights", weights, "--maps", tmp_path / "maps")

    maps = [str(tmp_path / "maps" / name) for name in ("town_classes.tif", "town_2_classes.tif")]
    assert [pair["prediction"] for pair in found["pairs"]] == maps


def test_without_a_folder_nothing_is_left(
    tiles: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))

    found = evaluate("--data", tiles, "--weights", weights)

    assert list((tmp_path / "scratch").iterdir()) == []
    assert [pair["prediction"] for pair in found["pairs"]] == ["b_classes.tif", "c_classes.tif"]


def test_a_published_data_set_is_measured_and_shown(tmp_path: Path) -> None:
    ids = class_ids(7)
    write_loveda(tmp_path / "l", image(), ids)
    table = load_table("loveda").classes
    card = WeightCard(
        architecture="linear",
        encoder="",
        classes=table,
        bands=("red", "green", "blue"),
        scaling=Scaling(mean=(100.0,) * 3, std=(50.0,) * 3),
        tile=64,
        halo=0,
    )
    weights, page = tmp_path / "seven.safetensors", tmp_path / "page.html"
    save_weights(weights, init_weights(card, seed=1), card)
    how = ("--preset", "loveda", "--protocol", "loveda", "--intervals", "16", "--report", page)

    found = evaluate("--data", tmp_path / "l", "--weights", weights, *how)

    labels = np.array(found["confusion_matrix"]).sum(axis=1)
    assert labels.tolist() == (2 * np.bincount(ids[ids != 255], minlength=7)).tolist()
    assert found["intervals"]["protocol"] == "loveda+blocks16px"
    assert "loveda+blocks16px" in page.read_text()
    assert found["notes"] == []


# --- confidence, and second weights --------------------------------------------------------------------------------


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Weights that are seldom right."""
    table = load_card(str(write_argmax_weights(tmp_path / "same.safetensors")))
    path = tmp_path / "others.safetensors"
    save_weights(path, init_weights(table, seed=5), table)
    return path


def test_the_confidence_is_measured_as_by_hand(tiles: Path, weights: Path, tmp_path: Path) -> None:
    for name in SPLIT["val"]:
        by_hand(
            tiles / "images" / f"{name}.tif",
            tmp_path / f"{name}_classes.tif",
            weights,
            "--confidence",
            tmp_path / f"{name}_confidence.tif",
        )
    maps = [tmp_path / f"{name}_classes.tif" for name in SPLIT["val"]]
    labels = [tiles / "labels" / f"{name}.tif" for name in SPLIT["val"]]
    sure = [tmp_path / f"{name}_confidence.tif" for name in SPLIT["val"]]

    found = evaluate("--data", tiles, "--weights", weights, "--calibration", "--fail-over", "mce=1")

    hand = rsseg("evaluate", *maps, "--labels", *labels, "--confidence", *sure, "--json")
    assert found["calibration"] == json.loads(hand.stdout)["calibration"]
    assert found["calibration"]["pixels"] == found["pixels"]
    assert 0 < found["calibration"]["ece"] < 1


def test_second_weights_are_compared_as_by_hand(
    tiles: Path, weights: Path, others: Path, tmp_path: Path
) -> None:
    for folder, used in (("a", weights), ("b", others)):
        (tmp_path / folder).mkdir()
        for name in SPLIT["val"]:
            by_hand(tiles / "images" / f"{name}.tif", tmp_path / folder / f"{name}_classes.tif", used)

    found = evaluate("--data", tiles, "--weights", weights, "--against", others)

    hand = rsseg(
        "evaluate", tmp_path / "a", "--labels", tiles / "labels", "--against", tmp_path / "b", "--json"
    )
    expected = json.loads(hand.stdout)["comparison"]
    names = {
        "maps_a": ["b_classes.tif", "c_classes.tif"],
        "maps_b": ["against/b_classes.tif", "against/c_classes.tif"],
    }
    assert found["comparison"] == {**expected, **names}
    assert found["comparison"]["mean_iou_difference"] > 0.1


def test_what_is_kept_can_be_compared_again(tiles: Path, weights: Path, others: Path, tmp_path: Path) -> None:
    maps, wanted = tmp_path / "maps", ("--intervals", "16")
    maps.mkdir()
    data = ("--data", tiles, "--weights", weights, "--calibration", "--against", others, "--maps", maps)

    found = evaluate(*data, *wanted)

    again = rsseg(
        *(
            "evaluate",
            maps,
            "--labels",
            tiles / "labels",
            "--confidence",
            maps,
            "--against",
            maps / "against",
        ),
        *(*wanted, "--json"),
    )
    assert compared(json.loads(again.stdout)) == compared(found)
    assert sorted(path.name for path in maps.iterdir() if path.suffix != ".xml") == [
        "against",
        *(f"{name}_{kind}.tif" for name in SPLIT["val"] for kind in ("classes", "confidence")),
    ]
    for path in maps.glob("*_classes.tif*"):
        path.unlink()
    assert "b_confidence.tif: exists" in rsseg("evaluate", *data, *MACHINE).stderr
    assert not list(maps.glob("*_classes.tif"))


def test_scenes_predicted_alike_share_a_predictor(
    tiles: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rsseg.prediction.engine import Predictor

    made = list[Predictor]()
    build = Predictor.__init__

    def counted(self: Predictor, *args: Any) -> None:
        made.append(self)
        build(self, *args)

    monkeypatch.setattr(Predictor, "__init__", counted)

    evaluate("--data", tiles, "--weights", weights, "--calibration")

    assert len(made) == 1


def test_second_weights_of_other_classes_are_refused(tiles: Path, weights: Path, tmp_path: Path) -> None:
    other = write_argmax_weights(tmp_path / "four.safetensors", bands=4)

    result = rsseg("evaluate", "--data", tiles, "--weights", weights, "--against", other, *MACHINE)

    assert result.exit_code == 3
    assert (
        f"{weights}: has the classes red, green, blue; {other} has class 0, class 1, class 2" in result.stderr
    )


@pytest.mark.parametrize("kept", [False, True])
def test_the_page_says_what_maps_were_made_with(
    tiles: Path, weights: Path, others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    maps, page = tmp_path / "maps", tmp_path / "page.html"
    maps.mkdir()
    monkeypatch.chdir(maps)
    (maps / "c_classes.tif").write_bytes(b"another map of this name, which has nothing to do with it")
    where = ("--maps", maps, "--overwrite") if kept else ()

    evaluate("--data", tiles, "--weights", weights, "--against", others, "--report", page, *where)

    seen = read_page(page)
    rows = seen.text
    assert "data set tiles part val" in rows
    assert "weights argmax weights_sha256" in rows
    assert ("against: weights others" in rows) != kept
    for folder in ("maps", "against"):
        assert (f"How {folder}/b_classes.tif, like 1 more map, was predicted" in rows) == kept
    assert ("weights others weights_sha256" in rows) == kept
    assert ("c_classes.tif - -" in rows) != kept


def test_interrupted_it_leaves_nothing(
    tiles: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rsseg.prediction.engine import Predictor

    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    predict, done = Predictor.predict, list[Path]()

    def interrupted(self: Predictor, image: Any, output: Path, **more: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(output)
        found = predict(self, image, output, **more)
        assert output.parent.parent == tmp_path / "scratch"
        assert output.is_file()
        return found

    monkeypatch.setattr(Predictor, "predict", interrupted)

    page = tmp_path / "page.html"
    result = rsseg("evaluate", "--data", tiles, "--weights", weights, "--report", page, *MACHINE)

    assert result.exit_code == 130
    assert result.stdout == ""
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not page.exists()


def test_limits_that_can_never_be_met_are_refused_before_anything_is_predicted(
    tiles: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("rsseg.prediction.engine.Predictor")

    result = rsseg("evaluate", "--data", tiles, "--weights", weights, "--fail-under", "iou:nosuch=0.5")

    assert result.exit_code == 2
    assert "no class is called 'nosuch'" in result.stderr


def test_maps_are_kept_and_not_replaced_unasked(tiles: Path, weights: Path, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    command = ("evaluate", "--data", tiles, "--weights", weights, "--maps", maps, *MACHINE)

    missing = rsseg(*command)
    maps.mkdir()
    first, again, replaced = rsseg(*command), rsseg(*command), rsseg(*command, "--overwrite")

    assert (missing.exit_code, first.exit_code, again.exit_code, replaced.exit_code) == (2, 0, 2, 0)
    assert f"{maps}: no such folder" in missing.stderr
    assert "b_classes.tif: exists" in again.stderr
    assert replaced.stdout == first.stdout
    assert sorted(path.name for path in maps.glob("*.tif")) == ["b_classes.tif", "c_classes.tif"]


def test_many_scenes_give_few_notes(weights: Path, tmp_path: Path) -> None:
    names = [f"t{n}" for n in range(9)]
    split = {"train": names[:1], "val": names[1:]}
    folder = write_tiles(tmp_path / "d", names=names, size=(16, 16), split=split, crs=None)

    result = rsseg("evaluate", "--data", folder, "--weights", weights, *MACHINE)

    assert result.stderr.count("Note: ") == 6
    assert "Note: 3 more notes like these" in result.stderr


def test_numbers_say_what_they_were_made_with(tiles: Path, weights: Path, others: Path) -> None:
    command = ("--data", tiles, "--weights", weights, "--against", others)
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (weights, others)]

    document, text = evaluate(*command), rsseg("evaluate", *command, *MACHINE).stdout

    assert document["made_with"] == {
        "data_set": str(tiles),
        "part": "val",
        "weights": "argmax",
        "weights_sha256": hashes[0],
        "against": "others",
        "against_sha256": hashes[1],
    }
    assert (
        f"\nmade with data set {tiles}, part val, weights argmax, weights sha256 {hashes[0][:12]}, "
        f"against others, against sha256 {hashes[1][:12]}\n"
    ) in text


def test_weights_named_like_bundled_ones_are_those_that_were_typed(
    tiles: Path, weights: Path, others: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others.rename(others.with_name("buildings"))
    monkeypatch.chdir(others.parent)

    found = evaluate("--data", tiles, "--weights", weights, "--against", "./buildings")

    assert found["comparison"]["mean_iou_difference"] > 0.1


def test_a_confidence_that_a_killed_run_left_is_no_obstacle(
    tiles: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "maps").mkdir()
    left = tmp_path / "maps" / ".rsseg-confidence.tif"
    left.write_bytes(b"half a file")

    evaluate("--data", tiles, "--weights", weights, "--calibration", "--maps", tmp_path / "maps")

    assert not left.exists()


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--objects", "nosuch"), "objects of class 'nosuch': no such class"),
        (("--boundary", "200"), "a boundary tolerance of 200 px is 200 px of {image}; expected 1 to 64 px"),
        (("--boundary", "0.01m"), "tolerance is 0.01 m, 0.067 px of 0.15 m"),
        (("--intervals", "4px"), "blocks of 4 px are 4 px of {image}; expected at least 16 px"),
        (("--intervals", "4px", "--calibration"), "blocks of 4 px are 4 px of {image}"),
    ],
)
def test_measures_that_cannot_be_taken_are_refused_before_anything_is_predicted(
    args: tuple[str, ...], message: str, tiles: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("rsseg.prediction.engine.Predictor")

    result = rsseg("evaluate", "--data", tiles, "--weights", weights, *args)

    assert result.exit_code == 2
    assert message.format(image=tiles / "images" / "b.tif") in result.stderr


def test_weights_are_not_compared_with_themselves(tiles: Path, weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())

    for same in (weights, copy):
        result = rsseg("evaluate", "--data", tiles, "--weights", weights, "--against", same)

        assert result.exit_code == 2
        assert f"--against {same}: these are the weights {weights} themselves" in result.stderr


def test_a_file_where_the_second_maps_go_is_refused(
    tiles: Path, weights: Path, others: Path, tmp_path: Path
) -> None:
    against = tmp_path / "maps" / "against"
    against.parent.mkdir()
    against.write_text("mine")

    result = rsseg(
        "evaluate", "--data", tiles, "--weights", weights, "--against", others, "--maps", against.parent
    )

    assert result.exit_code == 2
    assert f"Error: {against}: is a file; the maps of --against go into a folder" in result.stderr


def test_a_folder_that_cannot_be_made_is_refused(
    tiles: Path, weights: Path, others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as on a medium that cannot be written, whoever one is."""
    maps, make = tmp_path / "maps", Path.mkdir
    maps.mkdir()

    def read_only(path: Path, *args: Any, **how: Any) -> None:
        if path.name == "against":
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        make(path, *args, **how)

    monkeypatch.setattr(Path, "mkdir", read_only)

    result = rsseg("evaluate", "--data", tiles, "--weights", weights, "--against", others, "--maps", maps)

    assert result.exit_code == 5
    assert "the folder for the maps of --against cannot be made (Read-only file system)" in result.stderr


def test_a_refusal_leaves_no_folder(tiles: Path, weights: Path, others: Path, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    (maps / "c_classes.tif").write_text("mine")

    result = rsseg("evaluate", "--data", tiles, "--weights", weights, "--against", others, "--maps", maps)

    assert "c_classes.tif: exists" in result.stderr
    assert not (maps / "against").exists()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--split", "train"], "--split goes with --data"),
        (["--tta", "d4"], "--tta goes with --data"),
        (["--data", "tiles", "map.tif"], "a class map does not go with --data"),
        (["--data", "tiles", "--labels", "l.tif"], "--labels does not go with --data"),
        (["--data", "tiles", "--aoi", "a.geojson"], "--aoi does not go with --data"),
        (["--data", "tiles", "--labels-as", "loveda"], "--labels-as does not go with --data"),
        (["--data", "tiles", "--report", "p.html", "--focus", "roof"], "class 'roof': no such class"),
        (["--data", "tiles", "--classes", "c.json"], "--classes does not go with --data"),
        (["--data", "tiles", "--value", "a=b"], "--value does not go with --data"),
        (["--data", "tiles", "--tile", "0"], "tile is 0 px"),
        (["--data", "tiles", "--fail-over", "ece=0.1"], "FILE, or with --data --calibration"),
        (["--data", "tiles", "--map", "road=red"], "no raster has the class 'road'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    args: list[str], expected: str, tiles: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiles.parent)
    given = ["--weights", str(weights)] if "--data" in args else []

    result = rsseg("evaluate", *args, *given)

    assert result.exit_code == 2
    assert expected in result.stderr


def test_refusals_come_before_torch_and_before_anything_is_predicted(tiles: Path, tmp_path: Path) -> None:
    table = ClassTable((*THREE.classes[:2], ClassInfo(2, "indigo", "#4B0082")))
    card = WeightCard(
        architecture="linear",
        encoder="",
        classes=table,
        bands=("red", "green", "blue"),
        scaling=Scaling(mean=(0.0,) * 3, std=(1.0,) * 3),
        tile=64,
        halo=0,
    )
    other = tmp_path / "other.safetensors"
    save_weights(other, init_weights(card, seed=0), card)
    script = (
        "import sys; from rsseg.cli.main import main\n"
        f"for data, weights in (({str(tiles)!r}, {str(other)!r}), ('gone', {str(other)!r}), ({str(tiles)!r}, 'no')):\n"
        "    try: main(['evaluate', '--data', data, '--weights', weights], prog_name='rsseg')\n"
        "    except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.splitlines() == ["3 False", "3 False", "4 False"]
    assert f"{tiles}: has the classes red, green, blue; {other} has red, green, indigo" in result.stderr
    assert (
        "Hint: only the same classes can be compared; say which is which with --map FROM=TO\n"
        in result.stderr
    )


def test_classes_of_other_names_are_brought_together(tiles: Path, tmp_path: Path) -> None:
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")
    write_classes(tiles, ["rot", "green", "blue"])

    found = evaluate("--data", tiles, "--weights", weights, "--map", "labels:rot=red")

    assert [c["name"] for c in found["classes"]] == list(THREE.names)
    assert 0 < found["classes"][0]["iou"] < 1


def test_a_part_that_is_not_there_is_refused(tiles: Path, weights: Path) -> None:
    result = rsseg("evaluate", "--data", tiles, "--split", "test", "--weights", weights)

    assert result.exit_code == 3
    assert f"{tiles}: has no test part" in result.stderr


def test_other_bands_are_refused(tiles: Path, weights: Path) -> None:
    (tiles / "two.toml").write_text(f'tiles = "{tiles}"\nbands = [1, 2]\n')

    result = rsseg("evaluate", "--data", tiles / "two.toml", "--weights", weights)

    assert result.exit_code == 3
    assert "its images have 2 bands: band 1, band 2; " in result.stderr


def test_scores_below_the_least_fail(tiles: Path, weights: Path) -> None:
    result = rsseg(
        "evaluate", "--data", tiles, "--weights", weights, "--fail-under", "mean_iou=0.99", *MACHINE
    )

    assert result.exit_code == 7
    assert "mean IoU" in result.stdout
