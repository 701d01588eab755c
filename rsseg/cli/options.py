"""Options that several commands share, spelled the same everywhere, and the forms of their values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli.console import set_up_log

if TYPE_CHECKING:
    from rsseg.prediction.options import Threshold


class BandList(click.ParamType[tuple[int, ...]]):
    """`3,2,1`: band numbers, which count from 1."""

    name = "bands"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of band numbers such as 3,2,1", param, ctx)


class Nodata(click.ParamType[float | str]):
    """A number, `none`, or `auto`."""

    name = "nodata"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a number; `none` becomes None, since None itself is click's word for a missing value."""
        text = str(value).lower()
        if text in ("none", "auto"):
            return text
        try:
            return float(text)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor none", param, ctx)


class Range(click.ParamType[Any]):
    """`MIN,MAX`: two numbers; `pLOW-HIGH`: two percentiles."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the two numbers."""
        from rsseg.preprocess import Percentiles, Stretch

        if isinstance(value, Stretch | Percentiles):
            return value
        text = str(value)
        kind, numbers = (Percentiles, text[1:].split("-")) if text[:1] == "p" else (Stretch, text.split(","))
        try:
            low, high = map(float, numbers)
        except ValueError:
            self.fail(
                f"{value!r} is neither MIN,MAX, such as 0,4095, nor pLOW-HIGH, such as p2-98", param, ctx
            )
        return kind(low, high)


class SizeOrAuto(click.ParamType["int | str"]):
    """A number of pixels or tiles, or `auto`, which is None."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number; `auto` stays a word until the callback, since click takes None for a missing value."""
        if value == "auto":
            return value
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor auto", param, ctx)


class GroundSize(click.ParamType["float | str"]):
    """Metres, `auto` or `native`."""

    name = "metres"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Read the number."""
        if value in ("auto", "native"):
            return str(value)
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of metres nor auto or native", param, ctx)


class ClassThreshold(click.ParamType["Threshold"]):
    """`CLASS=P`: a class and a probability."""

    name = "threshold"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Threshold:
        """Read both."""
        from rsseg.prediction.options import Threshold

        if isinstance(value, Threshold):
            return value
        name, equals, number = str(value).rpartition("=")
        try:
            return Threshold(name, float(number if name and equals else ""))
        except ValueError:
            self.fail(f"{value!r} is not of the form CLASS=P, such as building=0.4", param, ctx)


class ByteSize(click.ParamType[int]):
    """`4GB`, `500MB` or a number of bytes; prefixes are powers of a thousand."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read number and unit."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGT]?)B?", str(value))
        if match is None:
            self.fail(f"{value!r} is not of the form 4GB or 500MB", param, ctx)
        return int(float(match[1]) * 1000 ** " kMGT".index(match[2] or " "))


def _set_log(ctx: click.Context, param: click.Parameter, value: bool) -> bool:  # noqa: FBT001 - click's signature
    chosen = ctx.meta.setdefault("rsseg.log", {"quiet": False, "verbose": False})
    chosen[str(param.name)] = value
    set_up_log(**chosen)
    return value


def _auto(_ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
    return None if value == "auto" else value


def _none(_ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
    return None if value == "none" else value


quiet = click.option("-q", "--quiet", is_flag=True, callback=_set_log, help="Say nothing but errors.")
verbose = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    callback=_set_log,
    expose_value=False,
    help="Say more, on standard error.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print results as JSON on standard output.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace existing output.")
device = click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]", help="Where the network runs."
)
precision = click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Number format of the network; auto: half precision where the device has it, else fp32.",
)
seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Makes random choices repeatable.",
)
weights = click.option(
    "--weights",
    metavar="NAME|PATH",
    help="Bundled weights by name, or a .safetensors or .onnx file. [default: buildings]",
)
tile = click.option(
    "--tile",
    type=SizeOrAuto(),
    callback=_auto,
    metavar="N|auto",
    help="Side of what the network reads, in pixels; auto: the weights' card, or with"
    " --context raster what memory allows.  [default: auto]",
)
halo = click.option(
    "--halo",
    type=SizeOrAuto(),
    callback=_auto,
    metavar="N|auto",
    help="Margin it reads around what it decides; auto: the weights' card, at most a quarter of --tile; 128 with larger"
    " tiles under --context raster.  [default: auto]",
)
batch_size = click.option(
    "--batch-size",
    type=SizeOrAuto(),
    callback=_auto,
    metavar="N|auto",
    help="Tiles in a forward pass.  [default: 1 on a CPU, 8 on a GPU]",
)
bands = click.option(
    "--bands",
    type=BandList(),
    metavar="3,2,1",
    help="Bands to use, counted from 1, in the order of the weights'.",
)
nodata = click.option(
    "--nodata",
    type=Nodata(),
    callback=_none,
    default="auto",
    show_default=True,
    metavar="V|none|auto",
    help="Value that means missing data; auto: what the raster says.",
)
scale = click.option(
    "--scale",
    "stretch",
    type=Range(),
    metavar="MIN,MAX|pLOW-HIGH",
    help="Black and white of 16-bit or float imagery, as values or as percentiles of the raster, for weights trained on"
    " 8 bits.",
)
gsd = click.option(
    "--gsd",
    type=GroundSize(),
    default="native",
    show_default=True,
    metavar="auto|native|METRES",
    help="Size of a pixel on the ground at which the network sees the raster; auto: the weights' card.",
)
context = click.option(
    "--context",
    type=click.Choice(["raster", "tile"]),
    help="What attention attends to: the whole raster, or each tile for itself.  [default: tile]",
)
tta = click.option(
    "--tta",
    type=click.Choice(["none", "flips", "d4"]),
    default="none",
    show_default=True,
    help="Average over views: the image flipped (4 times the work), or also turned (8 times).",
)
max_memory = click.option(
    "--max-memory",
    type=ByteSize(),
    metavar="SIZE",
    help="Bound on memory, such as 4GB.  [default: a quarter of the machine's]",
)
