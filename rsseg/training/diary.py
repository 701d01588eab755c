"""What a run leaves for people, and when: each file is described in `rsseg.training.run_folder`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli_w

from rsseg.data.scenes import DataSet
from rsseg.files import write_file
from rsseg.models.network import Network
from rsseg.models.registry import network_entry
from rsseg.prediction.forward import Forward
from rsseg.training.events import add_epoch, keep_events, start_events
from rsseg.training.fingerprint import list_scenes
from rsseg.training.history import known_scores, shown
from rsseg.training.options import TrainOptions
from rsseg.training.provenance import add_start, write_provenance
from rsseg.training.run_folder import RunFolder, table
from rsseg.training.sheet import Example, choose_examples, draw_sheet
from rsseg.training.validation import labelled_tiles
from rsseg.weights import WeightCard, save_weights, with_scores
from rsseg.weights.files import file_sha256

SHEET_EPOCHS = 5
"""A sheet of samples is drawn after the first epoch, after every so many, and after the last."""


class Diary:
    """Writes the files of one run; of several processes, only the first has something to write.

    Every method raises ResourceError where the disk does not take a file.
    """

    def __init__(
        self, folder: RunFolder, dataset: DataSet, card: WeightCard, *, options: TrainOptions
    ) -> None:
        self._folder = folder
        self._dataset = dataset
        self._card = card
        self._options = options

    def begin(
        self, config: Mapping[str, Any], *, origin: Mapping[str, str], start: Mapping[str, Any]
    ) -> None:
        """Write what is known before the first step: the recipe, where the weights come from, and the start."""
        folder = self._folder
        folder.write_config(config)
        folder.write_readme()
        write_file(folder.data, table(list_scenes(self._dataset, Path(config["data"]))).encode())
        write_provenance(folder.provenance, origin, start)
        start_events(folder.events, title="recipe", text=f"```\n{tomli_w.dumps(config)}```")

    def go_on(self, start: Mapping[str, Any], *, step: int) -> None:
        """Forget what came after a step, and note that the run goes on."""
        keep_events(self._folder.events, step=step)
        add_start(self._folder.provenance, start)

    def keep_best(self, network: Network, row: Mapping[str, Any]) -> None:
        """Write the best weights so far, and their card."""
        card = with_scores(self._card, known_scores(row))
        best = self._folder.best
        save_weights(best, network, card)
        described = {
            "file": best.name,
            "sha256": file_sha256(best),
            "epoch": row["epoch"],
            "card": json.loads(card.to_json()),
        }
        write_file(self._folder.card, f"{json.dumps(described, indent=2, ensure_ascii=False)}\n".encode())

    def write_epoch(self, history: Sequence[Mapping[str, Any]], forward: Forward, *, is_last: bool) -> None:
        """Draw a sheet of samples if it is time, and write down the last row of the history: in the log last of all."""
        row = history[-1]
        sheet = None
        if is_last or row["epoch"] == 1 or row["epoch"] % SHEET_EPOCHS == 0:
            title = f"after epoch {row['epoch']} of {self._options.epochs}: mean IoU {shown(row['mean_iou'])}"
            sheet = draw_sheet(forward, self._examples, self._card.classes, title=title)
            write_file(self._folder.samples, sheet)
        add_epoch(self._folder.events, row, sheet=sheet)
        self._folder.write_history(history)

    @cached_property
    def _examples(self) -> list[Example]:
        """The windows of every sheet of this run."""
        card = self._card
        stride = network_entry(card.architecture).stride
        tiles = [
            Example(scene=scene, tile=tile)
            for scene in self._dataset.val
            for tile in labelled_tiles(scene, tile=card.tile, halo=card.halo, stride=stride)
        ]
        return choose_examples(tiles, classes=len(card.classes))
