"""manifest.toml: rasters and vectors become entries; every mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsseg.data.entries import CardNotes, VectorRules
from rsseg.data.manifest import plan_manifest
from rsseg.data.scenes import plan_dataset
from rsseg.errors import LabelError
from tests.data.labelled import write_classes, write_tiles

VAL = '[[val]]\nimage = "b.tif"\nlabels = "b_labels.tif"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that a manifest can name; nothing opens them."""
    write_classes(tmp_path, ["background", "building", "road"])
    for name in ("a.tif", "a.geojson", "aoi.geojson", "a_labels.tif", "b.tif", "b_labels.tif"):
        (tmp_path / name).touch()
    return tmp_path


def manifest(folder: Path, train: str, *, head: str = 'classes = "classes.json"', val: str = VAL) -> Path:
    path = folder / "manifest.toml"
    path.write_text(f"{head}\n[[train]]\n{train}\n{val}")
    return path


def vectors(folder: Path, rules: str) -> Path:
    return manifest(folder, f'image = "a.tif"\nlabels = "a.geojson"\n{rules}')


def rules_of(path: Path) -> VectorRules | None:
    return plan_manifest(path).train[0].vector


def test_paths_are_relative_to_the_manifest(folder: Path) -> None:
    plan = plan_manifest(manifest(folder, 'image = "a.tif"\nlabels = "a_labels.tif"'))

    assert (plan.train[0].image, plan.train[0].labels) == (folder / "a.tif", folder / "a_labels.tif")
    assert (plan.val[0].vector, plan.val[0].weight, plan.bands, plan.card) == (None, None, None, CardNotes())


def test_vectors_by_attribute_name_classes_by_name_or_id(folder: Path) -> None:
    path = vectors(
        folder,
        'attribute = "kind"\nvalues = {house = "building", street = 2, tent = "ignore"}\n'
        'unlabelled = "background"\naoi = "aoi.geojson"\nlayer = "drawn"',
    )

    assert rules_of(path) == VectorRules(
        attribute="kind",
        values={"house": 1, "street": 2, "tent": 255},
        unlabelled=0,
        layer="drawn",
    )
    assert plan_manifest(path).train[0].aoi == folder / "aoi.geojson"


def test_without_values_the_attribute_holds_class_names(folder: Path) -> None:
    path = vectors(folder, 'attribute = "kind"')

    assert rules_of(path) == VectorRules(
        attribute="kind", values={"background": 0, "building": 1, "road": 2}, ranked=False, unlabelled=None
    )


def test_all_features_can_be_one_class(folder: Path) -> None:
    assert rules_of(vectors(folder, 'class = "road"\nunlabelled = "ignore"')) == VectorRules(class_id=2)


def test_card_bands_and_weights_are_taken_over(folder: Path) -> None:
    path = manifest(
        folder,
        'image = "a.tif"\nlabels = "a_labels.tif"\nweight = 3',
        head='classes = "classes.json"\nbands = [3, 2, 1]',
        val=VAL + '[card]\ndescription = "d"\ndata = "e"\nlicence = "f"\ngsd_m = 1',
    )

    plan = plan_manifest(path)

    assert plan.bands == (3, 2, 1)
    assert plan.train[0].weight == 3.0
    assert plan.card == CardNotes(description="d", data="e", licence="f", gsd_m=1.0)


def test_a_manifest_may_be_nothing_but_tiles_and_a_card(tmp_path: Path) -> None:
    write_tiles(tmp_path / "tiles")
    path = tmp_path / "manifest.toml"
    path.write_text('tiles = "tiles"\n[card]\ngsd_m = 0.5')

    plan = plan_manifest(path)

    assert [e.image.stem for e in (*plan.train, *plan.val)] == ["b", "c", "a"]
    assert (plan.classes.names, plan.card.gsd_m) == (("red", "green", "blue"), 0.5)


def test_tiles_and_rasters_can_be_mixed_if_their_classes_agree(folder: Path) -> None:
    write_tiles(folder / "tiles")
    write_classes(folder / "tiles", ["background", "building", "road"])
    head = 'classes = "classes.json"\ntiles = "tiles"'

    plan = plan_manifest(manifest(folder, 'image = "a.tif"\nlabels = "a_labels.tif"', head=head))

    assert [e.image.stem for e in plan.train] == ["b", "c", "a"]


def test_tiles_with_other_classes_are_refused(folder: Path) -> None:
    write_tiles(folder / "tiles")
    head = 'classes = "classes.json"\ntiles = "tiles"'

    with pytest.raises(LabelError, match=r"classes are .*'building'.*those of .*tiles .*'red'"):
        plan_manifest(manifest(folder, 'image = "a.tif"\nlabels = "a_labels.tif"', head=head))


def test_a_folder_with_a_manifest_stands_for_it(folder: Path) -> None:
    manifest(folder, 'image = "a.tif"\nlabels = "a_labels.tif"')

    assert plan_dataset(folder).source == folder / "manifest.toml"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ('class = "tree"', "'tree' is no class; classes are 0 background, 1 building, 2 road"),
        ("class = 3", "3 is no class"),
        ("class = true", "True is no class"),
        ('class = "road"\nattribute = "kind"', "need either class or attribute"),
        ("", "need either class or attribute"),
        ('class = "road"\nvalues = {a = 1}', "has values but no attribute"),
        ('attribute = "kind"\nvalues = "road"', "values is 'road'; expected a table"),
        ('attribute = 3\nvalues = {a = "road"}', "attribute is 3; expected text"),
        ('class = "road"\naoi = "nowhere.geojson"', r"nowhere\.geojson does not exist"),
        ('class = "road"\nweight = 0', "weight is 0; expected a number above 0"),
        ('class = "road"\nweight = true', "weight is True"),
        ('class = "road"\nweight = "much"', "weight is 'much'"),
        ('class = "road"\nweight = nan', "weight is nan"),
        ('class = "road"\nweight = inf', "weight is inf"),
        ('class = "road"\nweight = 1e308', "weight is 1e\\+308; expected a number above 0 and at most 1e6"),
        ('class = "road"\npixels = "half"', "pixels is 'half'; expected one of centre, touched"),
        ('class = "road"\npriority = "file"', "has priority, but all features are one class"),
        ('attribute = "kind"\npriority = 3', 'priority is 3; expected "values"'),
        ('attribute = "kind"\npriority = ["road"]', "priority lacks the class 'background'"),
        ('attribute = "kind"\nvalues = {a = 1}\npriority = [1, 1]', "priority names a class twice"),
        ('attribute = "kind"\nvalues = {}', "values is {}; expected a table"),
        ('class = "road"\ncolour = "red"', r"\[\[train\]\] 1: unknown key 'colour'"),
    ],
)
def test_a_mistake_in_an_entry_is_named(folder: Path, rules: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        plan_manifest(vectors(folder, rules))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ('image = "a.tif"', r"\[\[train\]\] 1: lacks 'labels'"),
        ('image = "c.tif"\nlabels = "a_labels.tif"', r"c\.tif does not exist"),
        ('image = "a.tif"\nlabels = "a_labels.tif"\nclass = "road"', "'class' is for label vectors"),
        ('image = "a.tif"\nlabels = "a_labels.tif"\npixels = "touched"', "'pixels' is for label vectors"),
    ],
)
def test_a_mistake_in_a_raster_entry_is_named(folder: Path, train: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        plan_manifest(manifest(folder, train))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", "lacks 'classes'"),
        ("classes = 3", "classes is 3; expected text"),
        ('classes = "classes.json"\nband = [1]', "unknown key 'band'"),
        ('classes = "classes.json"\nbands = [0]', r"bands is \[0\]; expected a list"),
        ('classes = "classes.json"\nbands = []', r"bands is \[\]"),
        ('classes = "classes.json"\nbands = 3', "bands is 3"),
        ('classes = "classes.json', "is not TOML"),
    ],
)
def test_a_mistake_at_the_top_is_named(folder: Path, head: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        plan_manifest(manifest(folder, 'image = "a.tif"\nlabels = "a_labels.tif"', head=head))


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("gsd_m = 0", r"\[card\]: gsd_m is 0; expected metres"),
        ('gsd_m = "fine"', "gsd_m is 'fine'"),
        ("gsd_m = nan", "gsd_m is nan"),
        ("gsd_m = inf", "gsd_m is inf"),
        ("gsd_m = true", "gsd_m is True"),
        ("licence = 3", "licence is 3; expected text"),
        ('author = "me"', "unknown key 'author'"),
    ],
)
def test_a_mistake_in_the_card_is_named(folder: Path, card: str, message: str) -> None:
    path = manifest(folder, 'image = "a.tif"\nlabels = "a_labels.tif"', val=f"{VAL}[card]\n{card}")

    with pytest.raises(LabelError, match=message):
        plan_manifest(path)


def test_the_card_must_be_a_table(folder: Path) -> None:
    path = folder / "manifest.toml"
    path.write_text('classes = "classes.json"\ncard = "mine"')

    with pytest.raises(LabelError, match=r"card must be written as a \[card\] table"):
        plan_manifest(path)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_part_without_entries_is_refused(folder: Path, part: str) -> None:
    path = folder / "manifest.toml"
    path.write_text('classes = "classes.json"\n' + VAL.replace("val", "train" if part == "val" else "val"))

    with pytest.raises(LabelError, match=f"has no {part} entries"):
        plan_manifest(path)


def test_entries_must_be_tables(folder: Path) -> None:
    path = folder / "manifest.toml"
    path.write_text('classes = "classes.json"\ntrain = "a.tif"')

    with pytest.raises(LabelError, match=r"train must be written as \[\[train\]\] tables"):
        plan_manifest(path)


def test_the_same_labels_in_train_and_val_are_refused(folder: Path) -> None:
    with pytest.raises(LabelError, match=r"b\.tif with the same labels is in both train and val"):
        plan_manifest(manifest(folder, 'image = "b.tif"\nlabels = "b_labels.tif"'))


def test_weights_for_some_entries_only_are_refused(folder: Path) -> None:
    train = 'image = "a.tif"\nlabels = "a_labels.tif"\nweight = 2\n[[train]]\nimage = "a.tif"\nlabels = "a_labels.tif"'

    with pytest.raises(LabelError, match="1 of 2 train entries have a weight"):
        plan_manifest(manifest(folder, train))


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"none\.toml: cannot be read"):
        plan_dataset(tmp_path / "none.toml")


@pytest.mark.parametrize("suffix", [".jpeg", ".img", ".TIF"])
def test_label_rasters_are_told_by_their_suffix(folder: Path, suffix: str) -> None:
    (folder / f"c{suffix}").touch()

    plan = plan_manifest(manifest(folder, f'image = "a.tif"\nlabels = "c{suffix}"'))

    assert plan.train[0].vector is None


def test_the_area_of_a_label_raster_is_taken_over(folder: Path) -> None:
    plan = plan_manifest(manifest(folder, 'image = "a.tif"\nlabels = "a_labels.tif"\naoi = "aoi.geojson"'))

    assert (plan.train[0].aoi, plan.train[0].vector) == (folder / "aoi.geojson", None)


@pytest.mark.parametrize(
    ("rules", "ranked", "order"),
    [
        ('values = {b = "building", r = "road"}', True, ["b", "r"]),
        ('values = {b = "building", r = "road"}\npriority = "values"', True, ["b", "r"]),
        ('values = {b = "building", r = "road"}\npriority = "file"', False, ["b", "r"]),
        ('values = {b = "building", r = "road"}\npriority = ["road", "building"]', True, ["r", "b"]),
        ('values = {b = 1, x = "ignore", r = 2}\npriority = [2, 1]', True, ["r", "b", "x"]),
        ('values = {b = 1, x = "ignore", r = 2}\npriority = ["ignore", 2, 1]', True, ["x", "r", "b"]),
        ('priority = ["road", "building", "background"]', True, ["road", "building", "background"]),
        ('priority = "values"', True, ["background", "building", "road"]),
    ],
)
def test_priority_says_what_paints_over_what(
    folder: Path, rules: str, ranked: bool, order: list[str]
) -> None:
    found = rules_of(vectors(folder, f'attribute = "kind"\n{rules}'))

    assert found is not None
    assert found.values is not None
    assert (found.ranked, list(found.values)) == (ranked, order)


def test_features_can_have_all_pixels_that_they_touch(folder: Path) -> None:
    plain, touched = (
        rules_of(vectors(folder, f'class = "road"\n{line}'))
        for line in ('pixels = "centre"', 'pixels = "touched"')
    )

    assert (plain, touched) == (VectorRules(class_id=2), VectorRules(class_id=2, all_touched=True))
