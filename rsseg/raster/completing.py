"""From a sealed layer of staged blocks to its finished file: resampled, freed of small regions, counted, encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rsseg.classes import ClassTable
from rsseg.raster.counts import ClassCounts, RowCounts, add_up, count_map
from rsseg.raster.encode import encode_class_map, encode_probabilities
from rsseg.raster.finishing import Resampling, Valid, resample_layer, sieve_classes
from rsseg.raster.grid import Grid
from rsseg.raster.layers import CLASSES, band_names


@dataclass(frozen=True)
class CompletedLayer:
    """The encoded file, its sidecar if it needs one, and what each class covers if it is the class map."""

    encoded: Path
    sidecar: Path | None
    counts: ClassCounts | None


@dataclass(frozen=True, kw_only=True)
class Completion:
    """How the layers of a map are completed, one after the other.

    Attributes:
        grid: of the staged blocks.
        target: of the finished files, on the same ground.
        classes: names and colours.
        tags: provenance.
        min_area: see `ClassMapWriter`.
        valid: see `ClassMapWriter.finish`.
        most_regions: see `ClassMapWriter.finish`.
    """

    grid: Grid
    target: Grid
    classes: ClassTable
    tags: Mapping[str, str]
    min_area: int
    valid: Valid | None
    most_regions: int | None

    def encode(self, name: str, sealed: Path, *, counted: RowCounts) -> CompletedLayer:
        """Encode a layer; of the classes small regions are merged first, and the finished map is counted.

        Args:
            name: of the layer.
            sealed: its staged blocks.
            counted: the pixels of the staged classes.

        Raises:
            ResourceError: there are more regions than may be held.
            OSError: the disk does not take it; or one of `GDAL_ERRORS`.
        """
        encoded, grid, counts = _beside(sealed, "encoded"), self.target, None
        sidecar: Path | None
        if name == CLASSES:
            staged = self._without_small(self._on_target(sealed, "nearest"), keep=sealed)
            rows = counted if staged == sealed else count_map(staged)
            counts = add_up(rows, grid=grid, classes=len(self.classes))
            sidecar = encode_class_map(staged, encoded, grid=grid, classes=self.classes, tags=self.tags)
        else:
            staged, names = self._on_target(sealed, "bilinear"), band_names(name, self.classes)
            sidecar = encode_probabilities(staged, encoded, grid=grid, names=names, tags=self.tags)
        _drop(staged, keep=sealed)
        return CompletedLayer(encoded, sidecar, counts)

    def _on_target(self, sealed: Path, how: Resampling) -> Path:
        """The layer in the target's pixels; itself where it is."""
        if self.target == self.grid:
            return sealed
        resampled = _beside(sealed, "resampled")
        resample_layer(sealed, resampled, grid=self.grid, target=self.target, how=how, valid=self.valid)
        return resampled

    def _without_small(self, staged: Path, *, keep: Path) -> Path:
        """The classes without small regions; themselves where all stay."""
        if self.min_area <= 1:
            return staged
        sieved = _beside(keep, "sieved")
        sieve_classes(staged, sieved, min_area=self.min_area, most_regions=self.most_regions)
        _drop(staged, keep=keep)
        return sieved


def _drop(staged: Path, *, keep: Path) -> None:
    """Make room for what comes next; the blocks themselves stay, for a run that is killed here goes on from them."""
    if staged != keep:
        staged.unlink()


def _beside(sealed: Path, step: str) -> Path:
    """The file of a layer after a step of the work."""
    return sealed.with_name(sealed.name.replace("blocks", step))
