"""Compare class maps with labels."""

from rsseg.evaluation.confusion import Confusion, confusion_matrix, count_pixels
from rsseg.evaluation.counters import Counter, Seen
from rsseg.evaluation.engine import evaluate_maps
from rsseg.evaluation.lengths import Length
from rsseg.evaluation.options import EvaluateOptions, MeasureOptions
from rsseg.evaluation.pairs import Pair, check_eroded, find_coding, pair_up, read_as, read_pairs
from rsseg.evaluation.protocols import PROTOCOLS, Protocol
from rsseg.evaluation.recoding import Move
from rsseg.evaluation.report import csv_text, table_text
from rsseg.evaluation.result import Evaluation, Measure, PairResult
from rsseg.evaluation.rules import LabelRules
from rsseg.evaluation.scores import Scores, scores_of
from rsseg.evaluation.sections import Section
from rsseg.evaluation.thresholds import Threshold, missed_thresholds

__all__ = [
    "PROTOCOLS",
    "Confusion",
    "Counter",
    "EvaluateOptions",
    "Evaluation",
    "LabelRules",
    "Length",
    "Measure",
    "MeasureOptions",
    "Move",
    "Pair",
    "PairResult",
    "Protocol",
    "Scores",
    "Section",
    "Seen",
    "Threshold",
    "check_eroded",
    "confusion_matrix",
    "count_pixels",
    "csv_text",
    "evaluate_maps",
    "find_coding",
    "missed_thresholds",
    "pair_up",
    "read_as",
    "read_pairs",
    "scores_of",
    "table_text",
]
