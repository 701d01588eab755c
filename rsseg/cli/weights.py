"""`rsseg weights`: the store of trained networks."""

from __future__ import annotations

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, say
from rsseg.cli.weights_make import convert, init
from rsseg.cli.weights_text import card_lines
from rsseg.errors import WeightsError


@click.group()
def weights() -> None:
    """List, show, verify and make weights.

    \b
    Examples:
      rsseg weights list
      rsseg weights show buildings
      rsseg weights init --model maresunet --classes 6 -o untrained.safetensors
      rsseg weights convert published.pth --model manet -o manet.safetensors
    """


@weights.command("list")
@opt.as_json
@opt.verbose
@opt.quiet
def list_command(*, as_json: bool, quiet: bool) -> None:  # noqa: ARG001 - quiet sets up the log
    """List the bundled weights; the star marks the default."""
    from rsseg.weights import default_weights, list_weights, read_card

    default = default_weights()
    for entry in list_weights():
        card = read_card(entry.path)
        row = {
            "name": entry.name,
            "default": entry.name == default,
            "architecture": card.architecture,
            "encoder": card.encoder,
            "classes": list(card.classes.names),
            "bands": list(card.bands),
            "gsd_m": card.gsd_m,
            "scores": dict(card.scores),
            "file": str(entry.path),
            "sha256": entry.sha256,
        }
        if as_json:
            emit_json(row)
        else:
            star = "*" if entry.name == default else " "
            names = ", ".join(card.classes.names)
            click.echo(f"{star} {entry.name:<12} {card.architecture} {card.encoder:<9} {names}")


@weights.command()
@click.argument("name_or_path", metavar="NAME|PATH")
@opt.as_json
@opt.verbose
@opt.quiet
def show(name_or_path: str, *, as_json: bool, quiet: bool) -> None:  # noqa: ARG001
    """Show the card of weights: what they are, what they were trained on, how well they did."""
    import json

    from rsseg.weights import load_card

    card = load_card(name_or_path)
    if as_json:
        emit_json(json.loads(card.to_json()))
        return
    for name, text in card_lines(card):
        click.echo(f"{name:<14}{text}")


@weights.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@opt.as_json
@opt.verbose
@opt.quiet
def verify(names: tuple[str, ...], *, as_json: bool, quiet: bool) -> None:
    """Check the hashes of bundled weights and load them; all of them without NAME."""
    from rsseg.weights import list_weights, verify_weights

    known = {entry.name: entry for entry in list_weights()}
    for name in names:
        if name not in known:
            raise WeightsError(f"{name}: unknown weights", hint=f"bundled weights are: {', '.join(known)}")
    failed = 0
    for name in names or tuple(known):
        try:
            verify_weights(known[name])
            problem = None
        except WeightsError as err:
            problem, failed = str(err), failed + 1
        if as_json:
            emit_json({"name": name, "ok": problem is None, "problem": problem})
        else:
            click.echo(f"{name}: {'ok' if problem is None else problem}")
    if failed:
        raise WeightsError(f"{failed} of {len(names or known)} weights did not verify")
    say("all weights are intact", quiet=quiet or as_json)


weights.add_command(init)
weights.add_command(convert)
