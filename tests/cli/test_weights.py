import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor

import rsseg
from rsseg.cli.main import main
from rsseg.models.attention import PublishedMaskAttention
from rsseg.models.network import Network
from rsseg.weights import load_card, load_weights, store
from rsseg.weights.files import file_sha256
from tests.conftest import PARITY
from tests.models.making import network
from tests.models.published import (
    case_inputs,
    mask_bits,
    network_fixture,
    parity_line,
    published_weights,
    worst_error,
)
from tests.weights.making import write_torchvision


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
        (("--model", "linear", "--bands", "1025"), 2, "bands is 1025; expected 1 to 1024"),
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


def test_init_makes_tiles_of_the_only_size_that_a_network_takes(tmp_path: Path) -> None:
    run("init", "--model", "maskattn_unet_published", "-o", tmp_path / "w.safetensors")

    card = load_card(str(tmp_path / "w.safetensors"))
    assert (card.architecture, card.tile, card.halo) == ("maskattn-unet-published", 128, 16)


PUBLISHED = {  # by fixture: the network, and the case to compare
    "maresunet_r34_b4_c6": ("maresunet", "sq64"),
    "manet_r18_b3_c5": ("manet", "sq64"),
    "abcnet_r18_b4_c8": ("abcnet", "sq64"),
    "attanet_r18_b4_c6": ("attanet", "sq64"),
    "attanet_light_b3_c19": ("attanet-light", "odd"),
    "macunet_b4_c6": ("macunet", "sq64"),
    "maskattn_unet_published_b3_c20": ("maskattn-unet-published", "sq128"),
}


@pytest.mark.parametrize("tag", PUBLISHED)
def test_a_published_state_dict_becomes_weights_with_the_published_logits(
    tag: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    fixture = network_fixture(tag)
    model, case_name = PUBLISHED[tag]
    torch.save(published_weights(fixture.description), tmp_path / "published.pth")
    case = fixture.cases[case_name]

    result = run("convert", tmp_path / "published.pth", "--model", model, "-o", tmp_path / "w.safetensors")
    loaded = rsseg.load_network(str(tmp_path / "w.safetensors"))
    _set_masks(loaded, seed=case.get("mask_seed", 0))
    with torch.no_grad():
        logits = loaded(*case_inputs(case))

    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'w.safetensors'}\n")
    expected = case["outputs"]["logits"]
    assert list(logits.shape) == expected["shape"]
    stride = expected["stride"]
    error = worst_error(logits[..., ::stride, ::stride], fixture.arrays[f"{case_name}/logits"])
    line = parity_line(f"{tag} {case_name} converted", torch.float32, error=error, tolerance=expected["atol"])
    record_property(PARITY, line)
    assert error <= expected["atol"]


def _set_masks(loaded: Network, *, seed: int) -> None:
    modules = [m for m in loaded.modules() if isinstance(m, PublishedMaskAttention)]
    for k, (module, side) in enumerate(
        zip(modules, (64, 32, 16, 32, 64, 128), strict=bool(modules)), start=1
    ):
        module.mask = mask_bits(seed + k, 1, side, side)


@pytest.fixture
def state(tmp_path: Path) -> dict[str, Tensor]:
    """A state dict of MACU-Net for four bands and two classes, in `state.pth`."""
    tensors = network("macunet", bands=4, classes=2).state_dict()
    torch.save(tensors, tmp_path / "state.pth")
    return tensors


def convert(folder: Path, *args: object, model: str = "macunet") -> Result:
    return run("convert", folder / "state.pth", "--model", model, "-o", folder / "w.safetensors", *args)


def test_convert_says_what_became_of_the_tensors(tmp_path: Path, state: dict[str, Tensor]) -> None:
    result = convert(tmp_path)

    assert result.stdout == f"{tmp_path / 'w.safetensors'}\n"
    lines = dict(line.split(maxsplit=1) for line in result.stderr.splitlines())
    assert lines["network"] == "macunet"
    assert lines["tensors"] == f"{len(state)} of {len(state)} used"
    assert lines["scaling"] == "uint8, mean 0, 0, 0, 0, std 255, 255, 255, 255"


def test_convert_as_json_is_one_object_and_silence(tmp_path: Path, state: dict[str, Tensor]) -> None:
    result = convert(tmp_path, "--json", "--scaling", "imagenet", "--quiet")

    row = json.loads(result.stdout)
    assert row["output"] == str(tmp_path / "w.safetensors")
    assert row["input_sha256"] == file_sha256(tmp_path / "state.pth")
    assert (row["used"], row["missing"], row["unknown"], row["misshapen"]) == (len(state), [], [], [])
    assert row["scaling"]["mean"] == [123.675, 116.28, 103.53, 123.675]
    assert result.stderr == ""


def test_convert_takes_names_and_colours_of_classes(tmp_path: Path, state: dict[str, Tensor]) -> None:
    rows = [{"id": 0, "name": "sea", "color": "#0000FF"}, {"id": 1, "name": "ice", "color": "#FFFFFF"}]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": rows}))

    convert(tmp_path, "--classes", tmp_path / "classes.json")

    assert load_card(str(tmp_path / "w.safetensors")).classes.names == ("sea", "ice")


def test_a_file_that_does_not_fit_is_reported_in_full(tmp_path: Path, state: dict[str, Tensor]) -> None:
    result = convert(tmp_path, "--json", model="attanet-light")

    assert result.exit_code == 4
    row = json.loads(result.stdout)
    assert row["output"] is None
    assert len(row["missing"]) > 100
    assert len(row["unknown"]) > 100
    assert result.stderr.startswith(f"Error: {tmp_path / 'state.pth'}: does not fit attanet-light: ")
    assert result.stderr.splitlines()[1].startswith("Hint: is it the right --model?")
    assert not (tmp_path / "w.safetensors").exists()


def test_a_file_that_does_not_fit_is_told_with_some_names(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save({**state, "extra": torch.zeros(1)}, tmp_path / "state.pth")

    result = convert(tmp_path)

    assert result.exit_code == 4
    assert "unknown       extra\n" in result.stderr
    assert result.stdout == ""


def test_an_imagenet_encoder_makes_weights_that_say_so(tmp_path: Path) -> None:
    write_torchvision(tmp_path / "state.pth")

    result = convert(tmp_path, "--classes", "3", "--seed", "1", model="manet")

    assert result.exit_code == 0
    assert "decoder untrained" in result.stderr
    assert "unused        fc.weight, fc.bias" in result.stderr
    card = load_card(str(tmp_path / "w.safetensors"))
    assert (card.encoder, len(card.classes)) == ("resnet18", 3)
    assert card.description.startswith("encoder from state.pth (sha256 ")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--model", "segnet9000"), 2, "segnet9000: unknown network"),
        (("--model", "linear"), 2, "linear: there is no published state dict of it"),
        (("--model", "macunet", "--encoder", "resnet18"), 2, "macunet: has no encoder, found resnet18"),
        (("--model", "macunet", "--classes", "0"), 2, "classes is 0; expected 1 to 255"),
        (("--model", "macunet", "--classes", "gone.json"), 3, "gone.json: cannot be read"),
        (("--model", "macunet", "--bands", "0"), 2, "0 is not in the range"),
        (("--model", "macunet", "--bands", "99999999"), 2, "bands is 99999999; expected 1 to 1024"),
        (("--model", "macunet", "--bands", "3"), 2, "--bands is 3; the file says 4"),
        (("--model", "macunet", "--classes", "3"), 2, "--classes is 3; the file says 2"),
        (("--model", "macunet", "--scaling", "none"), 2, "'none' is not one of 'imagenet', 'unit'"),
    ],
)
def test_bad_conversions_leave_no_file(
    tmp_path: Path, state: dict[str, Tensor], options: tuple[str, ...], code: int, message: str
) -> None:
    result = run("convert", tmp_path / "state.pth", *options, "-o", tmp_path / "w.safetensors")

    assert result.exit_code == code
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["state.pth"]


def test_convert_keeps_an_existing_file_unless_told(tmp_path: Path, state: dict[str, Tensor]) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"precious")

    refused = convert(tmp_path)
    kept = (tmp_path / "w.safetensors").read_bytes()
    replaced = convert(tmp_path, "--overwrite")

    assert (refused.exit_code, replaced.exit_code) == (2, 0)
    assert kept == b"precious"
    assert len(load_card(str(tmp_path / "w.safetensors")).bands) == 4


def test_the_file_to_convert_is_never_replaced(tmp_path: Path, state: dict[str, Tensor]) -> None:
    before = (tmp_path / "state.pth").read_bytes()

    result = run(
        *("convert", tmp_path / "state.pth", "--model", "macunet"),
        *("-o", tmp_path / "state.pth", "--overwrite"),
    )

    assert result.exit_code == 2
    assert "is the file to convert" in result.stderr
    assert (tmp_path / "state.pth").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "message"),
    [("gone.pth", "gone.pth: no such file"), ("page.pth", "page.pth: is neither"), (".", "is a folder")],
)
def test_a_file_that_cannot_be_converted_is_refused_without_torch(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "page.pth").write_bytes(b"<html>")
    args = ["weights", "convert", str(tmp_path / name), "--model", "manet", "-o", str(tmp_path / "w")]
    script = (
        "import sys; from rsseg.cli.main import main\n"
        f"try: main({args!r}, prog_name='rsseg')\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout == "4 False\n"
    assert message in result.stderr


def test_a_file_in_a_folder_that_may_not_be_looked_into_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "w.safetensors").write_bytes(b"precious")

    result = run(
        *("convert", tmp_path / "loop/x.pth", "--model", "manet"),
        *("-o", tmp_path / "w.safetensors", "--overwrite"),
    )

    assert result.exit_code == 4
    assert "x.pth: cannot be looked into" in result.stderr
    assert "Hint: " in result.stderr
    assert (tmp_path / "w.safetensors").read_bytes() == b"precious"


def test_a_file_that_may_not_be_read_is_a_matter_of_weights(
    tmp_path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.R_OK)

    result = convert(tmp_path)

    assert result.exit_code == 4
    assert "state.pth: cannot be read (Permission denied)" in result.stderr
    assert "Hint: check the permissions of the file" in result.stderr


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_names_of_a_file_reach_the_terminal_spelt_out(
    tmp_path: Path, state: dict[str, Tensor], option: str
) -> None:
    torch.save({**state, "\x1b[2J\x9b" + "x" * 100_000: torch.zeros(1)}, tmp_path / "state.pth")

    for result in (convert(tmp_path), convert(tmp_path, option)):
        assert result.exit_code == 4
        assert "x1b[2J" in result.stderr
        assert not {"\x1b", "\x9b"} & set(result.output)
        assert len(result.output) < 2500
