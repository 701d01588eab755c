import json
import logging
import signal
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from rsseg.cli import main as cli
from rsseg.cli.console import emit_json, set_up_log
from rsseg.errors import RasterError
from rsseg.log import logger

EVERY_HELP = [
    [],
    *([name] for name in cli.COMMANDS),
    *(["weights", n] for n in ("list", "show", "verify", "init", "convert")),
]


@pytest.mark.parametrize("command", EVERY_HELP, ids=" ".join)
def test_help_has_examples_where_it_matters_and_keeps_their_lines(command: list[str]) -> None:
    result = CliRunner().invoke(cli.main, [*command, "--help"])

    assert result.exit_code == 0
    assert "\b" not in result.output
    if command not in (["weights", "list"], ["weights", "show"], ["weights", "verify"]):
        examples = result.output.partition("Example")[2].splitlines()[1:3]
        assert [line.split()[0] for line in examples if line.strip()][:1] == ["rsseg"]


@pytest.mark.parametrize("command", [[], *([name] for name in cli.COMMANDS)], ids=" ".join)
def test_help_imports_no_engine(command: list[str]) -> None:
    heavy = ("torch", "rasterio", "matplotlib", "numpy")
    script = (
        "import sys; from rsseg.cli.main import main\n"
        f"try: main([*{command!r}, '--help'], prog_name='rsseg')\n"
        f"except SystemExit: print([name for name in {heavy!r} if name in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.splitlines()[-1] == "[]"


def test_a_refusal_does_not_wait_for_torch() -> None:
    refused = (
        "",
        "--device tpu",
        "--device cpu --precision fp16",
        "--runtime openvino --precision fp16",
        "--runtime onnxruntime --compile",
        "--threshold nope=0.5",
        "--context tile --use-context f",
        "--tile 100",
    )
    script = (
        "import sys; from rsseg.cli.main import main\n"
        f"for options in {refused!r}:\n"
        "    try: main(['predict', 'gone.tif', '-o', 'x.tif', *options.split()], prog_name='rsseg')\n"
        "    except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.splitlines() == ["3 False", *["2 False"] * (len(refused) - 1)], result.stderr


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli.main, ["segment"])

    assert result.exit_code == 2
    assert "No such command" in result.stderr


def _failing(error: BaseException) -> click.Group:
    group = cli.LazyGroup("rsseg")

    @click.command()
    def predict() -> None:
        raise error

    group.get_command = lambda _ctx, _name: predict  # type: ignore[method-assign]
    return group


def test_an_error_of_ours_is_one_line_a_hint_and_its_exit_code() -> None:
    result = CliRunner().invoke(_failing(RasterError("x.tif: is odd", hint="look at it")), ["predict"])

    assert (result.exit_code, result.stderr, result.stdout) == (
        3,
        "Error: x.tif: is odd\nHint: look at it\n",
        "",
    )


def test_an_interrupt_ends_with_130() -> None:
    result = CliRunner().invoke(_failing(KeyboardInterrupt()), ["predict"])

    assert result.exit_code == 130
    assert "Interrupted" in result.stderr


def test_a_bug_of_ours_shows_its_traceback() -> None:
    result = CliRunner().invoke(_failing(ZeroDivisionError("ours")), ["predict"])

    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_reader_that_has_gone_ends_the_command_quietly() -> None:
    command = f"{sys.executable} -m rsseg weights list --json | true"

    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, "")


def test_options_come_from_variables_too() -> None:
    result = CliRunner().invoke(
        cli.main, ["predict", "a.tif", "-o", "x.tif"], env={"RSSEG_PREDICT_TILE": "many"}
    )

    assert result.exit_code == 2
    assert "'many' is neither a whole number nor auto" in result.stderr


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_has_the_variable_that_its_name_says(name: str) -> None:
    command = cli.main.get_command(click.Context(cli.main), name)

    assert command is not None
    for option in (p for p in command.params if isinstance(p, click.Option)):
        words = max(option.opts, key=len).strip("-").replace("-", "_").upper()
        assert option.envvar == f"RSSEG_{name.upper()}_{words}"


def test_json_refuses_what_json_has_no_word_for() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        emit_json({"iou": float("nan")})


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"name": "Müllheim"})

    assert json.loads(capsys.readouterr().out) == {"name": "Müllheim"}


@pytest.mark.parametrize(
    ("quiet", "verbose", "level"),
    [(False, False, logging.INFO), (True, False, logging.ERROR), (False, True, logging.DEBUG)],
)
def test_talk_follows_quiet_and_verbose(
    *, quiet: bool, verbose: bool, level: int, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_log(quiet=quiet, verbose=verbose)

    logger.warning("careful")

    assert logger.level == level
    assert capsys.readouterr().err == ("" if quiet else "Warning: careful\n")
