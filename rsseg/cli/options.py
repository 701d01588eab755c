"""Options that several commands share, spelled the same everywhere, and the forms of their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rsseg.cli.console import set_up_log

if TYPE_CHECKING:
    from rsseg.preprocess import Stretch


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


class Range(click.ParamType["Stretch"]):
    """`MIN,MAX`: two numbers."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Stretch:
        """Read the two numbers."""
        from rsseg.preprocess import Stretch

        if isinstance(value, Stretch):
            return value
        try:
            low, high = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not of the form MIN,MAX, such as 0,4095", param, ctx)
        return Stretch(low, high)


def _set_log(ctx: click.Context, param: click.Parameter, value: bool) -> bool:  # noqa: FBT001 - click's signature
    chosen = ctx.meta.setdefault("rsseg.log", {"quiet": False, "verbose": False})
    chosen[str(param.name)] = value
    set_up_log(**chosen)
    return value


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
    help="Number format of the network; auto: half precision on a GPU, fp32 on a CPU.",
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
    type=int,
    metavar="N",
    help="Side of what the network reads, in pixels. [default: the weights' card]",
)
halo = click.option(
    "--halo",
    type=int,
    metavar="N",
    help="Margin it reads around what it decides. [default: the weights' card]",
)
batch_size = click.option(
    "--batch-size", type=int, metavar="N", help="Tiles in a forward pass. [default: 1 on a CPU, 8 on a GPU]"
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
    metavar="MIN,MAX",
    help="Black and white of 16-bit or float imagery, for weights trained on 8 bits.",
)
