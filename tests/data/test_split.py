"""Splits that are proposed: both parts have the classes, and no ground nearer than a sample is in both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from rsseg.data.blocks import SplitOptions, Units, choose_units
from rsseg.data.scenes import open_dataset, plan_dataset
from rsseg.data.split import propose_split
from rsseg.errors import LabelError, OptionError
from tests.data.labelled import square, write_classes, write_features, write_tiles
from tests.making import random_pixels, write_raster

SIDE = 16


def units_on_a_grid(columns: int, rows: int, *, seed: int, divisible: bool = False) -> Units:
    """Units of 10 x 10, side by side, with three classes."""
    outlines = [
        shapely.box(10 * c, 10 * r, 10 * c + 10, 10 * r + 10) for r in range(rows) for c in range(columns)
    ]
    counts = np.random.default_rng(seed).integers(0, 100, (len(outlines), 3))
    return Units(
        outlines=np.array(outlines),
        class_pixels=counts + 1,
        margins=np.full(len(outlines), 5.0),
        divisible=divisible,
    )


@settings(max_examples=25)
@given(st.integers(4, 8), st.integers(4, 8), st.integers(0, 1000))
def test_whole_units_of_the_two_parts_are_a_margin_apart(columns: int, rows: int, seed: int) -> None:
    units = units_on_a_grid(columns, rows, seed=seed)

    choice = choose_units(units, SplitOptions(seed=seed), source="x")

    train, val = units.outlines[choice.train > 0], units.outlines[choice.val]
    assert len(train)
    assert len(val)
    assert min(shapely.distance(t, v) for t in train for v in val) > 5.0


def test_cut_units_lose_only_what_lies_in_the_margin() -> None:
    units = units_on_a_grid(6, 6, seed=0, divisible=True)

    choice = choose_units(units, SplitOptions(), source="x")

    val = shapely.union_all(shapely.buffer(units.outlines[choice.val], 5.0, join_style="mitre"))
    left = [shapely.area(shapely.difference(o, val)) / 100 for o in units.outlines]
    assert choice.train == pytest.approx(np.where(choice.val, 0, left))


def test_the_part_for_validation_is_about_as_large_as_asked_for() -> None:
    units = units_on_a_grid(20, 20, seed=0)

    val = choose_units(units, SplitOptions(val_share=0.3), source="x").val

    assert units.class_pixels[val].sum() / units.class_pixels.sum() == pytest.approx(0.3, abs=0.02)


def test_a_rare_class_gets_into_both_parts() -> None:
    """One class lies in two corners only: a part that takes both, or none, is the worse choice."""
    units = units_on_a_grid(8, 8, seed=0)
    units.class_pixels[:, 2] = 0
    units.class_pixels[[0, 63], 2] = 50

    choice = choose_units(units, SplitOptions(), source="x")

    assert units.class_pixels[choice.val, 2].sum() == 50
    assert (units.class_pixels[:, 2] * choice.train).sum() == 50


def test_the_seed_decides() -> None:
    units = units_on_a_grid(8, 8, seed=0)
    first, again, other = (
        choose_units(units, SplitOptions(seed=s), source="x").val.tolist() for s in (1, 1, 2)
    )

    assert first == again
    assert first != other


def test_ground_that_cannot_be_parted_is_refused() -> None:
    with pytest.raises(
        LabelError, match="x: 4 pieces of labelled ground cannot be parted with a margin of 256 px"
    ):
        choose_units(units_on_a_grid(2, 2, seed=0), SplitOptions(), source="x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_share": 0.0}, "val share is 0.0"),
        ({"val_share": float("nan")}, "val share is nan"),
        ({"window": 0}, "window is 0 px"),
        ({"block": 0}, "block is 0 px"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SplitOptions(**options)  # type: ignore[arg-type]


def write_field(folder: Path, columns: int = 6, rows: int = 6) -> Path:
    """Tiles that cover a field, side by side."""
    names = [f"r{r}c{c}" for r in range(rows) for c in range(columns)]
    write_tiles(folder, names=names, size=(SIDE, SIDE))
    for name in names:
        row, col = int(name[1]), int(name[3])
        transform = from_origin(350_000 + col * SIDE, 3_060_000 - row * SIDE, 1, 1)
        for part in ("images", "labels"):
            with rasterio.open(folder / part / f"{name}.tif", "r+") as dataset:
                dataset.transform = transform
    return folder


def test_a_folder_of_tiles_gets_a_split_that_training_takes(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "d")

    summary = propose_split(folder, folder / "split.json", options=SplitOptions(window=8))

    split = json.loads((folder / "split.json").read_text())
    places = {part: [(int(n[1]), int(n[3])) for n in split[part]] for part in split}
    apart = [max(abs(a - c), abs(b - d)) for a, b in places["train"] for c, d in places["val"]]
    assert min(apart) > 1  # no tile between them is used
    assert sorted(name for names in split.values() for name in names) == sorted(
        p.stem for p in (folder / "images").iterdir()
    )
    with open_dataset(plan_dataset(folder)) as data:
        assert [len(data.train), len(data.val)] == [summary.pieces["train"], summary.pieces["val"]]
        found = np.sum([s.class_pixels for s in data.val], axis=0)
    assert summary.class_pixels["val"] == tuple(found.tolist())


def test_an_old_split_does_not_matter(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "d")
    first = propose_split(folder, tmp_path / "one.json", options=SplitOptions(window=8))
    (folder / "split.json").write_text('{"train": ["r0c0"], "val": ["r0c1"]}')

    second = propose_split(folder, tmp_path / "two.json", options=SplitOptions(window=8))

    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert first.class_pixels == second.class_pixels


def write_town(folder: Path) -> Path:
    """Two rasters that overlap on the ground by half, one with a label raster, the other with polygons in an area."""
    folder.mkdir()
    for name, col in (("west", 0), ("east", 64)):
        transform = from_origin(350_000 + 0.15 * col, 3_060_000, 0.15, 0.15)
        write_raster(folder / f"{name}.tif", random_pixels(128, 128, seed=col), transform=transform)
    write_raster(folder / "west_labels.tif", random_pixels(128, 128, bands=1) % 2)
    write_features(folder / "houses.geojson", *(square(c, c, 6) for c in range(70, 120, 12)))
    write_features(folder / "area.geojson", square(70, 3, 100))
    write_classes(folder, ["background", "building"])
    (folder / "town.toml").write_text(
        """
        classes = "classes.json"
        [[train]]
        image = "west.tif"
        labels = "west_labels.tif"
        [[val]]
        image = "east.tif"
        labels = "houses.geojson"
        class = "building"
        unlabelled = "background"
        aoi = "area.geojson"
        [card]
        licence = "ours"
        """
    )
    return folder / "town.toml"


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 100), window=st.sampled_from([4, 10]))
def test_rasters_get_areas_a_margin_apart_on_the_ground(
    seed: int, window: int, tmp_path_factory: object
) -> None:
    folder = tmp_path_factory.mktemp("town")  # type: ignore[attr-defined]
    town = write_town(folder / "d")

    propose_split(
        town, folder / "new.toml", options=SplitOptions(window=window, block=24, seed=seed), overwrite=True
    )

    parts = {"train": np.zeros((128, 192), bool), "val": np.zeros((128, 192), bool)}
    before = np.zeros((128, 192), bool)
    with open_dataset(plan_dataset(folder / "new.toml")) as data:
        for part, scenes in (("train", data.train), ("val", data.val)):
            for scene in scenes:
                col = 64 if scene.name == "east.tif" else 0
                parts[part][:, col : col + 128] |= scene.labels.read(scene.image.grid.window) != 255
    before[:, :128] = True
    before[3:103, 70:170] = True
    assert not ((parts["train"] | parts["val"]) & ~before).any()
    near = np.zeros_like(before)
    for row, col in np.argwhere(parts["val"]):
        near[max(0, row - window + 1) : row + window, max(0, col - window + 1) : col + window] = True
    assert parts["val"].any()
    assert parts["train"].any()
    assert not (near & parts["train"]).any()


def test_the_new_manifest_keeps_the_rest_of_the_old_one(tmp_path: Path) -> None:
    town = write_town(tmp_path / "d")

    summary = propose_split(town, tmp_path / "new.toml", options=SplitOptions(window=4, block=24))

    plan = plan_dataset(tmp_path / "new.toml")
    assert plan.card.licence == "ours"
    assert plan.classes.names == ("background", "building")
    assert {e.image.name for e in (*plan.train, *plan.val)} == {"west.tif", "east.tif"}
    assert {e.aoi for e in (*plan.train, *plan.val)} == {*summary.files} - {tmp_path / "new.toml"}


def test_images_without_a_place_cannot_be_split(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", size=(16, 16), crs=None, transform=None)

    with pytest.raises(
        LabelError, match=r"a\.tif has no place on the ground, nor have 2 others; expected a CRS"
    ):
        propose_split(folder, tmp_path / "split.json", options=SplitOptions())


def test_tiles_beside_rasters_cannot_be_split(tmp_path: Path) -> None:
    write_field(tmp_path / "d")
    (tmp_path / "m.toml").write_text('tiles = "d"')

    with pytest.raises(LabelError, match="has tiles beside rasters"):
        propose_split(tmp_path / "m.toml", tmp_path / "new.toml", options=SplitOptions(window=8))


def test_an_output_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"new\.toml: expected a name that ends in \.json"):
        propose_split(write_field(tmp_path / "d"), tmp_path / "new.toml", options=SplitOptions())


def test_existing_files_are_kept(tmp_path: Path) -> None:
    town = write_town(tmp_path / "d")
    options = SplitOptions(window=4, block=24)
    propose_split(town, tmp_path / "new.toml", options=options)

    with pytest.raises(OptionError, match=r"new\.toml: exists already"):
        propose_split(town, tmp_path / "new.toml", options=options)
    (tmp_path / "new.toml").unlink()
    with pytest.raises(OptionError, match=r"new\.train\.1\.geojson: exists already"):
        propose_split(town, tmp_path / "new.toml", options=options)
    propose_split(town, tmp_path / "new.toml", options=options, overwrite=True)
