"""What a run says of itself after every step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands.

    `step` of `steps` was learnt just now, in `epoch` of `epochs`; all count from 1. `loss` is the mean since the epoch
    began, `mean_iou` the score of the last validation: None before the first, or where it is undefined.
    `images_per_s` is how many samples of this epoch were learnt from in a second, waiting for them included.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    mean_iou: float | None
    images_per_s: float

    @property
    def share(self) -> float:
        """How much of the run is done, from 0 to 1; early stopping ends it below 1."""
        return self.step / self.steps
