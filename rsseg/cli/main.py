"""The `rsseg` command: finds the command asked for, runs it, and turns errors into a line and an exit code.

Command modules are imported only when they are used, and engines only inside them: `rsseg --help` must answer at once.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from typing import Any

import click

from rsseg.errors import ResourceError, RssegError
from rsseg.log import logger
from rsseg.version import __version__

COMMANDS = {
    "predict": "Segment rasters into class maps.",
    "train": "Train a network on labelled imagery.",
    "evaluate": "Compare class maps with labels.",
    "weights": "List, show, verify and make weights.",
    "models": "List the networks with their size, cost and reach.",
    "export": "Turn weights into an ONNX or torch graph for other programs.",
    "complexity": "Compare what attention and networks cost.",
    "synth": "Make a synthetic orthophoto with exact labels.",
}
"""Name and one line of help; the code is `rsseg.cli.<name>.<name>`."""

INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for, so that help costs nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of a user's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"rsseg.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        _name_variables(command, f"RSSEG_{cmd_name.upper()}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command and report what it raises; our own bugs pass through with their traceback."""
        try:
            return super().invoke(ctx)
        except RssegError as err:
            logger.debug("reported error", exc_info=True)
            click.echo(f"Error: {err}", err=True)
            if err.hint:
                click.echo(f"Hint: {err.hint}", err=True)
            ctx.exit(err.exit_code)
        except BrokenPipeError:
            # Whoever read our results has gone: leave quietly, and keep Python from complaining at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(128 + signal.SIGPIPE)
        except OSError as err:
            if err.errno != errno.ENOSPC:
                raise
            click.echo("Error: standard output cannot be written to (no space left)", err=True)
            ctx.exit(ResourceError.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted: nothing half-written is left behind.", err=True)
            ctx.exit(INTERRUPTED)


def _name_variables(command: click.Command, prefix: str) -> None:
    """Let each option come from a variable named like it: --batch-size from RSSEG_PREDICT_BATCH_SIZE."""
    for param in command.params:
        if isinstance(param, click.Option):
            name = max(param.opts, key=len).lstrip("-").upper().replace("-", "_")
            param.envvar = f"{prefix}_{name}"
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            _name_variables(inner, f"{prefix}_{name.upper()}")


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="rsseg")
def main() -> None:
    """Segment large remote-sensing imagery.

    \b
    Examples:
      rsseg synth town/                             an orthophoto to try things on
      rsseg predict ortho.tif -o classes.tif        segment it with the bundled weights
      rsseg evaluate classes.tif --labels labels.tif
      rsseg train tiles/ -o runs/first              train on your own labels

    Results go to standard output, talk to standard error. Every option of a command can also come from a variable:
    RSSEG_PREDICT_TILE=1024 stands for `rsseg predict --tile 1024`.
    """
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_signum: int, _frame: object) -> None:
    """Let SIGTERM end a run as cleanly as Ctrl-C does."""
    raise KeyboardInterrupt
