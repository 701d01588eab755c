"""`rsseg weights`: the store of trained networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, say
from rsseg.errors import OptionError, WeightsError

if TYPE_CHECKING:
    from rsseg.classes import ClassTable
    from rsseg.weights import WeightCard


@click.group()
def weights() -> None:
    """List, show, verify and make weights.

    \b
    Examples:
      rsseg weights list
      rsseg weights show buildings
      rsseg weights init --model maresunet --classes 6 -o untrained.safetensors
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
    for name, text in _card_lines(card):
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


@weights.command()
@click.option("--model", "architecture", required=True, help="Network, such as maresunet, manet or linear.")
@click.option("--encoder", default=None, help="Encoder; default: the network's own.")
@click.option("--bands", type=click.IntRange(1), default=3, show_default=True, help="Number of bands.")
@click.option(
    "--classes",
    default="2",
    show_default=True,
    metavar="N|FILE",
    help="Number of classes, or a classes.json.",
)
@click.option(
    "--dtype",
    type=click.Choice(["uint8", "uint16", "float32"]),
    default="uint8",
    show_default=True,
    help="Pixel type of the imagery.",
)
@opt.seed
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="File to write."
)
@opt.overwrite
@opt.as_json
@opt.verbose
@opt.quiet
def init(output: Path, *, overwrite: bool, as_json: bool, quiet: bool, **settings: Any) -> None:  # noqa: ARG001
    """Make untrained weights, repeatable from their seed: for tests, benchmarks, and as a start for training.

    \b
    Example:
      rsseg weights init --model linear --bands 4 --classes 3 -o linear.safetensors
    """
    from rsseg.raster import check_output

    check_output(output, overwrite=overwrite)
    card = _new_card(**{name: value for name, value in settings.items() if name != "seed"})

    from rsseg.weights import init_weights, save_weights

    save_weights(output, init_weights(card, seed=settings["seed"]), card)
    if as_json:
        emit_json({"output": str(output), "architecture": card.architecture, "encoder": card.encoder})
    else:
        click.echo(output)


def _new_card(*, architecture: str, encoder: str | None, bands: int, classes: str, dtype: str) -> WeightCard:
    from rsseg.models.registry import network_entry
    from rsseg.preprocess import default_scaling
    from rsseg.weights import WeightCard

    entry = network_entry(architecture)
    return WeightCard(
        architecture=architecture,
        encoder=entry.default_encoder if encoder is None else encoder,
        classes=_classes(classes),
        bands=("red", "green", "blue") if bands == 3 else tuple(f"band {n}" for n in range(1, bands + 1)),
        scaling=default_scaling(bands, dtype=dtype),
        description="untrained",
        halo=64 if entry.stride > 1 else 0,
    )


def _classes(text: str) -> ClassTable:
    from rsseg.classes import ClassTable, load_classes

    if not text.isdigit():
        return load_classes(Path(text))
    if not 1 <= int(text) <= 255:
        raise OptionError(f"classes is {text}; expected 1 to 255, or a classes.json")
    return ClassTable.unnamed(int(text))


def _card_lines(card: WeightCard) -> list[tuple[str, str]]:
    scaling = card.scaling
    rows = [
        ("description", card.description),
        ("network", f"{card.architecture} {card.encoder}".strip()),
        ("classes", ", ".join(f"{c.id} {c.name} {c.color}" for c in card.classes)),
        ("bands", ", ".join(card.bands)),
        ("scaling", f"{scaling.dtype}, mean {_numbers(scaling.mean)}, std {_numbers(scaling.std)}"),
        ("ground size", f"{card.gsd_m:g} m" if card.gsd_m else "unknown"),
        ("tile, halo", f"{card.tile}, {card.halo} px"),
        ("data", card.data),
        ("licence", card.licence),
        ("scores", ", ".join(f"{name} {value:.4f}" for name, value in card.scores.items())),
    ]
    return [(name, text) for name, text in rows if text]


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in values)
