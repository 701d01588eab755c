"""`rsseg complexity`: exit codes, messages, files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rsseg.cli.main import main
from rsseg.cli.options import ByteSize
from rsseg.complexity.options import ComplexityOptions

SMALL = ("--channels", "8", "--sides", "8,16", "--network", "linear", "--tiles", "16,32", "--device", "cpu")


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["complexity", *map(str, args)])


def test_it_prints_a_table() -> None:
    result = run(*SMALL)

    assert result.exit_code == 0, result.stderr
    assert "Position attention by formula: 8 channels, 1 of queries and keys, float32" in result.stdout
    assert "measured: memory as found, and the median time of a pass, on cpu" in result.stdout
    assert result.stderr == ""


def test_json_is_one_object() -> None:
    result = run(*SMALL, "--json", "--no-measure")

    document = json.loads(result.stdout)
    assert document.keys() == {
        *("rsseg", "device", "threads", "precision", "channels", "key_channels", "attention"),
        *("bands", "classes", "networks"),
    }
    for subject in (*document["attention"], *document["networks"]):
        assert subject.keys() == {"name", "encoder", "parameters", "rows", "notes"}
        for row in subject["rows"]:
            assert row.keys() == {"side", "mac", "memory_bytes", "mac_per_pixel", "measured"}
            assert row["measured"] is None


def test_what_was_left_out_is_said_on_standard_error() -> None:
    loud, quiet = run(*SMALL, "--max-memory", "1kB"), run(*SMALL, "--max-memory", "1kB", "--quiet")

    assert "Note: dot-product: not measured from 8 px on: may need 61.4 kB of memory" in loud.stderr
    assert "1.00 kB can be used" in loud.stderr
    assert (quiet.exit_code, quiet.stderr) == (0, "")


def test_one_half_can_be_left_out() -> None:
    assert "Networks" not in run(*SMALL, "--tiles", "none").stdout
    assert "attention" not in run(*SMALL, "--sides", "none").stdout


def test_a_picture_is_drawn_and_never_overwritten_unasked(tmp_path: Path) -> None:
    plot = tmp_path / "costs.png"

    first, second = run(*SMALL, "--plot", plot), run(*SMALL, "--plot", plot)
    third = run(*SMALL, "--plot", plot, "--overwrite")

    assert first.stderr == f"{plot}: costs\n"
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert (second.exit_code, second.stdout) == (2, "")
    assert second.stderr.startswith(f"Error: {plot}: exists already\nHint: ")
    assert third.exit_code == 0


@pytest.mark.parametrize(
    ("args", "exit_code", "message"),
    [
        (["--network", "town"], 2, "Error: town: unknown network\nHint: known networks are: maresunet"),
        (
            ["--network", "manet:big"],
            2,
            "Error: manet: unknown encoder big\nHint: its encoders are: resnet18",
        ),
        (["--network", "linear:resnet18"], 2, "Error: linear: has no encoder, found resnet18\nHint: "),
        (["--channels", "4"], 2, "Error: channels is 4; expected 8 to 8192\n"),
        (["--sides", "0"], 2, "Error: sides has 0; expected pixels from 1 to 16384\n"),
        (["--sides", "none", "--tiles", "none"], 2, "Error: --sides none and --tiles none leave nothing"),
        (["--max-seconds", "-1"], 2, "Error: max-seconds is -1; expected more than 0\n"),
        (["--device", "tpu"], 2, "Error: device is 'tpu'; expected auto, cpu, cuda or cuda:N\n"),
        (["--device", "cuda:99"], 5, "Error: device cuda:99: this machine has"),
        (["--plot", "costs.pdf"], 2, "Error: costs.pdf: the picture is a PNG file\nHint: name it costs.png"),
        (["--plot", "gone/costs.png"], 2, "Error: gone/costs.png: the folder gone does not exist\nHint: "),
    ],
)
def test_options_that_make_no_sense_are_one_line(args: list[str], exit_code: int, message: str) -> None:
    result = run(*SMALL, *args) if "--network" not in args else run("--sides", "none", *args)

    assert result.exit_code == exit_code
    assert result.stderr.startswith(message)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--channels", "0"], "channels is 0; expected 8 to 8192"),
        (["--sides", "-4"], "sides has -4; expected pixels from 1 to 16384"),
        (["--max-seconds", "0"], "max-seconds is 0; expected more than 0"),
        (["--network", "town"], "town: unknown network"),
        (["--network", "manet:big"], "manet: unknown encoder big"),
    ],
)
def test_a_refusal_does_not_wait_for_an_engine(
    args: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rsseg.complexity.engine", None)  # importing it would fail

    result = run(*args)

    assert result.exit_code == 2
    assert message in result.stderr


def test_a_network_is_checked_even_where_no_tiles_are_compared() -> None:
    result = run("--network", "nonsense", "--tiles", "none")

    assert result.exit_code == 2
    assert "nonsense: unknown network" in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--sides", "64;128"], "'64;128' is neither a list of sides such as 64,128,256 nor none"),
        (["--max-memory", "much"], "'much' is not of the form 4GB or 500MB"),
    ],
)
def test_values_that_cannot_be_read_are_explained(args: list[str], message: str) -> None:
    result = run(*args)

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4 * 10**9), ("1.5 MB", 1_500_000), ("2k", 2000), ("77", 77), ("8B", 8)]
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert ByteSize().convert(text, None, None) == size


def test_the_defaults_of_the_command_are_those_of_the_library() -> None:
    import click

    command = main.get_command(click.Context(main), "complexity")
    assert command is not None
    values = command.make_context("complexity", []).params
    defaults = ComplexityOptions()

    assert {name: values[name] for name in vars(defaults)} == vars(defaults)
