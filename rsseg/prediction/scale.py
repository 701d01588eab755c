"""The stretch between two percentiles of a raster's own pixels."""

from __future__ import annotations

import numpy as np

from rsseg.errors import RasterError
from rsseg.preprocess import Percentiles, Stretch
from rsseg.raster import CollarSource, RasterSource, sample_pixels


def stretch_between(
    source: RasterSource, percentiles: Percentiles, *, collar: CollarSource | None = None
) -> Stretch:
    """Find the values of two percentiles in each band, among valid pixels spread evenly; see `sample_pixels`.

    The same raster gives the same values on every machine and in every run. Where a collar is to be left out, nothing
    of its colour counts, be it in the collar or not; otherwise a frame that nothing declares as missing is imagery.

    Args:
        source: the raster.
        percentiles: which ones.
        collar: the raster without its collar, which need not be found yet.

    Raises:
        RasterError: none of the pixels is valid, or a band is constant.
    """
    values, looked_at = sample_pixels(source, None if collar is None else collar.read_uncolored)
    where = f"the {looked_at} pixels looked at"
    if not values.shape[1]:
        raise RasterError(
            f"{source.path}: none of {where} is valid, so {percentiles} has no values", hint=_HINT
        )
    low, high = np.percentile(values, [percentiles.low, percentiles.high], axis=1).astype(float)
    for band, black, white in zip(source.bands, low, high, strict=True):
        if not black < white:
            raise RasterError(
                f"{source.path}: band {band} is {black:g} at both percentiles of {percentiles}, among the"
                f" {values.shape[1]} valid ones of {where}; there is nothing to stretch",
                hint=_HINT,
            )
    return Stretch(tuple(low.tolist()), tuple(high.tolist()))


_HINT = "say which values are black and white: --scale MIN,MAX"
