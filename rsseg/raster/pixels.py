"""What reading a window gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pixels:
    """Pixels of a window.

    Attributes:
        data: (bands, rows, cols), in the file's type.
        valid: (rows, cols), True where the pixel counts.
    """

    data: NDArray[Any]
    valid: NDArray[np.bool_]
