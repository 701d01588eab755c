"""An evaluation as text: a table for people, and lines for spreadsheets."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from rsseg.evaluation.result import PROTOCOL, PROTOCOL_TEXT, Evaluation
from rsseg.evaluation.scores import CLASS_SCORES, SUMMARY_SCORES

_MATRIX_CLASSES = 10
"""With more classes the matrix is too wide for a terminal; JSON and picture have it."""

_TITLES = {
    "overall_accuracy": "overall accuracy",
    "mean_iou": "mean IoU",
    "mean_f1": "mean F1",
    "kappa": "kappa",
    "average_accuracy": "average accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
}


def table_text(evaluation: Evaluation) -> str:
    """Show scores per class, the confusion matrix, the summary and what was counted, ready to print."""
    parts = [_class_table(evaluation), _matrix_table(evaluation), _summary(evaluation), _counted(evaluation)]
    return "\n\n".join(part for part in parts if part)


def csv_text(evaluation: Evaluation) -> str:
    """List all numbers as lines `score,class,value`; the class is empty for summary scores, undefined values too."""
    document = evaluation.to_dict()
    columns = (*CLASS_SCORES, "reference_pixels", "predicted_pixels")
    rows = [
        (name, "", document[name]) for name in (*SUMMARY_SCORES, "pixels", "ignored_pixels", "nodata_pixels")
    ]
    rows += [(name, row["name"], row[name]) for name in columns for row in document["classes"]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("score", "class", "value"))
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _class_table(evaluation: Evaluation) -> str:
    scores, matrix = evaluation.scores, evaluation.confusion.matrix
    head = ("class", "IoU", "F1", "precision", "recall", "reference px", "share", "predicted px", "share")
    reference, predicted = matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist()
    rows = [
        (
            name,
            *(_number(getattr(scores, score)[k]) for score in CLASS_SCORES),
            *(f"{reference[k]:,}", _percent(reference[k], scores.pixels)),
            *(f"{predicted[k]:,}", _percent(predicted[k], scores.pixels)),
        )
        for k, name in enumerate(evaluation.classes.names)
    ]
    return _columns([head, *rows])


def _matrix_table(evaluation: Evaluation) -> str:
    """The matrix in percent of each reference class."""
    if len(evaluation.classes) > _MATRIX_CLASSES:
        return ""
    names = evaluation.classes.names
    rows = [
        (name, *(_percent(count, sum(counts)) for count in counts))
        for name, counts in zip(names, evaluation.confusion.matrix.tolist(), strict=True)
    ]
    return _columns([("reference \\ predicted", *names), *rows])


def _summary(evaluation: Evaluation) -> str:
    return _columns([(_TITLES[name], _number(getattr(evaluation.scores, name))) for name in SUMMARY_SCORES])


def _counted(evaluation: Evaluation) -> str:
    """What the scores rest on, and what is not in them."""
    counts, scores = evaluation.confusion, evaluation.scores
    lines = [
        f"compared {counts.scored:,} px in {len(evaluation.pairs)} {_plural('pair', len(evaluation.pairs))}; "
        f"left out {counts.ignored:,} px without a label",
        f"protocol {PROTOCOL}: {PROTOCOL_TEXT}",
    ]
    if counts.nodata:
        lines.insert(
            1,
            f"NOT compared: {counts.nodata:,} labelled px ({counts.nodata_share:.2%}) that are nodata in the class map",
        )
    absent = [n for n, iou in zip(evaluation.classes.names, scores.iou, strict=True) if math.isnan(iou)]
    if absent:
        lines.append(f"in neither, so not in the means: {', '.join(absent)}")
    return "\n".join(lines)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Set a table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for name, *cells in rows:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join((name.ljust(widths[0]), *padded)))
    return "\n".join(lines)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _percent(count: int, of: int) -> str:
    return f"{100 * count / of:.2f} %" if of else "-"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
