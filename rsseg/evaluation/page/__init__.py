"""An evaluation as one page of HTML that needs nothing else: numbers, pictures of the errors, and where they come from.

The page is made of what counters saw, so labels may be polygons, warped, or open already, and class maps may be gone by
the time it is written. `page_counters` are given to `evaluate_maps` along with what else is counted; `write_report`
then writes the page:

    evaluation = evaluate_maps(pairs, counters=page_counters(len(pairs)))
    write_report(Path("report.html"), evaluation, images=[Path("town.tif")])

It holds its own style and script, opens without a network, and is complete without the script. It does not grow with
the rasters: overviews are at most 1600 pixels wide and high, windows 256, and what would be more is drawn smaller.
"""

from rsseg.evaluation.page.writing import page_counters, write_report

__all__ = ["page_counters", "write_report"]
