"""Compare class maps with labels."""

from rsseg.evaluation.confusion import Confusion, confusion_matrix, count_pixels
from rsseg.evaluation.engine import evaluate_maps
from rsseg.evaluation.pairs import Pair, pair_up
from rsseg.evaluation.report import csv_text, table_text
from rsseg.evaluation.result import Evaluation, PairResult
from rsseg.evaluation.rules import LabelRules
from rsseg.evaluation.scores import Scores, scores_of
from rsseg.evaluation.thresholds import Threshold, missed_thresholds

__all__ = [
    "Confusion",
    "Evaluation",
    "LabelRules",
    "Pair",
    "PairResult",
    "Scores",
    "Threshold",
    "confusion_matrix",
    "count_pixels",
    "csv_text",
    "evaluate_maps",
    "missed_thresholds",
    "pair_up",
    "scores_of",
    "table_text",
]
