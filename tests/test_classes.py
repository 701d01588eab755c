import json
from pathlib import Path

import pytest

from rsseg.classes import ClassInfo, ClassTable, load_classes
from rsseg.errors import LabelError


def test_a_table_survives_being_written_as_rows() -> None:
    table = ClassTable((ClassInfo(0, "field", "#00FF00"), ClassInfo(1, "water", "#0000ff")))

    assert ClassTable.from_list(table.to_list()) == table
    assert table.names == ("field", "water")
    assert table.colormap() == {0: (0, 255, 0), 1: (0, 0, 255)}


def test_unnamed_classes_have_names_and_colours_of_their_own() -> None:
    table = ClassTable.unnamed(20)

    assert len(set(table.names)) == len({c.color for c in table}) == 20


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "class ids are"),
        ([{"id": 1, "name": "a", "color": "#000000"}], "without gaps"),
        ([{"id": 0, "name": "a", "color": "black"}], "'black'; expected the form #RRGGBB"),
        ([{"id": 0, "name": "a"}], "need an integer id, a name and a color"),
        (
            [{"id": 0, "name": "a", "color": "#000000"}, {"id": 1, "name": "a", "color": "#000001"}],
            "must appear once",
        ),
    ],
)
def test_tables_that_are_none_are_refused(rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        ClassTable.from_list(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps({"classes": [], "ignore_index": 0}), "ignore_index is 0; rsseg leaves out 255 only"),
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "has no list"),
        (json.dumps({"a": 1}), "has no list"),
    ],
)
def test_a_file_without_classes_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "classes.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(LabelError, match=message):
        load_classes(path)


def test_a_wrong_table_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text('{"classes": [{"id": 1, "name": "a", "color": "#000000"}]}')

    with pytest.raises(LabelError, match=r"classes\.json: class ids are \[1\]"):
        load_classes(path)
