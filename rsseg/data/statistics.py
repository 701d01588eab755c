"""How bright the training pixels are, for images whose range nobody knows beforehand."""

from __future__ import annotations

import numpy as np

from rsseg.data.samplers import Sampler
from rsseg.data.scenes import DataSet
from rsseg.preprocess import Scaling, default_scaling

SAMPLES = 64
"""Windows that are looked at."""


def plan_scaling(dataset: DataSet, sampler: Sampler) -> Scaling:
    """The scaling of new weights: the usual one for 8-bit RGB, otherwise measured on training samples.

    Mean and standard deviation of each channel are taken over the valid pixels of the first samples, so
    they depend on the seed and the data only. A channel that never changes is scaled by 1.

    Raises:
        RasterError: an image cannot be read.
    """
    if (dataset.channels, dataset.dtype) == (3, "uint8"):
        return default_scaling(3)
    counted = 0
    sums = np.zeros((2, dataset.channels), dtype=np.float64)
    for number in range(SAMPLES):
        sample = sampler.sample(number)
        values = sample.pixels[:, sample.valid].astype(np.float64)  # (C, pixels)
        counted += values.shape[1]
        sums += values.sum(axis=1), np.square(values).sum(axis=1)
    mean, square = sums / max(1, counted)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return Scaling(
        mean=tuple(round(float(v), 6) for v in mean),
        std=tuple(round(float(v), 6) if v > 1e-6 else 1.0 for v in std),
        dtype=dataset.dtype,
    )
