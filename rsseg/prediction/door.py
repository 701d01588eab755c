"""What is checked before anything is computed, without waiting for torch to be imported."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rsseg.errors import OptionError, RasterError, ResourceError
from rsseg.models.registry import NetworkEntry, network_entry
from rsseg.prediction.options import ContextKind, PredictOptions
from rsseg.preprocess import Scaling, Stretch
from rsseg.raster import RasterSource, check_output, open_raster
from rsseg.tiling.plan import check_tile
from rsseg.weights import Limits, WeightCard


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Side of what the network reads, margin around what it decides, and the grid it needs, in pixels."""

    tile: int
    halo: int
    stride: int

    @property
    def keep(self) -> int:
        """Side of what a tile decides."""
        return self.tile - 2 * self.halo


def resolve_sizes(card: WeightCard, options: PredictOptions) -> Sizes:
    """The sizes asked for, or the card's; with a tile that was asked for, at most a quarter of it is halo.

    Raises:
        OptionError: they do not fit the network.
    """
    entry = network_entry(card.architecture)
    stride = entry.stride
    tile = card.tile if options.tile is None else options.tile
    halo = card.halo if options.tile is None else min(card.halo, tile // 4 // stride * stride)
    sizes = Sizes(tile=tile, halo=halo if options.halo is None else options.halo, stride=stride)
    check_tile(tile=sizes.tile, halo=sizes.halo, stride=stride)
    check_side(entry, "tile", sizes.tile)
    if options.seam_check and sizes.keep < 2 * stride:
        raise OptionError(
            f"--seam-check shifts tiles by half of the {sizes.keep} px they keep; that is less than the network's"
            f" stride, {stride} px",
            hint="choose a larger --tile or a smaller --halo",
        )
    return sizes


def resolve_context(card: WeightCard, options: PredictOptions) -> ContextKind:
    """What tiles attend to: as asked for, or what suits the other options.

    Raises:
        OptionError: the network's attention cannot be summed up over tiles, or there is none.
    """
    entry = network_entry(card.architecture)
    asked = options.context or ("raster" if options.context_wishes else "tile")
    if asked == "raster" and entry.context_passes is None:
        raise OptionError(
            f"{entry.name}: the context of a raster cannot be taken{entry.no_context and f': {entry.no_context}'}",
            hint="use --context tile",
        )
    if options.context_wishes and entry.context_passes == 0:
        raise OptionError(f"{entry.name}: has no attention, so {options.context_wishes[0]} has no meaning")
    return asked


def check_side(entry: NetworkEntry, name: str, size: int) -> None:
    """Refuse a size, of `name`, that a network for squares of one side cannot take.

    Raises:
        OptionError: see above.
    """
    if entry.side not in (None, size):
        raise OptionError(
            f"{name} is {size} px; {entry.name} takes squares of {entry.side} px only",
            hint=f"choose --{name} {entry.side}, or another network",
        )


def check_limits(limits: Limits, options: PredictOptions, *, tile: int, context: ContextKind) -> None:
    """Refuse options that the weights' file leaves no choice about; see `Limits`.

    Raises:
        OptionError: another tile, another precision, or the context of a raster.
        ResourceError: a GPU is asked for, and the file's runtime has none.
    """
    hint = "use the .safetensors file it was made of"
    if limits.side not in (None, tile):
        raise OptionError(
            f"tile is {tile} px; this graph was exported for squares of {limits.side} px only",
            hint=f"choose --tile {limits.side}, or {hint}",
        )
    if limits != Limits() and context == "raster":
        raise OptionError("an exported graph cannot take or use the context of a raster", hint=hint)
    if limits.precision and options.precision not in ("auto", limits.precision):
        raise OptionError(
            f"precision is {options.precision}; this graph was exported in {limits.precision}",
            hint=f"leave --precision out, or {hint}",
        )
    if options.device.startswith("cuda") and not limits.cuda:
        raise ResourceError(
            f"device {options.device}: the installed onnxruntime has no CUDA",
            hint="use --device cpu, or install onnxruntime-gpu in its place",
        )


def open_input(image: str | Path, card: WeightCard, options: PredictOptions) -> RasterSource:
    """Open a raster whose bands and pixel type fit the weights; the caller closes it.

    Raises:
        RasterError: it cannot be opened or does not fit.
        OptionError: bands or stretch do not fit the card.
    """
    if options.bands is not None and len(options.bands) != len(card.bands):
        raise OptionError(
            f"--bands names {len(options.bands)} bands, the weights expect {len(card.bands)}: {', '.join(card.bands)}"
        )
    bands = options.bands or _bands_of_card(card)
    source = open_raster(image, bands=bands, channels=len(card.bands), nodata=options.nodata)
    try:
        _check_type(source, card.scaling, options.stretch)
    except (RasterError, OptionError):
        source.close()
        raise
    return source


def check_outputs(output: Path, options: PredictOptions, *, inputs: Iterable[str | Path]) -> None:
    """Refuse outputs that exist, cannot be written, or would replace one another or an input.

    Raises:
        OptionError: see above.
        ResourceError: a folder cannot be written to.
    """
    read = [*inputs, *filter(None, [options.use_context])]
    taken = {key: f"the input {path}" for path in read if (key := _file_key(path))}
    if options.preview is not None and options.preview.suffix.lower() != ".png":
        raise OptionError(f"{options.preview}: the preview is a PNG file", hint="name it FILE.png")
    named = {"the class map": output, "--preview": options.preview, "--save-context": options.save_context}
    written: dict[Path, str] = {}
    for name, path in named.items():
        if path is None:
            continue
        for target in (path, sidecar_of(path)):
            if (other := written.setdefault(target.resolve(), name)) != name:
                raise OptionError(f"{path}: is {other}, too", hint=f"choose another {name}")
            if (key := _file_key(target)) in taken:
                raise OptionError(f"{target}: is {taken[key]}", hint="choose another name for the output")
        check_output(path, overwrite=options.overwrite)


def sidecar_of(path: Path) -> Path:
    """Where GDAL looks for what does not fit into a raster's own file."""
    return path.with_name(path.name + ".aux.xml")


def _file_key(path: str | Path) -> tuple[int, int] | None:
    """What identifies an existing local file whatever it is called; None for anything else."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _bands_of_card(card: WeightCard) -> tuple[int, ...] | None:
    """The band numbers that a card names (`band 4`, `band 1`), where they are not just the first ones in order."""
    numbers = [re.fullmatch(r"band (\d+)", name) for name in card.bands]
    bands = tuple(int(match[1]) for match in numbers if match)
    return bands if len(bands) == len(numbers) and bands != tuple(range(1, len(bands) + 1)) else None


def _check_type(source: RasterSource, scaling: Scaling, stretch: Stretch | None) -> None:
    """Refuse pixels of another type than the weights were trained on, unless the user says how they compare."""
    if stretch is not None:
        if scaling.dtype != "uint8":
            raise OptionError(f"--scale maps to 8 bits, but these weights were trained on {scaling.dtype}")
        return
    both_float = source.dtype.startswith("float") and scaling.dtype.startswith("float")
    if source.dtype != scaling.dtype and not both_float:
        raise RasterError(
            f"{source.path}: holds {source.dtype} pixels, the weights were trained on {scaling.dtype}",
            hint="say which values are black and white: --scale MIN,MAX"
            if scaling.dtype == "uint8"
            else f"convert the raster to {scaling.dtype}, or choose other weights",
        )
