"""What a run starts from: its data, a card for the weights to come, and the network it describes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import torch

from rsseg.data.options import SampleOptions
from rsseg.data.samplers import Sampler
from rsseg.data.scenes import DataSet, open_dataset, plan_dataset
from rsseg.data.statistics import plan_scaling
from rsseg.errors import OptionError, RasterError, WeightsError
from rsseg.log import logger
from rsseg.models.network import Network
from rsseg.models.registry import NetworkEntry, build_network, check_encoder, network_entry
from rsseg.prediction.sizes import check_side
from rsseg.raster import gdal_env
from rsseg.tiling.plan import check_tile
from rsseg.training.options import LossOptions, OptimizerOptions, TrainOptions
from rsseg.training.transfer import fill_from_other_classes
from rsseg.weights import WeightCard, Weights, find_tensors, init_weights, load_card, load_weights
from rsseg.weights.pretrained import load_encoder

CACHE_BYTES = 512 * 2**20
"""GDAL's cache of decoded blocks: training comes back to the same ones again and again."""

DEFAULT_MODEL = "maresunet"
DEFAULT_ENCODERS = {"maresunet": "resnet18"}
"""Smaller than the papers', so that a CPU can train them; other networks take the registry's default."""


@contextmanager
def open_training_data(path: Path, options: TrainOptions) -> Iterator[tuple[DataSet, Sampler]]:
    """Open the data of a run with the sampler of its recipe; at the end torch's global random state is given back."""
    plan = plan_dataset(path, preset=options.preset)
    chosen = SampleOptions(
        window=options.window, sampling=options.sampling, seed=options.seed, augment=options.augment
    )
    with gdal_env(cache_bytes=CACHE_BYTES), open_dataset(plan) as dataset, torch.random.fork_rng(devices=[]):
        _describe(dataset)
        yield dataset, Sampler(dataset, chosen)


def _describe(dataset: DataSet) -> None:
    """Say what there is to learn from, and what cannot be learnt."""
    for part, scenes in (("train", dataset.train), ("val", dataset.val)):
        pixels = np.sum([s.class_pixels for s in scenes], axis=0)
        shares = zip(dataset.classes.names, pixels / pixels.sum(), strict=True)
        logger.info(
            f"{part}: {len(scenes)} scenes, {pixels.sum() / 1e6:.1f} labelled Mpx"
            f" ({', '.join(f'{name} {share:.1%}' for name, share in shares)})"
        )
        missing = [name for name, count in zip(dataset.classes.names, pixels, strict=True) if not count]
        if part == "train" and missing:
            logger.warning(f"train: has no pixel of {', '.join(missing)}, which cannot be learnt")


def check_recipe(options: TrainOptions) -> None:
    """Refuse what can be refused before any data are read; the encoder to start from is read, or fetched, for that.

    Raises:
        OptionError: unknown network or encoder, sizes that do not fit it, or no auxiliary heads or encoder to weigh.
        WeightsError: there are no such weights to start from, or those of the encoder do not fit.
        ResourceError: the encoder's weights cannot be fetched.
    """
    if options.weights:
        find_tensors(options.weights)
    model = load_card(options.weights).architecture if options.weights else options.model or DEFAULT_MODEL
    entry = network_entry(model)
    check_encoder(entry, options.encoder)
    check_tile(tile=options.tile, halo=options.halo, stride=entry.stride)
    for name in ("tile", "window"):
        check_side(entry, name, getattr(options, name))
    _check_batch(entry, options)
    if options.pretrained and not entry.encoders:
        raise OptionError(
            f"{entry.name}: has no encoder that {options.pretrained} could fill",
            hint="leave --pretrained out, or choose another --model",
        )
    if options.merge_contexts and not entry.context_passes:
        raise OptionError(
            f"merge contexts is {options.merge_contexts:g}; {entry.name} has no contexts that could be merged",
            hint="leave merge_contexts out, or choose another --model",
        )
    if options.merge_contexts and entry.least_batch > 1 and options.norm != "frozen":
        raise OptionError(
            f"merge contexts is {options.merge_contexts:g}; {entry.name} normalises features that are pooled to one"
            " value per sample, and merged there is one in all",
            hint="leave merge_contexts out, or --set norm=frozen",
        )
    _check_inside(entry, options)


def _check_batch(entry: NetworkEntry, options: TrainOptions) -> None:
    """Batch norm, where it learns, needs more than one value per channel of what it sees at once."""
    if options.norm == "frozen":
        return
    parts, window = options.optimizer.parts, options.window
    size = options.batch_size // parts
    if size < entry.least_batch:
        what = f"batch size of each of {parts} parts" if parts > 1 else "batch size"
        raise OptionError(
            f"{what} is {size}; {entry.name} needs at least {entry.least_batch}, since it normalises features that are"
            " pooled to one value per sample",
            hint=f"choose --batch-size {entry.least_batch * parts} or more, or another --model",
        )
    if size * math.ceil(window / entry.stride) ** 2 < 2:
        raise OptionError(
            f"batch size 1 and window {window} leave {entry.name} a single value per channel to normalise"
            f" (its stride is {entry.stride})",
            hint="choose a larger --batch-size or --window",
        )


def _check_inside(entry: NetworkEntry, options: TrainOptions) -> None:
    """Try what depends on the layers, on a network that has shapes only."""
    aux_weight, encoder_lr = options.loss.aux_weight, options.optimizer.encoder_lr
    weighs_heads, slows_encoder = (
        aux_weight != LossOptions.aux_weight,
        encoder_lr != OptimizerOptions.encoder_lr,
    )
    if not (weighs_heads or slows_encoder or options.pretrained):
        return
    encoder = options.encoder or _default_encoder(entry)
    with torch.device("meta"):
        network = build_network(entry.name, encoder=encoder, classes=2)
    if weighs_heads and not network.auxiliary_heads:
        raise OptionError(
            f"loss.aux_weight is {aux_weight}, but {entry.name} has no auxiliary heads",
            hint="leave --aux-weight out",
        )
    if slows_encoder and not hasattr(network, "encoder"):
        raise OptionError(
            f"optimizer.encoder_lr is {encoder_lr}, but {entry.name} has no encoder that is told apart",
            hint="leave it out; optimizer.lr is the rate of all",
        )
    if options.pretrained:
        load_encoder(network, encoder=encoder, source=options.pretrained)


def _default_encoder(entry: NetworkEntry) -> str:
    return DEFAULT_ENCODERS.get(entry.name, entry.default_encoder)


def plan_card(dataset: DataSet, sampler: Sampler, options: TrainOptions) -> WeightCard:
    """Describe the weights that the run will make; their scores are still empty.

    What the data say nothing about stays as the weights to start from have it.

    Raises:
        OptionError: the options contradict the weights to start from.
        WeightsError: the weights to start from do not fit the data.
        RasterError: the network cannot see an image to validate with.
    """
    card = _continued(dataset, options) if options.weights else _new(dataset, sampler, options)
    _check_scenes(dataset, network_entry(card.architecture))
    notes = dataset.card
    return replace(
        card,
        tile=options.tile,
        halo=options.halo,
        gsd_m=card.gsd_m if (gsd_m := dataset.gsd_m()) is None else gsd_m,
        description=notes.description or card.description,
        data=notes.data or card.data,
        licence=notes.licence or card.licence,
        scores={},
    )


def _check_scenes(dataset: DataSet, entry: NetworkEntry) -> None:
    """A network for squares of one side needs val scenes that hold one; those to learn from are filled up."""
    for scene in dataset.val:
        grid = scene.image.grid
        padded = math.ceil(min(grid.width, grid.height) / entry.stride) * entry.stride
        if entry.side is not None and padded < entry.side:
            raise RasterError(
                f"{scene.name}: is {grid.width} x {grid.height} px; {entry.name} takes squares of {entry.side} px only,"
                " so it cannot be validated with",
                hint="leave the scene out of val, or choose another --model",
            )


def start_network(card: WeightCard, options: TrainOptions) -> tuple[Network, WeightCard]:
    """Build the network of a card: untrained, with a trained encoder, or with the weights to start from.

    Returns:
        The network, and its card, whose description names the file of an encoder or of weights for other classes.

    Raises:
        WeightsError: the weights to start from, or those of the encoder, do not fit.
        ResourceError: the encoder's weights cannot be fetched.
    """
    if options.weights:
        weights = load_weights(options.weights)
        same = weights.card.classes.names == card.classes.names
        return (weights.network, card) if same else _start_for_other_classes(card, weights, options)
    network = init_weights(card, seed=options.seed)
    if not options.pretrained:
        return network, card
    report = load_encoder(network, encoder=card.encoder, source=options.pretrained)
    logger.info(f"encoder {report.encoder} from {report.path} (sha256 {report.sha256[:12]})")
    return network, _with_origin(card, f"encoder from {report.path.name} (sha256 {report.sha256})")


def _start_for_other_classes(
    card: WeightCard, weights: Weights, options: TrainOptions
) -> tuple[Network, WeightCard]:
    network = init_weights(card, seed=options.seed)
    shared = fill_from_other_classes(network, card, weights)
    anew = [name for name in card.classes.names if name not in shared]
    logger.info(
        f"from {weights.name} (sha256 {weights.sha256[:12]}) encoder and decoder are kept, and of the heads"
        f" {', '.join(shared) or 'no class'}; {', '.join(anew) or 'no class'} begin anew"
    )
    return network, _with_origin(card, f"began from {weights.name} (sha256 {weights.sha256})")


def _with_origin(card: WeightCard, origin: str) -> WeightCard:
    return replace(card, description="; ".join(filter(None, (card.description, origin))))


def _new(dataset: DataSet, sampler: Sampler, options: TrainOptions) -> WeightCard:
    entry = network_entry(options.model or DEFAULT_MODEL)
    takes_energy = "energy_positions" in signature(entry.build).parameters
    return WeightCard(
        architecture=entry.name,
        encoder=options.encoder or _default_encoder(entry),
        classes=dataset.classes,
        bands=dataset.band_names,
        scaling=plan_scaling(dataset, sampler),
        energy_positions=options.window**2 if takes_energy else None,
    )


def _continued(dataset: DataSet, options: TrainOptions) -> WeightCard:
    """The card of the weights to start from, if it fits the data and does not contradict the options."""
    card = load_card(options.weights)
    for name, asked, found in (
        ("--model", options.model and network_entry(options.model).name, card.architecture),
        ("--encoder", options.encoder, card.encoder),
    ):
        if asked and asked != found:
            raise OptionError(
                f"{name} is {asked}, but {options.weights} is for {found}", hint=f"leave {name} out"
            )
    if (len(card.bands), card.scaling.dtype) != (dataset.channels, dataset.dtype):
        raise WeightsError(
            f"{options.weights}: expects {len(card.bands)} bands of {card.scaling.dtype}; the images have"
            f" {dataset.channels} of {dataset.dtype}",
            hint="a manifest can choose bands = [1, 2, 3]",
        )
    bands = dataset.band_names if dataset.bands_chosen else card.bands
    same = card.classes.names == dataset.classes.names
    return replace(card, classes=dataset.classes, bands=bands, description=card.description if same else "")
