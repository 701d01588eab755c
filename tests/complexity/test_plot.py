"""The comparison as a picture."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from rsseg.complexity import plot
from rsseg.complexity.plot import write_complexity_plot
from rsseg.complexity.report import Report
from rsseg.errors import ResourceError
from tests.complexity.making import report, subject

ATTENTION = (
    subject("dot-product", sides=(8, 16, 32), power=4, measured=(8,)),
    subject("linear", sides=(8, 16, 32), measured=(8, 16)),
)
NETWORKS = (subject("town", sides=(128, 256)),)


@pytest.mark.parametrize(
    "found",
    [
        report(attention=ATTENTION, networks=NETWORKS),
        report(attention=ATTENTION),
        report(networks=NETWORKS),
        report(networks=(subject("town", sides=(64,)),)),
        report(networks=(subject("town", sides=tuple(range(32, 1024, 64)), measured=(32,)),)),
        report(networks=tuple(subject(f"town {n}", sides=(64, 96)) for n in range(9))),
    ],
    ids=["both", "attention", "networks", "one side", "many sides", "many networks"],
)
def test_the_picture_is_a_png_of_a_bounded_size(found: Report, tmp_path: Path) -> None:
    path = tmp_path / "costs.png"

    write_complexity_plot(path, found)

    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert 1000 < picture.width < 3000
        assert 500 < picture.height < 2000
        assert np.asarray(picture.convert("L")).std() > 5
    assert [p.name for p in tmp_path.iterdir()] == ["costs.png"]


def test_a_panel_names_its_lines_with_their_growth_and_shows_what_was_measured() -> None:
    figure = Figure()

    plot._draw(figure, report(attention=ATTENTION), (plot._OPERATIONS, plot._MEMORY, plot._TIME))

    operations, memory, time = figure.subfigs[0].axes
    assert [text.get_text() for text in operations.get_legend().get_texts()] == [
        "dot-product: ×16.0 per doubling",
        "linear: ×4.0 per doubling",
    ]
    drawn = [[(x, y) for x, y in zip(*line.get_data(), strict=True)] for line in memory.lines]
    assert [(8, 409_600), (16, 6_553_600), (32, 104_857_600)] in drawn
    assert [(8, 491_520)] in drawn
    assert (operations.get_xscale(), operations.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in time.get_legend().get_texts()] == ["dot-product", "linear"]


@pytest.mark.parametrize(
    "sides", [range(32, 1024, 16), range(1, 200), [2**n for n in range(15)], [5000, 5001]]
)
def test_labels_of_sides_do_not_run_into_one_another(sides: Sequence[int]) -> None:
    figure = Figure(figsize=(10.4, 4.6), layout="constrained")
    canvas = FigureCanvasAgg(figure)

    plot._draw(
        figure, report(networks=(subject("town", sides=tuple(sides)),)), (plot._OPERATIONS, plot._MEMORY)
    )
    canvas.draw()

    labels = [label for label in figure.subfigs[0].axes[0].get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent() for label in labels]
    assert labels[-1].get_text() == str(sides[-1])
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert len(labels) >= min(len(sides), 4) or sides[-1] < 1.1 * sides[0]


def test_the_same_costs_give_the_same_picture(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_complexity_plot(tmp_path / name, report(attention=ATTENTION, networks=NETWORKS))

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_picture_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"costs\.png: cannot be written"):
        write_complexity_plot(tmp_path / "gone" / "costs.png", report(networks=NETWORKS))
