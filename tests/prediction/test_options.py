from pathlib import Path
from typing import Any

import pytest

from rsseg.errors import OptionError
from rsseg.prediction.options import PredictOptions

FILE = Path("context.safetensors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": "image"}, "context is 'image'; expected raster or tile"),
        ({"context_sample": 0.0}, "context-sample is 0; expected a share above 0"),
        ({"context_sample": 1.1}, "context-sample is 1.1"),
        ({"context_sample": float("nan")}, "context-sample is nan"),
        ({"context": "tile", "use_context": FILE}, "--use-context is about .* --context is tile"),
        ({"context": "tile", "save_context": FILE}, "--save-context is about .* --context is tile"),
        ({"context": "tile", "context_sample": 0.5}, "--context-sample is about .* --context is tile"),
        ({"use_context": FILE, "save_context": FILE}, "--save-context takes a context, --use-context"),
        ({"use_context": FILE, "context_sample": 0.5}, "--context-sample takes a context, --use-context"),
    ],
)
def test_options_that_contradict_one_another_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        PredictOptions(**options)


def test_all_of_the_tiles_are_a_sample_too() -> None:
    assert PredictOptions(context_sample=1.0).context_wishes == ("--context-sample",)
