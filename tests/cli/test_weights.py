import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rsseg.cli.main import main
from rsseg.weights import load_weights, store
from rsseg.weights.files import file_sha256


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["weights", *map(str, args)])


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one set of weights, called `tiny`."""
    run("init", "--model", "linear", "--classes", "3", "-o", tmp_path / "tiny.safetensors")
    digest = file_sha256(tmp_path / "tiny.safetensors")
    (tmp_path / "index.toml").write_text(
        f'default = "tiny"\n[weights.tiny]\nfile = "tiny.safetensors"\nsha256 = "{digest}"\n'
    )
    monkeypatch.setattr(store, "weights_folder", lambda: tmp_path)
    store._index_document.cache_clear()
    yield tmp_path
    store._index_document.cache_clear()


def test_the_list_marks_the_default(shelf: Path) -> None:
    result = run("list")

    assert result.stdout.startswith("* tiny")
    assert "class 0, class 1, class 2" in result.stdout


def test_the_list_as_json_has_an_object_a_line(shelf: Path) -> None:
    (row,) = map(json.loads, run("list", "--json").stdout.splitlines())

    assert (row["name"], row["default"], row["architecture"]) == ("tiny", True, "linear")


def test_show_prints_the_card(shelf: Path) -> None:
    assert "network       linear" in run("show", "tiny").stdout
    assert json.loads(run("show", shelf / "tiny.safetensors", "--json").stdout)["description"] == "untrained"


def test_intact_weights_verify(shelf: Path) -> None:
    result = run("verify")

    assert result.exit_code == 0
    assert result.stdout == "tiny: ok\n"


def test_changed_weights_do_not_verify(shelf: Path) -> None:
    (shelf / "tiny.safetensors").write_bytes(b"changed")

    result = run("verify", "tiny", "--json")

    assert result.exit_code == 4
    assert json.loads(result.stdout)["ok"] is False
    assert "1 of 1 weights did not verify" in result.stderr


def test_unknown_names_do_not_verify(shelf: Path) -> None:
    result = run("verify", "nonesuch")

    assert result.exit_code == 4
    assert "bundled weights are: tiny" in result.stderr


def test_an_unreadable_index_is_explained(shelf: Path) -> None:
    (shelf / "index.toml").write_text("not toml")

    result = run("list")

    assert result.exit_code == 4
    assert "index.toml: the index of bundled weights cannot be read" in result.stderr


def test_init_is_repeatable_from_its_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("init", "--model", "linear", "--seed", seed, "-o", tmp_path / name)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_init_takes_bands_pixel_type_and_a_table_of_classes(tmp_path: Path) -> None:
    rows = [{"id": 0, "name": "sea", "color": "#0000FF"}, {"id": 1, "name": "ice", "color": "#FFFFFF"}]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": rows}))

    result = run(
        *("init", "--model", "maresunet", "--encoder", "resnet18", "--bands", "5", "--dtype", "uint16"),
        *("--classes", tmp_path / "classes.json", "-o", tmp_path / "w.safetensors", "--json"),
    )

    assert json.loads(result.stdout)["encoder"] == "resnet18"
    card = load_weights(str(tmp_path / "w.safetensors")).card
    assert card.classes.names == ("sea", "ice")
    assert (len(card.bands), card.scaling.dtype) == (5, "uint16")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--model", "segnet9000"), 2, "segnet9000: unknown network"),
        (("--model", "maresunet", "--encoder", "vgg16"), 2, "vgg16"),
        (("--model", "linear", "--classes", "0"), 2, "classes is 0; expected 1 to 255"),
        (("--model", "linear", "--classes", "gone.json"), 3, "gone.json: cannot be read"),
        (("--model", "linear", "--bands", "0"), 2, "0 is not in the range"),
    ],
)
def test_bad_requests_leave_no_file(
    tmp_path: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    result = run("init", *options, "-o", tmp_path / "w.safetensors")

    assert result.exit_code == code
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"precious")

    result = run("init", "--model", "linear", "-o", tmp_path / "w")

    assert result.exit_code == 2
    assert (tmp_path / "w").read_bytes() == b"precious"
