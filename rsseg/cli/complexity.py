"""`rsseg complexity`: what attention and networks cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, progress_bar, say
from rsseg.cli.pictures import check_picture
from rsseg.complexity.options import ComplexityOptions
from rsseg.errors import OptionError


class SideList(click.ParamType[tuple[int, ...]]):
    """`64,128,256`: sides in pixels; `none` for no side."""

    name = "sides"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return () if value == "none" else tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is neither a list of sides such as 64,128,256 nor none", param, ctx)


@click.command(short_help="Compare what attention and networks cost.")
@click.option(
    "--channels",
    type=int,
    default=64,
    show_default=True,
    metavar="N",
    help="Channels of the maps that attention sees; an eighth of them are those of queries and keys.",
)
@click.option(
    "--sides",
    type=SideList(),
    default="64,128,256,512,1024",
    show_default=True,
    metavar="N,N...|none",
    help="Sides of the maps that attention sees.",
)
@click.option(
    "--network",
    "networks",
    multiple=True,
    default=("maresunet", "manet", "abcnet"),
    show_default=True,
    metavar="NAME[:ENCODER]",
    help="A network to compare; can be repeated.",
)
@click.option(
    "--tiles",
    type=SideList(),
    default="128,256,512,1024,2048",
    show_default=True,
    metavar="N,N...|none",
    help="Sides of the tiles that networks see.",
)
@click.option(
    "--measure/--no-measure",
    "measured",
    default=True,
    show_default=True,
    help="Run what time and memory allow, too.",
)
@click.option(
    "--max-seconds",
    type=float,
    default=12,
    show_default=True,
    metavar="S",
    help="Time for all measurements; what would go past it is left out.",
)
@click.option(
    "--max-memory",
    type=opt.ByteSize(),
    metavar="4GB",
    help="Memory for measurements; what may need more is left out. [default: most of what is free]",
)
@opt.device
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw the comparison.")
@opt.overwrite
@opt.as_json
@opt.quiet
@opt.verbose
def complexity(
    *, device: str, plot: Path | None, overwrite: bool, as_json: bool, quiet: bool, **settings: Any
) -> None:
    """Compare the cost of dot-product attention with that of linear and kernel attention, and networks over tile sizes.

    When the side of a map doubles, dot-product attention takes 16 times the operations and the memory, linear and
    kernel attention 4 times, as a convolution does. What attention costs is known by formula, what networks cost is
    counted without running them; small sizes are measured besides.

    \b
    Examples:
      rsseg complexity                                   table of costs
      rsseg complexity --plot costs.png --no-measure     and a picture
      rsseg complexity --sides none --network manet:resnet18 --network manet:resnet50 --tiles 256,512
      rsseg complexity --device cuda --max-seconds 60 --json
    """
    if plot is not None:
        check_picture(plot, overwrite=overwrite)
    if not settings["sides"] and not settings["tiles"]:
        raise OptionError("--sides none and --tiles none leave nothing to compare")

    options = ComplexityOptions(**settings)

    from rsseg.complexity.engine import compare_costs
    from rsseg.complexity.table import table_text
    from rsseg.prediction.forward import memory_errors, resolve_device

    hint = "give a smaller --max-memory, or --no-measure"
    with progress_bar("complexity", quiet=quiet) as on_progress, memory_errors("measuring", hint=hint):
        report = compare_costs(options, device=resolve_device(device), on_progress=on_progress)
    for subject in (*report.attention, *report.networks):
        for note in subject.notes:
            say(f"Note: {subject.title}: {note}", quiet=quiet)
    if as_json:
        emit_json(report.to_dict())
    else:
        click.echo(table_text(report))
    if plot is not None:
        from rsseg.complexity.plot import write_complexity_plot

        write_complexity_plot(plot, report)
        say(f"{plot}: costs", quiet=quiet)
