"""What is checked before anything is computed, without waiting for torch to be imported."""

from __future__ import annotations

from pathlib import Path

from rsseg.errors import OptionError, RasterError
from rsseg.prediction.options import PredictOptions
from rsseg.preprocess import Scaling, Stretch
from rsseg.raster import RasterSource, check_output, open_raster
from rsseg.weights import WeightCard


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
    source = open_raster(image, bands=options.bands, channels=len(card.bands), nodata=options.nodata)
    try:
        _check_type(source, card.scaling, options.stretch)
    except (RasterError, OptionError):
        source.close()
        raise
    return source


def check_outputs(image: str | Path, output: Path, options: PredictOptions) -> None:
    """Refuse outputs that exist, cannot be written, or would replace the input.

    Raises:
        OptionError: see above.
        ResourceError: a folder cannot be written to.
    """
    for path in (output, options.preview):
        if path is None:
            continue
        if path.exists() and Path(image).exists() and path.samefile(image):
            raise OptionError(f"{path}: is the input itself", hint="choose another name for the output")
        check_output(path, overwrite=options.overwrite)


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
