"""What is checked before anything is computed, without waiting for torch to be imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rsseg.classes import ClassTable
from rsseg.errors import OptionError, ResourceError
from rsseg.models.registry import network_entry
from rsseg.prediction.options import ContextKind, PredictOptions, Threshold
from rsseg.prediction.runtime_check import check_device, check_precision, check_runtime
from rsseg.prediction.sizes import resolve_sizes
from rsseg.raster import check_output
from rsseg.raster.layers import check_layer_output
from rsseg.weights import Limits, WeightCard

FileKey = tuple[int, int]
"""What identifies an existing local file, whatever it is called."""


def check_options(card: WeightCard, limits: Limits, options: PredictOptions) -> ContextKind:
    """Refuse options that cannot go together with each other, with the weights, or with the packages that are there.

    Returns:
        What tiles attend to; see `resolve_context`.

    Raises:
        OptionError: see above.
        ResourceError: a package is missing, or a device that the weights' file cannot use is asked for.
    """
    context = resolve_context(card, options)
    check_limits(limits, options, tile=resolve_sizes(card, options).tile, context=context)
    check_device(options.device)
    check_runtime(options, context=context)
    check_precision(options.precision, device=options.device)
    resolve_threshold(card.classes, options.threshold)
    return context


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


def check_limits(limits: Limits, options: PredictOptions, *, tile: int, context: ContextKind) -> None:
    """Refuse options that the weights' file leaves no choice about; see `Limits`.

    Raises:
        OptionError: another tile, another precision, the context of a raster, or torch's compiler.
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
    if limits != Limits() and options.compile:
        raise OptionError(
            "--compile is for torch; an exported graph is run by another runtime",
            hint=f"leave --compile out, or {hint}",
        )
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


def resolve_threshold(classes: ClassTable, threshold: Threshold | None) -> tuple[int, float] | None:
    """The threshold with the id of its class.

    Raises:
        OptionError: there is no such class, or there are not two.
    """
    if threshold is None:
        return None
    names = classes.names
    if len(names) != 2:
        raise OptionError(
            f"--threshold decides between two classes; the weights have {len(names)}: {', '.join(names)}"
        )
    if threshold.name not in names:
        raise OptionError(f"threshold: no class {threshold.name!r}; the weights have {' and '.join(names)}")
    return names.index(threshold.name), threshold.probability


def identify_files(paths: Iterable[str | Path]) -> dict[FileKey, str]:
    """The local files among some paths, for `check_outputs`; what is no existing local file is left out."""
    return {key: str(path) for path in paths if (key := _file_key(path))}


def check_outputs(output: Path, options: PredictOptions, *, inputs: Mapping[FileKey, str]) -> None:
    """Refuse outputs that exist, cannot be written, or would replace one another or an input.

    Args:
        output: the class map.
        options: with what else is written and read.
        inputs: all other files that are read; see `identify_files`.

    Raises:
        OptionError: see above.
        ResourceError: a folder cannot be written to.
    """
    also_read = (options.use_context, options.aoi, options.extra)
    also_taken = identify_files(path for path in also_read if path is not None)
    if options.preview is not None and options.preview.suffix.lower() != ".png":
        raise OptionError(f"{options.preview}: the preview is a PNG file", hint="name it FILE.png")
    written: dict[Path, str] = {}
    for name, path in {"the class map": output, **options.side_files}.items():
        for target in (path, sidecar_of(path)):
            if (other := written.setdefault(target.resolve(), name)) != name:
                raise OptionError(f"{path}: is {other}, too", hint=f"choose another {name}")
            if (key := _file_key(target)) and (read := inputs.get(key) or also_taken.get(key)):
                raise OptionError(f"{target}: is the input {read}", hint="choose another name for the output")
        check_output(path, overwrite=options.overwrite, output=output)
    for path in options.layers.values():
        check_layer_output(path, output=output, overwrite=options.overwrite)


def sidecar_of(path: Path) -> Path:
    """Where GDAL looks for what does not fit into a raster's own file."""
    return path.with_name(path.name + ".aux.xml")


def _file_key(path: str | Path) -> FileKey | None:
    """What identifies a file; None for what is no existing local one."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
