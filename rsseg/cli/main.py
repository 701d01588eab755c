"""The `rsseg` command: finds the command asked for, runs it, and turns errors into a line and an exit code.

Command modules are imported only when they are used, and engines only inside them: `rsseg --help` must answer at once.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from typing import Any, NoReturn

import click

from rsseg.cli.console import open_closed_streams, say, silence
from rsseg.cli.signals import listen, was_interrupted
from rsseg.errors import ResourceError, RssegError
from rsseg.log import logger
from rsseg.version import __version__

COMMANDS = {
    "predict": "Segment rasters into class maps.",
    "info": "Tell what rsseg sees in a raster, weights, run or data set.",
    "data": "List published data sets, split data of your own.",
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

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""What a standard output that takes nothing says; our files turn these into errors of their own."""


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
            if was_interrupted():  # the error is what a library made of it
                _end_interrupted(ctx)
            say(f"Error: {err}" + (f"\nHint: {err.hint}" if err.hint else ""))
            ctx.exit(err.exit_code)
        except MemoryError:
            logger.debug("memory is used up", exc_info=True)
            say(
                "Error: there is not enough memory\nHint: choose smaller tiles or batches, or end other programs"
            )
            ctx.exit(ResourceError.exit_code)
        except BrokenPipeError:
            # Whoever read our results has gone: leave quietly, and keep Python from complaining at exit.
            silence(sys.stdout)
            ctx.exit(128 + signal.SIGPIPE)
        except OSError as err:
            if err.errno not in _UNWRITABLE or err.filename is not None:
                raise
            silence(sys.stdout)
            say(f"Error: standard output cannot be written to ({err.strerror})")
            ctx.exit(ResourceError.exit_code)
        except KeyboardInterrupt:
            _end_interrupted(ctx)


def _end_interrupted(ctx: click.Context) -> NoReturn:
    say("Interrupted: no output is half-written.")
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
    open_closed_streams()
    # Threads of torch wait for one another by spinning, which on a busy machine takes the time of those waited for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    listen()
