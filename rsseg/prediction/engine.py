"""Rasters to class maps: loaded weights, ready for any number of rasters; `run.py` is the way of one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from rsseg.log import logger
from rsseg.machine import held_memory
from rsseg.models.registry import network_entry
from rsseg.prediction.context_file import check_context_file
from rsseg.prediction.decide import DecisionRule
from rsseg.prediction.door import check_options, check_outputs, identify_files, resolve_threshold
from rsseg.prediction.estimate import tensor_bytes, with_seconds
from rsseg.prediction.forward import Forward, resolve_device
from rsseg.prediction.inputs import Imagery, open_imagery
from rsseg.prediction.options import PredictOptions
from rsseg.prediction.plan import Plan, plan_prediction
from rsseg.prediction.precision import resolve_precision
from rsseg.prediction.prepare import prepare, runtime_of
from rsseg.prediction.preview import write_preview
from rsseg.prediction.run import RasterRun, context_run
from rsseg.prediction.setup import Setup
from rsseg.prediction.sizes import resolve_sizes
from rsseg.prediction.summary import PredictSummary
from rsseg.prediction.views import views_of
from rsseg.raster import gdal_env
from rsseg.weights import Weights


class Predictor:
    """Loaded weights on a device, ready for any number of rasters.

    Raises:
        OptionError: sizes do not fit the network, or options the weights' limits.
        ResourceError: the device does not exist, or a package that runs the network.
    """

    def __init__(self, weights: Weights, options: PredictOptions) -> None:
        card, limits = weights.card, weights.limits
        context = check_options(card, limits, options)
        on_cpu = options.device == "auto" and (not limits.cuda or options.runtime != "torch")
        device = resolve_device("cpu" if on_cpu else options.device)
        entry = network_entry(card.architecture)
        precision = resolve_precision(
            limits.precision or options.precision, device, runtime=options.runtime, deep=entry.stride > 1
        )
        if options.threads is not None or entry.stride == 1:
            # Threads that share the work of one layer spend their time waiting for one another: 9 Mpx/s, alone 38.
            torch.set_num_threads(options.threads or 1)
        network = prepare(
            weights.network,
            device=device,
            precision=precision,
            runtime=options.runtime,
            compile=options.compile,
            channels=card.scaling.channels,
            side=entry.side,
        )
        rule = DecisionRule(
            threshold=resolve_threshold(card.classes, options.threshold), layers=frozenset(options.layers)
        )
        forward = Forward(
            network, card.scaling, device=device, precision=precision, views=views_of(options.tta), rule=rule
        )
        passes = (entry.context_passes or 0) * (context == "raster")
        # A GPU encodes a tile sooner than a disk gives its features back, and a compiled network is one piece.
        keeps_features = passes > 0 and device.type == "cpu" and not options.compile
        self._setup = Setup(
            weights=weights,
            forward=forward,
            options=options,
            context=context,
            passes=passes,
            side=limits.side or entry.side,
            precision=precision,
            runtime=runtime_of(weights.network, options.runtime),
            tensor_bytes=tensor_bytes(weights, side=resolve_sizes(card, options).tile),
            feature_bytes=forward.feature_bytes() if keeps_features else 0.0,
            held_bytes=held_memory(),
        )

    @property
    def device_type(self) -> str:
        """The kind of device the network runs on, such as `cpu` or `cuda`."""
        return self._setup.forward.device_type

    def predict(
        self, image: str | Path, output: Path, *, on_progress: Callable[[float], None] | None = None
    ) -> PredictSummary:
        """Segment one raster and write its class map; the map appears complete or not at all.

        The preview comes last: when it cannot be drawn, the map is there nonetheless.

        Args:
            image: anything GDAL opens.
            output: the class map, a Cloud Optimized GeoTIFF on the raster's grid.
            on_progress: is told the share done, from 0 to 1.

        Raises:
            OptionError: the output exists, or its folder does not.
            RasterError: the raster cannot be opened, read or does not fit the weights.
            WeightsError: the context to use does not fit.
            ResourceError: disk or memory do not suffice.
        """
        started = time.monotonic()
        setup, options = self._setup, self._setup.options
        with self._open(image, output) as imagery:
            plan = plan_prediction(setup, imagery, output)
            with gdal_env(cache_bytes=plan.pipeline.cache_bytes):
                outcome = RasterRun(setup, imagery, output, plan).predict(on_progress or _ignore)
            summary = PredictSummary(
                output=output,
                layers=options.layers,
                preview=options.preview,
                saved_context=options.save_context,
                width=imagery.grid.width,
                height=imagery.grid.height,
                tile=plan.sizes.tile,
                halo=plan.sizes.halo,
                tiles=outcome.tiles,
                skipped_tiles=outcome.skipped_tiles,
                class_pixels=outcome.counts.pixels,
                class_areas_m2=outcome.counts.areas_m2,
                nodata_pixels=outcome.counts.nodata_pixels,
                context=setup.context,
                precision=setup.precision,
                runtime=setup.runtime,
                seam_change=outcome.seam_change,
                resumed_blocks=outcome.resumed_blocks,
                seconds=time.monotonic() - started,
            )
            if options.preview is not None:
                logger.info(f"{output}: is complete; drawing {options.preview}")
                classes = setup.weights.card.classes
                write_preview(options.preview, source=imagery.source, class_map=output, classes=classes)
            return summary

    def plan(self, image: str | Path, output: Path) -> Plan:
        """Say how one raster would be predicted, and what that takes; writes nothing.

        Raises:
            OptionError, RasterError, WeightsError, ResourceError: see `predict`.
        """
        with self._open(image, output) as imagery:
            return with_seconds(plan_prediction(self._setup, imagery, output), self._setup)

    @contextmanager
    def _open(self, image: str | Path, output: Path) -> Iterator[Imagery]:
        """Open a raster and refuse what can be seen to fail."""
        options = self._setup.options
        check_outputs(output, options, inputs=identify_files([image]))
        with (
            gdal_env(cache_bytes=options.cache_bytes),
            open_imagery(image, self._setup.weights.card, options) as imagery,
        ):
            check_outputs(output, options, inputs=identify_files(imagery.files))
            if options.use_context is not None:
                check_context_file(options.use_context, context_run(self._setup, imagery))
            for note in imagery.notes:
                logger.info(note)
            for warning in imagery.warnings:
                logger.warning(warning)
            yield imagery


def predict_raster(
    image: str | Path,
    output: str | Path,
    *,
    weights: Weights,
    options: PredictOptions | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> PredictSummary:
    """Segment one raster and write its class map; see `Predictor.predict`."""
    return Predictor(weights, options or PredictOptions()).predict(
        image, Path(output), on_progress=on_progress
    )


def _ignore(_share: float) -> None:
    """Progress that nobody watches."""
