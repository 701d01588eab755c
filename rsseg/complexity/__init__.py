"""What attention and networks cost: by formula, by counting, and by measuring."""

from rsseg.complexity.engine import ComplexityOptions, compare_costs
from rsseg.complexity.plot import write_complexity_plot
from rsseg.complexity.report import Report, Row, Subject
from rsseg.complexity.table import table_text

__all__ = [
    "ComplexityOptions",
    "Report",
    "Row",
    "Subject",
    "compare_costs",
    "table_text",
    "write_complexity_plot",
]
