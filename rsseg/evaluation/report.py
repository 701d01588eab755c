"""An evaluation as text: a table for people, and lines for spreadsheets."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Mapping

from rsseg.evaluation.result import BENCHMARK_SCORE, Evaluation
from rsseg.evaluation.scores import CLASS_SCORES
from rsseg.evaluation.sections import SCORE_TITLES, Section, columns, number, percent, plural

_MATRIX_CLASSES = 10
"""With more classes the matrix is too wide for a terminal; JSON and picture have it."""

_WIDTH = 110
"""Of sentences, in characters."""

_HASH = 12
"""As many digits of a hash tell weights apart."""

TITLES = {**SCORE_TITLES, BENCHMARK_SCORE: "benchmark score"}


def table_text(evaluation: Evaluation) -> str:
    """Show scores per class, the confusion matrix, the summary and what was counted, ready to print."""
    parts = [_class_table(evaluation), _matrix_table(evaluation), _summary(evaluation), _counted(evaluation)]
    parts += [_section(section) for section in evaluation.sections]
    return "\n\n".join(part for part in parts if part)


def csv_text(evaluation: Evaluation) -> str:
    """List all numbers as lines `protocol,score,class,value`.

    The class is empty for summary scores, the value where it is undefined.
    """
    document = evaluation.to_dict()
    of_classes = (*CLASS_SCORES, "reference_pixels", "predicted_pixels")
    rows = [
        (name, "", document[name])
        for name in (*evaluation.summary, "pixels", "ignored_pixels", "nodata_pixels")
    ]
    rows += [(name, row["name"], row[name]) for name in of_classes for row in document["classes"]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("protocol", "score", "class", "value"))
    writer.writerows((evaluation.measure.title, *row) for row in rows)
    writer.writerows(line for section in evaluation.sections for line in section.lines(evaluation.classes))
    return text.getvalue().rstrip("\n")


def _class_table(evaluation: Evaluation) -> str:
    scores, matrix = evaluation.scores, evaluation.confusion.matrix
    head = ("class", "IoU", "F1", "precision", "recall", "reference px", "share", "predicted px", "share")
    reference, predicted = matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist()
    rows = [
        (
            name,
            *(number(getattr(scores, score)[k]) for score in CLASS_SCORES),
            *(f"{reference[k]:,}", percent(reference[k], scores.pixels)),
            *(f"{predicted[k]:,}", percent(predicted[k], scores.pixels)),
        )
        for k, name in enumerate(evaluation.classes.names)
    ]
    return columns([head, *rows])


def _matrix_table(evaluation: Evaluation) -> str:
    """The matrix in percent of each reference class."""
    if len(evaluation.classes) > _MATRIX_CLASSES:
        return ""
    names = evaluation.classes.names
    rows = [
        (name, *(percent(count, sum(counts)) for count in counts))
        for name, counts in zip(names, evaluation.confusion.matrix.tolist(), strict=True)
    ]
    return columns([("reference \\ predicted", *names), *rows])


def _summary(evaluation: Evaluation) -> str:
    return columns([(TITLES[name], number(value)) for name, value in evaluation.summary.items()])


def counted_lines(evaluation: Evaluation) -> list[str]:
    """What the scores rest on, and what is not in them, one sentence each."""
    counts, scores = evaluation.confusion, evaluation.scores
    lines = [
        f"compared {counts.scored:,} px in {len(evaluation.pairs)} {plural('pair', len(evaluation.pairs))}; "
        f"left out {counts.ignored:,} px without a label",
    ]
    if counts.nodata:
        lines.append(
            f"NOT compared: {counts.nodata:,} labelled px ({counts.nodata_share:.2%}) that are nodata in the class map"
        )
    names = evaluation.classes.names
    left_out = [names[k] for k in evaluation.measure.not_in_means if k < len(names)]
    if left_out:
        lines.append(f"not in the means: {', '.join(left_out)}")
    absent = [names[k] for k in scores.mean_over if math.isnan(scores.iou[k])]
    if absent:
        lines.append(f"in neither, so not in the means: {', '.join(absent)}")
    return lines


def _counted(evaluation: Evaluation) -> str:
    """What the scores are, and what they rest on."""
    measure = evaluation.measure
    lines = [f"protocol {measure.title}: {measure.text}", *counted_lines(evaluation)]
    if evaluation.made_with:
        lines.append(f"made with {made_with_text(evaluation.made_with)}")
    return "\n".join(lines)


def made_with_text(made_with: Mapping[str, str]) -> str:
    """What class maps were made with, in one line; hashes are shortened, JSON has all of them."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value[:_HASH] if name.endswith('sha256') else value}"
        for name, value in made_with.items()
    )


def _wrapped(sentence: str) -> str:
    return textwrap.fill(
        sentence, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _section(section: Section) -> str:
    """A heading with the protocol, the tables, and what one has to know."""
    tables = [columns([*([table.head] if table.head else []), *table.rows]) for table in section.tables]
    return "\n\n".join(
        [f"{section.title}  [{section.protocol}]", *tables, "\n".join(map(_wrapped, section.text))]
    )
