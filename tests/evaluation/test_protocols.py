"""Protocols: the published fixtures, what each of them is over, and what does not fit them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rsseg.classes import ClassTable
from rsseg.data.presets.codings import published_labels
from rsseg.errors import LabelError, OptionError
from rsseg.evaluation import PROTOCOLS, EvaluateOptions, Measure, Threshold, count_pixels
from rsseg.evaluation.boundary import erode_boundaries
from rsseg.evaluation.protocols import classes_called, find_protocol
from rsseg.evaluation.recoding import Recoding
from tests.conftest import PARITY
from tests.evaluation.test_scores import TOLERANCE, fixtures

ISPRS = classes_called(PROTOCOLS["isprs"].classes)
VARIANTS = {
    "full": ("isprs", None),
    "eroded3": ("isprs", 3),
    "full_lastclass_ignored": ("isprs-no-clutter", None),
    "eroded3_lastclass_ignored": ("isprs-no-clutter", 3),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("case", ["a", "b"])
def test_the_isprs_protocols_give_the_scores_of_the_fixtures(
    case: str, variant: str, record_property: Callable[[str, object], None]
) -> None:
    document, arrays = fixtures()
    expected = document["cases"][case]["variants"][variant]
    name, erode = VARIANTS[variant]
    protocol = PROTOCOLS[name]
    label = arrays[f"{case}/label"]

    label = Recoding().leaving_out(dict.fromkeys(protocol.ids_not_in_labels(ISPRS), ""))(label)
    label = erode_boundaries(label, radius=erode) if erode else label
    counts = count_pixels(label, arrays[f"{case}/pred"], len(ISPRS))
    measure = Measure(protocol=protocol, erode=erode, not_in_means=protocol.ids_not_in_means(ISPRS))
    scores = measure.scores(counts)

    errors = [
        abs(scores.mean_iou - expected["miou_kept"]),
        abs(scores.mean_f1 - expected["mf1_kept"]),
        abs(scores.overall_accuracy - expected["oa"]),
        abs(scores.kappa - expected["kappa"]),
    ]
    what = f"metrics {case} {measure.title}"
    record_property(
        PARITY,
        f"{what:48} float64  {max(errors):8.1e}  {TOLERANCE:8.1e}  {max(errors) / TOLERANCE:6.3f}",
    )
    assert max(errors) <= TOLERANCE
    assert scores.pixels == expected["n"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_takes_its_own_classes(name: str) -> None:
    protocol = find_protocol(name)
    classes = protocol.own_classes() or ClassTable.unnamed(3)

    protocol.check_classes(classes)

    assert {"isprs": 5, "isprs-no-clutter": 5, "uavid": 8, "loveda": 7, "cityscapes": 19, "ade20k": 150}.get(
        name, 3
    ) == len(classes) - len(protocol.ids_not_in_means(classes))


def test_names_may_be_written_otherwise_and_in_another_order() -> None:
    classes = classes_called(["Tree", "Car", "Clutter", "Low-Vegetation", "Impervious Surface", "BUILDING"])

    PROTOCOLS["isprs"].check_classes(classes)

    assert PROTOCOLS["isprs"].ids_not_in_means(classes) == (2,)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("isprs", classes_called(ISPRS.names[:5])),
        ("isprs", classes_called([*ISPRS.names[:5], "water"])),
        ("isprs", classes_called([*ISPRS.names, "water"])),
        ("loveda", ClassTable.unnamed(7)),
        ("ade20k", ClassTable.unnamed(151)),
    ],
)
def test_other_classes_are_refused_with_what_was_expected(name: str, classes: ClassTable) -> None:
    expected = len(PROTOCOLS[name].classes) or 150

    with pytest.raises(LabelError, match=f"{name} is about {expected} classes") as caught:
        PROTOCOLS[name].check_classes(classes)

    assert f"compared are {len(classes)}: " in str(caught.value)
    assert "--map" in str(caught.value.hint)


def test_the_benchmark_score_is_the_mean_of_accuracy_and_iou() -> None:
    counts = count_pixels(np.uint8([0, 0, 1, 1]), np.uint8([0, 0, 0, 1]), 150)
    measure = Measure(protocol=PROTOCOLS["ade20k"])

    summary = measure.summary(measure.scores(counts))

    assert summary["benchmark_score"] == pytest.approx((3 / 4 + (2 / 3 + 1 / 2) / 2) / 2)
    assert "benchmark_score" not in Measure().summary(Measure().scores(counts))


@pytest.mark.parametrize(
    ("options", "title", "words"),
    [
        ({}, "plain", "all classes that are in the labels"),
        ({"protocol": "isprs", "erode": 3}, "isprs+eroded3", "within 3 px of another label are left out"),
        ({"protocol": "isprs", "erode": "given"}, "isprs+eroded-labels", "came without the edges of objects"),
        ({"protocol": "loveda"}, "loveda", "7 classes"),
    ],
)
def test_scores_are_named_after_all_that_was_done(options: dict[str, object], title: str, words: str) -> None:
    given = EvaluateOptions(**options)
    measure = Measure(protocol=given.protocol_used(), erode=given.erode)

    assert measure.title == title
    assert words in measure.text
    assert given.radius == (3 if given.erode == 3 else 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "voc"}, "protocol 'voc': unknown"),
        ({"protocol": "loveda", "erode": 3}, "the protocol loveda is taken on whole labels"),
        ({"erode": 0}, "--erode 0: expected 1 to 64 px"),
        ({"erode": 65}, "--erode 65"),
        ({"threads": 0}, "--threads 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        EvaluateOptions(**options)


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if PROTOCOLS[name].handed_out])
def test_what_is_said_of_label_files_is_how_they_are_read(name: str) -> None:
    """The value 0 is left out, and the others are ids and one more."""
    coding = published_labels(name).coding
    count = len(PROTOCOLS[name].own_classes() or ())

    assert coding.codes.tolist() == list(range(count + 1))
    assert coding.ids.tolist() == [255, *range(count)]
    assert f"hold 1 to {count} and 0 for" in PROTOCOLS[name].handed_out


def test_a_benchmark_score_that_a_protocol_does_not_have_has_no_limit() -> None:
    limits = (Threshold.parse("benchmark_score=0.5"),)

    assert EvaluateOptions(protocol="ade20k", limits=limits).limits == limits
    with pytest.raises(OptionError, match="benchmark_score: the protocol plain has no such score"):
        EvaluateOptions(limits=limits)
