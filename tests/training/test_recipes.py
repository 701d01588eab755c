"""The recipes of docs/recipes say what is known and what is assumed, and each of them learns."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from rsseg.cli.main import main
from rsseg.data.presets.registry import PRESETS
from rsseg.training import session
from rsseg.training.options import TrainOptions
from rsseg.training.recipe import read_recipe
from rsseg.training.start import check_recipe
from tests.data import published as pub
from tests.data.labelled import write_tiles
from tests.shared import shared_folder
from tests.training.runs import SPLIT

FOLDER = Path(__file__).parents[2] / "docs" / "recipes"
RECIPES = sorted(FOLDER.glob("*.toml"))
each_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)

pytestmark = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]


def options_of(path: Path) -> TrainOptions:
    return TrainOptions.from_dict(read_recipe(path))


@each_recipe
def test_every_value_says_whether_it_is_known_or_assumed(path: Path) -> None:
    values = [line for line in path.read_text().splitlines() if re.match(r"\w+ = ", line)]

    assert len(values) >= 24
    assert [line for line in values if not re.search(r" # (known|assumed): \S", line)] == []


@each_recipe
def test_a_recipe_fits_its_network_and_its_data_as_it_stands(path: Path) -> None:
    options = options_of(path)

    check_recipe(replace(options, pretrained=""))  # which would be fetched
    assert options.preset in ("", *PRESETS)


@each_recipe
def test_a_recipe_shows_how_it_is_used(path: Path) -> None:
    (command,) = (line for line in path.read_text().splitlines() if line.startswith("#   rsseg train "))

    assert command.endswith(f"--config docs/recipes/{path.name}")


def test_the_table_lists_every_recipe_with_its_preset() -> None:
    rows = re.findall(r"^\| \[(\S+)\]\((\S+)\.toml\) \|.*\| (`(\S+)`|-) \|", read_table(), flags=re.MULTILINE)

    assert {(name, file, preset) for name, file, _, preset in rows} == {
        (path.stem, path.stem, options_of(path).preset) for path in RECIPES
    }


def test_the_table_of_options_has_all_of_them_with_their_defaults() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `(.*?)` \|", read_table(), flags=re.MULTILINE))

    found = {place: tomllib.loads(f"value = {default}")["value"] for place, default in rows.items()}
    assert found == {
        place: list(default) if isinstance(default, tuple) else default
        for place, default in TrainOptions.places().items()
    }


def read_table() -> str:
    return (FOLDER / "README.md").read_text()


WITHOUT_CLASS_TO_LEAVE_OUT = ("vaihingen", "potsdam", "uavid")


def write_data(folder: Path, preset: str) -> Path:
    """Data of our own in the layout of a preset, or a folder of tiles."""
    if not preset:
        return write_tiles(folder, size=pub.SIZE, split=SPLIT)
    ids = pub.class_ids(len(PRESETS[preset].classes))
    if preset in WITHOUT_CLASS_TO_LEAVE_OUT:
        ids[ids == 255] = 1
    return pub.WRITERS[preset](folder, pub.image(), ids)


def learn_two_steps(
    path: Path, data: Path, run: Path, monkeypatch: pytest.MonkeyPatch, **changes: object
) -> None:
    """Train as a user would, with smaller sizes and, where there is a choice, the smallest encoder."""
    options = options_of(path)
    side = 16 if options.model.startswith(("mask", "macunet", "attanet-light")) else 32
    sizes = {"window": side, "tile": side, "halo": 0, "epochs": 1, "steps_per_epoch": 2, "batch_size": 2}
    smaller = {"encoder": options.encoder and "resnet18", "pretrained": "", "precision": "fp32"}
    changes = {**sizes, **smaller, **changes}
    settings = [f"--set={name}={value}" for name, value in changes.items()]
    monkeypatch.setattr(session, "save_checkpoint", lambda *_: None)  # 300 MB, tested elsewhere

    result = CliRunner().invoke(
        main, ["train", str(data), "-o", str(run), "--config", str(path), "--device", "cpu", *settings]
    )

    assert result.exit_code == 0, result.output
    with (run / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["step"], np.isfinite(float(row["loss"]))) == ("2", True)
    written = options_of(run / "config.toml")
    assert written == replace(options, **changes)


@each_recipe
def test_a_recipe_learns_from_data_in_the_published_layout(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_data(tmp_path / "data", options_of(path).preset)

    learn_two_steps(path, data, tmp_path / "run", monkeypatch)


SIDE = 64
"""Of what is cut out of the development samples."""


def sample(*parts: str) -> np.ndarray:
    """The upper left of a file of the development samples, as (bands, rows, cols)."""
    with rasterio.open(shared_folder("data", "samples", *parts)) as dataset:
        return dataset.read(window=((0, SIDE), (0, SIDE)))


def isprs_sample(folder: Path, preset: str, kind: str, name: str) -> None:
    shifted = sample(f"pseudo_{kind}_dataset", "ann_dir", name)[0]
    ids = (shifted.astype(np.int16) - 1).astype(np.uint8)  # 0, the edges of objects, becomes 255
    pub.WRITERS[preset](folder, sample(f"pseudo_{kind}_dataset", "img_dir", name), ids)


def cityscapes_sample(folder: Path) -> None:
    frame = "frankfurt_000000_000294"
    for part in ("train", "val"):
        for kind, end in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
            parts = ("frankfurt", f"{frame}_{end}.png")
            pub.put(
                folder.joinpath(kind, part, *parts),
                sample("pseudo_cityscapes_dataset", kind, "val", *parts),
            )


def ade20k_sample(folder: Path) -> None:
    for part, short, number in (("training", "train", 1), ("training", "train", 2), ("validation", "val", 3)):
        for kind, suffix in (("images", "jpg"), ("annotations", "png")):
            target = folder / kind / part / f"ADE_{short}_{number:08}.{suffix}"
            pub.put(target, sample("ade20k", kind, f"ADE_val_{number:08}.{suffix}"))


def coco_sample(folder: Path) -> None:
    table = json.loads(
        shared_folder("data", "samples", "coco_panoptic", "panoptic_examples.json").read_text()
    )
    for part, number in (("train2017", 142238), ("val2017", 439180)):
        name = f"{number:012}"
        pub.put(folder / part / f"{name}.jpg", sample("coco_panoptic", "input_images", f"{name}.jpg"))
        target = folder / "annotations" / f"panoptic_{part}" / f"{name}.png"
        pub.put(target, sample("coco_panoptic", "panoptic_examples", f"{name}.png"))
        chosen = {
            "images": [row for row in table["images"] if row["id"] == number],
            "annotations": [row for row in table["annotations"] if row["image_id"] == number],
        }
        (folder / "annotations" / f"panoptic_{part}.json").write_text(json.dumps({**table, **chosen}))


SAMPLES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "maresunet-vaihingen": (
        "vaihingen-eroded",
        lambda folder: isprs_sample(folder, "vaihingen-eroded", "vaihingen", "area1_0_0_512_512.png"),
    ),
    "abcnet-potsdam": (
        "potsdam-eroded",
        lambda folder: isprs_sample(folder, "potsdam-eroded", "potsdam", "2_10_0_0_512_512.png"),
    ),
    "attanet-light-cityscapes": ("cityscapes", cityscapes_sample),
    "maskattn-unet-ade20k": ("ade20k", ade20k_sample),
    "maskattn-unet-coco": ("coco-panoptic", coco_sample),
}
"""A recipe for each data set of which there are real files: its preset, and what lays them out as they were."""


@pytest.mark.parametrize("name", SAMPLES)
def test_a_recipe_learns_from_real_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preset, write = SAMPLES[name]
    write(tmp_path / "data")

    learn_two_steps(FOLDER / f"{name}.toml", tmp_path / "data", tmp_path / "run", monkeypatch, preset=preset)
