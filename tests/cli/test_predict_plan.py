"""What a dry run prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rsseg.cli.predict_plan import report_plan
from rsseg.prediction.choice import Pipeline
from rsseg.prediction.disk import DiskUse
from rsseg.prediction.layout import LayoutWarning
from rsseg.prediction.memory import MemoryUse, Part
from rsseg.prediction.plan import Plan
from rsseg.prediction.sizes import Sizes
from rsseg.tiling import plan_tiles

TILES = plan_tiles(10_000, 9_000, tile=512, halo=64, stride=32)
PLAN = Plan(
    sizes=Sizes(tile=512, halo=64, stride=32),
    tiles=TILES,
    decided=TILES,
    context="raster",
    context_passes=1,
    context_cost=400.0,
    tile_cost=0.4,
    pipeline=Pipeline(batch_size=1, ahead=4, behind=3, cache_bytes=2**25),
    readers=2,
    memory=MemoryUse(
        (
            Part(name="process", memory_bytes=300_000_000, when="always"),
            Part(name="GDAL's cache", memory_bytes=33_000_000, when="always"),
            Part(name="network", memory_bytes=1_180_000_000, when="predicting"),
            Part(name="encoding", memory_bytes=97_000_000, when="finishing"),
        )
    ),
    bound_bytes=4_000_000_000,
    disk=DiskUse(
        staged_bytes=98_000_000,
        final_bytes=15_000_000,
        free_bytes=70_000_000_000,
        feature_bytes=1_500_000_000,
    ),
    warnings=(LayoutWarning("a.tif: is odd", "mend it"),),
    seconds=4000.0,
)


def test_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    report_plan("a.tif", Path("map.tif"), PLAN, as_json=False)

    assert capsys.readouterr().out.splitlines() == [
        "a.tif -> map.tif",
        "  tiles      648 of 512 px, each decides 384 px (halo 64)",
        "  attention  to the raster, 1 of 2 passes for the context",
        "  batches    1 tile",
        "  queues     2 readers, 4 tiles ahead, 3 behind",
        "  time       about 67 min",
        "memory: at most 1,513 MB of 4,000 MB",
        "  held all the time",
        "    process       300 MB",
        "    GDAL's cache   33 MB",
        "  while tiles are predicted",
        "    network  1,180 MB",
        "  while the map is finished",
        "    encoding  97 MB",
        "disk: 1,598 MB of 70,000 MB free",
        "  staged blocks             98 MB",
        "  features, until then   1,500 MB",
        "  finished files, about     15 MB",
        "Warning: a.tif: is odd",
        "Hint: mend it",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown"), (0.2, "about 1 s"), (80, "about 80 s"), (12_000, "about 3 h 20 min")],
)
def test_times_are_said_as_people_do(
    seconds: float | None, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report_plan("a.tif", Path("map.tif"), replace(PLAN, seconds=seconds), as_json=False)

    assert f"  time       {text}\n" in capsys.readouterr().out


def test_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    report_plan("a.tif", Path("map.tif"), PLAN, as_json=True)

    told = json.loads(capsys.readouterr().out)
    assert (told["image"], told["output"], told["dry_run"]) == ("a.tif", "map.tif", True)
    assert (told["tile"], told["halo"], told["keep"], told["tiles"]) == (512, 64, 384, 648)
    assert (told["memory_bytes"], told["max_memory_bytes"]) == (1_513_000_000, 4_000_000_000)
    assert told["memory"][0] == {"part": "process", "when": "always", "bytes": 300_000_000}
    assert told["disk"]["free_bytes"] == 70_000_000_000
    assert told["warnings"] == [{"text": "a.tif: is odd", "hint": "mend it"}]
    assert told["seconds"] == 4000.0
