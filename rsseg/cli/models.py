"""`rsseg models`: the networks, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json

if TYPE_CHECKING:
    from rsseg.models.registry import NetworkEntry, Size


@click.command(short_help="List the networks with their size, cost and reach.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@opt.as_json
@opt.verbose
@opt.quiet
def models(names: tuple[str, ...], *, as_json: bool, quiet: bool) -> None:  # noqa: ARG001 - quiet sets up the log
    """List the networks, a line for each encoder; all of them without NAME. The star marks the default encoder.

    Parameters (in millions) are for three bands and six classes; GMAC are the multiply-accumulates, in 10^9, of one
    image of 512 x 512 pixels, or of the only size that the network takes.

    Reach is how many pixels around a square of the network's stride its classes depend on, besides what attention sees.
    A halo of at least the reach makes tiles meet exactly where attention has the same context in both; less is faster,
    and mostly enough. Passes are those over a raster that this context takes. A dash stands for attention that cannot
    be summed up over tiles and always sees the whole tile.

    \b
    Examples:
      rsseg models
      rsseg models maresunet --json
    """
    from rsseg.models.registry import NETWORKS, network_entry

    entries = [network_entry(name) for name in names] or list(NETWORKS.values())
    if not as_json:
        click.echo(_line("network", "encoder", "Mparams", "GMAC", "reach", "passes", "paper"))
    for entry in entries:
        for encoder, size in entry.sizes.items():
            if as_json:
                emit_json(_row(entry, encoder, size))
            else:
                click.echo(_table_line(entry, encoder, size))


def _row(entry: NetworkEntry, encoder: str, size: Size) -> dict[str, Any]:
    return {
        "name": entry.name,
        "encoder": encoder,
        "default": encoder == entry.default_encoder,
        "parameters": size.parameters,
        "gmac": size.gmac,
        "reach": size.reach,
        "stride": entry.stride,
        "context_passes": entry.context_passes,
        "least_batch": entry.least_batch,
        "side": entry.side,
        "paper": entry.paper,
    }


def _table_line(entry: NetworkEntry, encoder: str, size: Size) -> str:
    star = "*" if encoder and encoder == entry.default_encoder else ""
    gmac = f"{size.gmac:.2f}" + ("" if entry.side is None else f" at {entry.side}")
    return _line(
        entry.name,
        f"{encoder}{star}" or "-",
        f"{size.parameters / 1e6:.2f}",
        gmac,
        _or_dash(size.reach),
        _or_dash(entry.context_passes),
        entry.paper,
    )


def _line(name: str, encoder: str, parameters: str, gmac: str, *rest: str) -> str:
    reach, passes, paper = rest
    line = f"{name:<23} {encoder:<18} {parameters:>7} {gmac:>12} {reach:>6} {passes:>7}  {paper}"
    return line.rstrip()


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)
